"""A classifier trained by one call, as the command line trains it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporters.errors import InputError
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.training.config import default_learning_rate
from squeezebert_edge.verbs.train import Scratch, train_classifier
from tests.kit.trained import CONFIG, SIZE, TRAINING, VALIDATION, write_tsv


def test_from_scratch_then_from_that_checkpoint(tmp_path: Path) -> None:
    data, dev = write_tsv(tmp_path / "t.tsv", TRAINING), write_tsv(tmp_path / "d.tsv", VALIDATION)
    stages: list[str] = []
    first = train_classifier(
        data,
        tmp_path / "first",
        CONFIG,
        start=Scratch(SIZE, vocab_size=200),
        validation=dev,
        labels=["sad", "happy"],
        progress=lambda stage, done, total: stages.append(stage),
    )
    assert first.validation_examples == len(VALIDATION)
    assert stages[0] == f"reading {data}"
    loaded = load_checkpoint(first.directory)
    assert loaded.config.id2label == {0: "sad", 1: "happy"}
    rate = default_learning_rate(fine_tuning=True, quantize=None)
    once = replace(CONFIG, epochs=1, learning_rate=rate)
    second = train_classifier(data, tmp_path / "second", once, start=str(tmp_path / "first"))
    assert load_checkpoint(second.directory).tokenizer.vocab == loaded.tokenizer.vocab
    given = Scratch(SIZE, vocab=tmp_path / "first" / "vocab.txt", cased=True)
    third = train_classifier(data, tmp_path / "third", once, start=given)
    assert load_checkpoint(third.directory).tokenizer.vocab == loaded.tokenizer.vocab


def test_rows_that_say_they_have_no_label_are_left_out(tmp_path: Path) -> None:
    rows = [*TRAINING, replace(TRAINING[0], label="-"), replace(TRAINING[1], label="-1")]
    data, lines = write_tsv(tmp_path / "t.tsv", rows), list[str]()
    once = replace(CONFIG, epochs=1)
    found = train_classifier(
        data, tmp_path / "out", once, start=Scratch(SIZE, vocab_size=200), log=lines.append
    )
    assert found.training_examples + found.validation_examples == len(TRAINING)
    assert lines[0] == f"{data}: 2 of {len(rows)} examples have no label (- or -1): left out"
    assert load_checkpoint(found.directory).config.id2label == {0: "0", 1: "1"}


def test_what_contradicts_itself_is_refused_before_the_data_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="both --vocab and --vocab-size"):
        Scratch(vocab=tmp_path / "vocab.txt", vocab_size=100)
    with pytest.raises(InputError, match="a network from scratch cannot be trained for int8"):
        train_classifier(tmp_path / "absent.tsv", tmp_path / "out", replace(CONFIG, quantize="int8"))


def test_the_learning_rate_depends_on_what_is_trained() -> None:
    rates = [
        default_learning_rate(fine_tuning=fine_tuning, quantize=quantize)
        for fine_tuning, quantize in ((False, None), (True, None), (True, "int8"))
    ]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == 3
