"""A student begins with what its teacher knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from squeezebert_edge.checkpoint.bert import load_bert
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.training.data import Batch, collate, encode
from squeezebert_edge.training.takeover import keep_words, order_channels, take_over
from tests.kit.berts import random_bert, save_bert, trained_bert
from tests.kit.trained import TOKENIZER, TRAINING, VALIDATION

GROUPS = 4


def texts(examples: object = TRAINING) -> Batch:
    encoded = encode(examples, TOKENIZER, None, 32, "texts")  # type: ignore[arg-type]
    return collate(encoded, max(len(example.ids) for example in encoded), 0, torch.device("cpu"))


def hidden(network: SqueezeBertPreTrainedModel, batch: Batch) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return network(  # type: ignore[no-any-return]
            batch.input_ids, batch.attention_mask, batch.token_type_ids, output_hidden_states=True
        ).hidden_states


def logits(network: SqueezeBertPreTrainedModel, batch: Batch) -> Tensor:
    with torch.no_grad():
        return network(batch.input_ids, batch.attention_mask, batch.token_type_ids).logits  # type: ignore[no-any-return]


def in_blocks(network: SqueezeBertPreTrainedModel) -> float:
    """The share of the dense weights' energy that the diagonal blocks hold."""
    held = whole = 0.0
    for name, weight in network.state_dict().items():
        if name.endswith(("query.weight", "key.weight", "value.weight", "intermediate.conv1d.weight")):
            rows = weight.squeeze(2).chunk(GROUPS)
            held += sum(float(row.chunk(GROUPS, 1)[group].square().sum()) for group, row in enumerate(rows))
            whole += float(weight.square().sum())
    return held / whole


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> SqueezeBertPreTrainedModel:
    return load_bert(save_bert(trained_bert(), tmp_path_factory.mktemp("bert"))).model


def test_the_ordered_network_is_the_same_with_more_in_its_blocks(tmp_path: Path) -> None:
    network = load_bert(save_bert(random_bert(num_hidden_layers=3), tmp_path / "bert")).model
    ordered, batch = order_channels(network, GROUPS), texts()
    torch.testing.assert_close(logits(ordered, batch), logits(network, batch), rtol=1e-4, atol=1e-5)
    for own, before in zip(hidden(ordered, batch), hidden(network, batch), strict=True):
        torch.testing.assert_close(own.sort(dim=2).values, before.sort(dim=2).values, rtol=1e-4, atol=1e-4)
    assert in_blocks(ordered) > in_blocks(network) + 0.02


@pytest.mark.parametrize("batches", [[], [texts()]])
def test_in_one_group_everything_is_taken_over(
    teacher: SqueezeBertPreTrainedModel, batches: list[Batch]
) -> None:
    student = take_over(order_channels(teacher, 1), 1, None, batches)
    batch = texts(VALIDATION)
    torch.testing.assert_close(logits(student, batch), logits(teacher, batch), rtol=1e-3, atol=1e-3)


def test_fitted_groups_are_nearer_to_the_teacher_than_its_blocks(teacher: SqueezeBertPreTrainedModel) -> None:
    ordered, batch = order_channels(teacher, GROUPS), texts(VALIDATION)
    wanted, real = hidden(ordered, batch), batch.attention_mask != 0
    errors = []
    for batches in ([], [texts()]):
        student = take_over(ordered, GROUPS, None, batches)
        assert {student.config.q_groups, student.config.output_groups} == {GROUPS}
        assert student.config.post_attention_groups == 1
        found = hidden(student, batch)
        assert torch.equal(found[0], wanted[0])
        errors.append([float((f - w)[real].square().mean()) for f, w in zip(found, wanted, strict=True)])
    assert all(fitted < 0.5 * blocks for blocks, fitted in zip(*(error[1:] for error in errors), strict=True))


def test_fewer_layers_are_taken_evenly(tmp_path: Path) -> None:
    network = load_bert(save_bert(random_bert(num_hidden_layers=4), tmp_path / "bert")).model
    student = take_over(network, 1, 2, [])
    held, own = network.state_dict(), student.state_dict()
    name = "transformer.encoder.layers.{}.attention.query.weight"
    assert torch.equal(own[name.format(0)], held[name.format(1)])
    assert torch.equal(own[name.format(1)], held[name.format(3)])
    assert torch.equal(own["classifier.weight"], held["classifier.weight"])


def test_kept_words_keep_their_meaning(teacher: SqueezeBertPreTrainedModel) -> None:
    rows = [0, 2, 3, 9, 7, 1, 20]
    fewer = keep_words(teacher, rows)
    assert (fewer.config.vocab_size, fewer.config.pad_token_id) == (len(rows), 0)
    whole = torch.tensor([[2, 9, 20, 3, 0]])
    short = torch.tensor([[rows.index(row) for row in whole[0].tolist()]])
    mask = (whole != 0).long()
    batches = (Batch(ids, mask, mask * 0, torch.zeros(1)) for ids in (whole, short))
    expected, found = (logits(model, batch) for model, batch in zip((teacher, fewer), batches, strict=True))
    assert torch.equal(found, expected)
    assert teacher.config.vocab_size == len(TOKENIZER.vocab)
    assert replace(fewer.config, vocab_size=teacher.config.vocab_size) == teacher.config
