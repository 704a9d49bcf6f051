"""What each known data set is scored by: GLUE's, SQuAD, CoNLL, SWAG and CODAH."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporters.errors import InputError
from squeezebert_edge.accuracy.metrics import METRICS, BinaryF1, Metric
from squeezebert_edge.tasks.heads import Task


@dataclass(frozen=True)
class Preset:
    """What a well-known data set is scored by.

    metrics: the one that gates comes first.
    labels: names of the file's classes in the order of the original's outputs; empty where they are numbers.
    """

    task: str
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()


# GLUE's metrics: Wang et al. 2019, table 1. The order of labels is that of BERT's run_classifier.py and
# transformers' data/processors/glue.py; data sets' newer versions number MNLI's otherwise.
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


OF_CLASSES = ("accuracy", "f1", "matthews")


def head_of(name: str | None) -> str | None:
    """The head that a data set's name, or a head's own, asks for."""
    return PRESETS[name].task if name and name in PRESETS else name


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
    preset = PRESETS.get(name or task.name)
    if head_of(name or task.name) != task.name:
        mine = [key for key, value in PRESETS.items() if value.task == task.name]
        raise InputError(f"task {name} with a head for {task.name}", allowed=", ".join([*mine, task.name]))
    if not task.metrics:
        kind = task.problem_type or "features"
        raise InputError(
            f"{task.name} ({kind}) has no accuracy",
            allowed="a head with one right answer, or a regression to one number",
        )
    if labels is None and preset and preset.labels and not {*preset.labels} & {*task.labels}:
        labels = preset.labels
    if labels is not None:
        task = _relabelled(task, labels)
    wanted = preset.metrics if preset else task.metrics
    possible = {*task.metrics, *(OF_CLASSES if "accuracy" in task.metrics else ())}
    if not possible >= {*wanted}:
        raise InputError(
            f"task {name} ({', '.join(wanted)}) with this head",
            allowed=f"{task.name}: {', '.join(task.metrics)}",
        )
    return task, [_metric(metric, task) for metric in wanted]


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
