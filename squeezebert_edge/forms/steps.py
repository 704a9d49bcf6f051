"""Steps that int4 and int8 share: weights that lie on them lose nothing when they are rounded.

An exporter rounds weights to multiples of a step: the largest of a row, of 32 values of a row, or of the
whole weight is 7 steps in int4 and 127 in int8. Where a weight has multiples of a single step alone, and each
32 values have the seventh among them, all of these are the same step. Or they have none but 0 and 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from exporters.products import is_large_table

MOST = 7
BLOCK = 32
# The multiples as shares of the seventh: int8's nearest, which int4 takes for its own.
SHARES = torch.tensor([round(127 * multiple / MOST) / 127 for multiple in range(MOST + 1)])
OF_RMS = 0.335  # the best step of 15 levels for normally distributed values, by their root mean square
SAME = 2.0**-10  # relative; float16 changes less


def step_of(weight: Tensor) -> Tensor:
    """The step that suits a weight."""
    return weight.detach().square().mean().sqrt() * OF_RMS


def on_steps(weight: Tensor, step: Tensor) -> Tensor:
    """Each value of a weight, (rows, ...), on the nearest of the steps that it may be on."""
    rows = weight.detach().flatten(1)
    blocks = rows.view(len(rows), -1, math.gcd(BLOCK, rows.shape[1]))  # (rows, inputs) -> (rows, blocks, 32)
    multiples = (blocks / step).round().clamp(-MOST, MOST)
    at = blocks.abs().argmax(2, keepdim=True)
    small = multiples.gather(2, at).abs() <= MOST / 2
    largest = torch.where(small, multiples.gather(2, at).clamp(-1, 1), blocks.gather(2, at).sign() * MOST)
    multiples = torch.where(small, multiples.clamp(-1, 1), multiples).scatter(2, at, largest)
    values = SHARES.to(step.device)[multiples.abs().long()] * multiples.sign() * (step * MOST)
    return values.view_as(weight)


def put_on_steps(model: nn.Module) -> None:
    """Round the weights of a reference's products, and its tables, in place."""
    with torch.no_grad():
        for weight in _weights(model):
            weight.copy_(on_steps(weight, step_of(weight)))


def is_on_steps(model: nn.Module) -> bool:
    """Whether a reference's weights lie on steps, also if they were stored as float16."""
    return all(map(_lies_on_steps, _weights(model)))


def _lies_on_steps(weight: Tensor) -> bool:
    shares = weight.detach().abs().flatten() / weight.detach().abs().max().clamp(min=1e-30)
    nearest = SHARES[(shares * MOST).round().long()]
    return bool(((shares - nearest).abs() <= SAME).all())


def _weights(model: nn.Module) -> list[nn.Parameter]:
    return [
        module.get_parameter("weight")
        for module in model.modules()
        if isinstance(module, nn.Conv1d | nn.Linear) or is_large_table(module)
    ]
