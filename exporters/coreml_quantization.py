"""Core ML's quantized precisions: what becomes of the weights, and of what goes into the products.

Whatever is not quantized is computed in float16, as phones do: beside int8 weights, its rounding is not seen.
Activations are quantized in the module itself, before it is captured: coremltools' own calibration needs a Mac,
and by submodule every product gets the range that was found or given for it. Weights are compressed by the passes
of coremltools.optimize, as the last of a conversion.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from exporters.errors import InputError
from exporters.mil import Program
from exporters.spec import ExportRequest, Precision

PRECISIONS = {
    "int8-weights": Precision("int8", "float16", "weights per channel"),
    "int4-weights": Precision(
        "int4", "float16", "weights per 32 of a channel; for iOS 17 16 values per tensor"
    ),
    "int8-static": Precision("int8", "int8", "weights per channel, activations per tensor"),
}

BLOCK = 32  # weights of a channel that share a scale in int4
SMALLEST_WEIGHT = 10  # values; coremltools keeps smaller ones in the program itself, uncompressed

Product = nn.Linear | nn.Conv1d | nn.Conv2d
Range = tuple[float, float]


def input_ranges(request: ExportRequest) -> tuple[dict[str, Range], tuple[str, ...]]:
    """The least and greatest value of what goes into each quantized product, and which ones calibration found.

    The request's ranges come first. The rows of its calibration may have any length; what they hold of padding
    counts as well, so they had better have none.

    Raises:
        InputError: a product has neither a range nor calibration, or a range is of no submodule or not finite.
    """
    submodules = dict(request.module.named_modules())
    for name in request.ranges:
        if name not in submodules:
            raise InputError(f"there is a range for '{name}', which is no submodule of what is exported")
    given = {name: ranges.input for name, ranges in request.ranges.items() if ranges.input is not None}
    shortest = request.examples[request.lengths[0]]
    used = _observe(request, [tuple(shortest.values())])
    calibrated = tuple(name for name in used if name not in given)
    if calibrated and not request.calibration:
        raise InputError(
            f"'{request.precision}' needs the range of what goes into {', '.join(calibrated[:3])}"
            + (f" and {len(calibrated) - 3} more" if len(calibrated) > 3 else ""),  # noqa: PLR2004
            hint="give calibration rows, or a range for each",
        )
    rows = [tuple(torch.from_numpy(row[name]) for name in request.inputs) for row in request.calibration]
    found = _observe(request, rows) if calibrated else {}
    ranges = {name: given[name] if name in given else found[name] for name in used}
    for name, (least, greatest) in ranges.items():
        if not (math.isfinite(least) and math.isfinite(greatest)):
            raise InputError(f"what goes into '{name}' is not finite: {least} to {greatest}")
    return ranges, calibrated


def _observe(request: ExportRequest, rows: Iterable[Sequence[Tensor]]) -> dict[str, Range]:
    """The range of what goes into each quantized product that these rows reach."""
    ranges: dict[str, Range] = {}

    def observer(name: str) -> Any:
        def observe(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            least, greatest = inputs[0].aminmax()
            before = ranges.get(name, (math.inf, -math.inf))
            ranges[name] = min(before[0], least.item()), max(before[1], greatest.item())

        return observe

    with _hooks({name: observer(name) for name in _products(request)}, request), torch.inference_mode():
        for row in rows:
            request.module(*row)
    return ranges


@contextmanager
def quantized_inputs(request: ExportRequest, ranges: Mapping[str, Range]) -> Iterator[None]:
    """While this lasts, what goes into each product is rounded to int8, symmetric, one scale per tensor."""
    import torch.ao.quantization.fx._decomposed  # noqa: F401  defines the operators that coremltools knows

    operators = torch.ops.quantized_decomposed

    def quantizer(scale: float) -> Any:
        to = (scale, 0, -128, 127, torch.int8)

        def quantize(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            levels = operators.quantize_per_tensor(inputs[0], *to)
            return (operators.dequantize_per_tensor(levels, *to), *inputs[1:])

        return quantize

    # A scale that is subnormal in float16 would be inexact, or 0.
    least = torch.finfo(torch.float16).tiny
    scales = {name: max(-low, high, 127 * least) / 127 for name, (low, high) in ranges.items()}
    with _hooks({name: quantizer(scale) for name, scale in scales.items()}, request):
        yield


@contextmanager
def _hooks(hooks: Mapping[str, Any], request: ExportRequest) -> Iterator[None]:
    with ExitStack() as stack:
        for name, hook in hooks.items():
            stack.callback(request.module.get_submodule(name).register_forward_pre_hook(hook).remove)
        yield


def _products(request: ExportRequest) -> list[str]:
    """The submodules whose inputs are quantized."""
    return [
        name
        for name, module in request.module.named_modules()
        if isinstance(module, Product) and not request.stays_float(name)
    ]


def compress_weights(
    pipeline: Any, request: ExportRequest, program: torch.export.ExportedProgram, target: str
) -> None:
    """Add to a conversion's passes the one that compresses the weights of products and the embedding tables.

    Args:
        pipeline: a coremltools.PassPipeline.
        program: the module within a module as its `module`, as it is going to be converted.
    """
    palettes = request.precision == "int4-weights" and target == "iOS17"
    name = f"compression::{'palettize_weights' if palettes else 'linear_quantize_weights'}"
    pipeline.append_pass(name)
    pipeline.set_options(name, {"config": _config(request, program, palettes=palettes)})


def _config(request: ExportRequest, program: torch.export.ExportedProgram, *, palettes: bool) -> Any:
    from coremltools.optimize.coreml import OpLinearQuantizerConfig, OpPalettizerConfig, OptimizationConfig

    def of_weight(weight: Tensor) -> Any:
        if palettes:
            return OpPalettizerConfig(mode="kmeans", nbits=4, weight_threshold=0)
        if request.precision == "int4-weights":
            block = math.gcd(BLOCK, weight.shape[1])
            return OpLinearQuantizerConfig(
                mode="linear_symmetric",
                dtype="int4",
                granularity="per_block",
                block_size=block,
                weight_threshold=0,
            )
        return OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", weight_threshold=0)

    return OptimizationConfig(
        op_name_configs={
            name: of_weight(weight)
            for placeholder, weight in _compressed(request, program).items()
            for name in _names(placeholder)
        }
    )


def _compressed(request: ExportRequest, program: torch.export.ExportedProgram) -> dict[str, nn.Parameter]:
    """Input of the captured program -> the weight, for those that are compressed.

    A weight that one of its submodules wants in float stays float for all of them.
    """
    users: dict[int, list[str]] = {}
    for name, module in request.module.named_modules(remove_duplicate=False):
        if isinstance(module, Product | nn.Embedding):
            users.setdefault(id(module.weight), []).append(name)
    weights = {
        placeholder: request.module.get_parameter(path.removeprefix("module."))
        for placeholder, path in program.graph_signature.inputs_to_parameters.items()
    }
    return {
        placeholder: weight
        for placeholder, weight in weights.items()
        if id(weight) in users
        and not any(request.stays_float(name) for name in users[id(weight)])
        and weight.numel() >= SMALLEST_WEIGHT
    }


def _names(placeholder: str) -> tuple[str, str]:
    """What coremltools may call a weight, by its input of the captured program."""
    return placeholder, f"{placeholder}_to_fp16"


def float_operations(program: Program) -> Counter[str]:
    """How many of each operation still compute with floats; a program is integer-only if there are none.

    A product of a dequantized input and an 8-bit weight counts as one of integers: devices compute it so.
    Moving values about is no computing.
    """
    makers = {spec.name: step.type for step in program.operations for spec in step.results}

    def made_by(step: Any, parameter: str) -> str:
        return makers.get(step.arguments.get(parameter, ("",))[0], "")

    def of_integers(step: Any) -> bool:
        return made_by(step, "x") == "dequantize" and made_by(step, "weight") in INTEGER_WEIGHTS

    return Counter(
        step.type
        for step in program.operations
        if step.type not in WITHOUT_ARITHMETIC
        and not step.is_constant
        and any(spec.dtype.startswith("float") for spec in step.results)
        and not of_integers(step)
    )


INTEGER_WEIGHTS = {"constexpr_affine_dequantize", "constexpr_blockwise_shift_scale"}
WITHOUT_ARITHMETIC = {
    *("cast", "concat", "dequantize", "expand_dims", "gather", "identity", "quantize", "reshape", "select"),
    *("slice_by_index", "split", "squeeze", "transpose"),
}
