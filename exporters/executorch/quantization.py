"""Quantization for ExecuTorch's XNNPACK, through torchao: in the module, before it is captured.

https://docs.pytorch.org/ao/stable/api_reference/api_ref_quantization.html
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from exporters.executorch import FORMAT, INT4_GROUP
from exporters.products import quantized_parts, ranges_of
from exporters.spec import ExportRequest, Ranges

INT4: torch.dtype = torch.int4  # type: ignore[attr-defined]
LEAST_SCALE = 2**-12  # that XNNPACK takes of an activation
LEAST_WEIGHT_SCALE = 2.0**-23  # of a channel of zeros; ExecuTorch's own 2**-12 is coarse for small weights


@dataclass(frozen=True)
class Quantized:
    """A module that is ready to be captured.

    module: embeddings, and for run-time precisions linear layers, hold quantized weights.
    ranges: where they are set beforehand, those of each linear layer; it is quantized when it is captured.
    calibrated: the linear layers whose ranges were calibrated.
    """

    module: nn.Module
    ranges: Mapping[str, Ranges] = field(default_factory=dict)
    calibrated: tuple[str, ...] = ()

    def capture(self, example: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
        """The module's graph at the lengths of an example."""
        program = torch.export.export(self.module, example)
        return _with_static_products(program, self.ranges, example) if self.ranges else program


def quantize(request: ExportRequest) -> Quantized:
    """The request's module in its precision; the module itself stays as it is.

    Raises:
        InputError: there is nothing to quantize, or nothing to calibrate with.
    """
    precision = FORMAT.precision(request.precision)
    if precision.rounding is None:
        return Quantized(request.module)
    linears, tables = quantized_parts(request)
    bits = precision.rounding.bits
    ranges: dict[str, Ranges] = {}
    calibrated: list[str] = []
    module = copy.deepcopy(request.module)
    if precision.calibrated:
        ranges, calibrated = ranges_of(request, linears)
    else:
        for name in linears:
            _round_product(module.get_submodule(name), bits)
    for name in tables:
        table = cast("nn.Embedding", module.get_submodule(name))
        table.padding_idx = None  # of use in training only, and not in the pattern that ExecuTorch fuses
        table.register_forward_pre_hook(with_long_ids)
        _round_weight(table, bits, table.embedding_dim, None)
    return Quantized(module, ranges, tuple(calibrated))


def _round_product(linear: nn.Module, bits: int) -> None:
    """Round a linear layer's weight, and what it is multiplied with as it comes, each row by itself.

    XNNPACK takes 4-bit weights in whole groups only; a product that has none is quantized to int8.
    """
    inputs = cast("int", linear.in_features)
    if bits == 4 and inputs % INT4_GROUP == 0:
        _round_weight(linear, 4, INT4_GROUP, "int8_asym_per_token")
    else:
        _round_weight(linear, 8, inputs, "int8_asym_per_token")


def _round_weight(module: nn.Module, bits: int, group: int, activations: str | None) -> None:
    """Round a weight, (rows, inputs), symmetrically: the largest of `group` inputs is the largest step.

    So do the other formats. (torchao's own steps are half a step wider: of weights that lie on the others',
    as training leaves them, nothing would be left.)

    Args:
        activations: what torchao calls their rounding, if there is any.
    """
    from torchao.quantization import IntxUnpackedToInt8Tensor

    weight = module.get_parameter("weight").detach()
    largest = weight.view(len(weight), -1, group).abs().amax(2)  # (rows, inputs) -> (rows, blocks)
    scale = (largest / (2 ** (bits - 1) - 1)).clamp(min=LEAST_WEIGHT_SCALE)
    rounded = IntxUnpackedToInt8Tensor.from_hp(
        weight,
        (1, group),
        INT4 if bits == 4 else torch.int8,
        activation_quantization=activations,
        intx_choose_qparams_algorithm=None,
        custom_scale=scale,
        custom_zero_point=torch.zeros_like(scale, dtype=torch.int8),
    )
    module.weight = nn.Parameter(rounded, requires_grad=False)


def with_long_ids(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """ExecuTorch's quantized look-ups take int64 only."""
    return (inputs[0].long(),)


def float_operators(program: torch.export.ExportedProgram) -> Counter[str]:
    """How many of each operator of a captured module still compute with floats.

    A linear layer between a dequantized input and a dequantized weight is one of integers to XNNPACK.
    """

    def made_by(value: Any) -> str:
        return _operator(value) if isinstance(value, torch.fx.Node) else ""

    def of_integers(node: torch.fx.Node) -> bool:
        sources = [made_by(value) for value in node.args[:2]]
        return _operator(node) == "linear" and all(source.startswith("dequantize") for source in sources)

    return Counter(
        _operator(node)
        for node in program.graph.nodes
        if node.op == "call_function"
        and isinstance(node.meta.get("val"), Tensor)
        and node.meta["val"].is_floating_point()
        and _operator(node) not in WITHOUT_ARITHMETIC
        and not _operator(node).startswith(("quantize", "dequantize", "choose_qparams"))
        and not of_integers(node)
    )


WITHOUT_ARITHMETIC = {
    *(
        "_to_copy",
        "cat",
        "clone",
        "dropout",
        "embedding",
        "expand",
        "flatten",
        "permute",
        "reshape",
        "select",
    ),
    *("slice", "squeeze", "to", "transpose", "unbind", "unsqueeze", "view"),
    "access_subclass_inner_tensor",
}


def _operator(node: torch.fx.Node) -> str:
    """`linear` of torch.ops.aten.linear.default."""
    return str(getattr(node.target, "_opname", node.target))


def _with_static_products(
    program: torch.export.ExportedProgram, ranges: Mapping[str, Ranges], example: tuple[Tensor, ...]
) -> torch.export.ExportedProgram:
    """A captured module whose linear layers compute in int8 between the given ranges.

    Everything else stays float: the mask's addition and the softmax above all, whose scale it would set.
    (XNNPACKQuantizer itself would spread a product's scale over the slices after it, which XNNPACK then
    leaves to slower kernels.)
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
    from torchao.quantization.pt2e.observer import PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, Quantizer
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    weights = replace(
        get_symmetric_quantization_config(is_per_channel=True).weight,
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=LEAST_WEIGHT_SCALE),
    )

    class ProductQuantizer(Quantizer):  # type: ignore[misc]
        def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            for node in model.graph.nodes:
                if node.target is torch.ops.aten.linear.default and _submodule(node) in ranges:
                    known = ranges[_submodule(node)]
                    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                        input_qspec_map={node.args[0]: _between(known.input), node.args[1]: weights},
                        output_qspec=_between(known.output),
                        _annotated=True,
                    )
            return model

        def validate(self, model: torch.fx.GraphModule) -> None:
            """Nothing that was annotated here can be unsound."""

    prepared = prepare_pt2e(program.module(), ProductQuantizer())
    with torch.inference_mode():
        prepared(*example)  # lets the weights be seen; activations have their ranges
    return torch.export.export(convert_pt2e(prepared), example)


def _between(range_: tuple[float, float] | None) -> Any:
    """What PT2E needs to know to quantize between two values, and 0, to int8."""
    from torchao.quantization.pt2e.quantizer import FixedQParamsQuantizationSpec

    assert range_ is not None
    low, high = min(range_[0], 0.0), max(range_[1], 0.0)
    scale = max((high - low) / 255, LEAST_SCALE)
    return FixedQParamsQuantizationSpec(
        torch.int8, scale, round(-128 - low / scale), -128, 127, torch.per_tensor_affine
    )


def _submodule(node: torch.fx.Node) -> str:
    """The dotted name of the submodule that a node was captured in."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    name: str = list(stack.values())[-1][0]
    return name.removeprefix("L['self'].")
