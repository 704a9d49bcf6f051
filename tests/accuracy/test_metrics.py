"""Metrics equal the official ones on the same predictions, and so do their resampled values."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats
from seqeval import metrics as seqeval
from sklearn import metrics as sklearn

from exporters.errors import InputError
from squeezebert_edge.accuracy import metrics
from squeezebert_edge.accuracy.metrics import LabelledPredictions, Metric
from squeezebert_edge.tasks.heads import UNANSWERED, Prediction

RANDOM = np.random.default_rng(0)
DRAWS = RANDOM.integers(0, 60, (20, 60))
TAGS = ("O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def classes(names: Sequence[str], agree: float = 0.6) -> LabelledPredictions:
    wanted = RANDOM.choice(names, 60)
    given = np.where(RANDOM.random(60) < agree, wanted, RANDOM.choice(names, 60))
    return LabelledPredictions(
        [(str(name),) for name in wanted], [Prediction((str(name),)) for name in given]
    )


def numbers() -> LabelledPredictions:
    wanted = RANDOM.integers(0, 6, 60).astype(float)  # with ties, as STS-B's have
    return LabelledPredictions(
        wanted.tolist(), [Prediction((), float(v)) for v in wanted + RANDOM.normal(size=60)]
    )


def several() -> LabelledPredictions:
    held = RANDOM.random((60, 3)) < (0.5, 0.3, 0.05)
    given = held ^ (RANDOM.random((60, 3)) < 0.2)

    def decided(row: np.ndarray) -> tuple[str, ...]:
        return tuple(name if holds else f"not {name}" for name, holds in zip("abc", row, strict=True))

    return LabelledPredictions([decided(row) for row in held], [Prediction(decided(row)) for row in given])


def tagged() -> LabelledPredictions:
    targets, predictions = [], []
    for length in RANDOM.integers(1, 12, 60):
        wanted = RANDOM.choice(TAGS, length)
        given = np.where(RANDOM.random(length) < 0.7, wanted, RANDOM.choice(TAGS, length))
        targets.append(tuple(map(str, wanted)))
        predictions.append(Prediction(tuple(map(str, given))))
    return LabelledPredictions(targets, predictions)


TEXTS = ("The cat", "a cat!", "cat sat", "sat on the mat", "mat", "dog", "Cat, on a mat", "")
TWO, THREE, NUMBERS, TAGGED = classes(("no", "yes")), classes(("a", "b", "c")), numbers(), tagged()
SEVERAL = several()
QUESTIONS = LabelledPredictions(
    [tuple(map(str, RANDOM.choice(TEXTS[:-1], RANDOM.integers(1, 4)))) for _ in range(60)],
    [Prediction((str(text),)) for text in RANDOM.choice(TEXTS, 60)],
)
LOSSES = LabelledPredictions(
    [("w",)] * 60, [Prediction(("w",), float(loss)) for loss in RANDOM.exponential(size=60)]
)


def of(answers: LabelledPredictions, indices: Sequence[int]) -> LabelledPredictions:
    return LabelledPredictions(
        [answers.targets[i] for i in indices], [answers.predictions[i] for i in indices]
    )


def sides(answers: LabelledPredictions) -> tuple[list[Any], list[Any]]:
    return [list(target) for target in answers.targets], [
        list(prediction.decided) for prediction in answers.predictions
    ]


def flat(answers: LabelledPredictions) -> tuple[list[str], list[str]]:
    return [target[0] for target in answers.targets], [
        prediction.decided[0] for prediction in answers.predictions
    ]


def held(answers: LabelledPredictions) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = (np.array(side) for side in sides(answers))
    return true == ["a", "b", "c"], predicted == ["a", "b", "c"]


def correlated(answers: LabelledPredictions, correlation: Callable[..., Any]) -> float:
    return float(correlation(answers.targets, [prediction.value for prediction in answers.predictions])[0])


def normalized(text: str) -> list[str]:
    """The words of an answer as SQuAD's evaluate-v1.1.py compares them."""
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def official_f1(given: str, accepted: str) -> float:
    given_words, accepted_words = normalized(given), normalized(accepted)
    same = sum((Counter(given_words) & Counter(accepted_words)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(given_words), same / len(accepted_words)
    return 2 * precision * recall / (precision + recall)


def official(answers: LabelledPredictions, score: Callable[[str, str], float]) -> float:
    pairs = zip(answers.targets, answers.predictions, strict=True)
    return float(
        np.mean(
            [max(score(prediction.decided[0], text) for text in accepted) for accepted, prediction in pairs]
        )
    )


CASES: dict[str, tuple[Metric, LabelledPredictions, Callable[[LabelledPredictions], float]]] = {
    "accuracy": (metrics.Accuracy(), THREE, lambda a: sklearn.accuracy_score(*flat(a))),
    "f1": (metrics.BinaryF1("yes"), TWO, lambda a: sklearn.f1_score(*flat(a), pos_label="yes")),
    "matthews": (metrics.Matthews(), TWO, lambda a: sklearn.matthews_corrcoef(*flat(a))),
    "matthews of three": (metrics.Matthews(), THREE, lambda a: sklearn.matthews_corrcoef(*flat(a))),
    "micro f1": (metrics.MicroF1("abc"), SEVERAL, lambda a: sklearn.f1_score(*held(a), average="micro")),
    "macro f1": (metrics.MacroF1("abc"), SEVERAL, lambda a: sklearn.f1_score(*held(a), average="macro")),
    "all labels": (metrics.AllLabels("abc"), SEVERAL, lambda a: sklearn.accuracy_score(*held(a))),
    "pearson": (metrics.Pearson(), NUMBERS, lambda a: correlated(a, stats.pearsonr)),
    "spearman": (metrics.Spearman(), NUMBERS, lambda a: correlated(a, stats.spearmanr)),
    "entity f1": (metrics.EntityF1(), TAGGED, lambda a: seqeval.f1_score(*sides(a))),
    "tag accuracy": (metrics.TagAccuracy(), TAGGED, lambda a: seqeval.accuracy_score(*sides(a))),
    "exact match": (
        metrics.ExactMatch(),
        QUESTIONS,
        lambda a: official(a, lambda given, text: float(normalized(given) == normalized(text))),
    ),
    "answer f1": (metrics.AnswerF1(), QUESTIONS, lambda a: official(a, official_f1)),
    "loss": (
        metrics.Loss(),
        LOSSES,
        lambda a: float(np.mean([prediction.value for prediction in a.predictions])),
    ),
}


IOB1 = [("I-PER", "I-PER", "O", "I-LOC", "B-LOC"), ("O", "I-PER", "I-ORG")]
IOB2 = [("B-PER", "I-PER", "O", "B-LOC", "B-LOC"), ("O", "B-PER", "B-ORG")]
IOBES = [("B-PER", "E-PER", "O", "S-LOC", "S-LOC"), ("O", "S-PER", "S-ORG")]
BILOU = [("B-PER", "L-PER", "O", "U-LOC", "U-LOC"), ("O", "U-PER", "U-ORG")]


@pytest.mark.parametrize("right", [IOB1, IOB2, IOBES, BILOU])
@pytest.mark.parametrize("given", [IOB1, IOB2, IOBES, BILOU])
def test_tags_are_compared_in_one_scheme(right: list[Any], given: list[Any]) -> None:
    if (
        right == IOB2 and given == IOB1
    ):  # a model that begins entities wrongly, in a file that shows how it is done
        assert metrics.TagAccuracy().value(answered(right, given)) == 4 / 8
        assert answered(right, given).are_iob1_alone
        return
    assert not answered(right, given).are_iob1_alone
    assert metrics.TagAccuracy().value(answered(right, given)) == 1.0
    assert metrics.EntityF1().value(answered(right, given)) == 1.0
    lost = [(UNANSWERED, *given[0][1:]), given[1]]
    assert metrics.TagAccuracy().value(answered(right, lost)) < 1.0


def answered(right: Sequence[Any], given: Sequence[Any]) -> LabelledPredictions:
    return LabelledPredictions(right, [Prediction(decided) for decided in given])


def test_squad_s_f1_of_answers_that_normalize_to_nothing() -> None:
    """As evaluate-v1.1.py has it, which finds no common word, and evaluate-v2.0.py, which has a rule."""
    first = answered([("The", "a"), ("a dog",)], [("the",), ("dog",)])
    assert first.squad_scores.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    second = answered([("The", "a"), ("",), ("",), ("the", "dog")], [("an",), ("",), ("cat",), ("the",)])
    assert second.squad_scores.tolist() == [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("case", CASES)
def test_a_metric_equals_the_official_one(case: str) -> None:
    metric, answers, expected = CASES[case]
    assert metric.value(answers) == pytest.approx(expected(answers), abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_resampled_values_are_those_of_the_resampled_examples(case: str) -> None:
    metric, answers, expected = CASES[case]
    found = metric.resampler(answers)(DRAWS)
    np.testing.assert_allclose(found, [expected(of(answers, draw)) for draw in DRAWS.tolist()], atol=1e-6)


@pytest.mark.parametrize("answer", ["the", "...", ""])
def test_an_answer_of_articles_and_punctuation_alone(answer: str) -> None:
    answers = LabelledPredictions([("cat",)], [Prediction((answer,))])
    assert metrics.ExactMatch().value(answers) == metrics.AnswerF1().value(answers) == 0.0


def test_a_word_without_an_answer_is_wrong_and_in_no_entity() -> None:
    answers = LabelledPredictions([("B-PER", "O")], [Prediction(("B-PER", UNANSWERED))])
    assert metrics.EntityF1().value(answers) == 1.0
    assert metrics.TagAccuracy().value(answers) == 0.5


def test_correlations_with_what_never_changes_are_no_numbers() -> None:
    constant = LabelledPredictions([1.0, 2.0], [Prediction((), 3.0)] * 2)
    broken = LabelledPredictions([1.0, 2.0], [Prediction((), float("nan"))] * 2)
    for answers in (constant, broken):
        assert np.isnan(metrics.Pearson().value(answers))
        assert np.isnan(metrics.Spearman().value(answers))


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.metrics", None)
    with pytest.raises(InputError, match=r"needs sklearn.*\n.*squeezebert-edge\[evaluate\]"):
        metrics.Accuracy().value(TWO)
