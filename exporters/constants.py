"""The constants of an artifact, read back as the runtime computes with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exporters.arrays import Array
from exporters.flatbuffer import Table


@dataclass(frozen=True)
class Constant:
    """A tensor of numbers that an artifact holds.

    name: by which it is told from others.
    values: float32, dequantized, in the artifact's own layout.
    bits: of a stored value.
    steps: of stored integers: what a step is worth, for each block of `values`, whose sizes along each axis
        are those of `values` over those of `steps`; None of floats and of what a palette gives.
    palette: the only values that there may be, ascending; None where there is none.
    """

    name: str
    values: Array
    bits: int
    steps: Array | None = None
    palette: Array | None = None


def of_floats(name: str, stored: Array) -> Constant:
    """A constant that is stored in float16, float32 or float64."""
    return Constant(name, stored.astype(np.float32), stored.dtype.itemsize * 8)


def of_integers(name: str, stored: Array, bits: int, steps: Array, zeros: Array | float = 0) -> Constant:
    """A constant that is stored as integers: (stored - zero) * step.

    Args:
        steps: of each block, as in `Constant`. zeros: the same, or one for all.
    """
    spread = blocks(stored.shape, steps.shape)
    zero = np.broadcast_to(np.float32(zeros), steps.shape).reshape(spread[1])
    levels = stored.reshape(spread[0]).astype(np.float32) - zero
    values = levels * steps.astype(np.float32).reshape(spread[1])
    return Constant(name, values.reshape(stored.shape), bits, steps)


def array_of(table: Table, field: int, kind: type[np.generic]) -> Array:
    """A flatbuffer's vector of numbers, as it lies there."""
    start, count = table.vector(field)
    return np.frombuffer(table.content, kind, count, start)


def blocks(whole: tuple[int, ...], counts: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes in which blocks of `whole`, so many along each axis, and one value for each go together.

    Raises:
        ValueError: a size is no multiple of its count.
    """
    if len(whole) != len(counts) or any(
        count < 1 or size % count for size, count in zip(whole, counts, strict=True)
    ):
        raise ValueError(f"{counts} blocks in {whole}")
    parts = [(count, size // count) for size, count in zip(whole, counts, strict=True)]
    return tuple(n for part in parts for n in part), tuple(n for count in counts for n in (count, 1))


def unpack(packed: Array, bits: int, count: int, *, signed: bool) -> Array:
    """`count` integers of so many bits out of bytes, the lowest bits first, as int8 or uint8."""
    single = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    values = np.packbits(single, axis=1, bitorder="little")[:, 0]
    sign = 1 << (bits - 1)
    return (values ^ sign).view(np.int8) - np.int8(sign) if signed else values
