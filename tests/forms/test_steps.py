"""Weights on steps lose next to nothing by int4 and by int8, over whatever a step is counted from."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import exporters
from squeezebert_edge.forms.balancing import quantizable
from squeezebert_edge.forms.steps import is_on_steps, on_steps, put_on_steps, step_of
from tests.kit.small import small_checkpoint
from tests.kit.tiny import tiny_model


def weight(rows: int = 24, inputs: int = 96) -> Tensor:
    """Normally distributed, some rows much smaller than others, and some of zeros."""
    random = torch.Generator().manual_seed(0)
    drawn = torch.randn(rows, inputs, generator=random) * 0.04
    drawn[:4] *= 0.1
    drawn[4] = 0
    return drawn


def rounded(values: Tensor, bits: int, over: int) -> Tensor:
    """Symmetrically, by the largest of so many values that stand side by side."""
    most = 2 ** (bits - 1) - 1
    blocks = values.reshape(-1, over)
    step = blocks.abs().amax(1, keepdim=True).clamp(min=1e-12) / most
    return ((blocks / step).round() * step).view_as(values)


def sqnr(clean: Tensor, noisy: Tensor) -> float:
    return 10 * torch.log10(clean.var() / (clean - noisy).square().mean().clamp(min=1e-20)).item()


@pytest.mark.parametrize("over", [32, 96, 24 * 96], ids=["32 values", "row", "whole"])
@pytest.mark.parametrize(("bits", "least"), [(4, 38), (8, 60)])
def test_neither_int4_nor_int8_rounds_them(bits: int, least: float, over: int) -> None:
    stepped = on_steps(weight(), step_of(weight()))
    assert sqnr(weight(), stepped) > 15
    assert sqnr(stepped, rounded(stepped.half().float(), bits, over)) > least
    assert sqnr(weight(), rounded(weight(), bits, over)) < least - 10


def test_sixteen_values_are_enough_for_all_of_it() -> None:
    assert len(on_steps(weight(), step_of(weight())).unique()) <= 15


def test_a_network_on_steps_is_known_by_its_weights_and_is_not_balanced() -> None:
    model = tiny_model()
    assert not is_on_steps(model)
    put_on_steps(model)
    assert is_on_steps(model)
    assert is_on_steps(copy.deepcopy(model).half().float())
    checkpoint = replace(small_checkpoint(), model=model)
    assert quantizable(checkpoint, exporters.format_named("tflite").precision("int8-static")) is model
