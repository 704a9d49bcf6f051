"""The official metrics, computed by the libraries that everybody uses.

A metric's value comes from its library. Its 10,000 resampled values, for a bootstrap, come from sums over
examples, which the tests hold to the library's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from exporters.arrays import Array
from squeezebert_edge.accuracy.packages import import_package
from squeezebert_edge.tasks.heads import UNANSWERED, Prediction, Target

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

    @cached_property
    def squad(self) -> Array:
        """(questions, 2): exact match and F1, 0 to 1, of each question by torchmetrics' squad."""
        squad = import_package("torchmetrics.functional.text").squad
        scores = []
        for accepted, found in zip(self.targets, self.predictions, strict=True):
            prediction = {"id": "", "prediction_text": found.decided[0]}
            score = squad([prediction], [{"id": "", "answers": {"text": accepted, "answer_start": []}}])
            scores.append([score["exact_match"].item() / 100, score["f1"].item() / 100])
        return np.array(scores)


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
        return float(import_package("sklearn.metrics").accuracy_score(answers.wanted, answers.given))

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
        return float(import_package("sklearn.metrics").f1_score(wanted, given, zero_division=0.0))

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
        return float(import_package("sklearn.metrics").matthews_corrcoef(answers.wanted, answers.given))

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
        rankdata, sides = import_package("scipy.stats").rankdata, answers.numbers

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
        return float(import_package("seqeval.metrics").accuracy_score(list(map(list, _tags(answers))), given))

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
        return float(
            import_package("seqeval.metrics").f1_score(wanted, given, average="micro", zero_division=0)
        )

    def summands(self, answers: Answers) -> Array:
        """Entities found, entities wanted, entities given."""
        entities = import_package("seqeval.metrics.sequence_labeling").get_entities
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


class ExactMatch(Metric):
    """SQuAD 1.1's exact match with an accepted answer (torchmetrics); case, articles, punctuation aside."""

    name, binary = "exact_match", True

    def value(self, answers: Answers) -> float:
        """The share of questions."""
        return float(answers.squad[:, 0].mean())

    def summands(self, answers: Answers) -> Array:
        """1 where the answer matches."""
        return answers.squad[:, :1]


class AnswerF1(Metric):
    """SQuAD 1.1's F1 of words, against the best of the accepted answers (torchmetrics)."""

    name = "answer_f1"

    def value(self, answers: Answers) -> float:
        """The mean over questions."""
        return float(answers.squad[:, 1].mean())

    def summands(self, answers: Answers) -> Array:
        """Each question's score."""
        return answers.squad[:, 1:]


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
        float("nan")
        if constant
        else float(getattr(import_package("scipy.stats"), name)(wanted, given).statistic)
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
