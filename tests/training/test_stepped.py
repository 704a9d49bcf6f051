"""Training for int4 leaves weights that int4 and int8 do not round, and a network that is as good."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from exporters.errors import InputError
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.checkpoint.ranges import read
from squeezebert_edge.forms.steps import is_on_steps
from squeezebert_edge.training.data import NO_LABEL, random_texts
from squeezebert_edge.training.layers import BatchNoise, prepare_for_training
from squeezebert_edge.training.stepped import compute_on_steps
from squeezebert_edge.training.teacher import load_teacher
from tests.kit.teachers import BATCH, MASK
from tests.kit.tiny import tiny_model
from tests.kit.trained import (
    CONFIG,
    TRAINING,
    fine_tune,
    run,
    same,
    stop_after,
    train_verb,
    write_tsv,
)

INT4 = replace(CONFIG, quantize="int4", learning_rate=1e-3, epochs=3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_it_writes_weights_on_steps_whose_accuracy_it_measured(tmp_path: Path, dtype: torch.dtype) -> None:
    result = fine_tune(tmp_path / "out", INT4, dtype=dtype)
    assert result.accuracy >= 0.95
    assert is_on_steps(load_checkpoint(tmp_path / "out").model)
    assert not is_on_steps(load_checkpoint(tmp_path / "float").model)
    assert read(tmp_path / "out") is None  # no ranges: those are of what weights are multiplied with


def test_every_parameter_learns_and_keeps_its_name() -> None:
    network = prepare_for_training(tiny_model(), BatchNoise(torch.device("cpu")), 0.0)
    names = {name for name, _ in network.named_parameters()}
    compute_on_steps(network)
    assert {name for name, _ in network.named_parameters()} == names
    network(BATCH.input_ids, MASK).logits.square().sum().backward()
    blind = [name for name, one in network.named_parameters() if one.grad is None or not one.grad.any()]
    assert all(name.endswith("key.bias") for name in blind)  # softmax does not see it


def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    fine_tune(tmp_path / "whole", INT4)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(tmp_path / "out", INT4, progress=stop_after(7))
    fine_tune(tmp_path / "out", INT4, resume=True)
    assert same(tmp_path / "whole", tmp_path / "out")


def test_random_texts_have_all_words_and_both_token_types_and_no_label() -> None:
    rows = random_texts(200, 30, 24, seed=1)
    assert rows == random_texts(200, 30, 24, seed=1) != random_texts(200, 30, 24, seed=2)
    assert {word for row in rows for word in row.ids} == set(range(30))
    assert all(set(row.token_types) == {0, 1} and row.label == NO_LABEL for row in rows)
    assert {len(row.ids) for row in rows} == set(range(4, 25))


def test_random_texts_are_learned_from_a_teacher(tmp_path: Path) -> None:
    run(tmp_path / "teacher")
    teacher = load_teacher(tmp_path / "teacher")
    config = replace(CONFIG, random_texts=50, epochs=1)
    result = run(tmp_path / "student", config, teacher=teacher)
    assert result.training_examples == len(TRAINING) + 50
    with pytest.raises(InputError, match="50 random texts, and no teacher to judge them"):
        run(tmp_path / "alone", config)


def test_the_verb_trains_for_int4(tmp_path: Path) -> None:
    data = write_tsv(tmp_path / "t.tsv", TRAINING)
    run(tmp_path / "float", CONFIG)
    arguments: tuple[Any, ...] = ("--quantize", "int4", "--max-length", "24", "--epochs", "1", "--json")
    arguments += ("--teacher", tmp_path / "float", "--random-texts", "20")
    done = train_verb(data, "--from", tmp_path / "float", "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.strip().split("\n")[-1])["accuracy"] >= 0.9
    assert is_on_steps(load_checkpoint(tmp_path / "out").model)
    done = train_verb(data, "--from", tmp_path / "float", "--out", tmp_path / "o", "--random-texts", "5")
    assert "options about a teacher are given, and no teacher" in str(done.exception)
