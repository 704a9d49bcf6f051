"""The embeddings can be read, replaced and resized, and what is tied stays tied."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from exporters.errors import InputError
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.heads import ARCHITECTURES, SqueezeBertForMaskedLM
from tests.kit.reference import assert_same, reference
from tests.kit.tiny import tiny_config, tiny_model

IDS = torch.arange(1, 9)[None]


def make(architecture: str, **overrides: Any) -> SqueezeBertPreTrainedModel:
    model = tiny_model(architecture, **overrides)
    assert isinstance(model, SqueezeBertPreTrainedModel)
    return model


def masked_lm(**overrides: Any) -> SqueezeBertForMaskedLM:
    model = make("SqueezeBertForMaskedLM", **overrides)
    assert isinstance(model, SqueezeBertForMaskedLM)
    return model


def assert_tied(model: SqueezeBertForMaskedLM) -> None:
    head = model.cls.predictions
    assert head.decoder.weight is model.get_input_embeddings().weight
    assert head.decoder.bias is head.bias


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_initialization(architecture: str) -> None:
    torch.manual_seed(0)
    model = ARCHITECTURES[architecture](tiny_config(initializer_range=0.1, pad_token_id=7))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "layernorm" in name.lower():
            assert (parameter == 1).all(), name
        elif parameter.numel() >= 1000:
            assert parameter.std().item() == pytest.approx(0.1, rel=0.1), name
            assert parameter.mean().item() == pytest.approx(0, abs=0.01), name
    assert not model.get_input_embeddings().weight[7].any()
    assert model.get_input_embeddings().weight[6].all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_input_embeddings_are_replaced(architecture: str) -> None:
    model = make(architecture)
    other = nn.Embedding(120, 32)
    model.set_input_embeddings(other)
    assert model.get_input_embeddings() is other
    assert model.base_model.embeddings.word_embeddings is other
    if isinstance(model, SqueezeBertForMaskedLM):
        assert_tied(model)


def test_output_embeddings_are_replaced() -> None:
    model = masked_lm()
    decoder = nn.Linear(32, 120)
    model.set_output_embeddings(decoder)
    assert model.get_output_embeddings() is decoder
    assert_tied(model)
    assert model.get_input_embeddings().weight is decoder.weight
    with pytest.raises(InputError, match="without a bias"):
        model.set_output_embeddings(nn.Linear(32, 120, bias=False))
    untied = masked_lm(tie_word_embeddings=False)
    before = untied.get_input_embeddings().weight
    untied.set_output_embeddings(decoder)
    assert untied.get_input_embeddings().weight is before


def test_embeddings_of_another_size_are_refused() -> None:
    model = masked_lm()
    for wrong in (nn.Embedding(119, 32), nn.Embedding(120, 16)):
        with pytest.raises(InputError, match="embeddings of shape"):
            model.set_input_embeddings(wrong)
    with pytest.raises(InputError, match="resize_token_embeddings"):
        model.set_output_embeddings(nn.Linear(32, 119))


def test_only_masked_lm_has_output_embeddings() -> None:
    for architecture in ARCHITECTURES:
        model = make(architecture)
        if architecture != "SqueezeBertForMaskedLM":
            assert model.get_output_embeddings() is None
            with pytest.raises(InputError, match="has no output embeddings"):
                model.set_output_embeddings(nn.Linear(32, 120))


@pytest.mark.parametrize("tied", [True, False])
def test_a_decoder_is_tied_only_where_the_configuration_says_so(tied: bool) -> None:
    model = masked_lm(tie_word_embeddings=tied)
    theirs = reference(model)
    ours = dict(model.named_parameters())
    assert list(ours) == list(dict(theirs.named_parameters()))
    assert ("cls.predictions.decoder.weight" in ours) == (not tied)
    if tied:
        assert_tied(model)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("size", "multiple"), [(100, None), (120, None), (131, None), (121, 64), (None, 50)])
@pytest.mark.parametrize("architecture", ["SqueezeBertForMaskedLM", "SqueezeBertForTokenClassification"])
def test_resizing_keeps_what_transformers_keeps(
    architecture: str, size: int | None, multiple: int | None, tied: bool
) -> None:
    model = make(architecture, tie_word_embeddings=tied)
    theirs: Any = reference(model)
    embeddings = model.get_input_embeddings()
    assert model.resize_token_embeddings() is embeddings
    assert model.resize_token_embeddings(size, multiple) is embeddings
    theirs.resize_token_embeddings(size, multiple)
    expected = theirs.state_dict()
    assert list(model.state_dict()) == list(expected)
    for name, weight in model.state_dict().items():
        # New rows are drawn about the mean of the old ones: equal to within a few ten-thousandths.
        kept = min(len(weight), 120)
        assert weight.shape == expected[name].shape, name
        assert torch.equal(weight[:kept], expected[name][:kept]), name
        assert_same(weight, expected[name], 5e-4)
    assert model.config.vocab_size == theirs.config.vocab_size == embeddings.num_embeddings
    assert embeddings.padding_idx == 0
    if tied and isinstance(model, SqueezeBertForMaskedLM):
        assert_tied(model)
        assert model.cls.predictions.decoder.out_features == model.config.vocab_size
    theirs.load_state_dict(model.state_dict())
    assert_same(model(IDS).to_tuple(), theirs(IDS).to_tuple())


def test_new_rows_about_zero() -> None:
    torch.manual_seed(0)
    model = masked_lm(initializer_range=0.5, tie_word_embeddings=False)
    model.resize_token_embeddings(2120, mean_resizing=False)
    decoder = model.get_output_embeddings()
    for weight in (model.get_input_embeddings().weight, decoder.weight):
        assert weight[120:].std().item() == pytest.approx(0.5, rel=0.05)
    assert not decoder.bias[120:].any()


def test_new_rows_follow_the_old_ones_distribution() -> None:
    torch.manual_seed(0)
    model = make("SqueezeBertModel")
    old = model.get_input_embeddings().weight.detach().double()
    new = model.resize_token_embeddings(40_120).weight[120:].detach().double()
    assert_same(new.mean(0), old.mean(0), 1e-6)
    expected = torch.cov(old.T, correction=0) * 1e-9
    assert (torch.cov(new.T) - expected).norm() < 0.2 * expected.norm()


def test_resizing_keeps_what_is_frozen() -> None:
    model = make("SqueezeBertModel")
    model.get_input_embeddings().requires_grad_(False)
    assert not model.resize_token_embeddings(130).weight.requires_grad


def test_sizes_that_make_no_vocabulary() -> None:
    model = make("SqueezeBertModel", pad_token_id=60)
    for size, multiple in ((0, None), (-1, None), (130, 0)):
        with pytest.raises(InputError, match="positive integers"):
            model.resize_token_embeddings(size, multiple)
    with pytest.raises(InputError, match="padding token, 60"):
        model.resize_token_embeddings(60)
    assert model.config.vocab_size == 120
