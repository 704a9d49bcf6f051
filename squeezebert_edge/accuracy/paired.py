"""The answers of two sides to the same examples: their metrics, the difference, and its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from exporters.arrays import Array
from exporters.errors import InputError
from squeezebert_edge.accuracy.labelled import LabelledData
from squeezebert_edge.accuracy.metrics import LabelledPredictions, Metric
from squeezebert_edge.accuracy.statistics import bootstrap_interval, mcnemar_p, tango_interval
from squeezebert_edge.accuracy.trust import doubts
from squeezebert_edge.plumbing.reading import first_error
from squeezebert_edge.proof.comparison import Comparison
from squeezebert_edge.tasks.heads import Prediction


@dataclass(frozen=True)
class Answer:
    """A model's answer to one example, and its outputs, flat, by name."""

    prediction: Prediction
    outputs: Mapping[str, Array]


def _check_alike(reference: Sequence[str], artifact: Sequence[str]) -> None:
    if len(reference) != len(artifact):
        raise ValueError(f"the two sides decide {len(reference)} and {len(artifact)} things")


def _largest_total(sums: Comparison) -> float:
    """What so many numbers can add up to with such squares (Cauchy and Schwarz), and their rounding."""
    return (1 + 1e-6) * math.sqrt(sums.count) * math.sqrt(max(sums.total_square, 0.0))


@dataclass(frozen=True)
class Pair:
    """The answers of both sides to one example, and by output how far apart the two are."""

    reference: Prediction
    artifact: Prediction
    noise: Mapping[str, Comparison]

    def __post_init__(self) -> None:
        _check_alike(self.reference.decided, self.artifact.decided)
        if not self.noise or any(sums.count < 1 for sums in self.noise.values()):
            raise ValueError("noise: sums over no number at all")
        if any(abs(sums.total) > _largest_total(sums) for sums in self.noise.values()):
            raise ValueError("noise: a sum larger than its squares allow")

    @classmethod
    def of(cls, reference: Answer, artifact: Answer) -> Pair:
        """Compare two answers to the same example."""
        noise = {name: Comparison() for name in reference.outputs}
        for name, output in artifact.outputs.items():
            noise[name].add(reference.outputs[name], output)
        return cls(reference.prediction, artifact.prediction, noise)

    def to_json(self) -> dict[str, Any]:
        """Every field by its name, for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Pair:
        """A pair read back from what `to_json` gave.

        Raises:
            InputError: it is no such pair.
        """
        try:
            return TypeAdapter(cls).validate_python(value)
        except ValidationError as error:
            raise InputError(
                f"a kept answer is not as expected: {first_error(error)}", hint="start again without --resume"
            ) from None


@dataclass(frozen=True)
class MetricComparison:
    """One metric on both sides.

    reference, artifact: its values, from 0 to 1 (correlations from -1), or in nats for a loss.
    difference: artifact minus reference, in `unit`: percentage points, or nats.
    low, high: the difference's 95% interval, in `unit`.
    method: how the interval is computed: Tango's score interval, or a paired bootstrap.
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
        """How much worse the artifact is, in `unit`; NaN if its metric is."""
        return -self.difference if self.higher_is_better else self.difference

    @property
    def clearly_worse(self) -> bool:
        """Whether the whole interval is on the worse side."""
        return self.high < 0 if self.higher_is_better else self.low > 0


@dataclass(frozen=True)
class Flip:
    """An example on which the two sides decide differently. Of tagged words, all tags are given.

    index: its place among the examples, from 0.
    where: its place in the file.
    """

    index: int
    where: str
    text: str
    pair: str | None
    choices: tuple[str, ...]
    label: tuple[str, ...]
    reference: tuple[str, ...]
    artifact: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_alike(self.reference, self.artifact)


@dataclass(frozen=True)
class AccuracyComparison:
    """An artifact beside its float reference on the same labelled examples.

    metrics: the first one gates.
    truncated: how many examples were longer than the longest length, and so were cut on both sides.
    mcnemar_p: McNemar's exact p for the first metric; None if that does not count right and wrong answers.
    agreement: share of equal top-1 decisions; None for a regression.
    sqnr_db: variance of the reference's outputs over the mean squared error, in dB, of the worst output.
    max_abs_error: the largest difference of any output; None if an output was not finite.
    warnings: reasons not to trust the numbers.
    unlabelled: how many more were left out, their label saying that there is none.
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
    unlabelled: int = 0

    def passes(self, max_drop: float) -> bool:
        """Whether the first metric lost at most `max_drop` percentage points; NaN never passes."""
        return self.metrics[0].drop <= max_drop + 1e-9

    def to_json(self) -> dict[str, Any]:
        """Every field by its name, for JSON; a number that is not finite becomes None."""
        fields: dict[str, Any] = _without_infinities(asdict(self))
        return fields

    def summary(self) -> dict[str, Any]:
        """The same with the flips counted."""
        return {**self.to_json(), "flips": len(self.flips)}


def compare_pairs(data: LabelledData, pairs: Sequence[Pair]) -> AccuracyComparison:
    """Compare both sides over all examples.

    Args:
        pairs: one for each of the data's examples, in their order.
    """
    reference = LabelledPredictions(data.targets, [pair.reference for pair in pairs])
    artifact = LabelledPredictions(data.targets, [pair.artifact for pair in pairs])
    equal = [
        one == other
        for pair in pairs
        for one, other in zip(pair.reference.decided, pair.artifact.decided, strict=True)
    ]
    noise: dict[str, Comparison] = {}
    for pair in pairs:
        for name, sums in pair.noise.items():
            noise.setdefault(name, Comparison()).merge(sums)
    gate = data.metrics[0]
    max_error = max(sums.max_error for sums in noise.values())
    return AccuracyComparison(
        task=data.task.name,
        examples=len(pairs),
        truncated=data.truncated,
        metrics=tuple(_compare_metric(metric, reference, artifact) for metric in data.metrics),
        mcnemar_p=mcnemar_p(*_count_changes(gate, reference, artifact)) if gate.binary else None,
        agreement=float(np.mean(equal)) if equal else None,
        sqnr_db=min(sums.sqnr_db for sums in noise.values()),
        max_abs_error=max_error if math.isfinite(max_error) else None,
        flips=tuple(_flips(data, pairs)),
        warnings=tuple(doubts(data.task, data.examples, reference, gate)),
        unlabelled=data.unlabelled,
    )


def _compare_metric(
    metric: Metric, reference: LabelledPredictions, artifact: LabelledPredictions
) -> MetricComparison:
    n, scale = len(artifact.targets), 100 if metric.unit == "points" else 1
    before, after = metric.value(reference), metric.value(artifact)
    if metric.binary:
        low, high = tango_interval(*_count_changes(metric, reference, artifact), n)
    elif math.isfinite(before) and math.isfinite(after):
        first, second = metric.resampler(reference), metric.resampler(artifact)
        low, high = bootstrap_interval(lambda indices: second(indices) - first(indices), n)
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


def _count_changes(
    metric: Metric, reference: LabelledPredictions, artifact: LabelledPredictions
) -> tuple[int, int]:
    """How many examples only the artifact has right, and how many only the reference has."""
    before, after = (metric.summands(side)[:, 0] > 0.5 for side in (reference, artifact))
    return int((after & ~before).sum()), int((before & ~after).sum())


def _flips(data: LabelledData, pairs: Sequence[Pair]) -> Iterator[Flip]:
    for index, (example, target, pair) in enumerate(zip(data.examples, data.targets, pairs, strict=True)):
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
