"""Products of a converted model, as the network has them.

litert-torch's converter puts a norm's scale and shift into an ungrouped product behind it, and into a
convolution a scale that is the same for all channels; of a single token's norm, a shift that is. The residual
takes the norm too, so that nothing is saved, and the product is no longer the network's: neither a quantizer
nor a proof finds its weights. The converter also makes a dense layer of a product of two matrices, as
attention of a single head has it, which neither XNNPACK nor a GPU takes.
"""

from __future__ import annotations

import copy
import itertools
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
    unfolded: dict[int, list[Product]] = {}  # by the buffer of their weights, which all lengths share
    for graph in model.subgraphs:
        for operator in list(_of_kind(model, graph, schema.BuiltinOperator.FULLY_CONNECTED)):
            if _values(model, graph, operator.inputs[1]) is None:
                changed |= _multiply_activations(model, graph, operator)
        for operator, norm in list(_scaled(model, graph)):
            weights = graph.tensors[operator.inputs[1]].buffer
            if weights not in unfolded:
                unfolded[weights] = _products_of(module, bytes(model.buffers[weights].data), norm.scale)
            if unfolded[weights]:
                changed |= _unfold(model, graph, operator, norm, unfolded[weights])
        changed |= _give_back_shifts(model, graph, module)
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


Product = nn.Linear | nn.Conv2d
UNSCALED = np.ones(1, np.float32)


class Norm(NamedTuple):
    """The end of a norm: its scale and shift, (C,) or (1,), and the tensor that it gives."""

    scale: Array
    shift: Array
    output: int


def _scaled(model: Any, graph: Any) -> Iterator[tuple[Any, Norm]]:
    """Each product of weights that takes what a norm scales or shifts beside it."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.BuiltinOperator
    shifts: dict[int, tuple[Array, int]] = {}
    for addition in _of_kind(model, graph, kinds.ADD):
        shift = _values(model, graph, addition.inputs[1])
        if shift is not None:
            shifts[addition.inputs[0]] = shift, addition.outputs[0]
    norms = {shifted: Norm(UNSCALED, *shift) for shifted, shift in shifts.items()}
    for scaling in _of_kind(model, graph, kinds.MUL):
        scale, (output,) = _values(model, graph, scaling.inputs[1]), scaling.outputs
        if scale is not None:
            norms[scaling.inputs[0]] = Norm(scale, *shifts.get(output, (np.zeros(1, np.float32), output)))
    for kind in (kinds.FULLY_CONNECTED, kinds.CONV_2D):
        for operator in _of_kind(model, graph, kind):
            if operator.inputs[0] in norms and _values(model, graph, operator.inputs[1]) is not None:
                yield operator, norms[operator.inputs[0]]


def _products_of(module: nn.Module, folded: bytes, scale: Array) -> list[Product]:
    """The products whose weights are those given after a norm's scale was put into them."""
    found: list[Product] = []
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            weights = _weights_of(part)
            fits = weights.nbytes == len(folded) and scale.size in (1, weights.shape[1])
            if fits and (weights * scale).tobytes() == folded:
                found.append(part)
    return found


def _unfold(model: Any, graph: Any, operator: Any, norm: Norm, products: list[Product]) -> bool:
    """Give an operator the weights and the bias of its product, and what comes out of the norm.

    Args:
        products: those of its weights, of which its bias tells the one that it is.

    Returns:
        Whether the norm was in the operator.
    """
    _, weights, *bias = operator.inputs
    held = _values(model, graph, bias[0]) if bias and bias[0] >= 0 else None

    def differs(product: Product, of_norm: Array) -> float:
        """How far the operator's bias is from what the product makes of a constant input."""
        own = _weights_of(product) @ of_norm + _bias_of(product)
        return float(np.abs(own - (0 if held is None else held.reshape(-1, len(own))[0])).max())

    inputs = _weights_of(products[0]).shape[1]
    product = min(products, key=lambda product: differs(product, np.broadcast_to(norm.shift, inputs)))
    if (norm.scale == 1).all() and differs(product, np.zeros(inputs, np.float32)) == 0:
        return False
    model.buffers[graph.tensors[weights].buffer].data = _weights_of(product).tobytes()
    operator.inputs = [norm.output, weights, _add_constant(model, graph, weights, _bias_of(product))]
    return True


def _give_back_shifts(model: Any, graph: Any, module: nn.Module) -> bool:
    """Let a norm shift again whose shift was put into the only product behind it; whether there was one."""
    from ai_edge_litert import schema_py_generated as schema

    biases = {_bias_of(part).tobytes() for part in module.modules() if isinstance(part, Product)}
    norms = (part for part in module.modules() if isinstance(part, nn.LayerNorm))
    shifts = [norm.bias.detach().numpy() for norm in norms if norm.bias is not None]
    found = False
    for operator in list(_of_kind(model, graph, schema.BuiltinOperator.FULLY_CONNECTED)):
        x, weights, *bias = operator.inputs
        held = _values(model, graph, bias[0]) if bias and bias[0] >= 0 else None
        if held is None or held.tobytes() in biases:
            continue
        data = bytes(model.buffers[graph.tensors[weights].buffer].data)
        folded = _shifted(_products_of(module, data, UNSCALED), shifts, held)
        if folded:
            product, shift = folded
            shifted = _add_before(model, graph, operator, x, shift)
            operator.inputs = [shifted, weights, _add_constant(model, graph, weights, _bias_of(product))]
            found = True
    return found


def _shifted(products: list[Product], shifts: list[Array], bias: Array) -> tuple[Product, Array] | None:
    """The product, and the shift before it, of which an operator has the bias."""
    for product, shift in itertools.product(products, shifts):
        weights = _weights_of(product)
        fits = weights.shape[1] == len(shift)
        if fits and np.allclose(weights @ shift + _bias_of(product), bias, rtol=0, atol=1e-5):
            return product, shift
    return None


def _add_before(model: Any, graph: Any, operator: Any, x: int, values: Array) -> int:
    """A tensor and a constant, added up before an operator: the index of their sum."""
    from ai_edge_litert import schema_py_generated as schema

    addition = schema.OperatorT()
    addition.opcodeIndex = operator_code(model, schema.BuiltinOperator.ADD)
    addition.builtinOptionsType = schema.BuiltinOptions.AddOptions
    addition.builtinOptions = schema.AddOptionsT()
    addition.inputs = [x, _add_constant(model, graph, x, values)]
    total = copy.copy(graph.tensors[x])
    total.name += b"/shifted"
    added = len(graph.tensors)
    graph.tensors.append(total)
    addition.outputs = [added]
    graph.operators.insert(graph.operators.index(operator), addition)
    return added


def _weights_of(product: Product) -> Array:
    """(C_out, C_in), or (C_out, C_in/G) of a 1x1 convolution."""
    return product.weight.detach().flatten(1).numpy()


def _bias_of(product: Product) -> Array:
    bias = product.bias
    return np.zeros(len(product.weight), np.float32) if bias is None else bias.detach().numpy()


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


def _values(model: Any, graph: Any, tensor: int) -> Array | None:
    """A constant's numbers in a row, if they are float32; None of what is computed."""
    from ai_edge_litert import schema_py_generated as schema

    data = model.buffers[graph.tensors[tensor].buffer].data
    if data is None or graph.tensors[tensor].type != schema.TensorType.FLOAT32:
        return None
    return np.frombuffer(bytes(data), np.float32)
