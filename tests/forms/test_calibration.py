"""Calibration text: what is taken from it, and what is said when it may not do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from exporters.errors import InputError
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms import calibration
from squeezebert_edge.verbs.plan import Plan, add_calibration
from tests.kit.small import small_checkpoint

CHECKPOINT = small_checkpoint()
TASK = task_of(CHECKPOINT)


def read(path: Path | None, samples: int = 200, max_length: int = 32) -> calibration.Calibration:
    return calibration.read(path, TASK, CHECKPOINT.tokenizer, samples=samples, max_length=max_length)


def written(directory: Path, texts: list[str]) -> Path:
    path = directory / "texts.txt"
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_rows_have_no_padding_and_are_cut(tmp_path: Path) -> None:
    path = written(tmp_path, ["good", "a film of food " * 20])
    found = read(path)
    assert [row["input_ids"].shape for row in found.rows] == [(1, 3), (1, 32)]
    assert all(row["attention_mask"].all() for row in found.rows)
    assert found.source == "texts.txt"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_long_file_is_sampled_from_end_to_end(tmp_path: Path) -> None:
    path = written(tmp_path, ["a " * (number % 7 + 1) for number in range(1000)])
    assert len(read(path, samples=150).rows) == 150


def test_a_labelled_file_serves(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("sentence\tlabel\ngood film\t1\nbad\t0\n", encoding="utf-8")
    assert len(read(path).rows) == 2


def test_few_texts_or_texts_of_one_length_are_doubted(tmp_path: Path) -> None:
    few = read(written(tmp_path, ["good", "bad film"])).warnings
    assert any("fewer than 100" in warning for warning in few)
    alike = read(written(tmp_path, ["good film"] * 120)).warnings
    assert alike == ("every calibration text has 4 tokens: real ones differ in length",)
    assert read(written(tmp_path, ["a " * (n % 5 + 1) for n in range(120)])).warnings == ()


def test_built_in_samples_are_said_to_be_so() -> None:
    found = read(None)
    assert found.source == calibration.BUILT_IN
    assert any("not on your data" in warning for warning in found.warnings)


def test_blank_lines_are_no_texts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        read(written(tmp_path, [" ", "\t"]))


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes("schön".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read(path)


def test_a_file_that_no_precision_needs_is_refused(tmp_path: Path) -> None:
    plan = Plan([("tflite", "int8-dynamic")], (32,))
    assert add_calibration(plan, CHECKPOINT, None, 10) == plan
    with pytest.raises(InputError, match="no precision asked for is calibrated"):
        add_calibration(plan, CHECKPOINT, tmp_path / "texts.txt", 10)
