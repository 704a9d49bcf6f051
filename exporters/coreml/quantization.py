"""Core ML's quantized precisions: what becomes of the weights, and of what goes into the products.

Whatever is not quantized is computed in float16, as phones do it: beside 8-bit weights that costs nothing.
Activations are quantized in the module itself before it is captured, each product between the range that its
submodule has: coremltools' own calibration needs a Mac. Weights are compressed by coremltools.optimize's
passes, as the last step of a conversion.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from exporters.coreml import FORMAT
from exporters.coreml.mil.program import Operation, Program
from exporters.errors import InputError
from exporters.precision import Precision
from exporters.products import is_large_table, ranges_of
from exporters.spec import ExportRequest

SMALLEST_WEIGHT = 10  # values; coremltools keeps smaller ones in the program itself, uncompressed

WEIGHT_OF = {"conv": "weight", "linear": "weight", "gather": "x"}  # parameters of operations

Product = nn.Linear | nn.Conv1d | nn.Conv2d
Range = tuple[float, float]


def input_ranges(request: ExportRequest) -> tuple[dict[str, Range], tuple[str, ...]]:
    """The least and greatest value of what goes into each quantized product, and which ones were calibrated.

    Raises:
        InputError: ranges are missing and there are no rows to find them in.
    """
    products = {
        name: submodule
        for name, submodule in request.module.named_modules()
        if isinstance(submodule, Product) and not request.stays_float(name)
    }
    ranges, calibrated = ranges_of(request, products, outputs=False)
    return {name: known.input for name, known in ranges.items() if known.input}, tuple(calibrated)


@contextmanager
def quantized_inputs(request: ExportRequest, ranges: Mapping[str, Range]) -> Iterator[None]:
    """While this lasts, what goes into each product is rounded to int8, symmetric, one scale per tensor."""
    import torch.ao.quantization.fx._decomposed  # defines the operators, which coremltools knows

    operators = torch.ops.quantized_decomposed

    def quantizer(scale: float) -> Any:
        to = (scale, 0, -128, 127, torch.int8)

        def quantize(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            levels = operators.quantize_per_tensor(inputs[0], *to)
            return (operators.dequantize_per_tensor(levels, *to), *inputs[1:])

        return quantize

    # A scale that is subnormal in float16 would be inexact, or 0.
    least = torch.finfo(torch.float16).tiny
    with ExitStack() as stack:
        for name, (low, high) in ranges.items():
            scale = max(-low, high, 127 * least) / 127
            hook = request.module.get_submodule(name).register_forward_pre_hook(quantizer(scale))
            stack.callback(hook.remove)
        yield


def compress_weights(
    pipeline: Any, request: ExportRequest, program: torch.export.ExportedProgram, target: str
) -> frozenset[str]:
    """Add to a conversion's passes the one that compresses the weights of products and the embedding tables.

    Args:
        pipeline: a coremltools.PassPipeline.
        program: what is converted: a module that has the request's as its `module`.

    Returns:
        The names of the parameters that stay float.
    """
    weights = _compressed(request, program)
    precision = FORMAT.precision(request.precision)
    palettes = target in precision.palette_targets
    name = f"compression::{'palettize_weights' if palettes else 'linear_quantize_weights'}"
    pipeline.append_pass(name)
    pipeline.set_options(name, {"config": _config(weights, precision, palettes=palettes)})
    others = program.graph_signature.inputs_to_parameters.keys() - weights.keys()
    return frozenset(name for placeholder in others for name in _names(placeholder))


def _config(weights: Mapping[str, Tensor], precision: Precision, *, palettes: bool) -> Any:
    from coremltools.optimize.coreml import OpLinearQuantizerConfig, OpPalettizerConfig, OptimizationConfig

    def of_weight(weight: Tensor) -> Any:
        if palettes:
            return OpPalettizerConfig(mode="kmeans", nbits=4, weight_threshold=0)
        if precision.rounding and precision.rounding.group:
            size = math.gcd(precision.rounding.group, weight.shape[1])
            block = {"granularity": "per_block", "block_size": size}
            return OpLinearQuantizerConfig("linear_symmetric", dtype="int4", **block, weight_threshold=0)
        return OpLinearQuantizerConfig("linear_symmetric", dtype="int8", weight_threshold=0)

    return OptimizationConfig(
        op_name_configs={
            name: of_weight(weight) for placeholder, weight in weights.items() for name in _names(placeholder)
        }
    )


def _compressed(request: ExportRequest, program: torch.export.ExportedProgram) -> dict[str, nn.Parameter]:
    """Input of the captured program -> the weight, for those that are compressed.

    A weight that one of its submodules wants in float stays float for all of them.
    """
    users: dict[int, list[str]] = {}
    for name, module in request.module.named_modules(remove_duplicate=False):
        if isinstance(module, Product) or is_large_table(module):
            users.setdefault(id(module.weight), []).append(name)
    weights = {
        placeholder: request.module.get_parameter(path.removeprefix("module."))
        for placeholder, path in program.graph_signature.inputs_to_parameters.items()
    }
    return {
        placeholder: weight
        for placeholder, weight in weights.items()
        if id(weight) in users and not any(map(request.stays_float, users[id(weight)]))
    }


def _names(placeholder: str) -> tuple[str, str]:
    """What coremltools may call a weight, by its input of the captured program."""
    return placeholder, f"{placeholder}_to_fp16"


def require_compressed(program: Program, stay_float: frozenset[str]) -> None:
    """Look for weights that should have been compressed.

    Raises:
        InputError: there are some, as where a pass merged them with something before.
    """
    made = {spec.name for step in program.operations for spec in step.results}
    weights = [
        program.types[step.arguments[WEIGHT_OF[step.type]][0]]
        for step in program.operations
        if step.type in WEIGHT_OF
    ]
    left = [
        weight.name
        for weight in weights
        if weight.name not in made | stay_float
        and weight.dtype.startswith("float")
        and math.prod(size or 0 for size in weight.shape) >= SMALLEST_WEIGHT
    ]
    if left:
        raise InputError(f"coremltools left weights uncompressed: {', '.join(left)}")


def float_operations(program: Program) -> Counter[str]:
    """How many of each operation still compute with floats; a program is integer-only if there are none.

    A product of a dequantized input and an 8-bit weight counts as one of integers: devices compute it so.
    Moving values about is no computing.
    """
    makers = {spec.name: step.type for step in program.operations for spec in step.results}

    def made_by(step: Operation, parameter: str) -> str:
        return makers.get(step.arguments.get(parameter, ("",))[0], "")

    def of_integers(step: Operation) -> bool:
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
