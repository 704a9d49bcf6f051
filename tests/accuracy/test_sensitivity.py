"""What each part's quantization costs, and the fewest parts that have to stay float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from exporters.errors import InputError
from squeezebert_edge.accuracy.answers import BatchedAnswers, RunnerAnswers, compare, reference_answers
from squeezebert_edge.accuracy.parts import PartCost
from squeezebert_edge.accuracy.sensitivity import Sensitivity, fewest_in_float
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms.calibration import Calibration
from squeezebert_edge.forms.calibration import read as read_calibration
from squeezebert_edge.tasks.heads import TextClassification
from squeezebert_edge.verbs import mixed
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.planted import with_outliers
from tests.kit.sentiment import sentiment

SENTENCES = TextClassification().built_in_examples("sentences.tsv")[:64]


@pytest.fixture(scope="module")
def loaded() -> Checkpoint:
    return sentiment()


@pytest.fixture(scope="module")
def reference(loaded: Checkpoint) -> BatchedAnswers:
    return reference_answers(loaded, SENTENCES, max_length=32)


def text(loaded: Checkpoint) -> Calibration:
    return read_calibration(None, task_of(loaded), loaded.tokenizer, samples=64, max_length=32)


def test_the_costliest_part_comes_first(loaded: Checkpoint, reference: BatchedAnswers) -> None:
    costs = Sensitivity(loaded, reference, "tflite", "int4").rank()
    parts = [cost.part for cost in costs]
    layers = loaded.config.num_hidden_layers
    products = ("qkv", "post_attention", "intermediate", "output")
    assert set(parts) == {
        "embeddings", "head", *(f"layers.{n}.{product}" for n in range(layers) for product in products)
    }  # fmt: skip
    assert [cost.sqnr_db for cost in costs] == sorted(cost.sqnr_db for cost in costs)
    assert costs[0].sqnr_db < 40


def test_nothing_quantized_costs_nothing(loaded: Checkpoint, reference: BatchedAnswers) -> None:
    sensitivity = Sensitivity(loaded, reference, "tflite", "int4")
    assert sensitivity.measure([]).sqnr_db > 100
    assert sensitivity.measure(["head"]).sqnr_db > sensitivity.measure(sensitivity.parts).sqnr_db


@pytest.mark.parametrize("exact", ["int8-dynamic", "int8-static", "int4"])
def test_what_torch_predicts_the_runtime_shows(
    tmp_path: Path, loaded: Checkpoint, reference: BatchedAnswers, exact: str
) -> None:
    calibration = text(loaded)
    sensitivity = Sensitivity(loaded, reference, "tflite", exact, calibration)
    predicted = sensitivity.measure(sensitivity.parts)
    plan = Plan([("tflite", exact)], (32,), calibration=calibration)
    (bundle,) = export_bundles(loaded, plan, tmp_path)
    answers = RunnerAnswers(reference.data, loaded.tokenizer, bundle.load_runner(), (32,))
    shown = compare(reference, answers)
    assert shown.sqnr_db == pytest.approx(predicted.sqnr_db, abs=1.5)


def test_planted_outliers_cost_nothing_more(loaded: Checkpoint, reference: BatchedAnswers) -> None:
    planted = replace(loaded, model=with_outliers(loaded.model))
    calibration = text(loaded)
    costs = []
    for checkpoint in (loaded, planted):
        sensitivity = Sensitivity(checkpoint, reference, "tflite", "int8-static", calibration)
        costs.append(sensitivity.measure(sensitivity.parts).sqnr_db)
    assert costs[1] > 30
    assert costs[1] == pytest.approx(costs[0], abs=3)


def test_a_pair_that_quantizes_nothing_is_refused(loaded: Checkpoint, reference: BatchedAnswers) -> None:
    with pytest.raises(InputError, match="fp16 quantizes nothing in tflite"):
        Sensitivity(loaded, reference, "tflite", "fp16")


class Counted:
    """Parts of which two must stay float to lose no more than a point."""

    parts = ("a", "b", "c", "d")

    def rank(self, progress: Any) -> list[PartCost]:
        return [PartCost(part, 10.0 * number, 0.0) for number, part in enumerate(("c", "a", "d", "b"))]

    def measure(self, quantized: Sequence[str], progress: Any = None) -> Any:
        drop = 2.0 * ("c" in quantized) + 1.5 * ("a" in quantized)
        return SimpleNamespace(passes=lambda most: drop <= most)


@pytest.mark.parametrize(
    ("max_drop", "kept"), [(4.0, ()), (1.5, ("c",)), (1.0, ("c", "a"))], ids=["none", "one", "two"]
)
def test_the_fewest_parts_stay_float(max_drop: float, kept: tuple[str, ...]) -> None:
    assert next(fewest_in_float(cast("Sensitivity", Counted()), max_drop)) == kept


def test_an_export_keeps_parts_until_the_gate_is_met(
    tmp_path: Path, loaded: Checkpoint, reference: BatchedAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = [("head",), ("head", "layers.0")]
    monkeypatch.setattr(mixed, "fewest_in_float", lambda *_: iter(tried))
    monkeypatch.setattr(
        "squeezebert_edge.accuracy.paired.AccuracyComparison.passes", lambda self, most: self.sqnr_db > most
    )
    plan = Plan([("tflite", "int8")], (32,))
    ((bundle, comparison),) = mixed.export_within(loaded, plan, tmp_path, reference, -100.0)
    assert bundle.manifest.precision.kept_float == ["head"]
    better = list(
        mixed.export_within(loaded, plan, tmp_path, reference, comparison.sqnr_db + 0.01, force=True)
    )
    assert better[0][0].manifest.precision.kept_float == ["head", "layers.0"]
    with pytest.raises(InputError, match="exists"):
        next(mixed.export_within(loaded, plan, tmp_path, reference, 0.3))
