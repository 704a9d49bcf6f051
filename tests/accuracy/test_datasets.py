"""Which metrics a data set has, and what its labels are called."""

from __future__ import annotations

from typing import Any

import pytest

from exporters.errors import InputError
from squeezebert_edge.accuracy import metrics
from squeezebert_edge.accuracy.datasets import resolve_dataset
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import (
    FeatureExtraction,
    FillMask,
    QuestionAnswering,
    Task,
    TextClassification,
    TokenClassification,
)
from squeezebert_edge.tasks.labels import join_names, split_names


def names(task: Task, name: str | None) -> list[str]:
    return [metric.name for metric in resolve_dataset(task, name)[1]]


def test_glue_s_tasks_have_glue_s_metrics() -> None:
    task = TextClassification(["no", "yes"])
    assert names(task, "cola") == ["matthews"]
    assert names(task, "mrpc") == names(task, "qqp") == ["accuracy", "f1"]
    assert names(task, None) == names(task, "text-classification") == names(task, "sst2") == ["accuracy"]
    assert names(TextClassification(["x"], "regression"), "stsb") == ["pearson", "spearman"]
    assert names(QuestionAnswering(), "squad") == ["exact_match", "answer_f1"]
    assert names(TokenClassification(["O", "B-PER"]), None) == ["entity_f1", "tag_accuracy"]
    assert names(TokenClassification(["NN", "VB"]), None) == ["tag_accuracy"]
    assert names(FillMask(), None) == ["accuracy", "loss"]
    several = TextClassification(["a", "b"], "multi_label_classification")
    assert names(several, None) == ["micro_f1", "macro_f1", "exact_match"]


def test_a_file_s_labels_name_the_outputs_in_their_order() -> None:
    unnamed = TextClassification(["LABEL_0", "LABEL_1"])
    assert resolve_dataset(unnamed, "qnli")[0].labels == ("entailment", "not_entailment")
    known = TextClassification(["not_entailment", "entailment"])
    assert resolve_dataset(known, "rte")[0].labels == known.labels
    tagger = TokenClassification(["LABEL_0", "LABEL_1"])
    assert [metric.name for metric in resolve_dataset(tagger, None)[1]] == ["tag_accuracy"]
    named, (first, _) = resolve_dataset(tagger, "conll", ["O", "B-PER"])
    assert (named.labels, first.name) == (("O", "B-PER"), "entity_f1")
    swapped, (_, f1) = resolve_dataset(known, "mrpc", ["1", "0"])
    assert swapped.label_index("1") == 0
    assert isinstance(f1, metrics.BinaryF1)
    assert f1.positive == "1"  # the file's positive class, wherever the head has it


def outputs(task: Task, written: list[Any], **how: Any) -> list[Any]:
    """Which of the task's outputs each label of a file names."""
    examples = [Example("a", label=label, where=f"dev:{n}") for n, label in enumerate(written, start=1)]
    read, _ = resolve_dataset(task, how.get("name"), how.get("labels"), examples)
    return [read.label_index(label) for label in written]


STARS = TextClassification(["1", "2", "3", "4", "5"])
MNLI = TextClassification(["CONTRADICTION", "NEUTRAL", "ENTAILMENT"])


def test_a_whole_file_has_names_or_numbers() -> None:
    for counted in (["0", "1", "2", "3", "4"], [0, 1, 2, 3, 4], [0.0, 1.0, 2.0, 3.0, 4.0]):
        assert outputs(STARS, counted) == [0, 1, 2, 3, 4]
    for named in (["1", "2", "3", "4", "5"], [1, 2, 3, 4, 5], ["1.0", "2.0", "3.0", "4.0", "5.0"]):
        assert outputs(STARS, named) == [0, 1, 2, 3, 4]
    ten = TextClassification([f"LABEL_{n}" for n in range(10)])
    with pytest.raises(InputError, match="no label '10'.*\n.*\nnext: --labels 1,2,3,4,5,6,7,8,9,10 where"):
        outputs(ten, list(range(1, 11)))
    with pytest.raises(InputError, match="dev:2: the model has no label 'good'"):
        outputs(STARS, ["0", "good", "4"])


def test_names_are_matched_without_their_case() -> None:
    files = ["contradiction", "entailment", "neutral"]
    assert (
        outputs(MNLI, files, name="mnli") == outputs(MNLI, files) == [0, 2, 1]
    )  # the checkpoint's own order
    both = TextClassification(["No", "Not entailment"])
    assert outputs(both, ["NO", "not_entailment"]) == [0, 1]
    assert outputs(TextClassification(["a", "A"]), ["A", "a"]) == [1, 0]
    with pytest.raises(InputError, match="no label 'contradiction'\nallowed: good, bad, fair"):
        outputs(TextClassification(["good", "bad", "fair"]), files, name="mnli")


def test_labels_of_the_call_are_always_obeyed() -> None:
    for written in ([2, 1, 0], ["2", "1", "0"]):
        assert outputs(TextClassification(["a", "b", "c"]), written, labels=["2", "1", "0"]) == [0, 1, 2]
    assert outputs(MNLI, ["a", "b", "c"], labels=["c", "a", "b"]) == [1, 2, 0]
    with pytest.raises(InputError, match="no label '0'\nallowed: a, b\nnext: --labels 0,1 where"):
        outputs(TextClassification(["x", "y"]), ["0", "1"], labels=["a", "b"])


def test_outputs_without_names_take_those_of_a_known_data_set() -> None:
    unnamed = TextClassification(["LABEL_0", "LABEL_1"])
    assert outputs(unnamed, ["not_entailment", "entailment"]) == [1, 0]  # RTE's, without naming it
    assert outputs(unnamed, ["not_entailment", "entailment"], name="rte") == [1, 0]
    assert outputs(unnamed, [1, 0], name="qnli") == [1, 0]
    three = TextClassification(["LABEL_0", "LABEL_1", "LABEL_2"])
    assert outputs(three, ["neutral", "entailment"]) == [2, 1]
    assert outputs(unnamed, ["entailment"]) == [0]
    with pytest.raises(InputError, match="next: --labels ham,spam where that is the order"):
        outputs(unnamed, ["spam", "ham"])


def test_labels_are_advised_only_as_far_as_they_are_known() -> None:
    opinions = TextClassification(["neg", "pos"])
    with pytest.raises(InputError, match="next: --labels neg,good where that is the order"):
        outputs(opinions, ["good", "neg"])
    for mixed in (["pos", "1"], ["neg", "2"], ["Neg", "neg", "x"]):
        with pytest.raises(InputError) as caught:
            outputs(opinions, mixed)
        assert caught.value.hint is None


def test_advice_finds_names_in_a_shorter_or_longer_form() -> None:
    with pytest.raises(InputError, match="next: --labels c,n,e where that is the order"):
        outputs(MNLI, ["e", "n", "c"])
    with pytest.raises(InputError, match="next: --labels '1 star,2 stars,3 stars,4 stars,5 stars' where"):
        outputs(STARS, ["5 stars", "4 stars", "3 stars", "2 stars", "1 star"])


def test_names_with_commas_can_be_given_and_are_advised_so() -> None:
    assert split_names(join_names(["a, b", "c", 'say "d"'])) == ["a, b", "c", 'say "d"']
    assert split_names("a, b ,c") == ["a", "b", "c"]
    with pytest.raises(InputError, match="""next: --labels 'c,"a, b"' where"""):
        outputs(TextClassification(["c", "x"]), ["a, b", "c"])


@pytest.mark.parametrize("minus", [-1, "-1", -1.0, "-1.0"])
def test_minus_one_may_be_a_class(minus: Any) -> None:
    three = TextClassification(["LABEL_0", "LABEL_1", "LABEL_2"])
    with pytest.raises(InputError, match="dev:2: the label is -1.*\n.*\nnext: --labels -1,0,1 if it is a"):
        outputs(three, [0, minus, 1])
    with pytest.raises(InputError, match="next: --labels 0,1,2 if it marks rows without a label"):
        outputs(three, [0, minus])
    assert outputs(three, [0, minus, 1], labels=["-1", "0", "1"]) == [1, 0, 2]
    read, _ = resolve_dataset(three, None, None, [Example("a", label=n) for n in (2, minus, 0, 1)])
    assert not read.has_gold(Example("a", label=minus))
    resolve_dataset(three, None, ["0", "1", "2"], [Example("a", label=n) for n in (2, minus)])
    resolve_dataset(MNLI, None, None, [Example("a", label=n) for n in ("neutral", minus)])


SEVERAL = TextClassification(["toxic", "obscene", "insult"], "multi_label_classification")


def columns_of(*rows: tuple[Any, ...], names: str = "Toxic obscene insult") -> list[Example]:
    return [
        Example("a", label=dict(zip(names.split(), row, strict=True)), where=f"dev:{number}")
        for number, row in enumerate(rows, start=2)
    ]


def test_columns_that_say_what_holds_are_whole() -> None:
    examples = columns_of((1, "0", "1.0"), ("True", False, 0), (-1, "-1", -1))
    read, _ = resolve_dataset(SEVERAL, None, None, examples)
    assert [read.has_gold(example) for example in examples] == [True, True, False]
    targets = [read.target(example, None) for example in examples[:2]]  # type: ignore[arg-type]
    assert targets == [("toxic", "not obscene", "insult"), ("toxic", "not obscene", "not insult")]
    for odd in ("", None, -1, 0.5, "maybe"):
        with pytest.raises(InputError, match="dev:3: in the column obscene stands"):
            resolve_dataset(SEVERAL, None, None, columns_of((1, 0, 1), (1, odd, 0)))
    with pytest.raises(InputError, match="no column that says where obscene holds: it has toxic, insult"):
        resolve_dataset(SEVERAL, None, None, columns_of((1, 0), names="toxic insult"))
    for extra in ((0, 0), (1, 7)):  # of a label that never holds, and of something else
        examples = columns_of(*((1, 0, 0, value) for value in extra), names="toxic obscene insult more")
        read, _ = resolve_dataset(SEVERAL, None, None, examples)
        targets = [read.target(example, None) for example in examples]  # type: ignore[arg-type]
        assert targets == [("toxic", "not obscene", "not insult")] * 2
    with pytest.raises(InputError, match="dev:3: the label has another form"):
        mixed = [*columns_of((1, 0, 0)), Example("a", label=["toxic"], where="dev:3")]
        resolve_dataset(SEVERAL, None, None, mixed)
    resolve_dataset(SEVERAL, None, None, [Example("a", label=[1, 0, 1]), Example("a", label=-1)])
    with pytest.raises(InputError, match="dev:2: the model has no label 'threat'"):
        resolve_dataset(SEVERAL, None, None, columns_of((1, 0, 0, 1), names="toxic obscene insult threat"))
    with pytest.raises(InputError, match="no column.*, x, y, z, is called.*\n.*\nnext: --labels x,y,z where"):
        resolve_dataset(SEVERAL, None, None, columns_of((1, 0, 0), names="x y z"))
    with pytest.raises(InputError, match="the example has no label"):
        TextClassification(["a", "b"]).target(columns_of((1, 0, 0))[0], None)  # type: ignore[arg-type]


def test_a_cell_may_list_labels_as_json() -> None:
    assert outputs_of_several('["toxic", "insult"]', "[]") == [{0, 2}, set()]
    assert outputs_of_several("[1, 0, 1]", "[0, 0, 0]") == [{0, 2}, set()]
    with pytest.raises(InputError, match="dev:1: the label .* is not JSON.*\nallowed: a list as JSON"):
        outputs_of_several("['toxic']")


def outputs_of_several(*written: str) -> list[set[int]]:
    examples = [Example("a", label=label, where=f"dev:{n}") for n, label in enumerate(written, start=1)]
    reading = resolve_dataset(SEVERAL, None, None, examples)[0].reading
    assert reading is not None
    return [{*reading.outputs_of(label)} for label in written]


def test_the_positive_class_is_the_file_s_1() -> None:
    one_two = TextClassification(["1", "2"])
    task, (_, f1) = resolve_dataset(one_two, "mrpc", None, [Example("a", label=n) for n in (0, 1)])
    assert isinstance(f1, metrics.BinaryF1)
    assert (task.label_index(1), f1.positive) == (1, "2")


@pytest.mark.parametrize(
    "written",
    [
        [["a", "c"], [], ["b"]],
        ["a,c", "", "B"],
        ["0|2", " ", "1"],
        [[0, 2], [], [1]],
        [[1, 0, 1], [0, 0, 0], [0, 1, 0]],
        [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        ["1,0,1", "0,0,0", "0,1,0"],
        [[True, False, True], [False, False, False], [False, True, False]],
    ],
)
def test_several_labels_are_names_numbers_or_indicators(written: list[Any]) -> None:
    task = TextClassification(["a", "b", "c"], "multi_label_classification")
    examples = [Example("a", label=label) for label in written]
    read, _ = resolve_dataset(task, None, None, examples)
    targets = [read.target(example, None) for example in examples]  # type: ignore[arg-type]
    assert targets == [("a", "not b", "c"), ("not a", "not b", "not c"), ("not a", "b", "not c")]


@pytest.mark.parametrize(
    ("task", "name", "labels", "says"),
    [
        (TextClassification(["a", "b"]), "squad", None, "allowed: sst2, mrpc"),
        (TextClassification(["a", "b"]), "glue", None, "text-classification"),
        (TextClassification(["a", "b"]), "stsb", None, "allowed: text-classification: accuracy"),
        (TextClassification(["a"], "regression"), "sst2", None, "pearson, spearman"),
        (TokenClassification(["NN"]), "conll", None, "tag_accuracy"),
        (FeatureExtraction(), None, None, "has no accuracy"),
        (TextClassification(["a", "b"], "regression"), None, None, "has no accuracy"),
        (TextClassification(["a", "b"], "multi_label_classification"), "mrpc", None, "micro_f1"),
        (TextClassification(["a", "b"]), None, ["x"], "2 different names"),
        (TextClassification(["a", "b"]), None, ["x", "x"], "2 different names"),
        (QuestionAnswering(), None, ["x"], "none for question-answering"),
    ],
)
def test_what_a_head_cannot_be_scored_by_is_refused(
    task: Task, name: str | None, labels: list[str] | None, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        resolve_dataset(task, name, labels)


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_null_threshold_is_a_finite_number(threshold: float) -> None:
    with pytest.raises(InputError, match=f"the null threshold is {threshold}"):
        resolve_dataset(QuestionAnswering(), "squad", null_threshold=threshold)
