"""How outputs become answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from exporters.errors import InputError
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import (
    NO_ANSWER,
    TASKS,
    UNANSWERED,
    FillMask,
    MultipleChoice,
    Prediction,
    QuestionAnswering,
    Row,
    Task,
    TextClassification,
    TokenClassification,
)
from squeezebert_edge.text.tokenizer import Tokenizer
from tests.kit.small import VOCABULARY

TOKENIZER = Tokenizer(VOCABULARY)


def rows(
    task: Task, example: Example, outputs: list[Mapping[str, np.ndarray]], max_length: int = 64
) -> list[Row]:
    encodings = task.encode(example, TOKENIZER, max_length, 4)
    return [task.row(encoding, values) for encoding, values in zip(encodings, outputs, strict=True)]


def test_a_class_by_its_name_and_probability() -> None:
    task = TextClassification(["negative", "positive"])
    example = Example("good film", label="positive")
    asked = rows(task, example, [{"logits": np.array([[0.0, np.log(3.0)]])}])
    answer = task.answer(example, asked, TOKENIZER)
    assert answer["label"] == "positive"
    assert answer["score"] == pytest.approx(0.75)
    assert answer["scores"] == pytest.approx({"negative": 0.25, "positive": 0.75})
    assert task.predict(example, asked, TOKENIZER).decided == ("positive",)
    assert task.target(example, TOKENIZER) == task.target(Example("", label=1), TOKENIZER) == ("positive",)


def test_labels_of_a_file_are_names_or_numbers() -> None:
    task = TextClassification(["no", "yes"])
    assert [task.label_index(label) for label in ("yes", "0", 1)] == [1, 0, 1]
    for unknown in ("maybe", "2", "-1", None, "²"):
        with pytest.raises(InputError, match="allowed: no, yes"):
            task.label_index(unknown)


def test_several_labels_and_regression() -> None:
    several = TextClassification(["a", "b"], "multi_label_classification")
    example = Example("good")
    asked = rows(several, example, [{"logits": np.array([[2.0, -1.0]])}])
    assert several.answer(example, asked, TOKENIZER)["labels"] == ["a"]
    assert several.decide(asked).tolist() == [True, False]
    assert several.predict(example, asked, TOKENIZER).decided == ("a", "not b")
    lost = rows(several, example, [{"logits": np.array([[2.0, np.nan]])}])
    assert several.predict(example, lost, TOKENIZER).decided == (UNANSWERED, UNANSWERED)
    regression = TextClassification(["value"], "regression")
    asked = rows(regression, example, [{"logits": np.array([[1.5]])}])
    assert regression.answer(example, asked, TOKENIZER) == {"value": 1.5}
    assert regression.predict(example, asked, TOKENIZER) == Prediction((), 1.5)
    assert regression.metrics == ("pearson", "spearman")


def test_what_a_classifier_answers_is_resolved_where_the_config_is_silent() -> None:
    assert TextClassification(["score"]).problem_type == "regression"
    assert TextClassification(["a", "b"]).problem_type == "single_label_classification"
    assert (
        TextClassification(["a"], "multi_label_classification").problem_type == "multi_label_classification"
    )


def test_a_choice_is_the_best_scored_ending() -> None:
    task = MultipleChoice()
    example = task.ask(["the film is", "good", "food", "bad"])
    asked = rows(task, example, [{"logits": np.array([[score]])} for score in (0.1, 2.0, -1.0)])
    assert asked[1].encoding.sequences.count(1) == 1
    answer = task.answer(example, asked, TOKENIZER)
    assert (answer["choice"], answer["ending"]) == (1, "food")
    assert task.predict(example, asked, TOKENIZER).decided == ("1",)


def test_a_word_has_its_first_piece_s_label() -> None:
    task = TokenClassification(["O", "PER"])
    example = Example("goods bad", label=("PER", "O"), words=("goods", "bad"))
    logits = np.zeros((1, 64, 2))
    logits[0, 1, 1] = 5.0  # [CLS] good ##s bad [SEP]
    asked = rows(task, example, [{"logits": logits}])
    assert list(asked[0].encoding.tokens) == ["[CLS]", "good", "##s", "bad", "[SEP]"]
    words = task.answer(example, asked, TOKENIZER)["words"]
    assert [(word["word"], word["start"], word["end"], word["label"]) for word in words] == [
        ("goods", 0, 5, "PER"),
        ("bad", 6, 9, "O"),
    ]
    assert task.predict(example, asked, TOKENIZER).decided == task.target(example, TOKENIZER) == ("PER", "O")
    plain = Example("goods bad")
    assert task.answer(plain, asked, TOKENIZER)["words"] == words


@pytest.mark.parametrize(
    ("written", "labels", "expected"),
    [
        (("B-PER", "E-PER", "S-LOC"), ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], ("B-PER", "I-PER", "B-LOC")),
        (("B-PER", "L-PER", "U-LOC"), ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], ("B-PER", "I-PER", "B-LOC")),
        (("B-PER", "E-PER", "S-LOC"), ["O", "B-PER", "L-PER", "U-LOC"], ("B-PER", "L-PER", "U-LOC")),
        (("b-per", "u-loc", "l-loc"), ["B-PER", "S-LOC", "E-LOC"], ("B-PER", "S-LOC", "E-LOC")),
    ],
)
def test_ends_of_entities_are_known_in_the_model_s_own_scheme(
    written: tuple[str, ...], labels: list[str], expected: tuple[str, ...]
) -> None:
    example = Example("a b c", label=written, words=("a", "b", "c"))
    assert TokenClassification(labels).reads([example]).target(example, TOKENIZER) == expected


def test_a_scheme_that_cannot_say_as_much_is_refused() -> None:
    """Without B- two entities side by side would be one."""
    for tag in ("B-PER", "S-PER", "E-LOC"):
        with pytest.raises(InputError, match=f"the model has no label '{tag}'"):
            TokenClassification(["O", "I-PER"]).reads([Example("a", label=(tag,), words=("a",))])


def test_a_labelled_word_that_is_cut_off_is_unanswered() -> None:
    task = TokenClassification(["O", "PER"])
    example = Example("good bad film", label=("O", "O", "O"), words=("good", "bad", "film"))
    asked = rows(task, example, [{"logits": np.zeros((1, 4, 2))}], max_length=4)
    assert task.predict(example, asked, TOKENIZER).decided == ("O", "O", UNANSWERED)


def test_the_words_behind_a_mask() -> None:
    task = FillMask()
    example = Example("the [MASK] is", label="film")
    logits = np.zeros((1, 32, len(VOCABULARY) + 4))
    logits[0, 2, VOCABULARY.index("film")] = 9.0
    logits[0, 2, len(VOCABULARY) :] = 99.0  # rows that name no word are never candidates
    asked = rows(task, example, [{"logits": logits}])
    (mask,) = task.answer(example, asked, TOKENIZER)["masks"]
    assert (mask["start"], mask["end"]) == (4, 10)
    assert len(mask["candidates"]) == 5
    assert mask["candidates"][0]["token"] == "film"
    said = task.predict(example, asked, TOKENIZER)
    assert said.decided == task.target(example, TOKENIZER) == ("film",)
    words = torch.from_numpy(logits[0, 2, : len(VOCABULARY)])
    right = torch.tensor(VOCABULARY.index("film"))
    assert said.value == pytest.approx(torch.nn.functional.cross_entropy(words, right).item())
    with pytest.raises(InputError, match="not one word of the vocabulary"):
        task.target(Example("the [MASK]", label="filmed"), TOKENIZER)
    with pytest.raises(InputError, match=r"no \[MASK\] in the text"):
        task.answer(example, rows(task, Example("good"), [{"logits": logits}]), TOKENIZER)


def test_the_best_valid_span_over_all_windows() -> None:
    task = QuestionAnswering()
    context = "the food is good . the film is bad"
    example = task.ask(["the film", context])
    encodings = task.encode(example, TOKENIZER, 12, 3)
    assert len(encodings) > 1
    asked = []
    for number, encoding in enumerate(encodings):
        start, end = np.full((1, 12), -9.0), np.full((1, 12), -9.0)
        if number == 0:
            start[0, 0] = 99.0  # outside the context: no answer, however likely
            start[0, 6], end[0, 5] = 7.0, 7.0  # ends before it starts: no answer either
        if number == len(encodings) - 1:
            tokens = encoding.tokens
            start[0, tokens.index("film", 4)], end[0, tokens.index("bad")] = 5.0, 5.0
        asked.append(task.row(encoding, {"start_logits": start, "end_logits": end}))
    answer = task.answer(example, asked, TOKENIZER)
    assert answer["answer"] == "film is bad"
    assert context[answer["start"] : answer["end"]] == "film is bad"
    assert task.predict(example, asked, TOKENIZER).decided == ("film is bad",)


def test_a_question_may_have_no_answer() -> None:
    """SQuAD 2.0's rule: the null score is the least of the windows', and is compared with the best span's."""
    context = "the food is good . the film is bad"
    example, empty = Example("the film", context, label=("bad",)), Example("the film", context, label=())
    plain = QuestionAnswering().reads([example])
    task = QuestionAnswering().reads([example, empty])
    encodings = task.encode(example, TOKENIZER, 12, 3)
    assert task.target(empty, TOKENIZER) == (NO_ANSWER,)

    def asked(nulls: list[float], best: float) -> list[Row]:
        made = []
        for encoding, null in zip(encodings, [*nulls, *[50.0] * len(encodings)], strict=False):
            start, end = np.full((1, 12), -9.0), np.full((1, 12), -9.0)
            start[0, 0] = end[0, 0] = null / 2
            if encoding is encodings[-1]:
                start[0, encoding.tokens.index("bad")] = end[0, encoding.tokens.index("bad")] = best / 2
            made.append(task.row(encoding, {"start_logits": start, "end_logits": end}))
        return made

    for null, best, threshold, answer in (
        (6.0, 5.0, 0.0, NO_ANSWER),
        (5.0, 6.0, 0.0, "bad"),
        (5.0, 5.0, 0.0, "bad"),
        (6.0, 5.0, 1.5, "bad"),
        (4.0, 5.0, -1.5, NO_ANSWER),
    ):
        task.null_threshold = threshold
        assert task.predict(example, asked([null], best), TOKENIZER).decided == (answer,)
        assert plain.predict(example, asked([null], best), TOKENIZER).decided == ("bad",)
    nothing = [task.row(e, dict.fromkeys(task.outputs, np.full((1, 12), np.nan))) for e in encodings]
    assert task.predict(empty, nothing, TOKENIZER).decided != task.target(empty, TOKENIZER)


def test_words_of_several_words_keep_their_tags() -> None:
    task = TokenClassification(["O", "PER"])
    words = ("goods bad", "film\u00a0food", "is")
    example = Example(" ".join(words), label=("PER", "O", "PER"), words=words)
    logits = np.zeros((1, 64, 2))
    logits[0, [1, 3, 6], 1] = 5.0  # [CLS] good ##s bad film food is [SEP]: `bad` begins no word of the file
    asked = rows(task, example, [{"logits": logits}])
    assert list(asked[0].encoding.tokens[1:-1]) == ["good", "##s", "bad", "film", "food", "is"]
    assert task.predict(example, asked, TOKENIZER).decided == ("PER", "O", "PER")


@pytest.mark.parametrize(
    ("task", "texts"),
    [
        (TextClassification(), ["a", "b", "c"]),
        (MultipleChoice(), ["a", "b"]),
        (QuestionAnswering(), ["a"]),
    ],
)
def test_the_wrong_number_of_texts_is_refused(task: Task, texts: list[str]) -> None:
    with pytest.raises(InputError):
        task.ask(texts)


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_labels_are_checked_before_anything_is_measured(task: type[Task]) -> None:
    if task(["a"]).metrics:
        with pytest.raises(InputError, match="the example has no label"):
            task(["a"]).target(Example("good"), TOKENIZER)


def test_outputs_that_are_no_numbers_answer_nothing() -> None:
    nothing = {"logits": np.full((1, 2), np.nan)}
    task = TextClassification(["no", "yes"])
    example = Example("good", label="no")
    assert task.predict(example, rows(task, example, [nothing]), TOKENIZER).decided == (UNANSWERED,)
