"""Quantization for LiteRT, through ai-edge-quantizer: of the flatbuffer, operator by operator.

https://github.com/google-ai-edge/ai-edge-quantizer
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from exporters.errors import InputError
from exporters.precision import Precision, Rounding
from exporters.products import BatchedLinear, names_by_weights, quantized_parts, ranges_of
from exporters.spec import ExportRequest
from exporters.tflite import FORMAT
from exporters.tflite.model import operator_code, pack, unpack

if TYPE_CHECKING:
    from exporters.arrays import Array

PRODUCT = "product/"  # begins the name of a tensor that comes out of a product to be quantized


def with_half_weights(content: bytes) -> bytes:
    """The same model, its weights in float16, laid out so that the CPU, the GPU and NPUs take all of it."""
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

    recipe, operators = recipe_manager.RecipeManager(), qtyping.TFLOperationName
    recipe.add_weight_only_config(".*", operators.ALL_SUPPORTED, 16, algorithm_key="float_casting")
    recipe.add_quantization_config(
        ".*", operators.EMBEDDING_LOOKUP, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE
    )
    return _with_half_tables(unpack(rewritten(unpack(content), recipe)))


def _with_half_tables(model: Any) -> bytes:
    """The model with its embedding tables in float16: their rows are gathered, then cast to float32.

    The quantizer would put a DEQUANTIZE of the whole table before EMBEDDING_LOOKUP. The GPU refuses that, and
    the CPU would keep the table in float32 too.
    """
    from ai_edge_litert import schema_py_generated as schema

    gather, cast_ = schema.BuiltinOperator.GATHER, schema.BuiltinOperator.CAST
    halved: dict[int, int] = {}  # buffer -> the one that has it in float16
    for graph in model.subgraphs:
        operators = []
        for operator in graph.operators:
            operators.append(operator)
            code = model.operatorCodes[operator.opcodeIndex].builtinCode
            if code != schema.BuiltinOperator.EMBEDDING_LOOKUP:
                continue
            ids, table = operator.inputs
            buffer = graph.tensors[table].buffer
            if buffer not in halved:
                halved[buffer] = _halve(model, buffer)
            graph.tensors[table].type, graph.tensors[table].buffer = schema.TensorType.FLOAT16, halved[buffer]
            found = copy.copy(graph.tensors[operator.outputs[0]])
            found.name, found.type = found.name + b"/float16", schema.TensorType.FLOAT16
            graph.tensors.append(found)
            cast = schema.OperatorT()
            cast.opcodeIndex = operator_code(model, cast_)
            cast.inputs, cast.outputs = [len(graph.tensors) - 1], list(operator.outputs)
            cast.builtinOptionsType, cast.builtinOptions = (
                schema.BuiltinOptions.CastOptions,
                schema.CastOptionsT(),
            )
            cast.builtinOptions.inDataType = schema.TensorType.FLOAT16
            cast.builtinOptions.outDataType = schema.TensorType.FLOAT32
            operator.opcodeIndex = operator_code(model, gather)
            operator.inputs, operator.outputs = [table, ids], cast.inputs
            operator.builtinOptionsType = schema.BuiltinOptions.GatherOptions
            operator.builtinOptions = schema.GatherOptionsT()
            operators.append(cast)
        graph.operators = operators
    return pack(model)


def _halve(model: Any, buffer: int) -> int:
    """Make a buffer float16; or, if a tied product has these weights in float16 already, find that one."""
    rows = np.frombuffer(bytes(model.buffers[buffer].data), np.float32).astype(np.float16).tobytes()
    for index, other in enumerate(model.buffers):
        if other.data is not None and len(other.data) == len(rows) and bytes(other.data) == rows:
            model.buffers[buffer].data = None
            return index
    model.buffers[buffer].data = rows
    return buffer


def count_operators(path: Path) -> int:
    """How many operators the graph of the longest length has."""
    return len(unpack(path.read_bytes()).subgraphs[-1].operators)


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
    model = unpack(content)
    statistics: dict[str, dict[str, Array]] = {}
    for number, (name, operator, tensors) in enumerate(_products(model, request.module, linears, tables)):
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
    model = unpack(content)
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


def _products(
    model: Any, module: nn.Module, products: Mapping[str, nn.Module], tables: Mapping[str, nn.Embedding]
) -> Iterator[tuple[str, Any, list[Any]]]:
    """Each operator that is the product of a part: the part's name, the operator, the tensors of its graph.

    An operator is known by its weights, for the names of tensors hold only some of the modules' names. Parts
    of the same weights come in the network's order; a [MASK] head's product has those of a table.

    Args:
        products, tables: the parts of the module that are meant, by name; others may have the same weights.

    Raises:
        InputError: a product whose weights are found in no operator. (A table may be missing: looking up
            positions gives a constant.)
    """
    from ai_edge_litert import schema_py_generated as schema

    operand = {  # where an operator has its weights
        schema.BuiltinOperator.FULLY_CONNECTED: 1,
        schema.BuiltinOperator.BATCH_MATMUL: 1,
        schema.BuiltinOperator.EMBEDDING_LOOKUP: 1,
    }
    missing = set(products)
    parts = dict(module.named_modules())
    all_products = {name: part for name, part in parts.items() if isinstance(part, nn.Linear | BatchedLinear)}
    for subgraph in model.subgraphs:
        product_names, table_names = names_by_weights(all_products), names_by_weights(tables)
        for operator in subgraph.operators:
            kind = model.operatorCodes[operator.opcodeIndex].builtinCode
            if kind not in operand:
                continue
            data = model.buffers[subgraph.tensors[operator.inputs[operand[kind]]].buffer].data
            names = table_names if kind == schema.BuiltinOperator.EMBEDDING_LOOKUP else product_names
            if data is not None and bytes(data) in names:
                name = next(names[bytes(data)])
                if name in products or name in tables:
                    missing.discard(name)
                    yield name, operator, subgraph.tensors
    if missing:
        raise InputError(
            f"LiteRT's converter left no product with the weights of {', '.join(sorted(missing))}",
            hint="another form: --form",
        )


def _statistics(range_: tuple[float, float] | None) -> dict[str, Array]:
    """A range as the quantizer takes it from a calibration."""
    assert range_ is not None
    return {name: np.array([[value]], np.float32) for name, value in zip(("min", "max"), range_, strict=True)}


def rewritten(model: Any, recipe: Any, statistics: dict[str, Any] | None = None) -> bytes:
    """The quantizer's own steps, since its front door draws progress bars."""
    from ai_edge_quantizer import model_modifier, params_generator

    generator = params_generator.ParamsGenerator(model)
    changes = generator.generate_quantization_parameters(recipe, statistics, enable_progress_bar=False)
    modifier = model_modifier.ModelModifier(model)
    return bytes(modifier.modify_model(changes, enable_progress_bar=False))
