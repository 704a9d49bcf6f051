"""The constants of a program (.pte), read without ExecuTorch: its own, and those of XNNPACK's graphs in it.

The schemas are ExecuTorch's exir/_serialize/program.fbs and backends/xnnpack/serialization/schema.fbs; how 4
bits are packed stands in exir/passes/_quant_patterns_and_replacements.py and backends/xnnpack/operators.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from exporters.arrays import Array
from exporters.constants import Constant, array_of, of_floats, of_integers
from exporters.executorch.description import IDENTIFIER, PLAN_VALUES, PLANS, VALUE, VALUE_KIND
from exporters.flatbuffer import Table

# Where a program's extended header stands: a mark, its length, the program's size, the segments' place.
HEADER = 8
INLINE_DELEGATES, SEGMENTS, CONSTANT_SEGMENT, NAMED_DATA = 3, 4, 5, 7  # fields of Program
PLAN_CHAINS, PLAN_OPERATORS, PLAN_DELEGATES = 5, 6, 7  # of ExecutionPlan
TENSOR = 5  # of KernelTypes
SCALAR_TYPE, SIZES, BUFFER, ALLOCATION = 0, 2, 5, 6  # of Tensor
INSTRUCTIONS, KERNEL_CALL, DELEGATE_CALL = 2, 1, 2  # of Chain, and kinds of instruction
INDEX_CALLED, ARGUMENTS = 0, 1  # of both
PROCESSED, LOCATION, INDEX, IN_SEGMENT = 1, 0, 1, 1  # of BackendDelegate and its data's reference
SCALARS = {1: np.int8, 0: np.uint8, 5: np.float16, 6: np.float32, 7: np.float64}

GRAPH_VALUES, CONSTANT_DATA = 2, 8  # of XNNGraph
OFFSET, SIZE, KEY = 0, 1, 2  # of ConstantDataOffset
TENSOR_VALUE, QUANTIZED_VALUE = 1, 2  # kinds of XValue
DATATYPE, DIMS, CONSTANT = 0, 2, 3  # of XNNTensorValue
PER_CHANNEL, PER_TENSOR, PER_GROUP = 1, 2, 4  # kinds of quantization
FLOATS = {1: np.float32, 2: np.float16, 13: np.float32}
INTEGERS = {3: np.int8, 5: np.int32, 6: np.int8, 7: np.int32}
NIBBLES = (8, 10)  # 4 bits, a scale per channel or per group


class _Data(NamedTuple):
    """Where a program's constants lie: its segments, and those of them that have names."""

    segments: list[memoryview]
    named: dict[str, memoryview]


def constants(path: Path) -> Iterator[Constant]:
    """Every constant of numbers, once for each way in which it is used.

    Raises:
        ValueError, struct.error: not a program.
    """
    content = path.read_bytes()
    program = Table.root(content, IDENTIFIER)
    if content[HEADER : HEADER + 4] != b"eh00":
        raise ValueError(f"{path} is an ExecuTorch program without segments")
    (base,) = struct.unpack_from("<Q", content, HEADER + 16)
    segments = []
    for segment in program.tables(SEGMENTS):
        start = base + segment.value(0, "<Q")
        segments.append(memoryview(content)[start : start + segment.value(1, "<Q")])
    named = {entry.text(0): segments[entry.number(1)] for entry in program.tables(NAMED_DATA)}
    data = _Data(segments, named)
    seen: set[tuple[object, ...]] = set()
    for plan in program.tables(PLANS):
        yield from _of_kernels(program, plan, data, seen)
        for delegate in plan.tables(PLAN_DELEGATES):
            processed = delegate.table(PROCESSED)
            if delegate.text(0) != "XnnpackBackend" or processed is None:
                continue
            if processed.value(LOCATION, "<b") == IN_SEGMENT:
                blob = bytes(segments[processed.number(INDEX)])
            else:
                blob = list(program.tables(INLINE_DELEGATES))[processed.number(INDEX)].data(0)
            yield from _of_graph(blob, data, seen)


def _of_kernels(
    program: Table, plan: Table, data: _Data, seen: set[tuple[object, ...]]
) -> Iterator[Constant]:
    """What operators and delegates take: quantized tables with their scales, and floats."""
    segment = program.table(CONSTANT_SEGMENT)
    if segment is None:
        return
    whole, offsets = data.segments[segment.number(0)], array_of(segment, 1, np.uint64)
    values, operators = list(plan.tables(PLAN_VALUES)), [each.text(0) for each in plan.tables(PLAN_OPERATORS)]

    def read(index: int) -> tuple[int, Array] | None:
        tensor = values[index].table(VALUE) if values[index].kind(VALUE_KIND) == TENSOR else None
        if tensor is None or not tensor.number(BUFFER) or tensor.table(ALLOCATION) is not None:
            return None
        kind = SCALARS.get(tensor.value(SCALAR_TYPE, "<b"))
        sizes = tensor.numbers(SIZES)
        if kind is None:
            return None
        place = int(offsets[tensor.number(BUFFER)])
        return tensor.number(BUFFER), np.frombuffer(whole, kind, math.prod(sizes), place).reshape(sizes)

    for chain in plan.tables(PLAN_CHAINS):
        for instruction in chain.tables(INSTRUCTIONS):
            call = instruction.table(1)
            if instruction.kind(0) not in (KERNEL_CALL, DELEGATE_CALL) or call is None:
                continue
            is_kernel = instruction.kind(0) == KERNEL_CALL
            name = operators[call.value(INDEX_CALLED, "<i")] if is_kernel else "delegate"
            found = [(read(index) if 0 <= index < len(values) else None) for index in call.numbers(ARGUMENTS)]
            held = [each for each in found if each is not None]
            key = (name, *(buffer for buffer, _ in held))
            if not held or key in seen:
                continue
            seen.add(key)
            if "::embedding_" in name and len(held) > 1:
                yield _table(name, *(values for _, values in held))
            else:
                yield from (
                    of_floats(f"constant {buffer}", stored)
                    for buffer, stored in held
                    if stored.dtype.kind == "f"
                )


def _table(name: str, stored: Array, scales: Array, zeros: Array | None = None) -> Constant:
    """A quantized table (V, C) with its scales (V,), or (V, blocks of C)."""
    bits = 4 if "embedding_4bit" in name else 8
    if bits == 4:
        pairs = np.stack([stored >> 4, stored & 0xF], axis=-1)  # (V, C/2, 2)
        stored = pairs.reshape(len(stored), -1).astype(np.int8) - np.int8(8)
    steps = scales.reshape(len(stored), -1)
    return of_integers(name, stored, bits, steps, 0 if zeros is None else zeros.reshape(steps.shape))


def _of_graph(blob: bytes, data: _Data, seen: set[tuple[object, ...]]) -> Iterator[Constant]:
    """What an XNNPACK graph holds."""
    if blob[4:8] != b"XH00":
        raise ValueError("not an XNNPACK graph with a header")
    start, _, base, _ = struct.unpack_from("<IIIQ", blob, 10)
    graph = Table.root(blob[start:])
    places = list(graph.tables(CONSTANT_DATA))

    def stored(index: int) -> tuple[str, memoryview]:
        place = places[index]
        key = place.text(KEY)
        if key:
            return key, data.named[key]
        offset = base + place.value(OFFSET, "<Q")
        return f"{offset}", memoryview(blob)[offset : offset + place.value(SIZE, "<Q")]

    for entry in graph.tables(GRAPH_VALUES):
        value = entry.table(1)
        quantized = value if entry.kind(0) == QUANTIZED_VALUE else None
        tensor = value.table(0) if value and quantized else value
        if tensor is None or not tensor.number(CONSTANT):
            continue
        name, content = stored(tensor.number(CONSTANT))
        sizes = tuple(tensor.numbers(DIMS))
        kind = tensor.value(DATATYPE, "<h")
        if quantized is None:
            if kind in FLOATS and (name, sizes) not in seen:
                seen.add((name, sizes))
                yield of_floats(name, np.frombuffer(content, FLOATS[kind], math.prod(sizes)).reshape(sizes))
            continue
        steps, zero, key = _steps(quantized, sizes, stored)
        if (name, sizes, key) in seen:
            continue
        seen.add((name, sizes, key))
        if kind in NIBBLES:
            packed = np.frombuffer(content, np.uint8)
            levels = np.stack([packed & 0xF, packed >> 4], axis=-1).astype(np.int8) - np.int8(8)
            rows = levels.reshape(sizes[0], -1)[:, : math.prod(sizes[1:])]  # an odd row is padded
            yield of_integers(name, rows.reshape(sizes), 4, steps)
        elif kind in INTEGERS:
            levels = np.frombuffer(content, INTEGERS[kind], math.prod(sizes)).reshape(sizes)
            yield of_integers(name, levels, levels.itemsize * 8, steps, zero)


def _steps(
    quantized: Table, sizes: tuple[int, ...], stored: Callable[[int], tuple[str, memoryview]]
) -> tuple[Array, int, object]:
    """The scales of a quantized value, a block each, its zero point, and what they are known by."""
    kind, parameters = quantized.kind(1), quantized.table(2)
    if parameters is None or kind not in (PER_CHANNEL, PER_TENSOR, PER_GROUP):
        raise ValueError("a constant without the scales of its values")
    shape = [1] * len(sizes)
    if kind == PER_TENSOR:
        scale, zero = parameters.value(0, "<f"), parameters.value(1, "<i")
        return np.full(shape, scale, np.float32), zero, (scale, zero)
    of_groups = kind == PER_GROUP
    index = parameters.number(4 if of_groups else 2)
    if index:
        name, content = stored(index)
        if of_groups:  # bfloat16: the upper half of a float32
            scales = (np.frombuffer(content, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            scales = np.frombuffer(content, np.float32)
    else:
        scales, name = array_of(parameters, 0, np.float32), ""
    axis = parameters.value(1, "<i")
    shape[axis] = sizes[axis]
    if of_groups:
        shape[-1] = sizes[-1] // parameters.value(2, "<i")
    return scales[: math.prod(shape)].reshape(shape), 0, name or scales.tobytes()
