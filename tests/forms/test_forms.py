"""Every form equals the reference, for whatever network hypothesis draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from exporters.errors import InputError
from squeezebert_edge.forms.catalog import FORMS, lay_out
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.tasks.heads import FillMask, TextClassification, TokenClassification, of_architecture
from tests.kit.networks import networks
from tests.kit.tiny import tiny_model


def row(tokens: int, padding: int) -> tuple[torch.Tensor, ...]:
    ids = torch.arange(5, 5 + tokens + padding, dtype=torch.int32)[None]
    mask = torch.ones_like(ids)
    mask[:, tokens:] = 0
    return ids, mask, torch.zeros_like(ids)


@settings(deadline=None, max_examples=100)
@given(
    network=networks(),
    architecture=st.sampled_from(sorted(ARCHITECTURES)),
    form=st.sampled_from(sorted(FORMS)),
)
def test_a_form_equals_the_reference(network: dict[str, Any], architecture: str, form: str) -> None:
    model, task = tiny_model(architecture, **network), of_architecture(architecture)
    inputs = row(7, 3)
    with torch.inference_mode():
        expected = lay_out(model, task, "plain")(*inputs)
        found = lay_out(model, task, form)(*inputs)
    for name, one, other in zip(task.outputs, found, expected, strict=True):
        bound = 1e-5 * max(1.0, other.abs().max().item())
        torch.testing.assert_close(one, other, rtol=0, atol=bound, msg=name)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_configuration_that_wants_tuples_or_more_outputs_changes_nothing(architecture: str) -> None:
    task, inputs = of_architecture(architecture), row(7, 3)
    wants = {"return_dict": False, "output_hidden_states": True, "output_attentions": True}
    with torch.inference_mode():
        expected = lay_out(tiny_model(architecture), task, "plain")(*inputs)
        found = lay_out(tiny_model(architecture, **wants), task, "plain")(*inputs)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("architecture", "form", "last"),
    [
        ("SqueezeBertForSequenceClassification", "group-resident", 1),
        ("SqueezeBertForSequenceClassification", "group-batched", 1),
        ("SqueezeBertForSequenceClassification", "neural-engine", 1),
        ("SqueezeBertForMultipleChoice", "group-resident", 1),
        ("SqueezeBertForTokenClassification", "group-resident", 10),
        ("SqueezeBertModel", "group-resident", 10),
    ],
)
def test_the_last_layer_computes_the_first_token_alone_where_no_other_is_read(
    architecture: str, form: str, last: int
) -> None:
    module = lay_out(tiny_model(architecture), of_architecture(architecture), form)
    tokens = []
    for layer in module.get_submodule("layers").children():
        norm = layer.get_submodule("attention_norm")
        norm.register_forward_hook(
            lambda _, __, x: tokens.append(x.numel() // tiny_model().config.hidden_size)
        )
    with torch.inference_mode():
        module(*row(7, 3))
    assert tokens == [10, last]


def test_laying_out_leaves_the_reference_as_it_was() -> None:
    model = tiny_model("SqueezeBertForTokenClassification")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for form in FORMS:
        lay_out(model, TokenClassification, form)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(
        InputError,
        match="unknown form 'round'\nallowed: plain, group-resident, group-batched, conv2d, neural",
    ):
        lay_out(tiny_model(), TextClassification, "round")


@pytest.mark.parametrize("form", ["neural-engine", "neural-engine-groups", "conv2d"])
def test_a_norm_may_leave_channels_out(form: str) -> None:
    model = tiny_model("SqueezeBertForSequenceClassification")
    for name, parameter in model.named_parameters():
        if name.lower().endswith("layernorm.weight"):
            parameter.data[::3] = 0
    inputs = row(7, 3)
    with torch.inference_mode():
        (expected,) = lay_out(model, TextClassification, "plain")(*inputs)
        (found,) = lay_out(model, TextClassification, form)(*inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("q_groups", [4, 2])  # with the keys' and values' 4: one part, or three
@pytest.mark.parametrize("form", ["neural-engine", "neural-engine-groups", "conv2d", "group-batched"])
def test_forms_have_the_parts_of_the_group_resident_form(form: str, q_groups: int) -> None:
    model = tiny_model("SqueezeBertForMaskedLM", q_groups=q_groups)
    parts = {
        name.rpartition(".")[0] if name.rpartition(".")[2].isdigit() else name
        for name, part in lay_out(model, FillMask, "group-resident").named_modules()
        if isinstance(part, nn.Linear)
    }
    names = {name for name, _ in lay_out(model, FillMask, form).named_modules()}
    assert parts <= names
