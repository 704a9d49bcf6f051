"""What a network needs while it is trained and not afterwards; parameters and their names stay the same."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from squeezebert_edge.model.base import SqueezeBertPreTrainedModel


class BatchNoise:
    """Which activations a step drops, decided for the global batch and cut to the rows that are here.

    So a step drops the same however many processes share its batch, and a resumed training the same as one
    that was never interrupted.
    """

    def __init__(self, device: torch.device) -> None:
        self._generator = torch.Generator(device)
        self._total, self._rows = 0, slice(0)

    def begin(self, seed: int, step: int, total: int, rows: slice) -> None:
        """Begin a step over `total` rows, of which `rows` are here."""
        self._generator.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
        self._total, self._rows = total, rows

    def keep_mask(self, x: Tensor, share: float) -> Tensor:
        """Which of x, (rows here, ...), is kept: true with probability `share`."""
        kept = torch.empty((self._total, *x.shape[1:]), dtype=torch.bool, device=x.device)
        return kept.bernoulli_(share, generator=self._generator)[self._rows]

    def uniform(self, x: Tensor) -> Tensor:
        """Numbers from -1/2 to 1/2 in the shape of x, (rows here, ...)."""
        drawn = torch.empty((self._total, *x.shape[1:]), device=x.device)
        return drawn.uniform_(-0.5, 0.5, generator=self._generator)[self._rows]


class BatchDropout(nn.Module):
    """nn.Dropout with BatchNoise; the first axis is the batch."""

    def __init__(self, p: float, noise: BatchNoise) -> None:
        super().__init__()
        self.p, self.noise = p, noise

    def forward(self, x: Tensor) -> Tensor:
        """Drop with probability p, and scale what is kept."""
        if not self.training or self.p == 0:
            return x
        return x * self.noise.keep_mask(x, 1 - self.p) / (1 - self.p or 1)


class PointwiseConv(nn.Module):
    """A grouped convolution of kernel size 1, computed by `pointwise_conv`."""

    def __init__(self, weight: Tensor, bias: Tensor, groups: int) -> None:
        super().__init__()
        self.weight, self.bias, self.groups = weight, bias, groups

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, S) -> (B, C_out, S)."""
        return pointwise_conv(x, self.weight, self.bias, self.groups)


def pointwise_conv(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """A grouped convolution of kernel size 1 as one matrix product per group over all positions of the batch.

    torch's own takes every text of a batch as an image of its own, which is slow where texts are short.

    Args:
        x: (B, C_in, S).
        weight: (C_out, C_in / groups, 1).
        bias: (C_out,).

    Returns:
        (B, C_out, S).
    """
    batch, _, length = x.shape
    weight = weight.view(groups, -1, weight.shape[1])  # (G*O, I, 1) -> (G, O, I)
    bias = bias.view(groups, 1, -1)  # (G*O,) -> (G, 1, O)
    x = x.permute(0, 2, 1).reshape(batch * length, groups, -1)  # (B, G*I, S) -> (B*S, G, I)
    y = torch.baddbmm(bias, x.transpose(0, 1), weight.transpose(1, 2))  # (G, B*S, O)
    y = y.transpose(0, 1).reshape(batch, length, -1)  # (G, B*S, O) -> (B, S, G*O)
    return y.permute(0, 2, 1)  # (B, S, G*O) -> (B, G*O, S)


def prepare_for_training(
    model: SqueezeBertPreTrainedModel, noise: BatchNoise, dropout: float | None
) -> SqueezeBertPreTrainedModel:
    """A copy of a model in train mode; `dropout` replaces the probabilities of its configuration."""
    network = copy.deepcopy(model)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(parent, name, BatchDropout(child.p if dropout is None else dropout, noise))
            elif isinstance(child, nn.Conv1d) and child.bias is not None:
                setattr(parent, name, PointwiseConv(child.weight, child.bias, child.groups))
    return network.train()
