"""The gates see damage that a phone would run without complaint: each must fail the proof or the accuracy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import nn

from exporters.precision import (
    CALIBRATED_GATES,
    FLOAT16_GATES,
    FLOAT32_GATES,
    INT4_GATES,
    INT8_GATES,
    Gates,
)
from exporters.spec import Runner
from squeezebert_edge.accuracy.answers import RunnerAnswers, compare, reference_answers
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.proof.parity import choose_inputs, verify, walk_vocabulary
from squeezebert_edge.tasks.heads import TextClassification
from tests.kit.sentiment import sentiment
from tests.kit.small import TorchRunner

LENGTHS = (32, 64)
SENTENCES = TextClassification().built_in_examples("sentences.tsv")
INT8 = INT8_GATES


@pytest.fixture(scope="module")
def loaded() -> Checkpoint:
    return sentiment()


def zero_a_head(model: nn.Module) -> None:
    attention = model.base_model.encoder.layers[1].attention
    attention.value.weight[: attention.head_width] = 0
    attention.value.bias[: attention.head_width] = 0


def drop_a_bias(model: nn.Module) -> None:
    model.base_model.encoder.layers[0].attention.query.bias.zero_()


def round_to_six_bits(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Linear | nn.Embedding):
            rows = module.weight.flatten(1)
            scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-9) / 31
            module.weight.copy_(((rows / scale).round() * scale).view_as(module.weight))


def swap_labels(model: nn.Module) -> None:
    model.classifier.weight.copy_(model.classifier.weight.flip(0))
    model.classifier.bias.copy_(model.classifier.bias.flip(0))


class MaskIgnored:
    """A runner that attends to padding."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.inputs, self.outputs, self.lengths = runner.inputs, runner.outputs, runner.lengths
        self.computed_by = runner.computed_by

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.runner({**inputs, "attention_mask": np.ones_like(inputs["attention_mask"])})


def runner_of(
    loaded: Checkpoint,
    damage: Callable[[nn.Module], None] | None = None,
    lengths: tuple[int, ...] = LENGTHS,
) -> Runner:
    model = copy.deepcopy(loaded.model)
    if damage:
        with torch.no_grad():
            damage(model)
    return TorchRunner(model, TextClassification, lengths)


def test_what_is_sound_passes(loaded: Checkpoint) -> None:
    assert verify(loaded, task_of(loaded), runner_of(loaded), INT8).status == "verified"


@pytest.mark.parametrize("damage", [zero_a_head, drop_a_bias, round_to_six_bits, swap_labels])
def test_damaged_weights_fail_the_proof(loaded: Checkpoint, damage: Callable[[nn.Module], None]) -> None:
    found = verify(loaded, task_of(loaded), runner_of(loaded, damage), INT8)
    assert found.status == "failed"
    assert any("SQNR" in failure for failure in found.failures)


def test_a_mask_that_is_ignored_fails_the_proof(loaded: Checkpoint) -> None:
    found = verify(loaded, task_of(loaded), MaskIgnored(runner_of(loaded)), INT8)
    assert any("padding leaves an SQNR" in failure for failure in found.failures)


@pytest.mark.parametrize("wrap", [MaskIgnored, None], ids=["mask ignored", "labels swapped"])
def test_damage_fails_the_accuracy(loaded: Checkpoint, wrap: Callable[[Runner], Runner] | None) -> None:
    reference = reference_answers(loaded, SENTENCES, max_length=LENGTHS[-1])
    sound = RunnerAnswers(reference.data, loaded.tokenizer, runner_of(loaded), LENGTHS)
    assert compare(reference, sound).passes(0.0)
    runner = wrap(runner_of(loaded)) if wrap else runner_of(loaded, swap_labels)
    damaged = RunnerAnswers(reference.data, loaded.tokenizer, runner, LENGTHS)
    assert not compare(reference, damaged).passes(0.3)


@pytest.mark.parametrize("gates", [FLOAT32_GATES, FLOAT16_GATES, INT8_GATES, CALIBRATED_GATES, INT4_GATES])
def test_rows_of_the_table_that_no_text_touches_are_seen(loaded: Checkpoint, gates: Gates) -> None:
    task = task_of(loaded)
    inputs = choose_inputs(task, loaded.tokenizer, LENGTHS, task.built_in_examples())
    touched = sorted({word for item in inputs for encoding in item.encodings for word in encoding.ids})

    def zero_the_rest(model: nn.Module) -> None:
        table = model.base_model.embeddings.word_embeddings.weight
        kept = table[touched].clone()
        table.zero_()
        table[touched] = kept

    found = verify(loaded, task, runner_of(loaded, zero_the_rest), gates)
    assert found.status == "failed"
    assert all("from all over the vocabulary" in failure for failure in found.failures)


@pytest.mark.parametrize("word", [400, 1000])
def test_one_row_is_seen_in_float(loaded: Checkpoint, word: int) -> None:
    def zero_one(model: nn.Module) -> None:
        model.base_model.embeddings.word_embeddings.weight[word] = 0

    runner = runner_of(loaded, zero_one, (32, 128))
    assert verify(loaded, task_of(loaded), runner, FLOAT32_GATES).status == "failed"


@pytest.mark.parametrize(("words", "length", "most"), [(94, 64, 64), (8000, 128, 64), (30_528, 512, 64)])
def test_a_walk_has_every_word_and_both_types_at_every_position(words: int, length: int, most: int) -> None:
    rows = list(walk_vocabulary(words, length, most))
    assert len(rows) <= most
    assert {word for row in rows for word in row["input_ids"].flat} == set(range(words))
    types = np.concatenate([row["token_type_ids"] for row in rows])
    assert (types.min(0) == 0).all()
    assert (types.max(0) == 1).all()


def test_a_walk_over_more_words_than_fit_is_spread_over_all_of_them() -> None:
    walked = np.concatenate([row["input_ids"] for row in walk_vocabulary(30_528, 128, 64)]).flatten()
    assert len(walked) == 64 * 128
    assert (walked[0], walked[-1]) == (0, 30_527)
    assert np.diff(walked).max() <= 4
