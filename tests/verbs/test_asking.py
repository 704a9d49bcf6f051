"""What the command line tells of a checkpoint and asks of a bundle, asked from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.errors import InputError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.model.complexity import count
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.inspect import describe_checkpoint
from squeezebert_edge.verbs.mixed import AccuracyGate, make_bundles
from squeezebert_edge.verbs.plan import Plan
from squeezebert_edge.verbs.predict import answer_examples, read_examples
from squeezebert_edge.verbs.sensitivity import rank_parts
from tests.kit.small import small_checkpoint

CHECKPOINT = small_checkpoint(num_hidden_layers=1, id2label={0: "bad", 1: "good"})
DATA = "sentence\tlabel\ngood film\tgood\nbad\tbad\nthe food is bad\tbad\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    plan = Plan([("executorch", "fp32")], (16,))
    (made,) = export_bundles(CHECKPOINT, plan, tmp_path_factory.mktemp("out"))
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "dev.tsv"
    path.write_text(DATA)
    return path


def test_lines_are_answered_as_the_bundle_answers_each(bundle: Bundle) -> None:
    lines = ["good film", "bad food\tgood"]
    answers = list(answer_examples(bundle, read_examples(bundle.task, lines, "texts")))
    assert answers == [bundle("good film"), bundle("bad food", "good")]


def test_lines_are_answered_as_they_come(bundle: Bundle) -> None:
    examples = read_examples(bundle.task, iter(["good", "a\tb\tc"]), "stdin")
    answers = answer_examples(bundle, examples)
    assert next(answers) == bundle("good")
    with pytest.raises(InputError, match="^stdin:2: "):
        next(answers)


def test_a_checkpoint_is_described() -> None:
    facts = describe_checkpoint(CHECKPOINT, 16)
    architecture = "SqueezeBertForSequenceClassification"
    assert (facts.architecture, facts.task, facts.labels) == (
        architecture,
        "text-classification",
        ["bad", "good"],
    )
    assert facts.vocabulary == len(CHECKPOINT.tokenizer.vocab)
    assert facts.parts == count(CHECKPOINT.config, 16, architecture)
    assert facts.total.parameters == sum(part.parameters for part in facts.parts)
    with pytest.raises(InputError):
        describe_checkpoint(CHECKPOINT, facts.longest + 1)


def test_parts_are_ranked_by_what_they_cost(data: Path) -> None:
    ranking = rank_parts(
        CHECKPOINT,
        data,
        "tflite",
        "int8",
        length=16,
        dataset="cola",
        limit=2,
    )
    assert (ranking.precision, ranking.metric, ranking.examples) == ("int8-dynamic", "matthews", 2)
    costs = [part.sqnr_db for part in ranking.parts]
    assert costs == sorted(costs)
    assert {"embeddings", "head"} <= {part.part for part in ranking.parts}


def test_parts_are_ranked_at_a_length_that_fits(data: Path) -> None:
    most = CHECKPOINT.config.max_position_embeddings
    assert most < 128
    assert rank_parts(CHECKPOINT, data, "tflite", "int8", limit=2).examples == 2
    with pytest.raises(InputError, match="length 128 is too long for the checkpoint"):
        rank_parts(CHECKPOINT, data, "tflite", "int8", length=128)


def test_bundles_with_and_without_a_gate(data: Path, tmp_path: Path) -> None:
    plan = Plan([("tflite", "int8")], (16,))
    ((free, nothing),) = make_bundles(CHECKPOINT, plan, tmp_path / "free")
    assert nothing is None
    gate = AccuracyGate(data, max_drop=100.0)
    ((gated, comparison),) = make_bundles(CHECKPOINT, plan, tmp_path / "gated", gate=gate)
    assert comparison is not None
    assert comparison.passes(gate.max_drop)
    assert comparison.examples == 3
    assert free.artifact.read_bytes() == gated.artifact.read_bytes()
