"""The official metrics, computed by the libraries that everybody uses, and GLUE's choice of them.

A metric's value comes from its library. Its 10,000 resampled values, for a bootstrap, come from sums over
examples, which the tests hold to the library's.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from exporters.errors import InputError
from squeezebert_edge.extras import imported
from squeezebert_edge.tasks import UNANSWERED, Prediction, Target, Task

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
Resampled = Callable[[Array], Array]


@dataclass(frozen=True)
class Answers:
    """What a model said of every example, and what was right."""

    targets: Sequence[Target]
    predictions: Sequence[Prediction]

    @cached_property
    def wanted(self) -> list[str]:
        """The right one of each example that has one decision."""
        return [target[0] for target in self.targets if isinstance(target, tuple)]

    @cached_property
    def given(self) -> list[str]:
        """The decision of each example that has one."""
        return [prediction.decided[0] for prediction in self.predictions]

    @cached_property
    def numbers(self) -> tuple[Array, Array]:
        """The right numbers and the predicted ones."""
        predicted = [np.nan if found.value is None else found.value for found in self.predictions]
        return np.array(self.targets, np.float64), np.array(predicted)


class Metric(ABC):
    """One number for how good the answers are.

    unit: points, of which there are 100 from 0 to 1, or nats for a loss.
    binary: whether each example is right or wrong and the value is the share that is right.
    """

    name: ClassVar[str]
    unit: ClassVar[Literal["points", "nats"]] = "points"
    higher_is_better: ClassVar[bool] = True
    binary: ClassVar[bool] = False

    @abstractmethod
    def value(self, answers: Answers) -> float:
        """The metric, from 0 to 1 (correlations from -1), or in nats."""

    @abstractmethod
    def summands(self, answers: Answers) -> Array:
        """(examples, m): what is added up over examples; of a binary metric one column, 1 where right."""

    def of_sums(self, sums: Array) -> Array:
        """(draws, m) means of the summands over examples -> (draws,) values of the metric."""
        return np.asarray(sums[:, 0])

    def resampled(self, answers: Answers) -> Resampled:
        """A function of (draws, examples) indices that gives the (draws,) values over those examples."""
        summands = self.summands(answers)
        return lambda indices: self.of_sums(_counts(indices) @ summands / len(summands))


def _counts(indices: Array) -> Array:
    """(draws, n) indices below n -> (draws, n): how often each was drawn."""
    draws, n = indices.shape
    flat = (indices + n * np.arange(draws)[:, None]).ravel()
    return np.bincount(flat, minlength=draws * n).reshape(draws, n).astype(np.float64)


class Accuracy(Metric):
    """The share of examples whose one decision is right (sklearn.metrics.accuracy_score)."""

    name, binary = "accuracy", True

    def value(self, answers: Answers) -> float:
        """The share that is right."""
        return float(imported("sklearn.metrics").accuracy_score(answers.wanted, answers.given))

    def summands(self, answers: Answers) -> Array:
        """1 where the decision is right."""
        right = [wanted == given for wanted, given in zip(answers.wanted, answers.given, strict=True)]
        return np.array(right, np.float64)[:, None]


class BinaryF1(Metric):
    """The F1 of one class (sklearn.metrics.f1_score).

    Args:
        positive: that class.
    """

    name = "f1"

    def __init__(self, positive: str) -> None:
        self.positive = positive

    def value(self, answers: Answers) -> float:
        """2 TP / (2 TP + FP + FN); 0 where that is 0 / 0."""
        wanted, given = (
            [label == self.positive for label in side] for side in (answers.wanted, answers.given)
        )
        return float(imported("sklearn.metrics").f1_score(wanted, given, zero_division=0.0))

    def summands(self, answers: Answers) -> Array:
        """Wanted and given, wanted, given."""
        wanted = np.array(answers.wanted) == self.positive
        given = np.array(answers.given) == self.positive
        return np.stack([wanted & given, wanted, given], axis=1).astype(np.float64)

    def of_sums(self, sums: Array) -> Array:
        """The harmonic mean of precision and recall."""
        return _ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


class Matthews(Metric):
    """Matthews' correlation of classes (sklearn.metrics.matthews_corrcoef)."""

    name = "matthews"

    def value(self, answers: Answers) -> float:
        """From -1 to 1; 0 where one side names a single class."""
        return float(imported("sklearn.metrics").matthews_corrcoef(answers.wanted, answers.given))

    def summands(self, answers: Answers) -> Array:
        """Right or not, then each class wanted or not, then each given or not."""
        classes = np.array(sorted({*answers.wanted, *answers.given}))
        wanted, given = (np.array(side)[:, None] == classes for side in (answers.wanted, answers.given))
        right = (wanted & given).any(axis=1, keepdims=True)
        return np.concatenate([right, wanted, given], axis=1).astype(np.float64)

    def of_sums(self, sums: Array) -> Array:
        """Gorodkin's R_K over shares: (right - sum w g) / sqrt((1 - sum w^2)(1 - sum g^2))."""
        wanted, given = np.split(sums[:, 1:], 2, axis=1)
        covariance = sums[:, 0] - (wanted * given).sum(1)
        return _ratio(covariance, np.sqrt((1 - (wanted**2).sum(1)) * (1 - (given**2).sum(1))))


class Pearson(Metric):
    """The correlation of numbers (scipy.stats.pearsonr)."""

    name = "pearson"

    def value(self, answers: Answers) -> float:
        """From -1 to 1; not a number where one side is constant or not finite."""
        return _correlation("pearsonr", answers)

    def summands(self, answers: Answers) -> Array:
        """First and second moments about the means."""
        x, y = (side - side.mean() for side in answers.numbers)
        return np.stack([x, y, x * x, y * y, x * y], axis=1)

    def of_sums(self, sums: Array) -> Array:
        """The covariance over the standard deviations."""
        x, y, xx, yy, xy = sums.T
        return _ratio(xy - x * y, np.sqrt(np.maximum(xx - x * x, 0) * np.maximum(yy - y * y, 0)))


class Spearman(Pearson):
    """The correlation of ranks (scipy.stats.spearmanr)."""

    name = "spearman"

    def value(self, answers: Answers) -> float:
        """From -1 to 1; not a number where one side is constant or not finite."""
        return _correlation("spearmanr", answers)

    def resampled(self, answers: Answers) -> Resampled:
        """Every draw is ranked anew."""
        rankdata, sides = imported("scipy.stats").rankdata, answers.numbers

        def of_draws(indices: Array) -> Array:
            x, y = (rankdata(side[indices], axis=1) - (indices.shape[1] + 1) / 2 for side in sides)
            return self.of_sums(np.stack([v.mean(1) for v in (x, y, x * x, y * y, x * y)], axis=1))

        return of_draws


class TagAccuracy(Metric):
    """The share of words whose tag is right (seqeval.metrics.accuracy_score)."""

    name = "tag_accuracy"

    def value(self, answers: Answers) -> float:
        """Over all words; a word without an answer is wrong."""
        given = [list(found.decided) for found in answers.predictions]
        return float(imported("seqeval.metrics").accuracy_score(list(map(list, _tags(answers))), given))

    def summands(self, answers: Answers) -> Array:
        """Right words, words."""
        pairs = zip(_tags(answers), answers.predictions, strict=True)
        return np.array(
            [[sum(map(str.__eq__, tags, found.decided)), len(tags)] for tags, found in pairs], float
        )

    def of_sums(self, sums: Array) -> Array:
        """Right words over words."""
        return _ratio(sums[:, 0], sums[:, 1])


class EntityF1(Metric):
    """CoNLL's F1 of whole entities, micro-averaged (seqeval.metrics.f1_score).

    A word without an answer is in no entity."""

    name = "entity_f1"

    def value(self, answers: Answers) -> float:
        """From 0 to 1; 0 where there is no entity on either side."""
        wanted, given = self._sides(answers)
        return float(imported("seqeval.metrics").f1_score(wanted, given, average="micro", zero_division=0))

    def summands(self, answers: Answers) -> Array:
        """Entities found, entities wanted, entities given."""
        entities = imported("seqeval.metrics.sequence_labeling").get_entities
        pairs = [
            ({*entities(wanted)}, {*entities(given)})
            for wanted, given in zip(*self._sides(answers), strict=True)
        ]
        return np.array([[len(wanted & given), len(wanted), len(given)] for wanted, given in pairs], float)

    def of_sums(self, sums: Array) -> Array:
        """The harmonic mean of precision and recall."""
        return _ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])

    @staticmethod
    def _sides(answers: Answers) -> tuple[list[list[str]], list[list[str]]]:
        given = [
            [tag if tag != UNANSWERED else "O" for tag in found.decided] for found in answers.predictions
        ]
        return [list(tags) for tags in _tags(answers)], given


class AnswerF1(Metric):
    """SQuAD 1.1's F1 of words, against the best of the accepted answers (torchmetrics' squad)."""

    name = "answer_f1"
    key: ClassVar[str] = "f1"

    def value(self, answers: Answers) -> float:
        """The mean over questions."""
        return float(self.summands(answers).mean())

    def summands(self, answers: Answers) -> Array:
        """Each question's score."""
        squad = imported("torchmetrics.functional.text").squad
        scores = []
        for accepted, found in zip(answers.targets, answers.predictions, strict=True):
            prediction = {"id": "", "prediction_text": found.decided[0]}
            target = {"id": "", "answers": {"text": accepted, "answer_start": []}}
            scores.append(squad([prediction], [target])[self.key].item() / 100)
        return np.array(scores)[:, None]


class ExactMatch(AnswerF1):
    """SQuAD 1.1's exact match with any accepted answer, case, articles and punctuation aside."""

    name, key, binary = "exact_match", "exact_match", True


class Loss(Metric):
    """The mean cross entropy of masked words, in nats."""

    name, unit, higher_is_better = "loss", "nats", False

    def value(self, answers: Answers) -> float:
        """The mean."""
        return float(self.summands(answers).mean())

    def summands(self, answers: Answers) -> Array:
        """Each example's loss, as the task gives it."""
        return np.array([[np.nan if found.value is None else found.value] for found in answers.predictions])


def _tags(answers: Answers) -> list[tuple[str, ...]]:
    return [target for target in answers.targets if isinstance(target, tuple)]


def _ratio(numerator: Array, denominator: Array) -> Array:
    """The quotient; 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _correlation(name: str, answers: Answers) -> float:
    wanted, given = answers.numbers
    constant = not np.isfinite(given).all() or np.ptp(given) == 0 or np.ptp(wanted) == 0
    return (
        float("nan") if constant else float(getattr(imported("scipy.stats"), name)(wanted, given).statistic)
    )


METRICS: Mapping[str, type[Metric]] = {
    metric.name: metric
    for metric in (
        Accuracy,
        BinaryF1,
        Matthews,
        Pearson,
        Spearman,
        TagAccuracy,
        EntityF1,
        ExactMatch,
        AnswerF1,
        Loss,
    )
}


@dataclass(frozen=True)
class Preset:
    """What a well-known data set is scored by.

    metrics: the one that gates comes first.
    labels: names of the file's classes in the order of the original's outputs; empty where they are numbers.
    """

    task: str
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()


# GLUE's metrics: Wang et al. 2019, table 1. The order of labels is that of the processors which
# squeezebert's own checkpoints were trained with (transformers, data/processors/glue.py).
PRESETS: Mapping[str, Preset] = {
    "sst2": Preset("text-classification", ("accuracy",)),
    "mrpc": Preset("text-classification", ("accuracy", "f1")),
    "qqp": Preset("text-classification", ("accuracy", "f1")),
    "cola": Preset("text-classification", ("matthews",)),
    "stsb": Preset("text-classification", ("pearson", "spearman")),
    "mnli": Preset("text-classification", ("accuracy",), ("contradiction", "entailment", "neutral")),
    "qnli": Preset("text-classification", ("accuracy",), ("entailment", "not_entailment")),
    "rte": Preset("text-classification", ("accuracy",), ("entailment", "not_entailment")),
    "wnli": Preset("text-classification", ("accuracy",)),
    "squad": Preset("question-answering", ("exact_match", "answer_f1")),
    "conll": Preset("token-classification", ("entity_f1", "tag_accuracy")),
    "swag": Preset("multiple-choice", ("accuracy",)),
    "codah": Preset("multiple-choice", ("accuracy",)),
}


def installed() -> bool:
    """Whether the packages that metrics take are here."""
    return all(importlib.util.find_spec(name) for name in ("sklearn", "scipy", "seqeval", "torchmetrics"))


def scored_as(task: Task, name: str | None, labels: Sequence[str] | None = None) -> tuple[Task, list[Metric]]:
    """The task with the file's labels, and its metrics, the one that gates first.

    Args:
        task: a checkpoint's or a bundle's.
        name: a preset or a head's name; None is the head of `task`.
        labels: the file's names for the task's outputs, in their order; by default the task's own, or the
            preset's where the task knows none of those.

    Raises:
        InputError: no such name, another head's, one that has no metric, or the wrong number of labels.
    """
    preset = PRESETS.get(name or task.name, Preset(name or task.name, task.metrics))
    if preset.task != task.name:
        mine = [key for key, value in PRESETS.items() if value.task == task.name]
        raise InputError(f"task {name} with a head for {task.name}", allowed=", ".join([*mine, task.name]))
    if not task.metrics:
        kind = task.problem_type or "features"
        raise InputError(f"{task.name} ({kind}) has no accuracy", hint="leave out --data")
    number_wanted = preset.metrics[0] in ("pearson", "spearman")
    if number_wanted != (task.problem_type == "regression") or not _fits(preset, task):
        raise InputError(
            f"task {name} ({', '.join(preset.metrics)}) with this head",
            allowed=f"{task.name}: {', '.join(task.metrics)}",
        )
    if labels is None and preset.labels and not {*preset.labels} & {*task.labels}:
        labels = preset.labels
    if labels is not None:
        task = _relabelled(task, labels)
    return task, [_metric(metric, task) for metric in preset.metrics]


def _fits(preset: Preset, task: Task) -> bool:
    """Whether entities are asked of a head whose tags are entities'."""
    return "entity_f1" not in preset.metrics or "entity_f1" in task.metrics


def _relabelled(task: Task, labels: Sequence[str]) -> Task:
    if not task.labels or len(labels) != len(task.labels) or len({*labels}) != len(labels):
        allowed = f"{len(task.labels)} different names, one for each of {', '.join(task.labels)}"
        raise InputError(
            f"labels {', '.join(labels)}", allowed=allowed if task.labels else f"none for {task.name}"
        )
    return type(task)(labels, task.problem_type)


def _metric(name: str, task: Task) -> Metric:
    if name == "f1":
        return BinaryF1(task.labels[task.label_index("1")])
    return METRICS[name]()
