"""ExecuTorch: a program (.pte) for XNNPACK, one method per length, the weights stored once.

Besides its methods `length_<S>` a program has methods without inputs that explain it: `input_names` and
`output_names` return strings, `metadata` one string of JSON.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from exporters.errors import EdgeError, InputError
from exporters.executorch import FORMAT, PIECE, quantization
from exporters.executorch.half import InHalf, half_gelu, sum_in_pairs
from exporters.executorch.norms import with_delegated_norms
from exporters.executorch.shortcuts import shortcuts
from exporters.lengths import entry_point
from exporters.quiet import quiet_tools
from exporters.spec import Artifact, Delegation, ExportRequest
from exporters.tensors import describe

PRODUCTS = {"linear", "convolution", "bmm", "mm", "addmm", "matmul"}  # in an operator's name, between its _


def export(request: ExportRequest, path: Path) -> Artifact:
    """Write an ExecuTorch program.

    Raises:
        InputError: an unknown precision, or a module that ExecuTorch cannot lower.
    """
    precision = FORMAT.precision(request.precision)
    entry_points = {length: entry_point(length) for length in request.lengths}
    inputs, outputs = describe(request)
    try:
        with quiet_tools(), shortcuts():
            from executorch.exir import ExecutorchBackendConfig

            if precision.activations == "float16":
                module: nn.Module = InHalf(request.module)
            else:
                module = with_delegated_norms(request.module)
            quantized = quantization.quantize(replace(request, module=module))
            with torch.no_grad():
                programs = {
                    entry_points[length]: quantized.capture(tuple(example.values()))
                    for length, example in request.examples.items()
                }
            lowered = _lower(request, programs)
            # Fusion turns what is left of quantized embeddings into one operator each.
            program = lowered.to_executorch(ExecutorchBackendConfig(do_quant_fusion_and_const_prop=True))
            delegation = _delegation(program.exported_program(entry_points[request.lengths[-1]]))
    except (EdgeError, OSError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"ExecuTorch {version('executorch')} cannot lower this model: {error}",
            hint="export it to another format",
        ) from error
    packages = ["torch", "executorch", *(["torchao"] if precision.rounding else [])]
    with path.open("wb") as file:
        program.write_to_file(file)
    return Artifact(
        path=path,
        inputs=inputs,
        outputs=outputs,
        entry_points=entry_points,
        delegation=delegation,
        versions={package: version(package) for package in packages},
        float_operators=quantization.float_operators(programs[entry_points[request.lengths[-1]]]),
        calibrated=quantized.calibrated,
    )


def _lower(request: ExportRequest, programs: Mapping[str, torch.export.ExportedProgram]) -> Any:
    """The EdgeProgramManager of all lengths, what XNNPACK takes handed to it."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
        XnnpackPartitioner,
    )
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    with torch.no_grad():
        programs = {name: program.run_decompositions(DECOMPOSITIONS) for name, program in programs.items()}
    return to_edge_transform_and_lower(
        programs,
        partitioner=[XnnpackPartitioner()],
        constant_methods={
            "input_names": list(request.inputs),
            "output_names": list(request.outputs),
            "metadata": json.dumps(dict(request.metadata)),
        },
        # Checking the dialect after every pass takes a sixth of the time, and says nothing that running the
        # program does not.
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """Batches as one axis, for XNNPACK does not take the expands that torch puts around a 4-D product.

    They would cut each attention into several delegates, with copies in between.
    """
    if a.ndim == 1:
        return _matmul(a[None], b).squeeze(-2)
    if b.ndim == 1:
        return _matmul(a, b[:, None]).squeeze(-1)
    if b.ndim == 2:
        product = torch.mm(a.reshape(-1, a.shape[-1]), b)  # (..., M, K), (K, N) -> (P*M, N)
        return product.reshape(*a.shape[:-1], b.shape[-1])  # (P*M, N) -> (..., M, N)
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])  # type: ignore[no-untyped-call]
    a, b = (x if x.shape[:-2] == batch else x.expand(*batch, *x.shape[-2:]) for x in (a, b))
    product = torch.bmm(a.flatten(0, -3), b.flatten(0, -3))  # (..., M, K), (..., K, N) -> (P, M, N)
    return product.reshape(*batch, *product.shape[1:])  # (P, M, N) -> (..., M, N)


def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """XNNPACK's delegate computes the exact function whatever `approximate` says, off by up to 5e-4."""
    if approximate == "none":
        if x.dtype == torch.float16:
            return half_gelu(x)
        return cast("Tensor", NotImplemented)  # torch keeps the operator
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _prelu(x: Tensor, weight: Tensor) -> Tensor:
    """XNNPACK's own takes 4-D tensors only."""
    slope = weight.reshape(-1, *[1] * (x.ndim - 2)) if x.ndim > 1 else weight  # (C,) -> (C, 1, ...)
    return torch.relu(x) - slope * torch.relu(-x)


def _pow(x: Tensor, exponent: float) -> Tensor:
    """The cube of the tanh form of GELU, for XNNPACK takes squares and roots only."""
    return x * x * x if exponent == 3 else cast("Tensor", NotImplemented)


def _bmm(a: Tensor, b: Tensor) -> Tensor:
    """In pieces, where they are added up in float16."""
    if a.dtype != torch.float16 or a.shape[2] <= PIECE:
        return cast("Tensor", NotImplemented)
    starts = range(0, a.shape[2], PIECE)
    return sum_in_pairs([torch.bmm(a[:, :, i : i + PIECE], b[:, i : i + PIECE]) for i in starts])


DECOMPOSITIONS: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.matmul.default: _matmul,
    torch.ops.aten.bmm.default: _bmm,
    torch.ops.aten.gelu.default: _gelu,
    torch.ops.aten.prelu.default: _prelu,
    torch.ops.aten.pow.Tensor_Scalar: _pow,
}


def _delegation(program: torch.export.ExportedProgram) -> Delegation:
    """What XNNPACK took of a method.

    Reading an element of a tuple and making room for a result are no operators: nothing is computed.
    """
    from executorch.devtools.backend_debug import get_delegation_info

    info = get_delegation_info(program.graph_module)
    outside = Counter(
        {
            name: operator.non_delegated
            for name, operator in info.delegation_by_operator.items()
            if operator.non_delegated and name not in ("getitem", "alloc")
        }
    )
    return Delegation.of(
        info.num_delegated_nodes, outside, lambda name: not PRODUCTS.isdisjoint(name.split("_"))
    )
