"""What the quantizing operations of a Core ML program compute.

Parameters are named as in the reference of MIL, where these are the "quantization" and "constexpr" operations
(https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html). Integers of up to
8 bits are held in int8 or uint8.
"""
# ruff: noqa: A002 - `input` is MIL's own name

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from exporters.constants import blocks, unpack

INTEGERS = {"int8": torch.int8, "uint8": torch.uint8}


def quantize(
    input: Tensor,
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | None = None,
    axis: Tensor | None = None,
) -> Tensor:
    """`input / scale + zero_point` in whole numbers, held within the range of `output_dtype`.

    The reference says "round"; coremltools' own inference of a value rounds halves to even, as torch does.
    """
    dtype = INTEGERS[output_dtype]
    levels = torch.round(input / _along(scale, input, axis))
    if zero_point is not None:
        levels = levels + _along(zero_point, input, axis).float()
    within = torch.iinfo(dtype)
    return levels.clamp(within.min, within.max).to(dtype)


def dequantize(
    input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: Tensor | None = None
) -> Tensor:
    """`scale * (input - zero_point)`."""
    levels = input.float()
    if zero_point is not None:
        levels = levels - _along(zero_point, input, axis).float()
    return levels * _along(scale, input, axis)


def constexpr_affine_dequantize(
    quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Tensor
) -> Tensor:
    """`scale * (quantized_data - zero_point)`: a weight of a program for iOS 16 or 17."""
    return dequantize(quantized_data, scale, zero_point, axis)


def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """`scale * (data - offset)`, each scale for a block of data as large as the shapes' ratio: iOS 18."""
    blocked, spread = blocks(tuple(data.shape), tuple(scale.shape))
    levels = data.reshape(blocked).float()
    if offset is not None:
        levels = levels - offset.reshape(spread).float()
    return (levels * scale.reshape(spread)).reshape(data.shape)


def constexpr_lut_to_dense(
    indices: Tensor, lut: Tensor, shape: Tensor | None = None, vector_axis: Tensor | None = None
) -> Tensor:
    """Values looked up in palettes.

    Before iOS 18 the indices are packed in bytes, with their shape beside them, and `lut` is the one palette.
    From iOS 18 on `lut` is (*groups, palette, vector), each palette for a block of indices.
    """
    if shape is not None:
        sizes = shape.tolist()
        bits = int(math.log2(lut.numel()))
        whole = torch.from_numpy(unpack(indices.numpy(), bits, math.prod(sizes), signed=False))
        return lut[whole.int()].reshape(sizes)
    *groups, palette, vector = lut.shape
    if vector != 1:
        raise NotImplementedError("a palette of vectors")
    blocked, spread = blocks(tuple(indices.shape), tuple(groups))
    first = torch.arange(math.prod(groups), dtype=torch.int32).reshape(spread) * palette
    return lut.flatten()[first + indices.reshape(blocked).int()].reshape(indices.shape)


def _along(parameter: Tensor, x: Tensor, axis: Tensor | None) -> Tensor:
    """One number, or a vector along an axis of x, shaped to work on x."""
    if axis is None or parameter.ndim == 0:
        return parameter
    return parameter.reshape([-1 if place == int(axis) % x.ndim else 1 for place in range(x.ndim)])


QUANTIZATION: dict[str, Callable[..., Tensor]] = {
    "constexpr_affine_dequantize": constexpr_affine_dequantize,
    "constexpr_blockwise_shift_scale": constexpr_blockwise_shift_scale,
    "constexpr_lut_to_dense": constexpr_lut_to_dense,
    "dequantize": dequantize,
    "quantize": quantize,
}
