"""The constants of a model (.tflite), read without LiteRT (its schema: ai_edge_litert's schema.fbs)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from exporters.arrays import Array
from exporters.constants import Constant, array_of, of_floats, of_integers, unpack
from exporters.flatbuffer import Table
from exporters.tflite.signatures import BUFFERS, IDENTIFIER

SUBGRAPHS = 2  # of Model
TENSORS, OPERATORS = 0, 3  # of SubGraph
OPERATOR_INPUTS = 1  # of Operator
SHAPE, TYPE, BUFFER, QUANTIZATION = 0, 1, 2, 4  # of Tensor
SCALE, ZERO_POINT, AXIS = 2, 3, 6  # of QuantizationParameters
FLOATS = {0: np.float32, 1: np.float16}
INTEGERS = {2: np.int32, 3: np.uint8, 4: np.int64, 7: np.int16, 9: np.int8}
INT4 = 17


def constants(path: Path) -> Iterator[Constant]:
    """Every constant of numbers that an operator takes, once for each way in which it is used.

    Raises:
        ValueError, struct.error: not a model.
    """
    model = Table.root(path.read_bytes(), IDENTIFIER)
    buffers = list(model.tables(BUFFERS))
    seen: set[tuple[object, ...]] = set()
    for graph in model.tables(SUBGRAPHS):
        tensors = list(graph.tables(TENSORS))
        used = {index for one in graph.tables(OPERATORS) for index in one.numbers(OPERATOR_INPUTS)}
        for index in sorted(used - {-1}):
            tensor = tensors[index]
            buffer = tensor.number(BUFFER)
            _, size = buffers[buffer].vector(0)
            shape = tuple(tensor.numbers(SHAPE))
            if not size or not math.prod(shape):
                continue
            quantization = tensor.table(QUANTIZATION)
            scales = array_of(quantization, SCALE, np.float32) if quantization else np.empty(0, np.float32)
            key = buffer, shape, scales.tobytes()
            if key not in seen:
                seen.add(key)
                stored = _stored(buffers[buffer], tensor.value(TYPE, "<b"), shape)
                if stored is not None and stored.dtype.kind == "f":
                    yield of_floats(f"buffer {buffer}", stored)
                elif stored is not None and quantization and len(scales):
                    bits = 4 if tensor.value(TYPE, "<b") == INT4 else stored.itemsize * 8
                    yield _integers(f"buffer {buffer}", stored, bits, scales, quantization)


def _stored(buffer: Table, kind: int, shape: tuple[int, ...]) -> Array | None:
    """A buffer's numbers; None of what holds none."""
    count = math.prod(shape)
    if kind == INT4:
        if buffer.vector(0)[1] != (count + 1) // 2:
            raise ValueError(f"a tensor {shape} of 4 bits in {buffer.vector(0)[1]} bytes")
        return unpack(array_of(buffer, 0, np.uint8), 4, count, signed=True).reshape(shape)
    numbers = FLOATS.get(kind) or INTEGERS.get(kind)
    if numbers is None:
        return None
    start, size = buffer.vector(0)
    if size != count * np.dtype(numbers).itemsize:
        raise ValueError(f"a tensor {shape} in {size} bytes")
    return np.frombuffer(buffer.content, numbers, count, start).reshape(shape)


def _integers(name: str, stored: Array, bits: int, scales: Array, quantization: Table) -> Constant:
    shape = [1] * stored.ndim
    if len(scales) > 1:
        shape[quantization.value(AXIS, "<i")] = len(scales)
    zeros = array_of(quantization, ZERO_POINT, np.int64)
    zero = zeros.reshape(shape) if len(zeros) == len(scales) else 0
    return of_integers(name, stored, bits, scales.reshape(shape), zero)
