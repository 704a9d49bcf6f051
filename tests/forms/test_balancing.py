"""Balancing leaves the network as it was and takes outliers out of its way."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

import exporters
from squeezebert_edge.forms.balancing import balance, quantizable
from tests.kit.planted import with_outliers
from tests.kit.small import small_checkpoint
from tests.kit.tiny import tiny_model

IDS = torch.arange(5, 17)[None]


def outputs(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([value.flatten() for value in model.base_model(IDS, return_dict=False)])


@pytest.mark.parametrize("groups", [{}, {"post_attention_groups": 4}, {"v_groups": 2}, {"q_groups": 1}])
def test_outputs_stay_as_they_were(groups: dict[str, int]) -> None:
    model = tiny_model(**groups)
    before = outputs(model)
    balance(model)
    torch.testing.assert_close(outputs(model), before, rtol=0, atol=1e-5 * before.abs().max().item())


def test_planted_outliers_change_nothing_in_float() -> None:
    model = tiny_model()
    torch.testing.assert_close(outputs(with_outliers(model)), outputs(model), rtol=0, atol=1e-5)


def spread(model: Any) -> float:
    """How far the largest value channel stands out."""
    sizes = model.base_model.encoder.layers[0].attention.value.weight[..., 0].norm(dim=1)
    return (sizes.max() / sizes.median()).item()


def test_outliers_are_taken_back() -> None:
    model = tiny_model()
    planted = with_outliers(model)
    assert spread(planted) > 50
    balance(planted)
    balance(model)
    assert spread(planted) == pytest.approx(spread(model), rel=1)


def test_channels_of_zeros_stay_finite() -> None:
    model = tiny_model()
    attention = model.base_model.encoder.layers[0].attention
    with torch.no_grad():
        for part in (attention.value, attention.query):
            part.weight[3] = 0
            part.bias[3] = 0
    balance(model)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_balancing_again_changes_nothing() -> None:
    model = tiny_model()
    balance(model)
    once = copy.deepcopy(model.state_dict())
    balance(model)
    assert all(torch.equal(once[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("format_", exporters.names())
def test_only_what_is_quantized_or_added_up_in_float16_takes_a_balanced_network(format_: str) -> None:
    small = small_checkpoint()
    for name, precision in exporters.format_named(format_).precisions.items():
        own = quantizable(small, precision) is small.model
        assert own == (name == "fp32" or (name == "fp16" and format_ != "executorch"))


def test_balancing_leaves_no_channel_below_what_float16_has_digits_for() -> None:
    small = small_checkpoint()
    planted = replace(small, model=with_outliers(small.model, factor=1000.0))
    half = exporters.format_named("executorch").precision("fp16")
    smallest = [
        projection.weight.abs().amax(dim=0).min()  # of what columns have for their largest
        for model in (small.model, planted.model, quantizable(planted, half))
        for projection in [model.base_model.encoder.layers[0].post_attention.conv1d]
    ]
    assert smallest[1] < 2.0**-14 * 16 < smallest[2]
    assert smallest[2] > smallest[0] / 4
