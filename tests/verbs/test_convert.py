"""A BERT becomes a SqueezeBERT that answers as it does, also after interruptions."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from exporters.errors import InputError
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.cli.commands import app
from squeezebert_edge.training.config import CONVERSION
from squeezebert_edge.training.state import state_path
from squeezebert_edge.verbs.convert import ConversionResult, StudentShape, convert_bert
from tests.kit.berts import random_bert, save_bert, trained_bert
from tests.kit.teachers import another
from tests.kit.trained import (
    TRAINING,
    VALIDATION,
    in_two_processes,
    opinions,
    same,
    stop_after,
    weights,
    write_tsv,
)

CONFIG = replace(CONVERSION, epochs=3, batch_size=16, max_length=24, learning_rate=2e-3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT, its data, and texts without labels."""
    directory = tmp_path_factory.mktemp("convert")
    save_bert(trained_bert(), directory / "bert")
    write_tsv(directory / "train.tsv", TRAINING)
    write_tsv(directory / "dev.tsv", VALIDATION)
    texts = [example.text for example in opinions(30, seed=2)]
    (directory / "texts.txt").write_text("\n".join([*texts, "", ""]))
    return directory


def convert(place: Path, out: Path, config: Any = CONFIG, **options: Any) -> ConversionResult:
    shape = options.pop("shape", StudentShape())
    arguments = {"validation": place / "dev.tsv", "text": place / "texts.txt"} | options
    source = arguments.pop("source", place / "bert")
    data = arguments.pop("data", place / "train.tsv")
    result = convert_bert(source, data, out, config, shape, **arguments)
    assert result is not None
    return result


@pytest.fixture(scope="module")
def made(place: Path) -> ConversionResult:
    return convert(place, place / "student", shape=StudentShape(vocabulary=90))


def test_the_student_answers_as_its_teacher_for_less(place: Path, made: ConversionResult) -> None:
    metric = made.accuracy.metrics[0]
    assert metric.reference == 1.0
    assert metric.artifact >= 0.9
    assert made.accuracy.agreement >= 0.9
    assert made.training.training_examples == len(TRAINING) + 30
    assert made.student.parameters < made.teacher.parameters
    assert made.student.gflop < 0.5 * made.teacher.gflop
    assert made.student.latency_ms > 0
    assert (made.teacher.layers, made.student.layers, made.student.words) == (2, 2, 90)
    loaded = load_checkpoint(made.directory)
    assert loaded.config.id2label == {0: "negative", 1: "positive"}
    assert len(loaded.tokenizer.vocab) == loaded.config.vocab_size == 90
    assert not state_path(place / "student").exists()
    json.dumps(made.to_json(), allow_nan=False)


def test_an_interrupted_conversion_continues_to_the_same_student(
    place: Path, made: ConversionResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, shape, lines = place / "again", StudentShape(vocabulary=90), list[str]()
    with pytest.raises(KeyboardInterrupt):
        convert(place, out, shape=shape, progress=stop_after(5))
    assert not out.exists()
    monkeypatch.setattr("squeezebert_edge.training.run.SECONDS_BETWEEN_STATES", 0)

    def die(stage: str, done: int, total: int) -> None:
        if stage.startswith("epoch 2"):
            raise MemoryError  # which, as a kill, leaves no time to write anything

    with pytest.raises(MemoryError):
        convert(place, out, shape=shape, progress=die, log=lines.append)
    assert "resumed after step 6 of 36" in lines
    with pytest.raises(InputError, match="(?s)other settings:.*epochs: 4, was 3.*--force"):
        convert(place, out, replace(CONFIG, epochs=4), shape=shape)
    with pytest.raises(InputError, match="starting weights"):
        convert(place, out, shape=StudentShape(vocabulary=90, layers=1))
    with monkeypatch.context() as broken:
        broken.setattr("squeezebert_edge.verbs.convert._measure", die)
        with pytest.raises(TypeError):  # after the student is written
            convert(place, out, shape=shape, log=lines.append)
    assert "resumed after step 12 of 36" in lines
    assert same(out, made.directory)
    found = convert(place, out, shape=shape, log=lines.append)
    assert "resumed after step 36 of 36" in lines
    assert same(out, made.directory)
    assert found.accuracy == made.accuracy
    assert not state_path(out).exists()


def test_what_cannot_be_converted_is_refused(place: Path, made: ConversionResult, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="exists"):
        convert(place, made.directory)
    with pytest.raises(InputError, match="model_type is .distilbert"):
        convert(place, out, source=another(tmp_path / "distil", "distilbert"))
    tagger = save_bert(random_bert("AutoModelForTokenClassification"), tmp_path / "tagger")
    with pytest.raises(
        InputError, match="is a BertForTokenClassification.*\nallowed: a BERT that chooses one"
    ):
        convert(place, out, source=tagger)
    for shape, problem in {
        StudentShape(
            groups=3
        ): "3 groups do not divide the teacher's width 32.*\nallowed: --groups 1 or 2 or 4",
        StudentShape(layers=3): "3 layers\nallowed: 1 to the teacher's 2",
        StudentShape(vocabulary=5): "cannot be cut from these",
    }.items():
        with pytest.raises(InputError, match=problem):
            convert(place, out, shape=shape)
    other = write_tsv(
        tmp_path / "other.tsv", [replace(each, label=f"sort {each.label}") for each in TRAINING]
    )
    with pytest.raises(InputError, match="(?s)other.tsv.*--labels A,B,... gives the file's names"):
        convert(place, out, data=other)
    with pytest.raises(InputError, match="--labels has 3 names, the teacher 2 classes"):
        convert(place, out, labels=["a", "b", "c"])
    assert not out.exists()


def test_the_command_renames_classes_and_prints_a_table(place: Path, tmp_path: Path) -> None:
    data, dev = (
        write_tsv(
            tmp_path / name, [replace(each, label=("bad", "good")[int(each.label)]) for each in examples]
        )
        for name, examples in (("t.tsv", TRAINING), ("d.tsv", VALIDATION))
    )
    out = tmp_path / "out"
    words = (
        f"convert {place / 'bert'} --data {data} --dev {dev} --out {out} --labels bad,good --layers 1 --half"
    )
    schedule = "--epochs 1 --batch-size 16 --max-length 24 --lr 2e-3"
    done = CliRunner().invoke(app, f"{words} {schedule}".split())
    assert done.exit_code == 0, done.output
    for expected in ("teacher", "student", "student / teacher", "GFLOP at 24", "agreement"):
        assert expected in done.output
    assert load_checkpoint(out).config.id2label == {0: "bad", 1: "good"}
    assert load_checkpoint(out).config.num_hidden_layers == 1


def test_a_full_disk_is_said_and_the_conversion_continues(
    place: Path, made: ConversionResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, shape = place / "full", StudentShape(vocabulary=90)
    with monkeypatch.context() as full:
        states = iter(range(2))

        def replace_or_fail(source: Path, target: Path) -> None:
            if next(states, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            os.rename(source, target)

        full.setattr("squeezebert_edge.plumbing.staging.os.replace", replace_or_fail)
        with pytest.raises(InputError, match="(?s)full.*No space left on device.*free space"):
            convert(place, out, shape=shape)
    lines: list[str] = []
    convert(place, out, shape=shape, log=lines.append)
    assert "resumed after step 24 of 36" in lines
    assert same(out, made.directory)


def test_two_processes_make_the_same_student(place: Path, made: ConversionResult) -> None:
    script = """
import sys
from pathlib import Path
from squeezebert_edge.verbs.convert import StudentShape
from tests.verbs.test_convert import CONFIG
from squeezebert_edge.verbs.convert import convert_bert
place = Path(sys.argv[1])
shape = StudentShape(vocabulary=90)
result = convert_bert(place / "bert", place / "train.tsv", place / "both", CONFIG, shape,
                      validation=place / "dev.tsv", text=place / "texts.txt")
if result is not None:
    print("accuracy", result.accuracy.metrics[0].artifact)
"""
    done = in_two_processes(script, place, str(place))
    assert done.stdout.count("accuracy") == 1
    own, other = weights(place / "both"), weights(made.directory)
    assert all(torch.allclose(own[name], other[name], atol=5e-3) for name in other)
