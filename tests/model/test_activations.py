"""Every activation name of transformers computes the same here."""

from __future__ import annotations

import logging

import pytest
import torch

from squeezebert_edge.model.activations import activation
from squeezebert_edge.model.config import ACTIVATION_NAMES
from tests.kit.reference import assert_same


def test_the_names_are_transformers() -> None:
    from transformers.activations import ACT2CLS

    assert sorted(ACTIVATION_NAMES) == sorted(ACT2CLS)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_values_gradients_and_parameters(name: str) -> None:
    from transformers.activations import ACT2FN

    logging.getLogger("transformers.activations").setLevel(logging.ERROR)  # "CUDA-fused xIELU not available"
    ours, theirs = activation(name), ACT2FN[name]
    assert {k: (v.shape, v.dtype) for k, v in ours.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in theirs.state_dict().items()
    }
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key
    x = torch.cat([torch.linspace(-12, 12, 97), torch.tensor([0.0, -1e-7, 1e-7])])
    one, other = (x.clone().requires_grad_() for _ in range(2))
    assert_same(ours(one), theirs(other))
    ours(one).sum().backward()
    theirs(other).sum().backward()
    if name != "linear":
        assert_same(one.grad, other.grad)
    for parameter, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_same(parameter.grad, expected.grad)


def test_each_layer_has_its_own() -> None:
    assert activation("prelu") is not activation("prelu")
