"""The data sets that are known by name, and what each is scored by: GLUE's, SQuAD, CoNLL, SWAG and CODAH."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporters.errors import InputError
from squeezebert_edge.accuracy.metrics import METRICS, OF_SEVERAL_LABELS, BinaryF1, Metric
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import QuestionAnswering, Task
from squeezebert_edge.tasks.labels import are_default, fold


@dataclass(frozen=True)
class Dataset:
    """What a well-known data set is scored by.

    task: the name of the head that answers it.
    metrics: their names. The first one gates.
    labels: names of the file's classes, in the order of the original's outputs; empty where they are numbers.
    """

    task: str
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()


# GLUE's metrics: Wang et al. 2019, table 1. The order of labels is that of BERT's run_classifier.py and
# transformers' data/processors/glue.py; newer versions of the data number MNLI's classes in another order.
DATASETS: Mapping[str, Dataset] = {
    "sst2": Dataset("text-classification", ("accuracy",)),
    "mrpc": Dataset("text-classification", ("accuracy", "f1")),
    "qqp": Dataset("text-classification", ("accuracy", "f1")),
    "cola": Dataset("text-classification", ("matthews",)),
    "stsb": Dataset("text-classification", ("pearson", "spearman")),
    "mnli": Dataset("text-classification", ("accuracy",), ("contradiction", "entailment", "neutral")),
    "qnli": Dataset("text-classification", ("accuracy",), ("entailment", "not_entailment")),
    "rte": Dataset("text-classification", ("accuracy",), ("entailment", "not_entailment")),
    "wnli": Dataset("text-classification", ("accuracy",)),
    "squad": Dataset("question-answering", ("exact_match", "answer_f1")),
    "conll": Dataset("token-classification", ("entity_f1", "tag_accuracy")),
    "swag": Dataset("multiple-choice", ("accuracy",)),
    "codah": Dataset("multiple-choice", ("accuracy",)),
}

CLASS_METRICS = ("accuracy", "f1", "matthews")  # that any head with classes can be scored by


def head_of(name: str | None) -> str | None:
    """The head that answers a data set; the name of a head, or None, is given back."""
    return DATASETS[name].task if name and name in DATASETS else name


def resolve_dataset(
    task: Task,
    name: str | None,
    labels: Sequence[str] | None = None,
    examples: Sequence[Example] = (),
    null_threshold: float | None = None,
) -> tuple[Task, list[Metric]]:
    """The task with the meaning of a file's labels decided, and the data set's metrics.

    The names of the outputs are those in `labels`, or else the checkpoint's own. Where these only count the
    outputs, they are those of the data set, or of a known one whose classes the file names.

    Args:
        task: a checkpoint's or a bundle's.
        name: a data set of DATASETS, or the task's own name; None is the task's own.
        labels: the file's names for the task's outputs, in their order.
        examples: all of the file's; none before it is read.
        null_threshold: as QuestionAnswering has it; None is 0 where a question has no answer.

    Raises:
        InputError: the name is unknown or belongs to another head, the task has no metric, there are too few
            or too many labels, an example has a label that is no output's, or the threshold is not finite.
    """
    dataset = DATASETS.get(name or task.name)
    if head_of(name or task.name) != task.name:
        own = [key for key, value in DATASETS.items() if value.task == task.name]
        raise InputError(
            f"a head for {task.name} cannot be scored as {name}", allowed=", ".join([*own, task.name])
        )
    if not task.metrics:
        kind = task.problem_type or "features"
        raise InputError(
            f"{task.name} ({kind}) has no accuracy",
            allowed="a head with one right answer, or a regression to one number",
        )
    if labels is not None:
        task = _with_labels(task, labels)
    elif task.labels and are_default(task.labels):
        known = _known_names(task, dataset, examples)
        task = _with_labels(task, known) if known else task
    if null_threshold is not None:
        if not isinstance(task, QuestionAnswering):
            raise InputError(
                f"a null threshold was given to a head for {task.name}",
                allowed=f"--null-threshold for {QuestionAnswering.name}",
            )
        if not math.isfinite(null_threshold):
            raise InputError(f"the null threshold is {null_threshold}", allowed="a finite number of logits")
        task = QuestionAnswering()
        task.null_threshold = null_threshold
    if examples:
        task = task.reads(examples, numbered=labels is None)
    wanted = dataset.metrics if dataset else task.metrics
    possible = {*task.metrics, *(CLASS_METRICS if "accuracy" in task.metrics else ())}
    if not possible >= {*wanted}:
        raise InputError(
            f"{name} is scored by {', '.join(wanted)}, which this head cannot be",
            allowed=f"{task.name}: {', '.join(task.metrics)}",
        )
    return task, [_metric(metric, task) for metric in wanted]


def _known_names(task: Task, dataset: Dataset | None, examples: Sequence[Example]) -> tuple[str, ...]:
    """The names that a known data set gives to outputs without names; none if it is no such one."""
    if dataset and dataset.labels:
        return dataset.labels
    named = {fold(label) for example in examples for label in task.labels_in(example)}
    fitting = (known.labels for known in DATASETS.values() if len(known.labels) == len(task.labels))
    return next((labels for labels in fitting if named and named <= {*labels}), ())


def _with_labels(task: Task, labels: Sequence[str]) -> Task:
    if not task.labels:
        raise InputError(
            f"labels ({', '.join(labels)}) were given to a head without classes",
            allowed=f"none for {task.name}",
        )
    if len(labels) != len(task.labels) or len({*labels}) != len(labels):
        raise InputError(
            f"the labels {', '.join(labels)} do not name each class once",
            allowed=f"{len(task.labels)} different names, one for each of {', '.join(task.labels)}",
        )
    return type(task)(labels, task.problem_type)


def _metric(name: str, task: Task) -> Metric:
    if name == "f1":
        return BinaryF1(task.labels[_positive(task)])
    if task.problem_type == "multi_label_classification":
        return OF_SEVERAL_LABELS[name](task.labels)
    return METRICS[name]()


def _positive(task: Task) -> int:
    """The output of the class that is called 1 in the file, or stands in its place."""
    written = task.reading.outputs if task.reading else {}
    return written["1"] if "1" in written else type(task)(task.labels, task.problem_type).label_index("1")
