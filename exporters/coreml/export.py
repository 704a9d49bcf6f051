"""Core ML: an ML Program for iOS and macOS, written on any machine.

Below iOS 18 Core ML allows enumerated shapes on one input only. So the module's inputs enter as the rows of
one int32 input `inputs` of shape (1, rows, length), for every target, and readers need one layout only.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exporters.capture import captures
from exporters.coreml import FORMAT, quantization
from exporters.coreml.mil import program as mil
from exporters.coreml.mil.structure import structure_of
from exporters.coreml.placement import placement
from exporters.coreml.runner import INPUT, ROWS
from exporters.errors import EdgeError, InputError
from exporters.quiet import quiet_tools
from exporters.spec import Artifact, ExportRequest, TensorSpec
from exporters.tensors import describe

aten = torch.ops.aten


class PackedInputs(nn.Module):
    """A module whose inputs are the rows of one tensor.

    Args:
        module: takes `rows` tensors (1, S).
        rows: how many.
    """

    def __init__(self, module: nn.Module, rows: int) -> None:
        super().__init__()
        self.module, self.rows = module, rows

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """(1, rows, S) int32 -> the module's outputs."""
        # Indexing, not unbind: coremltools casts the input of squeeze, which unbind becomes, to int16 in fp16
        # programs without looking at its values, and ids from 32768 on would wrap around.
        return self.module(*(inputs[:, row] for row in range(self.rows)))  # type: ignore[no-any-return]


def export(request: ExportRequest, path: Path) -> Artifact:
    """Write an ML Program package.

    Args:
        request: its target is one of the format's, the first one if it names none.
        path: ends in .mlpackage.

    Raises:
        InputError: an unknown precision or target, no ranges to calibrate with, or a module that coremltools
            cannot convert or compress.
    """
    precision = FORMAT.precision(request.precision)
    target = request.target or FORMAT.targets[0]
    if target not in FORMAT.targets:
        raise InputError(f"unknown Core ML target '{target}'", allowed=", ".join(FORMAT.targets))
    if path.suffix != ".mlpackage":
        raise InputError(f"{path}: Core ML takes a package's format from its name", allowed="*.mlpackage")
    ct = mil.import_coremltools()
    ranges, calibrated = quantization.input_ranges(request) if precision.calibrated else ({}, ())
    quantized = quantization.quantized_inputs(request, ranges) if precision.calibrated else nullcontext()
    with quiet_tools(), _no_progress_bars(), captures(), checks_of_pipelines(), quantized:
        model, stay_float = _convert(ct, request, target, path)
    file = mil.model_file(path)
    _describe(model, request)
    file.write_bytes(model.SerializeToString())
    for part in path.rglob("*"):  # coremltools makes some of them readable by their owner only
        part.chmod(0o755 if part.is_dir() else 0o644)
    program = mil.Program(mil.read_model(file), file.parent)  # sees weights cut short by a full disk
    if precision.rounding:
        quantization.require_compressed(program, stay_float)
    _, outputs = describe(request)
    return Artifact(
        path=path,
        inputs=(TensorSpec(INPUT, "int32", (1, len(request.inputs), None)),),
        outputs=outputs,
        entry_points=dict.fromkeys(request.lengths, ""),
        delegation=placement(path),
        versions={"torch": str(torch.__version__), "coremltools": ct.__version__},
        float_operators=quantization.float_operations(program),
        calibrated=calibrated,
        structure=structure_of(program),
    )


def _convert(ct: ModuleType, request: ExportRequest, target: str, path: Path) -> tuple[Any, frozenset[str]]:
    """The converted model, a `Model` message, whose package lies at `path`, and what stays float."""
    rows = len(request.inputs)
    shapes = [(1, rows, length) for length in request.lengths]
    pipeline = ct.PassPipeline.DEFAULT
    precision = FORMAT.precision(request.precision)
    stay_float: frozenset[str] = frozenset()
    try:
        program = _capture(request)
        if precision.rounding:
            stay_float = quantization.compress_weights(pipeline, request, program, target)
        model = ct.convert(
            program,
            convert_to="mlprogram",
            inputs=[
                ct.TensorType(INPUT, ct.EnumeratedShapes(shapes) if len(shapes) > 1 else shapes[0], np.int32)
            ],
            outputs=[ct.TensorType(name, dtype=np.float32) for name in request.outputs],
            minimum_deployment_target=ct.target[target],
            compute_precision=ct.precision.FLOAT32
            if precision.activations == "float32"
            else ct.precision.FLOAT16,
            pass_pipeline=pipeline,
            skip_model_load=True,
            package_dir=str(path),
        )
        return model.get_spec(), stay_float
    except BaseException as error:
        # coremltools' temporary weights go with the last reference to them, which the traceback holds.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, EdgeError | OSError) or not isinstance(error, Exception):
            raise
        raise InputError(
            f"coremltools {ct.__version__} cannot make a package of this model: {str(error).strip()}",
            hint="free space if the disk is full; otherwise export to another format",
        ) from error


def _capture(request: ExportRequest) -> torch.export.ExportedProgram:
    """The module with packed inputs as a graph, the length left open where there are several."""
    module = PackedInputs(request.module, len(request.inputs))
    shortest, longest = request.lengths[0], request.lengths[-1]
    example = torch.stack(tuple(request.examples[longest].values()), dim=1)  # rows of (1, S) -> (1, rows, S)
    length = torch.export.Dim("length", min=shortest, max=longest) if shortest < longest else None
    program = torch.export.export(module, (example,), dynamic_shapes=({2: length},) if length else None)
    for node in program.graph.nodes:
        if node.target is aten.to.dtype and len(node.args) == 2:  # coremltools takes the copy that it makes
            node.target, node.kwargs = aten._to_copy.default, {"dtype": node.args[1]}
            node.args = node.args[:1]
    if any(map(_has_to_change, program.graph.nodes)):
        return program.run_decompositions(DECOMPOSITIONS)  # type: ignore[no-any-return]
    # Decomposing would capture it a second time, and change nothing but its dialect.
    return torch.export.ExportedProgram(
        root=program.graph_module,
        graph=program.graph,
        graph_signature=program.graph_signature,
        state_dict=program.state_dict,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants=program.constants,
    )


def _has_to_change(node: torch.fx.Node) -> bool:
    """Whether a step writes into a tensor, or is none that coremltools takes as it is."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    if node.target is aten.gelu.default:
        return node.kwargs.get("approximate", "none") != "none"
    composite = node.target._can_decompose() and node.target not in AS_THEY_ARE
    return node.target in DECOMPOSITIONS or node.target._schema.is_mutable or composite


def _prelu(x: Tensor, weight: Tensor) -> Tensor:
    # (C,) -> (C, 1, ...), to stand at the second axis of x
    slope = weight.reshape(-1, *[1] * (x.ndim - 2)) if x.ndim > 1 else weight
    return torch.where(x > 0, x, slope * x)


def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "none":
        return NotImplemented  # type: ignore[no-any-return]  # leaves the operator as it is
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


# Operators of an exported program that coremltools 9 gets wrong: its prelu fails where the second axis is the
# sequence length, and its gelu overlooks `approximate`.
DECOMPOSITIONS = {aten.prelu.default: _prelu, aten.gelu.default: _gelu}

AS_THEY_ARE = {  # operators made of others that coremltools takes whole
    *(aten.conv1d.default, aten.conv2d.default, aten.einsum.default),
    *(aten.flatten.using_ints, aten.layer_norm.default, aten.linear.default, aten.matmul.default),
    *(aten.narrow.default, aten.reshape.default, aten.softmax.int, aten.sym_size.int),
}


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Convert without coremltools' progress bars, for which it has no switch."""
    from coremltools.converters.mil.frontend.torch import ops
    from coremltools.converters.mil.mil.passes import pass_pipeline
    from coremltools.optimize.coreml import _quantization_passes

    bars = ops._tqdm, pass_pipeline.tqdm, _quantization_passes.tqdm
    ops._tqdm = pass_pipeline.tqdm = _quantization_passes.tqdm = lambda steps, **_: steps
    try:
        yield
    finally:
        ops._tqdm, pass_pipeline.tqdm, _quantization_passes.tqdm = bars


@contextmanager
def checks_of_pipelines() -> Iterator[None]:
    """Meanwhile coremltools checks a program after each pipeline of passes, not after each pass.

    A check looks at every operation and changes none; a hundred of them are a third of a small export. For
    its log a pipeline also writes the program down, before and after, whether anybody reads it or not.
    """
    from coremltools.converters.mil.mil import Program
    from coremltools.converters.mil.mil.passes.pass_pipeline import PassPipelineManager

    apply, check = PassPipelineManager.apply_pipeline, Program.validate

    def apply_then_check(program: Any, pipeline: Any) -> None:
        before = Program.validate, Program.__str__
        Program.validate = lambda _, check_essential_scope=False: None
        Program.__str__ = object.__repr__
        try:
            apply(program, pipeline)
        finally:
            Program.validate, Program.__str__ = before
        check(program)

    PassPipelineManager.apply_pipeline = staticmethod(apply_then_check)
    try:
        yield
    finally:
        PassPipelineManager.apply_pipeline = staticmethod(apply)


def _describe(model: Any, request: ExportRequest) -> None:
    """Put the metadata, and what the rows are, into the model."""
    description = model.description
    description.input[0].shortDescription = f"Rows: {', '.join(request.inputs)}"
    description.metadata.userDefined.update(request.metadata)
    description.metadata.userDefined[ROWS] = ",".join(request.inputs)
