"""A module in half precision, as XNNPACK computes it: in float16 from the tables to the outputs.

Two things need care. A processor of Arm adds up products in float16, where x86 does it in float32: one after
the other, 512 of them have an SQNR of 50 dB, and in pieces of 64 one of 65. And a number above 65504 is no
float16, which the square of 256 is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from exporters.executorch import PIECE

LARGEST_ROOT = 255  # whose square is a float16
LEAST = 2.0**-14  # of the float16 that have all their digits


class InHalf(nn.Module):
    """Computes in float16 what a module computes in float32, and gives float32.

    Args:
        module: its inputs are integers. It is copied.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)
        self.pieces = nn.ModuleDict()
        for name, layer in list(self.module.named_modules()):
            if type(layer) is nn.LayerNorm and len(layer.normalized_shape) == 1:
                self.module.set_submodule(name, HalfNorm(layer))
            elif isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d) and _is_pointwise(layer.weight):
                weights = torch.split(layer.weight.detach(), PIECE, dim=1)
                self.pieces[name.replace(".", "/")] = nn.ParameterList(weight.clone() for weight in weights)
        self.half()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The module's outputs, float32."""
        pieces = {
            id(self.module.get_submodule(name.replace("/", ".")).weight): cast("nn.ParameterList", weights)
            for name, weights in self.pieces.items()
        }
        with HalfForFloat(pieces):
            outputs = self.module(*inputs)
        return tuple(output.to(torch.float32) for output in outputs)


def _is_pointwise(weight: Tensor) -> bool:
    """Whether a weight (C_out, C_in/G, ...) has a product for each input, and more than make a piece."""
    return math.prod(weight.shape[2:]) == 1 and weight.shape[1] > PIECE


class HalfForFloat(TorchFunctionMode):
    """While it lasts, what is to be float32 becomes float16, and products take their inputs in pieces.

    Args:
        pieces: of the weights that have them, by the weight's id.
    """

    def __init__(self, pieces: Mapping[int, nn.ParameterList]) -> None:
        super().__init__()
        self.pieces = pieces

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call one of torch's functions."""
        args, kwargs = tree_map(
            lambda value: torch.float16 if value is torch.float32 else value, (args, dict(kwargs or {}))
        )
        if function in PRODUCTS and len(args) > 1 and id(args[1]) in self.pieces:
            return _product(function, *args, pieces=self.pieces[id(args[1])], **kwargs)
        return (Tensor.half if function is Tensor.float else function)(*args, **kwargs)


PRODUCTS = (F.linear, F.conv1d, F.conv2d)


def _product(
    function: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    pieces: nn.ParameterList,
    **kwargs: Any,
) -> Tensor:
    """The sum of the products of pieces of the inputs with pieces of a weight (C_out, C_in/G, ...)."""
    axis = x.ndim - weight.ndim + 1  # of the channels
    groups = x.shape[axis] // weight.shape[1]
    apart = x if groups == 1 else torch.unflatten(x, axis, (groups, -1))
    sums: list[Tensor] = []
    start = 0
    for piece in pieces:
        inputs = apart.narrow(apart.ndim - x.ndim + axis, start, piece.shape[1])
        inputs = inputs if groups == 1 else inputs.flatten(axis, axis + 1)
        sums.append(function(inputs, piece, None if sums else bias, *args, **kwargs))
        start += piece.shape[1]
    return sum_in_pairs(sums)


def sum_in_pairs(terms: Sequence[Tensor]) -> Tensor:
    """The sum of at least one tensor, in as few steps one after the other as there can be."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return sum_in_pairs(terms[:middle]) + sum_in_pairs(terms[middle:])


def half_gelu(x: Tensor) -> Tensor:
    """GELU to 8e-5, less than half a step of a float16 of 0.25, for XNNPACK has none in float16.

    GELU is x times the normal distribution function, whose logit is near the odd polynomial. That one would
    turn round beyond 8, where the function is 0 or 1.
    """
    near = x.clamp(-8.0, 8.0)
    square = near * near
    return x * torch.sigmoid((1.59651308 + square * (0.0728327755 - square * 0.000534893444)) * near)


class HalfNorm(nn.Module):
    """A LayerNorm over the last axis whose sums are float16, whatever the size of what they add up.

    Args:
        norm: normalizes over one axis.
    """

    root_eps: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        (width,) = norm.normalized_shape
        self.weight, self.bias = norm.weight, norm.bias
        # No value is more than `width` times the mean of all sizes, so that divided by a multiple of the mean
        # each has a square. What they are divided by is in their deviation too, and does not matter.
        self.multiple = 2.0 ** math.ceil(math.log2(max(1.0, width / LARGEST_ROOT)))
        self.register_buffer("root_eps", torch.tensor([max(math.sqrt(norm.eps), LEAST)]))
        self.mean = Mean(width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        x = x - self.mean(x)
        size = (self.mean(x.abs()) + self.root_eps) * self.multiple
        scaled, root_eps = x / size, self.root_eps / size
        x = x * (torch.rsqrt(self.mean(scaled * scaled) + root_eps * root_eps) / size)
        if self.weight is not None:
            x = x * self.weight
        return x if self.bias is None else x + self.bias


class Mean(nn.Module):
    """The mean over the last axis, as a mean of means: two products, since XNNPACK reduces 4-D tensors only.

    Args:
        width: of the axis.
    """

    inner: Tensor
    outer: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(size for size in range(1, math.isqrt(width) + 1) if width % size == 0)
        for name, size in (("inner", inner), ("outer", width // inner)):
            self.register_buffer(name, torch.full((1, size), 1 / size))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., 1)."""
        means = F.linear(
            torch.unflatten(x, -1, (-1, self.inner.shape[1])), self.inner
        )  # (..., C/n, n) -> (..., C/n, 1)
        return F.linear(means.flatten(-2), self.outer)
