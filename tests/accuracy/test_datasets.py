"""Which metrics a data set has, and what its labels are called."""

from __future__ import annotations

import pytest

from exporters.errors import InputError
from squeezebert_edge.accuracy import metrics
from squeezebert_edge.accuracy.datasets import resolve_dataset
from squeezebert_edge.tasks.heads import (
    FeatureExtraction,
    FillMask,
    QuestionAnswering,
    Task,
    TextClassification,
    TokenClassification,
)


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


@pytest.mark.parametrize(
    ("task", "name", "labels", "says"),
    [
        (TextClassification(["a", "b"]), "squad", None, "allowed: sst2, mrpc"),
        (TextClassification(["a", "b"]), "glue", None, "text-classification"),
        (TextClassification(["a", "b"]), "stsb", None, "allowed: text-classification: accuracy"),
        (TextClassification(["a"], "regression"), "sst2", None, "pearson, spearman"),
        (TokenClassification(["NN"]), "conll", None, "tag_accuracy"),
        (FeatureExtraction(), None, None, "has no accuracy"),
        (TextClassification(["a", "b"], "multi_label_classification"), None, None, "has no accuracy"),
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
