"""Peaks: values that stand far above the rest where int8 rounds, so that its steps are too wide for the rest.

int8 divides a range into 255 steps, and the range is that of the largest values. A trained BERT has a few
hidden channels that are much larger than all others. LayerNorms and GELUs stand between the products, so the
weights cannot be rescaled against that; what can be done is to train without peaks. Shkolnik et al. 2020
(arXiv 2002.07686) minimize the kurtosis of weights for it. Here the eighth power takes the place of the
fourth, and what goes into a product counts too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from squeezebert_edge.checkpoint.ranges import products
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel

SMALLEST = 1e-30  # a sum of eighth powers below it is of values that no int8 shows


class Peaks:
    """Looks at what goes into the products of a network while it computes.

    A measure is the logarithm of the root of the mean eighth power over that of the mean square: 0 where all
    values are equally large, 0.58 of normally distributed ones.
    """

    def __init__(self, network: SqueezeBertPreTrainedModel) -> None:
        self._real: Tensor | None = None
        self._found: list[Tensor] = []
        self._weights: list[nn.Parameter] = []
        for path, names in products(network.config).items():
            module = network.base_model.get_submodule(path)
            self._weights.append(module.get_parameter("weight"))
            if not path.endswith(("key", "value")):  # they read what the query reads
                module.register_forward_pre_hook(self._watch(len(names)))

    def begin(self, attention_mask: Tensor) -> None:
        """Look at the next forward pass, where the mask, (B, S), is not 0."""
        self._real, self._found = (attention_mask != 0).float(), []

    def end(self) -> Tensor:
        """How high each text's peaks are, (B,): the mean over products of those in its rows, in all of it and
        in the weights, together."""
        inputs = torch.stack(self._found).mean(0)
        self._real, self._found = None, []
        weights = [_measure(*_powers(weight.flatten(1), 1)).mean() for weight in self._weights]
        return inputs + torch.stack(weights).mean()

    def _watch(self, groups: int) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def look(module: nn.Module, inputs: tuple[Tensor]) -> None:
            if self._real is None:
                return
            x, real = inputs[0], self._real
            if x.dim() == 2:  # the pooled token
                x, real = x[:, :, None], real[:, :1]  # (B, C) -> (B, C, 1)
            x = x.view(len(x), groups, -1, x.shape[2])  # (B, G*C, S) -> (B, G, C, S)
            means = _powers(x, 2)  # twice (B, G, S)
            share = real[:, None] / real.sum(1)[:, None, None]  # (B, S) -> (B, 1, S)
            rows = (_measure(*means) * share).sum(2)  # (B, G, S) -> (B, G)
            text = _measure(*((mean * share).sum(2) for mean in means))
            self._found.append((rows + text).mean(1))

        return look


def _measure(squares: Tensor, eighths: Tensor) -> Tensor:
    """Of means of squares and of eighth powers."""
    return eighths.clamp(min=SMALLEST).log() / 8 - squares.clamp(min=SMALLEST).log() / 2


def _powers(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The means of squares and of eighth powers over an axis."""
    return _Powers.apply(x, axis)  # type: ignore[no-untyped-call,no-any-return]


class _Powers(torch.autograd.Function):
    """What autograd would need three times as long for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        ctx.axis = axis
        squares = x * x
        mean = squares.mean(axis)
        return mean, squares.square_().square_().mean(axis)

    @staticmethod
    def backward(ctx: Any, of_squares: Tensor, of_eighths: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        size = x.shape[ctx.axis]
        squares = x * x
        gradient = (squares * squares).mul_(squares).mul_(of_eighths.unsqueeze(ctx.axis) * (8 / size))
        return gradient.add_(of_squares.unsqueeze(ctx.axis) * (2 / size)).mul_(x), None
