"""Quantization for LiteRT, through ai-edge-quantizer: of the flatbuffer, operator by operator.

https://github.com/google-ai-edge/ai-edge-quantizer
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import Tensor, nn

from exporters.errors import InputError
from exporters.precision import Precision, Rounding
from exporters.products import BatchedLinear, quantized_parts, ranges_of
from exporters.spec import ExportRequest
from exporters.tflite import FORMAT

if TYPE_CHECKING:
    from exporters.arrays import Array

PRODUCT = "product/"  # begins the name of a tensor that comes out of a product to be quantized


def with_half_weights(content: bytes) -> bytes:
    """The same model, its weights in float16."""
    from ai_edge_quantizer import qtyping, recipe_manager

    recipe = recipe_manager.RecipeManager()
    recipe.add_weight_only_config(
        ".*", qtyping.TFLOperationName.ALL_SUPPORTED, 16, algorithm_key="float_casting"
    )
    return rewritten(opened(content), recipe)


def quantized(content: bytes, request: ExportRequest) -> tuple[bytes, list[str]]:
    """The same model with its linear layers and embedding tables quantized, as the request's precision says.

    Everything else stays float: products of two activations, and the mask's addition and the softmax above
    all, whose scale the mask would set.

    Returns:
        The flatbuffer, and the linear layers whose ranges were calibrated.
    """
    precision = FORMAT.precision(request.precision)
    # A batched product can be quantized in one way only: to 8 bits, at run time.
    batched = precision.rounding == Rounding(8, None, "row")
    products = (nn.Linear, BatchedLinear) if batched else (nn.Linear,)
    linears, tables = quantized_parts(request, products)
    ranges, calibrated = ranges_of(request, linears) if precision.calibrated else ({}, [])
    model = opened(content)
    statistics: dict[str, dict[str, Array]] = {}
    for number, (name, operator, tensors) in enumerate(_products(model, {**linears, **tables})):
        entering, leaving = tensors[operator.inputs[0]], tensors[operator.outputs[0]]
        leaving.name = f"{PRODUCT}{name}/{number}".encode()
        if name in ranges:
            statistics[entering.name.decode()] = _statistics(ranges[name].input)
            statistics[leaving.name.decode()] = _statistics(ranges[name].output)
    return rewritten(model, _recipe(precision), statistics), calibrated


def float_operators(content: bytes) -> Counter[str]:
    """How many of each operator of the last signature's graph still compute with floats.

    An operator that quantizes its float input itself, as run-time quantization has it, counts too.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
    model = opened(content)
    graph = model.subgraphs[-1]
    operators = [
        (names[model.operatorCodes[operator.opcodeIndex].builtinCode], operator)
        for operator in graph.operators
    ]
    return Counter(
        name
        for name, operator in operators
        if name not in WITHOUT_ARITHMETIC
        and any(graph.tensors[output].type == schema.TensorType.FLOAT32 for output in operator.outputs)
    )


WITHOUT_ARITHMETIC = {
    *("CAST", "CONCATENATION", "DEQUANTIZE", "EMBEDDING_LOOKUP", "GATHER", "QUANTIZE", "RESHAPE", "SLICE"),
    *("SPLIT", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE", "UNPACK"),
}


def _recipe(precision: Precision) -> Any:
    from ai_edge_quantizer import qtyping, recipe_manager

    recipe, operators = recipe_manager.RecipeManager(), qtyping.TFLOperationName
    assert precision.rounding is not None
    bits = precision.rounding.bits
    if precision.calibrated:
        recipe.add_static_config(f"^{PRODUCT}", operators.FULLY_CONNECTED, 8, 8)
    else:
        recipe.add_dynamic_config(f"^{PRODUCT}", operators.FULLY_CONNECTED, bits)
        recipe.add_dynamic_config(f"^{PRODUCT}", operators.BATCH_MATMUL, 8)
    recipe.add_dynamic_config(f"^{PRODUCT}", operators.EMBEDDING_LOOKUP, bits)
    return recipe


def _products(model: Any, parts: Mapping[str, nn.Module]) -> Iterator[tuple[str, Any, list[Any]]]:
    """Each operator that is the product of a part: the part's name, the operator, the tensors of its graph.

    An operator is known by its weights, for the names of tensors hold only some of the modules' names.

    Raises:
        InputError: a linear layer whose weights are found in no operator. (A table may be missing: looking up
            positions gives a constant.)
    """
    from ai_edge_litert import schema_py_generated as schema

    weights = {_bytes(part): name for name, part in parts.items()}
    operand = {  # where an operator has its weights
        schema.BuiltinOperator.FULLY_CONNECTED: 1,
        schema.BuiltinOperator.BATCH_MATMUL: 1,
        schema.BuiltinOperator.EMBEDDING_LOOKUP: 1,
    }
    missing = {name for name, part in parts.items() if not isinstance(part, nn.Embedding)}
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            kind = model.operatorCodes[operator.opcodeIndex].builtinCode
            if kind not in operand:
                continue
            data = model.buffers[subgraph.tensors[operator.inputs[operand[kind]]].buffer].data
            name = None if data is None else weights.get(bytes(data))
            if name is not None:
                missing.discard(name)
                yield name, operator, subgraph.tensors
    if missing:
        raise InputError(
            f"LiteRT's converter left no product with the weights of {', '.join(sorted(missing))}",
            hint="another form: --form",
        )


def _bytes(part: nn.Module) -> bytes:
    """The weights as they stand in the flatbuffer: (out, in) of a linear layer, (G, in, out) of a batch."""
    return cast("Tensor", part.weight).detach().numpy().tobytes()


def _statistics(range_: tuple[float, float] | None) -> dict[str, Array]:
    """A range as the quantizer takes it from a calibration."""
    assert range_ is not None
    return {name: np.array([[value]], np.float32) for name, value in zip(("min", "max"), range_, strict=True)}


def opened(content: bytes) -> Any:
    """The flatbuffer as the schema's objects (`ModelT`)."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(content)


def rewritten(model: Any, recipe: Any, statistics: dict[str, Any] | None = None) -> bytes:
    """The quantizer's own steps, since its front door draws progress bars."""
    from ai_edge_quantizer import model_modifier, params_generator

    generator = params_generator.ParamsGenerator(model)
    changes = generator.generate_quantization_parameters(recipe, statistics, enable_progress_bar=False)
    modifier = model_modifier.ModelModifier(model)
    return bytes(modifier.modify_model(changes, enable_progress_bar=False))
