"""Products of a converted model, as the network has them.

litert-torch's converter puts a norm's scale and shift into an ungrouped product behind it. The residual takes
the norm too, so that nothing is saved, and the product's weights are no longer the network's: neither a
quantizer nor a proof finds them. It also makes a dense layer of a product of two matrices, as attention of a
single head has it, which neither XNNPACK nor a GPU takes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import nn

from exporters.tflite.model import operator_code, pack, unpack

if TYPE_CHECKING:
    from exporters.arrays import Array


def with_own_products(content: bytes, module: nn.Module) -> bytes:
    """The same model with the products of the module that it was converted from."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpack(content)
    changed = False
    for graph in model.subgraphs:
        for operator in list(_of_kind(model, graph, schema.BuiltinOperator.FULLY_CONNECTED)):
            if _data(model, graph, operator.inputs[1]) is None:
                changed |= _multiply_activations(model, graph, operator)
        folded = list(_folded(model, graph))
        products = [part for part in module.modules() if isinstance(part, nn.Linear)] if folded else []
        for product, norm in folded:
            changed |= _unfold(model, graph, product, norm, products)
    return pack(model) if changed else content


def _multiply_activations(model: Any, graph: Any, operator: Any) -> bool:
    """Make a product of two matrices, (..., S, d) and (T, d), of a dense layer of activations."""
    from ai_edge_litert import schema_py_generated as schema

    x, other = operator.inputs[:2]
    *rows, depth = graph.tensors[x].shape
    columns, width = graph.tensors[other].shape
    if depth != width:  # the converter lost a transposition, in the plain form
        return False
    operator.opcodeIndex = operator_code(model, schema.BuiltinOperator.BATCH_MATMUL)
    operator.inputs = [x, other]
    operator.builtinOptionsType = schema.BuiltinOptions.BatchMatMulOptions
    operator.builtinOptions = schema.BatchMatMulOptionsT()
    operator.builtinOptions.adjY = True
    graph.tensors[operator.outputs[0]].shape = [*rows, columns]
    return True


class Norm(NamedTuple):
    """The end of a norm: its scale, (C,), and the tensor that it gives."""

    scale: Any
    output: int


def _folded(model: Any, graph: Any) -> Iterator[tuple[Any, Norm]]:
    """Each product of weights that takes what a norm scales beside it."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.BuiltinOperator
    shifted = {}
    for addition in _of_kind(model, graph, kinds.ADD):
        x, shift = addition.inputs
        if _data(model, graph, shift) is not None:
            shifted[x] = addition.outputs[0]
    norms = {}
    for scaling in _of_kind(model, graph, kinds.MUL):
        x, scale = scaling.inputs
        data = _data(model, graph, scale)
        if data is not None:
            output = scaling.outputs[0]
            norms[x] = Norm(np.frombuffer(data, np.float32), shifted.get(output, output))
    for operator in _of_kind(model, graph, kinds.FULLY_CONNECTED):
        if operator.inputs[0] in norms:
            yield operator, norms[operator.inputs[0]]


def _unfold(model: Any, graph: Any, operator: Any, norm: Norm, products: list[nn.Linear]) -> bool:
    """Give an operator the weights and the bias of its product, and what comes out of the norm."""
    weights = model.buffers[graph.tensors[operator.inputs[1]].buffer]
    for product in products:
        own = product.weight.detach().numpy()
        if own.nbytes != len(weights.data) or own.shape[1:] != norm.scale.shape:
            continue
        folded = (own * norm.scale).tobytes() == bytes(weights.data)
        if folded or own.tobytes() == bytes(
            weights.data
        ):  # unfolded for another length, with the same buffer
            weights.data = own.tobytes()
            bias = _add_constant(model, graph, operator.inputs[1], product.bias.detach().numpy())
            operator.inputs = [norm.output, operator.inputs[1], bias]
            return True
    return False


def _add_constant(model: Any, graph: Any, like: int, values: Array) -> int:
    """A tensor with values, of the type that `like` has: its index. Lengths share its buffer."""
    from ai_edge_litert import schema_py_generated as schema

    content = values.tobytes()
    alike = (index for index, buffer in enumerate(model.buffers) if _holds(buffer, content))
    shared = next(alike, len(model.buffers))
    if shared == len(model.buffers):
        model.buffers.append(schema.BufferT())
        model.buffers[shared].data = content
    tensor = copy.copy(graph.tensors[like])
    tensor.name, tensor.shape, tensor.buffer = tensor.name + b"/bias", list(values.shape), shared
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _holds(buffer: Any, content: bytes) -> bool:
    return buffer.data is not None and len(buffer.data) == len(content) and bytes(buffer.data) == content


def _of_kind(model: Any, graph: Any, kind: int) -> Iterator[Any]:
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode == kind:
            yield operator


def _data(model: Any, graph: Any, tensor: int) -> bytes | None:
    """A constant's bytes; None of what is computed."""
    data = model.buffers[graph.tensors[tensor].buffer].data
    return None if data is None else bytes(data)
