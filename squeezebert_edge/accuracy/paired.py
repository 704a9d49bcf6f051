"""What two answers to every example say: metrics on both sides, their difference and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from squeezebert_edge.accuracy.metrics import Answers, Metric
from squeezebert_edge.accuracy.statistics import bootstrap_interval, mcnemar_p, tango_interval
from squeezebert_edge.accuracy.trust import doubts
from squeezebert_edge.proof.comparison import Comparison
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import Prediction, Target, Task


@dataclass(frozen=True)
class Pair:
    """One example on both sides: the answers, and how far apart the outputs are."""

    reference: Prediction
    artifact: Prediction
    noise: Mapping[str, Comparison]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Pair:
        """What `asdict` made of a pair, read back from JSON."""
        reference, artifact = (
            Prediction(tuple(value[side]["decided"]), value[side]["value"])
            for side in ("reference", "artifact")
        )
        return cls(reference, artifact, {name: Comparison(**sums) for name, sums in value["noise"].items()})


@dataclass(frozen=True)
class MetricComparison:
    """One metric on both sides.

    reference, artifact: its values, from 0 to 1 (correlations from -1), or in nats for a loss.
    difference: artifact less reference, in `unit`: percentage points, or nats.
    low, high: the difference's 95% interval, in `unit`.
    method: of the interval: Tango's score interval, or a paired bootstrap.
    """

    name: str
    unit: Literal["points", "nats"]
    reference: float
    artifact: float
    difference: float
    low: float
    high: float
    method: Literal["tango", "bootstrap"]
    higher_is_better: bool

    @property
    def drop(self) -> float:
        """How much worse the artifact is, in `unit`; not a number if it gave none."""
        return -self.difference if self.higher_is_better else self.difference


@dataclass(frozen=True)
class Flip:
    """An example on which the two sides decide differently; of tagged words, all tags are given.

    index: its place among the examples, from 0; `where`: its place in the file.
    """

    index: int
    where: str
    text: str
    pair: str | None
    choices: tuple[str, ...]
    label: tuple[str, ...]
    reference: tuple[str, ...]
    artifact: tuple[str, ...]


@dataclass(frozen=True)
class AccuracyComparison:
    """An artifact beside its float reference on the same labelled examples.

    metrics: the one that gates first.
    truncated: examples that are longer than the longest length, and so were cut on both sides.
    mcnemar_p: McNemar's exact p for the first metric where it counts right and wrong; null elsewhere.
    agreement: share of equal top-1 decisions; null for a regression.
    sqnr_db: variance of the reference's outputs over the mean squared error, in dB, of the worst output.
    max_abs_error: the largest difference of any output; null if one was no number.
    warnings: reasons not to trust the numbers.
    """

    task: str
    examples: int
    truncated: int
    metrics: tuple[MetricComparison, ...]
    mcnemar_p: float | None
    agreement: float | None
    sqnr_db: float
    max_abs_error: float | None
    flips: tuple[Flip, ...]
    warnings: tuple[str, ...]

    def passes(self, max_drop: float) -> bool:
        """Whether the first metric lost at most `max_drop` percentage points."""
        return self.metrics[0].drop <= max_drop + 1e-9  # a value that is no number passes nothing

    def to_json(self) -> dict[str, Any]:
        """Every field by its name, for JSON; what is no finite number is null."""
        found: dict[str, Any] = _without_infinities(asdict(self))
        return found


def compared(
    task: Task,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    targets: Sequence[Target],
    pairs: Sequence[Pair],
    truncated: int,
) -> AccuracyComparison:
    """What the pairs of answers say; all sequences but `metrics` are by example, in the same order."""
    expected = Answers(targets, [pair.reference for pair in pairs])
    found = Answers(targets, [pair.artifact for pair in pairs])
    equal = [
        one == other
        for pair in pairs
        for one, other in zip(pair.reference.decided, pair.artifact.decided, strict=True)
    ]
    noise: dict[str, Comparison] = {}
    for pair in pairs:
        for name, sums in pair.noise.items():
            noise.setdefault(name, Comparison()).merge(sums)
    gate = metrics[0]
    largest = max(sums.max_error for sums in noise.values())
    return AccuracyComparison(
        task=task.name,
        examples=len(pairs),
        truncated=truncated,
        metrics=tuple(_metric(metric, expected, found) for metric in metrics),
        mcnemar_p=mcnemar_p(*_changed(gate, expected, found)) if gate.binary else None,
        agreement=float(np.mean(equal)) if equal else None,
        sqnr_db=min(sums.sqnr_db for sums in noise.values()),
        max_abs_error=largest if math.isfinite(largest) else None,
        flips=tuple(_flips(examples, targets, pairs)),
        warnings=tuple(doubts(task, examples, expected, gate)),
    )


def _metric(metric: Metric, expected: Answers, found: Answers) -> MetricComparison:
    scale = 100 if metric.unit == "points" else 1
    before, after = metric.value(expected), metric.value(found)
    if metric.binary:
        low, high = tango_interval(*_changed(metric, expected, found), len(found.targets))
    elif math.isfinite(before) and math.isfinite(after):
        first, second = metric.resampled(expected), metric.resampled(found)
        low, high = bootstrap_interval(lambda indices: second(indices) - first(indices), len(found.targets))
    else:
        low = high = math.nan
    return MetricComparison(
        metric.name,
        metric.unit,
        before,
        after,
        scale * (after - before),
        scale * low,
        scale * high,
        "tango" if metric.binary else "bootstrap",
        metric.higher_is_better,
    )


def _changed(metric: Metric, expected: Answers, found: Answers) -> tuple[int, int]:
    """Examples that only the artifact, and that only the reference, has right."""
    before, after = (metric.summands(side)[:, 0] > 0.5 for side in (expected, found))
    return int((after & ~before).sum()), int((before & ~after).sum())


def _flips(examples: Sequence[Example], targets: Sequence[Target], pairs: Sequence[Pair]) -> Iterator[Flip]:
    for index, (example, target, pair) in enumerate(zip(examples, targets, pairs, strict=True)):
        if pair.reference.decided != pair.artifact.decided:
            yield Flip(
                index,
                example.where,
                example.text,
                example.pair,
                example.choices,
                target if isinstance(target, tuple) else (str(target),),
                pair.reference.decided,
                pair.artifact.decided,
            )


def _without_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_infinities(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_infinities(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
