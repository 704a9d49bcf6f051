"""Integers alone, for NPUs: the float flatbuffer, rewritten so that all its arithmetic is on integers.

ai-edge-quantizer has no part in it. Its static recipes give one width to a whole network, calibrate by a
moving average that clips, and give embedding tables a scale per row, which Qualcomm's compiler refuses
(docs/npu_faults.md). Here

- ranges are the least and greatest values that the calibration rows reached, the same for all signatures, so
  that these share their weights and give the same answer;
- weights have 8 bits and a scale per output channel; tables and batched weights have one scale;
- norms and residual sums have 16 bits even where activations have 8, and so has the head, so that no logit is
  clipped or coarse: they cost little, and 8 bits there cost 8 dB;
- what enters a softmax saturates where nothing would be left of it, so that the mask's -1e4 does not set the
  scale of the scores.

Scales follow LiteRT's specification: 16 bits are symmetric; biases have 32 bits, or 64 beside 16.
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, NamedTuple, cast

import numpy as np
from torch import nn

from exporters.arrays import Array
from exporters.errors import InputError
from exporters.lengths import by_length
from exporters.products import BatchedLinear, names_by_weights
from exporters.quiet import quiet_runtime
from exporters.spec import ExportRequest, Ranges
from exporters.tflite.model import operator_code, pack, unpack

FLOAT = 32  # the width of an operator that is left in float
SMALLEST = 1e-9  # that a range reaches to: a constant of 0 must not outweigh what it is added to
HEADROOM = 2  # how much further than the calibration rows 16 bits reach: they can spare the bit

PRODUCTS = {"BATCH_MATMUL", "CONV_2D", "FULLY_CONNECTED"}
MOVES = {  # give values as they are: what goes in and what comes out have one scale
    *("CONCATENATION", "EMBEDDING_LOOKUP", "GATHER", "PACK", "RESHAPE", "SLICE", "SPLIT", "SQUEEZE"),
    *("STRIDED_SLICE", "TRANSPOSE", "UNPACK"),
}
NORMS = {"ADD", "MEAN", "MUL", "RSQRT", "SUB"}  # and residual sums: 16 bits
ACTIVATIONS = {"GELU", "LOGISTIC", "RELU", "SOFTMAX", "TANH"}

# Scale and zero point of what comes out of these, as their kernels have it.
FIXED = {
    ("SOFTMAX", 8): (1 / 256, -128),
    ("SOFTMAX", 16): (1 / 32768, 0),
    ("LOGISTIC", 8): (1 / 256, -128),
    ("LOGISTIC", 16): (1 / 32768, 0),
    ("TANH", 8): (1 / 128, 0),
    ("TANH", 16): (1 / 32768, 0),
}

Place = tuple[int, int]  # an operator's number and which of its outputs: the same in every signature


class Range(NamedTuple):
    """Least and greatest value of a tensor, and the least of the greatest values along its last axis."""

    low: float
    high: float
    top: float

    def joined(self, other: Range) -> Range:
        """The range of both."""
        return Range(min(self.low, other.low), max(self.high, other.high), min(self.top, other.top))


class Encoding(NamedTuple):
    """How a tensor's values are stored: (stored - zero) * scale; along `axis` each has a scale of its own."""

    bits: int
    scale: Array
    zero: int
    axis: int = 0


def integer_only(
    content: bytes, request: ExportRequest, bits: int, *, float_softmax: bool = False
) -> tuple[bytes, list[str]]:
    """The same model computing with integers; its inputs stay int32, its outputs float32.

    Args:
        content: the float flatbuffer, as LiteRT's converter wrote it.
        request: `calibration` gives the ranges, but for products that have learned ones in `ranges`; products
            of `keep_float` stay float, with conversions around them. Rows are padded with zeros.
        bits: of activations, 8 or 16.
        float_softmax: for a CPU. LiteRT's softmax of 16 bits gives nothing less than 2/32768, to each masked
            token too, so that padding would move the answers (docs/npu_faults.md).

    Returns:
        The flatbuffer, and the products whose ranges were calibrated.

    Raises:
        InputError: no calibration rows, an operator that is not known to have an integer form, a product
            that is not in the flatbuffer, or signatures that are different networks.
    """
    if not request.calibration:
        raise InputError(f"{request.precision} without calibration data", allowed="rows of real text")
    model = unpack(content)
    buffers: dict[bytes, int] = {}
    graphs = [Graph(model, subgraph, buffers) for subgraph in model.subgraphs]
    for graph in graphs:
        graph.square_by_products()
        if graph.kinds != graphs[0].kinds:
            raise InputError(
                f"LiteRT's converter made another network of each of {len(graphs)} lengths",
                hint="export one length",
            )
    products = dict(_products(graphs[0], request.module))
    observed = _observed(model, graphs, request)
    learned = _learned(graphs[0], products, request)
    kept = {number for number, name in products.items() if request.stays_float(name)}
    if float_softmax:
        kept |= {number for number, kind in enumerate(graphs[0].kinds) if kind == "SOFTMAX"}
    for graph in graphs:
        Rewriter(graph, observed, learned, bits, kept, request.lengths[-1]).rewrite()
    return _pack_used(model), sorted(set(products.values()) - set(request.ranges))


class Graph:
    """One signature of a float model, read with ease; `tensors` and `operators` may be added to.

    kinds: of the operators, by name. constants: the values of float tensors that have them, by tensor.
    producers: tensor -> where it comes from. readers: tensor -> the operators that take it.

    Args:
        buffers: content -> number of the buffers that were added to the model, which signatures share.
    """

    def __init__(self, model: Any, subgraph: Any, buffers: dict[bytes, int]) -> None:
        self.model, self.subgraph, self.buffers = model, subgraph, buffers
        self._read()

    def _read(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
        self.tensors, self.operators = self.subgraph.tensors, list(self.subgraph.operators)
        self.kinds = [names[self.model.operatorCodes[one.opcodeIndex].builtinCode] for one in self.operators]
        self.producers: dict[int, Place] = {}
        self.readers: dict[int, list[int]] = {}
        for number, operator in enumerate(self.operators):
            for slot, tensor in enumerate(operator.outputs):
                self.producers[tensor] = number, slot
            for tensor in operator.inputs:
                self.readers.setdefault(tensor, []).append(number)
        self.floats = {
            index for index, tensor in enumerate(self.tensors) if tensor.type == schema.TensorType.FLOAT32
        }
        self.constants = {
            index: np.frombuffer(bytes(data), np.float32).reshape(_shape(self.tensors[index]))
            for index in self.floats
            if index not in self.producers
            and (data := self.model.buffers[self.tensors[index].buffer].data) is not None
            and len(data)
        }

    def computed(self, tensors: list[int]) -> list[int]:
        """Those that hold float values which an operator computes."""
        return [tensor for tensor in tensors if tensor in self.floats and tensor in self.producers]

    def square_by_products(self) -> None:
        """Replace squared differences, which LiteRT's CPU lacks in 16 bits, by differences squared."""
        operators: list[Any] = []
        for kind, operator in zip(self.kinds, self.operators, strict=True):
            if kind != "SQUARED_DIFFERENCE":
                operators.append(operator)
                continue
            difference = self.add_tensor(operator.outputs[0], b"difference")
            operators.append(self.operator("SUB", operator.inputs, [difference]))
            operators.append(self.operator("MUL", [difference, difference], operator.outputs))
        self.subgraph.operators = operators
        self._read()

    def keep_activations_apart(self) -> None:
        """Multiply by 1 what enters an activation from a product, with which Qualcomm's compiler fuses it."""
        operators: list[Any] = []
        for kind, operator in zip(self.kinds, self.operators, strict=True):
            if kind in ACTIVATIONS and self._comes_of_a_product(operator.inputs[0]):
                (entering,) = operator.inputs
                operator.inputs = [self.add_tensor(entering, b"same")]
                operators.append(self.operator("MUL", [entering, self._one(entering)], operator.inputs))
            operators.append(operator)
        self.subgraph.operators = operators
        self._read()

    def _comes_of_a_product(self, tensor: int) -> bool:
        """Whether floats are the result of a linear layer or of a convolution without groups."""
        if tensor not in self.floats or tensor not in self.producers:
            return False
        number, _ = self.producers[tensor]
        entering, *others = self.operators[number].inputs
        if self.kinds[number] == "RESHAPE":
            return self._comes_of_a_product(entering)
        if self.kinds[number] == "CONV_2D":
            return bool(self.tensors[entering].shape[-1] == self.tensors[others[0]].shape[-1])
        return bool(self.kinds[number] == "FULLY_CONNECTED")

    def _one(self, like: int) -> int:
        """A float tensor that holds 1: its index."""
        index = self.add_tensor(like, b"one")
        self.tensors[index].shape, self.tensors[index].shapeSignature = [1], None
        self.tensors[index].buffer = self._buffer(np.ones(1, np.float32))
        return index

    def add_tensor(self, like: int, suffix: bytes) -> int:
        """A tensor as `like` is, without values: its index."""
        tensor = copy.copy(self.tensors[like])
        tensor.name = b"%s_%s%d" % (tensor.name, suffix, len(self.tensors))
        tensor.buffer, tensor.quantization = 0, None
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def add_constant(self, like: int, values: Array, encoding: Encoding) -> int:
        """A tensor that holds integers: its index."""
        index = self.add_tensor(like, b"integers")
        self.tensors[index].buffer = self._buffer(values)
        self.encode(index, encoding)
        return index

    def _buffer(self, values: Array) -> int:
        """The number of the model's buffer that holds values, which is added if it is not there."""
        from ai_edge_litert import schema_py_generated as schema

        content = values.tobytes()
        if content not in self.buffers:
            self.buffers[content] = len(self.model.buffers)
            self.model.buffers.append(schema.BufferT())
            self.model.buffers[-1].data = np.frombuffer(content, np.uint8)
        return self.buffers[content]

    def encode(self, index: int, encoding: Encoding) -> None:
        """Declare how a tensor's values are stored."""
        from ai_edge_litert import schema_py_generated as schema

        parameters = schema.QuantizationParametersT()
        parameters.scale = encoding.scale.astype(np.float32)
        parameters.zeroPoint = np.full(len(encoding.scale), encoding.zero, np.int64)
        parameters.quantizedDimension = encoding.axis
        self.tensors[index].quantization = parameters
        self.tensors[index].type = getattr(schema.TensorType, f"INT{encoding.bits}")

    def set_float(self, index: int) -> None:
        """Declare that a tensor holds floats."""
        from ai_edge_litert import schema_py_generated as schema

        self.tensors[index].type = schema.TensorType.FLOAT32

    def replace_outputs(self, outputs: Mapping[int, int]) -> None:
        """Have other tensors as outputs, and forget those that nothing refers to."""
        subgraph = self.subgraph
        subgraph.outputs = [outputs[tensor] for tensor in subgraph.outputs]
        used = {*subgraph.inputs, *subgraph.outputs}
        used.update(one for operator in subgraph.operators for one in (*operator.inputs, *operator.outputs))
        kept = sorted(used - {-1})
        at = {tensor: index for index, tensor in enumerate(kept)} | {-1: -1}
        subgraph.tensors = [subgraph.tensors[tensor] for tensor in kept]
        subgraph.inputs = [at[tensor] for tensor in subgraph.inputs]
        subgraph.outputs = [at[tensor] for tensor in subgraph.outputs]
        for operator in subgraph.operators:
            operator.inputs = [at[tensor] for tensor in operator.inputs]
            operator.outputs = [at[tensor] for tensor in operator.outputs]
        for signature in self.model.signatureDefs:
            if self.model.subgraphs[signature.subgraphIndex] is subgraph:
                for entry in signature.inputs:
                    entry.tensorIndex = at[entry.tensorIndex]
                for entry in signature.outputs:
                    entry.tensorIndex = at[outputs[entry.tensorIndex]]

    def operator(self, kind: str, inputs: list[int], outputs: list[int]) -> Any:
        """An operator with the options that it has by default, without which compilers refuse it."""
        from ai_edge_litert import schema_py_generated as schema

        made = schema.OperatorT()
        made.opcodeIndex = operator_code(self.model, getattr(schema.BuiltinOperator, kind))
        made.inputs, made.outputs = list(inputs), list(outputs)
        options = f"{kind.capitalize()}Options"
        made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        made.builtinOptions = getattr(schema, f"{options}T")()
        return made


class Rewriter:
    """Makes one signature compute with integers.

    Tensors between which values only move are a group, which has one encoding.

    Args:
        graph: of floats.
        observed: ranges of all computed values.
        learned: ranges that take their place at products.
        bits: of activations.
        kept: operators that stay float.
        longest: of the lengths, for scales must not depend on the signature.
    """

    def __init__(
        self,
        graph: Graph,
        observed: Mapping[Place, Range],
        learned: Mapping[Place, Range],
        bits: int,
        kept: set[int],
        longest: int,
    ) -> None:
        self.graph, self.bits, self.longest = graph, bits, longest
        places = {tensor: place for tensor, place in graph.producers.items() if tensor in graph.floats}
        constant = {tensor: _range(values) for tensor, values in graph.constants.items()}
        self.observed = constant | {tensor: observed[place] for tensor, place in places.items()}
        self.ranges = self.observed | {
            tensor: learned[place] for tensor, place in places.items() if place in learned
        }
        self.widths = self._widths(kept)
        self.width_of = {tensor: self.widths[number] for tensor, (number, _) in places.items()}
        self.groups = self._groups()
        self.floors: dict[int, float] = {}
        self.converted: dict[tuple[int, int], int] = {}
        self.operators: list[Any] = []

    def rewrite(self) -> None:
        """Replace the signature's operators."""
        graph = self.graph
        for kind, operator, width in zip(graph.kinds, graph.operators, self.widths, strict=True):
            if kind in PRODUCTS and width != FLOAT and operator.inputs[1] in graph.constants:
                operator.inputs = self._product_inputs(kind, operator, width)
            else:
                operator.inputs = [self._as(tensor, width) for tensor in operator.inputs]
            for tensor in operator.outputs:
                if tensor in graph.floats and width != FLOAT:
                    graph.encode(tensor, self._encoding(tensor))
            self.operators.append(operator)
        outputs = {tensor: self._as(tensor, FLOAT) for tensor in graph.subgraph.outputs}
        graph.subgraph.operators = self.operators
        graph.replace_outputs(outputs)

    def _widths(self, kept: set[int]) -> list[int]:
        """The bits in which each operator computes; those without floats, and the mask's cast, are FLOAT."""
        graph, wide = self.graph, self._wide()
        widths: list[int] = []
        width_of: dict[int, int] = {}
        for number, (kind, operator) in enumerate(zip(graph.kinds, graph.operators, strict=True)):
            computed = [width_of[tensor] for tensor in operator.inputs if tensor in width_of]
            if number in kept or kind == "CAST" or not graph.floats.intersection(operator.outputs):
                width = FLOAT
            elif kind in MOVES:
                width = max(computed, default=8)  # by default it is a table's
            elif kind in PRODUCTS | NORMS | ACTIVATIONS:
                norm = kind in NORMS and not self._feeds_softmax(operator)
                width = 16 if norm or number in wide else self.bits
            else:
                raise InputError(
                    f"no integer form is known of LiteRT's {kind}",
                    allowed=", ".join(sorted(PRODUCTS | NORMS | ACTIVATIONS | MOVES)),
                    hint="fp16",
                )
            widths.append(width)
            width_of |= dict.fromkeys(graph.floats.intersection(operator.outputs), width)
        return widths

    def _wide(self) -> set[int]:
        """The operators between the last norms and the outputs, and those whose results a mean takes.

        Qualcomm's compiler breaks a mean of what was 8 bits wide just before (docs/npu_faults.md).
        """
        graph = self.graph
        means = [one for kind, one in zip(graph.kinds, graph.operators, strict=True) if kind == "MEAN"]
        found: set[int] = set()
        wanted = [*graph.subgraph.outputs, *(mean.inputs[0] for mean in means)]
        while wanted:
            tensor = wanted.pop()
            number = graph.producers[tensor][0] if tensor in graph.producers else None
            if number is not None and number not in found and graph.kinds[number] not in NORMS:
                found.add(number)
                wanted.extend(graph.operators[number].inputs)
        return found

    def _feeds_softmax(self, operator: Any) -> bool:
        readers = self.graph.readers.get(operator.outputs[0], [])
        return bool(readers) and all(self.graph.kinds[number] == "SOFTMAX" for number in readers)

    def _groups(self) -> dict[int, list[int]]:
        """Tensor -> the tensors of its group, itself among them."""
        graph = self.graph
        groups = {tensor: [tensor] for tensor in self.observed}
        for kind, operator, width in zip(graph.kinds, graph.operators, self.widths, strict=True):
            if kind in MOVES and width != FLOAT:
                joined = [
                    *(
                        tensor
                        for tensor in operator.inputs
                        if self.width_of.get(tensor) == width or tensor in graph.constants
                    ),
                    *operator.outputs,
                ]
                union = sorted({member for tensor in joined for member in groups[tensor]})
                groups |= dict.fromkeys(union, union)
        return groups

    def _product_inputs(self, kind: str, operator: Any, width: int) -> list[int]:
        """What goes into a product with weights: its operand, the weights, the bias."""
        operand, weight, *bias = operator.inputs
        operand = self._as(operand, width)
        values = self.graph.constants[weight]
        # Runtimes read one scale of a batched weight.
        size = abs(values).max(keepdims=True) if kind == "BATCH_MATMUL" else _largest_of_rows(values)
        scale = np.where(size > 0, size, 1).astype(np.float64) / 127
        encoding = Encoding(8, scale.ravel(), 0)
        inputs = [operand, self.graph.add_constant(weight, _stored(values, scale, 8), encoding)]
        if bias and bias[0] in self.graph.constants:
            entering = float(self.graph.tensors[operand].quantization.scale[0])
            bits = 32 if width == 8 else 64
            encoding = Encoding(bits, encoding.scale * entering, 0)
            values = self.graph.constants[bias[0]]
            return [
                *inputs,
                self.graph.add_constant(bias[0], _stored(values, encoding.scale, bits), encoding),
            ]
        return [*inputs, *bias]

    def _as(self, tensor: int, width: int) -> int:
        """A tensor in some width: itself, or one that is made of it."""
        graph = self.graph
        if tensor not in graph.floats or self.width_of.get(tensor, FLOAT) == width:
            return tensor
        if (tensor, width) not in self.converted:
            if tensor in graph.constants:
                table = len(self.groups[tensor]) > 1
                encoding = self._encoding(tensor) if table else _encoding(self.observed[tensor], width)
                values = _stored(graph.constants[tensor], encoding.scale, width, encoding.zero)
                made = graph.add_constant(tensor, values, encoding)
            else:
                made = graph.add_tensor(tensor, b"as")
                if width == FLOAT:
                    graph.set_float(made)
                else:
                    graph.encode(made, _encoding(self._limited(self.ranges[tensor], tensor), width))
                kind = "DEQUANTIZE" if width == FLOAT else "QUANTIZE"
                self.operators.append(graph.operator(kind, [tensor], [made]))
            self.converted[tensor, width] = made
        return self.converted[tensor, width]

    def _encoding(self, tensor: int) -> Encoding:
        """That of the tensor's group."""
        group = self.groups[tensor]
        width = next(self.width_of[member] for member in group if member in self.width_of)
        for member in group:
            number = self.graph.producers.get(member, (None, 0))[0]
            if number is not None and (self.graph.kinds[number], width) in FIXED:
                scale, zero = FIXED[self.graph.kinds[number], width]
                return Encoding(width, np.array([scale]), zero)
        return _encoding(self._range_of(tensor, width), width)

    def _range_of(self, tensor: int, width: int) -> Range:
        """That of the tensor's group. 16 bits have room for what was observed beside what was learned."""
        ranges = self.observed if width == 16 else self.ranges
        joined = reduce(Range.joined, (ranges[member] for member in self.groups[tensor]))
        return self._limited(joined, tensor)

    def _limited(self, range_: Range, tensor: int) -> Range:
        return range_._replace(low=max(range_.low, self._floor(tensor)))

    def _floor(self, tensor: int) -> float:
        """What a tensor's values may saturate at, for no reader of its group tells apart what is lower."""
        group = self.groups[tensor]
        if group[0] not in self.floors:
            self.floors[group[0]] = -math.inf  # what depends on itself has none
            outputs = set(self.graph.subgraph.outputs)
            self.floors[group[0]] = min(
                (
                    self._floor_for(number, member)
                    for member in group
                    for number in self.graph.readers.get(member, [])
                ),
                default=-math.inf,
            )
            if outputs.intersection(group):
                self.floors[group[0]] = -math.inf
        return self.floors[group[0]]

    def _floor_for(self, number: int, tensor: int) -> float:
        """The same for one reader."""
        kind, operator, width = self.graph.kinds[number], self.graph.operators[number], self.widths[number]
        if kind == "SOFTMAX":
            # All that is masked together gets less than a step of the result.
            steps = 2 ** (self.bits if width == FLOAT else width)
            return self.observed[tensor].top - math.log(steps * self.longest)
        if width == FLOAT:
            return -math.inf
        if kind == "ADD":
            # A sum saturates whatever is added.
            others = [self.observed[one].high for one in operator.inputs if one != tensor]
            return self._range_of(operator.outputs[0], width).low - sum(others) if others else -math.inf
        if kind in MOVES:
            return (
                math.inf if operator.outputs[0] in self.groups[tensor] else self._floor(operator.outputs[0])
            )
        return -math.inf


def _range(values: Array) -> Range:
    low, high = float(values.min()), float(values.max())
    return Range(low, high, float(values.max(axis=-1).min()) if values.ndim else high)


def _encoding(range_: Range, bits: int) -> Encoding:
    """The encoding of activations that holds a range and 0."""
    low, high = min(range_.low, 0.0), max(range_.high, SMALLEST)
    if bits == 16:
        return Encoding(16, np.array([HEADROOM * max(-low, high) / 32767]), 0)
    scale = (high - low) / 255
    return Encoding(8, np.array([scale]), round(-128 - low / scale))


def _largest_of_rows(values: Array) -> Array:
    """The greatest magnitude of each slice along the first axis, whose other axes are kept as 1."""
    return cast("Array", abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True))


def _stored(values: Array, scale: Array, bits: int, zero: int = 0) -> Array:
    """Values as integers of so many bits."""
    kind = np.dtype(f"int{bits}")
    limits = np.iinfo(kind)
    stored = np.rint(values / scale) + zero
    return cast("Array", np.clip(stored, limits.min, limits.max).astype(kind))


def _products(graph: Graph, module: nn.Module) -> Iterator[tuple[int, str]]:
    """The numbers of the operators that are products of a module's layers, and the layers' names.

    An operator is known by its weights, for the names of tensors hold only some of the modules' names. Layers
    of the same weights come in the network's order.

    Raises:
        InputError: weights that are found in no operator.
    """
    kinds = nn.Linear | nn.Conv1d | nn.Conv2d | BatchedLinear
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}
    names = names_by_weights(layers)
    missing = set(layers)
    for number, (kind, operator) in enumerate(zip(graph.kinds, graph.operators, strict=True)):
        if kind in PRODUCTS and operator.inputs[1] in graph.constants:
            weights = graph.constants[operator.inputs[1]].tobytes()
            if weights in names:
                name = next(names[weights])
                missing.discard(name)
                yield number, name
    if missing:
        raise InputError(
            f"LiteRT's converter left no product with the weights of {', '.join(sorted(missing))}",
            hint="another form: --form",
        )


def _learned(graph: Graph, products: Mapping[int, str], request: ExportRequest) -> dict[Place, Range]:
    """The ranges that training set, by the tensors that go into products and come out of them."""
    learned: dict[Place, Range] = {}
    for number, name in products.items():
        operator, ranges = graph.operators[number], request.ranges.get(name, Ranges())
        for tensor, range_ in ((operator.inputs[0], ranges.input), (operator.outputs[0], ranges.output)):
            if range_ is not None:
                place, found = graph.producers[tensor], Range(*range_, range_[1])
                learned[place] = learned[place].joined(found) if place in learned else found
    return learned


def _observed(model: Any, graphs: list[Graph], request: ExportRequest) -> dict[Place, Range]:
    """The ranges of all computed floats over the calibration rows, each in the shortest signature it fits."""
    from ai_edge_litert.interpreter import Interpreter

    # As outputs, values are kept, and XNNPACK still computes them, which is much the faster.
    outputs = [graph.subgraph.outputs for graph in graphs]
    for graph in graphs:
        graph.subgraph.outputs = [tensor for tensor in graph.producers if tensor in graph.floats]
    content = _pack_used(model)
    for graph, kept in zip(graphs, outputs, strict=True):
        graph.subgraph.outputs = kept
    with quiet_runtime():
        interpreter = Interpreter(model_content=content)
    places = {one.signatureKey.decode(): one.subgraphIndex for one in model.signatureDefs}
    runners = {
        length: (places[key], interpreter.get_signature_runner(key))
        for length, key in by_length(places).items()
    }
    found: dict[Place, Range] = {}
    for row in request.calibration:
        tokens = next(iter(row.values())).shape[1]
        length = next(length for length in request.lengths if tokens <= length)
        index, runner = runners[length]
        runner(**{name: np.pad(values, ((0, 0), (0, length - tokens))) for name, values in row.items()})
        for tensor, place in graphs[index].producers.items():
            if tensor in graphs[index].floats:
                range_ = _range(interpreter.get_tensor(tensor, index))
                found[place] = found[place].joined(range_) if place in found else range_
    return found


def _pack_used(model: Any) -> bytes:
    """The flatbuffer of the schema's objects, without buffers that nothing refers to."""
    used = {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors}
    used |= {entry.buffer for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None
    return pack(model)


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(tensor.shape)
