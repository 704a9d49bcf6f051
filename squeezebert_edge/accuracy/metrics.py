"""The official metrics, computed by the libraries that everybody uses.

A metric's value comes from its library. The values of a bootstrap's 10,000 draws come from sums over
examples, which is fast; tests check that they equal the library's.
"""

from __future__ import annotations

import itertools
import math
import re
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from exporters.arrays import Array
from squeezebert_edge.accuracy.packages import import_package
from squeezebert_edge.tasks.heads import NO_ANSWER, UNANSWERED, Prediction, Target

Resampler = Callable[[Array], Array]  # (draws, examples) indices of examples -> (draws,) values of a metric


@dataclass(frozen=True)
class LabelledPredictions:
    """A model's predictions for labelled examples, and the right ones."""

    targets: Sequence[Target]
    predictions: Sequence[Prediction]

    @cached_property
    def labels(self) -> tuple[list[str], list[str]]:
        """The right and the predicted label of each example, where an example has one."""
        right = [target[0] for target in self.targets if isinstance(target, tuple)]
        return right, [prediction.decided[0] for prediction in self.predictions]

    @cached_property
    def numbers(self) -> tuple[Array, Array]:
        """The right and the predicted number of each example, of a regression."""
        predicted = [np.nan if found.value is None else found.value for found in self.predictions]
        return np.array(self.targets, np.float64), np.array(predicted)

    @cached_property
    def tags(self) -> tuple[list[list[str]], list[list[str]]]:
        """The right and the predicted tags of each sentence; both in IOB2 where their schemes may differ."""
        right = [_as_iobes(target) for target in self.targets if isinstance(target, tuple)]
        predicted = [_as_iobes(found.decided) for found in self.predictions]
        if _are_iob1(right) or _ends(right) != _ends(predicted):
            return [_as_iob2(tags) for tags in right], [_as_iob2(tags) for tags in predicted]
        return right, predicted

    @property
    def are_iob1_alone(self) -> bool:
        """Whether the predictions are of IOB1 and the right tags are not."""
        return _are_iob1(self.tags[1])

    @cached_property
    def squad_scores(self) -> Array:
        """(questions, 2): exact match and F1, from 0 to 1, of each question by torchmetrics' squad.

        Where both sides are nothing but articles and punctuation, SQuAD 1.1's script gives an F1 of 0. The
        script of 2.0 leaves such answers out, and gives 1 where neither side has an answer.
        """
        squad = import_package("torchmetrics.functional.text").squad
        unanswerable = (NO_ANSWER,) in self.targets
        scores = []
        for target, found in zip(self.targets, self.predictions, strict=True):
            accepted = target if isinstance(target, tuple) else ()
            if unanswerable:
                accepted = tuple(filter(_has_words, accepted)) or (NO_ANSWER,)
            prediction = {"id": "", "prediction_text": found.decided[0]}
            score = squad([prediction], [{"id": "", "answers": {"text": accepted, "answer_start": []}}])
            f1 = score["f1"].item() / 100 if unanswerable or _has_words(found.decided[0]) else 0.0
            scores.append([score["exact_match"].item() / 100, f1])
        return np.array(scores)


class Metric(ABC):
    """One number for how good predictions are.

    unit: points, of which there are 100 from 0 to 1, or nats for a loss.
    binary: whether each example is right or wrong, and the value the share that is right.
    """

    name: ClassVar[str]
    unit: ClassVar[Literal["points", "nats"]] = "points"
    higher_is_better: ClassVar[bool] = True
    binary: ClassVar[bool] = False

    @abstractmethod
    def value(self, labelled: LabelledPredictions) -> float:
        """The metric, from 0 to 1 (correlations from -1), or in nats."""

    @abstractmethod
    def summands(self, labelled: LabelledPredictions) -> Array:
        """(examples, m): what is added up over examples; of a binary metric one column, 1 where right."""

    def from_means(self, means: Array) -> Array:
        """(draws, m) means of the summands over examples -> (draws,) values of the metric."""
        return np.asarray(means[:, 0])

    def resampler(self, labelled: LabelledPredictions) -> Resampler:
        """A function that computes the metric for draws of the examples."""
        summands = self.summands(labelled)
        return lambda indices: self.from_means(_counts(indices) @ summands / len(summands))


def _counts(indices: Array) -> Array:
    """(draws, n) indices below n -> (draws, n): how often each was drawn."""
    draws, n = indices.shape
    flat = (indices + n * np.arange(draws)[:, None]).ravel()
    return np.bincount(flat, minlength=draws * n).reshape(draws, n).astype(np.float64)


class Accuracy(Metric):
    """The share of examples whose one decision is right (sklearn.metrics.accuracy_score)."""

    name, binary = "accuracy", True

    def value(self, labelled: LabelledPredictions) -> float:
        """The share that is right."""
        return float(import_package("sklearn.metrics").accuracy_score(*labelled.labels))

    def summands(self, labelled: LabelledPredictions) -> Array:
        """1 where the decision is right."""
        right = [true == predicted for true, predicted in zip(*labelled.labels, strict=True)]
        return np.array(right, np.float64)[:, None]


class BinaryF1(Metric):
    """The F1 of one class (sklearn.metrics.f1_score).

    Args:
        positive: that class.
    """

    name = "f1"

    def __init__(self, positive: str) -> None:
        self.positive = positive

    def value(self, labelled: LabelledPredictions) -> float:
        """2 TP / (2 TP + FP + FN); 0 where that is 0 / 0."""
        true, predicted = ([label == self.positive for label in side] for side in labelled.labels)
        return float(import_package("sklearn.metrics").f1_score(true, predicted, zero_division=0.0))

    def summands(self, labelled: LabelledPredictions) -> Array:
        """Whether the class is both true and predicted, is true, is predicted."""
        true, predicted = (np.array(side) == self.positive for side in labelled.labels)
        return np.stack([true & predicted, true, predicted], axis=1).astype(np.float64)

    def from_means(self, means: Array) -> Array:
        """The harmonic mean of precision and recall."""
        return _ratio(2 * means[:, 0], means[:, 1] + means[:, 2])


class Matthews(Metric):
    """Matthews' correlation of classes (sklearn.metrics.matthews_corrcoef)."""

    name = "matthews"

    def value(self, labelled: LabelledPredictions) -> float:
        """From -1 to 1; 0 where one side has a single class."""
        return float(import_package("sklearn.metrics").matthews_corrcoef(*labelled.labels))

    def summands(self, labelled: LabelledPredictions) -> Array:
        """Whether the example is right, then for each class whether it is true, then whether predicted."""
        classes = np.array(sorted({label for side in labelled.labels for label in side}))
        true, predicted = (np.array(side)[:, None] == classes for side in labelled.labels)
        right = (true & predicted).any(axis=1, keepdims=True)
        return np.concatenate([right, true, predicted], axis=1).astype(np.float64)

    def from_means(self, means: Array) -> Array:
        """Gorodkin's R_K over shares: (right - sum t p) / sqrt((1 - sum t^2)(1 - sum p^2))."""
        true, predicted = np.split(means[:, 1:], 2, axis=1)
        covariance = means[:, 0] - (true * predicted).sum(1)
        return _ratio(covariance, np.sqrt((1 - (true**2).sum(1)) * (1 - (predicted**2).sum(1))))


class Pearson(Metric):
    """The correlation of numbers (scipy.stats.pearsonr)."""

    name = "pearson"

    def value(self, labelled: LabelledPredictions) -> float:
        """From -1 to 1; NaN where one side is constant or not finite."""
        return _correlation("pearsonr", labelled)

    def summands(self, labelled: LabelledPredictions) -> Array:
        """First and second moments about the means."""
        x, y = (side - side.mean() for side in labelled.numbers)
        return np.stack([x, y, x * x, y * y, x * y], axis=1)

    def from_means(self, means: Array) -> Array:
        """The covariance over the standard deviations."""
        x, y, xx, yy, xy = means.T
        return _ratio(xy - x * y, np.sqrt(np.maximum(xx - x * x, 0) * np.maximum(yy - y * y, 0)))


class Spearman(Pearson):
    """The correlation of ranks (scipy.stats.spearmanr)."""

    name = "spearman"

    def value(self, labelled: LabelledPredictions) -> float:
        """From -1 to 1; NaN where one side is constant or not finite."""
        return _correlation("spearmanr", labelled)

    def resampler(self, labelled: LabelledPredictions) -> Resampler:
        """As in Metric; every draw is ranked anew."""
        rankdata, sides = import_package("scipy.stats").rankdata, labelled.numbers

        def of_draws(indices: Array) -> Array:
            x, y = (rankdata(side[indices], axis=1) - (indices.shape[1] + 1) / 2 for side in sides)
            return self.from_means(np.stack([v.mean(1) for v in (x, y, x * x, y * y, x * y)], axis=1))

        return of_draws


class TagAccuracy(Metric):
    """The share of words whose tag is right (seqeval.metrics.accuracy_score).

    Entities that begin otherwise in the file than in the model's scheme (IOB1 and IOB2, IOBES) are no errors.
    """

    name = "tag_accuracy"

    def value(self, labelled: LabelledPredictions) -> float:
        """Over all words; a word without an answer is wrong."""
        return float(import_package("seqeval.metrics").accuracy_score(*labelled.tags))

    def summands(self, labelled: LabelledPredictions) -> Array:
        """Right words, words."""
        pairs = zip(*labelled.tags, strict=True)
        return np.array([[sum(map(str.__eq__, true, found)), len(true)] for true, found in pairs], float)

    def from_means(self, means: Array) -> Array:
        """Right words over words."""
        return _ratio(means[:, 0], means[:, 1])


class EntityF1(Metric):
    """CoNLL's F1 of whole entities, micro-averaged (seqeval.metrics.f1_score).

    A word without an answer is in no entity.
    """

    name = "entity_f1"

    def value(self, labelled: LabelledPredictions) -> float:
        """From 0 to 1; 0 where there is no entity on either side."""
        true, predicted = self._sides(labelled)
        return float(
            import_package("seqeval.metrics").f1_score(true, predicted, average="micro", zero_division=0)
        )

    def summands(self, labelled: LabelledPredictions) -> Array:
        """How many entities are right, are true, are predicted."""
        pairs = [
            ({*_entities(true)}, {*_entities(predicted)})
            for true, predicted in zip(*self._sides(labelled), strict=True)
        ]
        return np.array(
            [[len(true & predicted), len(true), len(predicted)] for true, predicted in pairs], float
        )

    def from_means(self, means: Array) -> Array:
        """The harmonic mean of precision and recall."""
        return _ratio(2 * means[:, 0], means[:, 1] + means[:, 2])

    @staticmethod
    def _sides(labelled: LabelledPredictions) -> tuple[list[list[str]], list[list[str]]]:
        true, predicted = labelled.tags
        return true, [[tag if tag != UNANSWERED else "O" for tag in tags] for tags in predicted]


class ExactMatch(Metric):
    """SQuAD 1.1's exact match with an accepted answer (torchmetrics).

    Case, articles and punctuation do not count.
    """

    name, binary = "exact_match", True

    def value(self, labelled: LabelledPredictions) -> float:
        """The share of questions."""
        return float(labelled.squad_scores[:, 0].mean())

    def summands(self, labelled: LabelledPredictions) -> Array:
        """1 where the answer matches."""
        return labelled.squad_scores[:, :1]


class AnswerF1(Metric):
    """SQuAD 1.1's F1 of words, against the best of the accepted answers (torchmetrics)."""

    name = "answer_f1"

    def value(self, labelled: LabelledPredictions) -> float:
        """The mean over questions."""
        return float(labelled.squad_scores[:, 1].mean())

    def summands(self, labelled: LabelledPredictions) -> Array:
        """Each question's score."""
        return labelled.squad_scores[:, 1:]


class SeveralLabels(Metric):
    """Something about labels of which several may hold.

    Args:
        names: of the labels, in the order of a prediction's decisions.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = np.array(list(names))

    def holds(self, labelled: LabelledPredictions) -> tuple[Array, Array]:
        """Which labels truly hold and which are predicted to, (examples, labels) each."""
        true, predicted = (
            np.array(labelled.targets),
            np.array([each.decided for each in labelled.predictions]),
        )
        return np.asarray(true == self.names), np.asarray(predicted == self.names)

    def summands(self, labelled: LabelledPredictions) -> Array:
        """For each label whether it is both true and predicted, then whether true, then whether predicted."""
        true, predicted = self.holds(labelled)
        return np.concatenate([true & predicted, true, predicted], axis=1).astype(np.float64)

    def f1(self, labelled: LabelledPredictions, average: str) -> float:
        """scikit-learn's f1_score; 0 where it is 0 / 0."""
        score = import_package("sklearn.metrics").f1_score
        return float(score(*self.holds(labelled), average=average, zero_division=0.0))


class MicroF1(SeveralLabels):
    """The F1 of all labels of all examples together (sklearn.metrics.f1_score, average="micro")."""

    name = "micro_f1"

    def value(self, labelled: LabelledPredictions) -> float:
        """From 0 to 1."""
        return self.f1(labelled, "micro")

    def from_means(self, means: Array) -> Array:
        """The harmonic mean of precision and recall."""
        both, true, predicted = (part.sum(1) for part in np.split(means, 3, axis=1))
        return _ratio(2 * both, true + predicted)


class MacroF1(SeveralLabels):
    """The mean of each label's F1 (sklearn.metrics.f1_score, average="macro")."""

    name = "macro_f1"

    def value(self, labelled: LabelledPredictions) -> float:
        """From 0 to 1."""
        return self.f1(labelled, "macro")

    def from_means(self, means: Array) -> Array:
        """The mean of the harmonic means of precision and recall."""
        both, true, predicted = np.split(means, 3, axis=1)
        return np.asarray(_ratio(2 * both, true + predicted).mean(axis=1))


class AllLabels(SeveralLabels):
    """How often all labels of an example are right (sklearn.metrics.accuracy_score)."""

    name, binary = "exact_match", True

    def value(self, labelled: LabelledPredictions) -> float:
        """The share of examples."""
        return float(import_package("sklearn.metrics").accuracy_score(*self.holds(labelled)))

    def summands(self, labelled: LabelledPredictions) -> Array:
        """1 where they are."""
        true, predicted = self.holds(labelled)
        return np.asarray((true == predicted).all(axis=1, keepdims=True), np.float64)


class Loss(Metric):
    """The mean cross entropy of masked words, in nats."""

    name, unit, higher_is_better = "loss", "nats", False

    def value(self, labelled: LabelledPredictions) -> float:
        """The mean."""
        return float(self.summands(labelled).mean())

    def summands(self, labelled: LabelledPredictions) -> Array:
        """Each example's loss, as the task gives it."""
        return np.array([[np.nan if found.value is None else found.value] for found in labelled.predictions])


def _entities(tags: list[str]) -> list[tuple[str, int, int]]:
    """The entities of a sentence as seqeval finds them in any scheme: kind, first and last word."""
    found = import_package("seqeval.metrics.sequence_labeling").get_entities(tags)
    return [(str(kind), int(first), int(last)) for kind, first, last in found]


def _are_iob1(sentences: Sequence[Sequence[str]]) -> bool:
    """Whether entities begin with I-, and with B- only after one of their kind."""
    begins = [
        (tag[:2], before[2:] == tag[2:])
        for tags in sentences
        for before, tag in itertools.pairwise(["O", *tags])
        if tag[:2] in ("B-", "I-")
    ]
    return ("I-", False) in begins and ("B-", False) not in begins


def _ends(sentences: Sequence[Sequence[str]]) -> bool:
    """Whether the ends of entities are tagged too, as IOBES does."""
    return any(tag.startswith(("E-", "S-")) for tags in sentences for tag in tags)


_BILOU = {"U-": "S-", "L-": "E-"}


def _as_iobes(tags: Sequence[str]) -> list[str]:
    """Tags of BILOU by the names that IOBES has for them, which are those that seqeval knows."""
    return [_BILOU.get(tag[:2], tag[:2]) + tag[2:] for tag in tags]


def _as_iob2(tags: list[str]) -> list[str]:
    """The same entities in IOB2; a word without an answer stays one."""
    answered = [tag if tag != UNANSWERED else "O" for tag in tags]
    same = [tag if tag == UNANSWERED else "O" for tag in tags]
    for kind, first, last in _entities(answered):
        same[first : last + 1] = [f"B-{kind}", *[f"I-{kind}"] * (last - first)]
    return same


def _has_words(answer: str) -> bool:
    """Whether anything of an answer is left when SQuAD's scripts have dropped articles and punctuation."""
    bare = "".join(character for character in answer.lower() if character not in string.punctuation)
    return bool(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def _ratio(numerator: Array, denominator: Array) -> Array:
    """The quotient; 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _correlation(name: str, labelled: LabelledPredictions) -> float:
    true, predicted = labelled.numbers
    if not np.isfinite(predicted).all() or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return math.nan
    return float(getattr(import_package("scipy.stats"), name)(true, predicted).statistic)


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

OF_SEVERAL_LABELS: Mapping[str, type[SeveralLabels]] = {
    metric.name: metric for metric in (MicroF1, MacroF1, AllLabels)
}
