"""Accuracy on labelled data: the reference and an artifact on the same examples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

import numpy as np

from exporters.arrays import Array
from exporters.errors import InputError
from squeezebert_edge.accuracy.metrics import Answers, Metric
from squeezebert_edge.accuracy.paired import AccuracyComparison, Pair, compared
from squeezebert_edge.accuracy.presets import scored_as
from squeezebert_edge.plumbing.journal import Journal
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.proof.comparison import Comparison
from squeezebert_edge.proof.reference import Reference
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import DEFAULT_DOC_STRIDE, Prediction, Row, Target, Task
from squeezebert_edge.tasks.rows import Compute, answer_rows
from squeezebert_edge.text.tokenizer import Encoding, Tokenizer, pad

T = TypeVar("T")

BATCH_ROWS = 16  # of the reference; larger ones are no faster on a CPU


@dataclass(frozen=True)
class Accuracy:
    """What one model answered, and how good that is: values of the metrics, the one that gates first."""

    answers: Answers
    values: Mapping[str, float]

    @property
    def mean(self) -> float:
        """The first metric, from 0 to 1: of classes, the share that is right."""
        return next(iter(self.values.values()))

    @property
    def right(self) -> str:
        """The first metric as a share of the examples, `712 of 872`."""
        return f"{self.mean * len(self.answers.targets):.6g} of {len(self.answers.targets)}"


def evaluate(
    task: Task,
    tokenizer: Tokenizer,
    compute: Compute,
    examples: Sequence[Example],
    lengths: Sequence[int],
    progress: Progress = silent,
) -> Accuracy:
    """Score a model, reference or artifact alike, on labelled examples, by its head's metrics.

    Raises:
        InputError: the task has no accuracy, or a label that the model does not know.
    """
    task, chosen = scored_as(task, None)
    targets = targets_of(task, tokenizer, examples)
    if isinstance(compute, Reference):
        reference = ReferenceAnswers(task, chosen, tokenizer, compute, examples, lengths[-1])
        for done, batch in _counted(reference.batches):
            progress("accuracy", done, len(examples))
            reference.answer(batch)
        predictions = [reference.said[index].prediction for index in range(len(examples))]
    else:
        predictions = []
        for done, example in enumerate(examples):
            progress("accuracy", done, len(examples))
            rows = answer_rows(task, tokenizer, compute, example, lengths)
            predictions.append(task.predict(example, rows, tokenizer))
    progress("accuracy", len(examples), len(examples))
    answers = Answers(targets, predictions)
    return Accuracy(answers, {metric.name: metric.value(answers) for metric in chosen})


def targets_of(task: Task, tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Target]:
    """What is right for each example.

    Raises:
        InputError: no examples, or one whose label is missing or unknown, with its place.
    """
    if not examples:
        raise InputError("no examples to measure accuracy on", allowed="at least one")
    return list(_each(examples, lambda example: task.target(example, tokenizer)))


def _each(examples: Sequence[Example], function: Callable[[Example], T]) -> Iterator[T]:
    """What the function gives for every example; what is wrong with one says where it stands."""
    for number, example in enumerate(examples, start=1):
        try:
            yield function(example)
        except InputError as error:
            place = example.where or f"example {number}"
            raise InputError(f"{place}: {error.problem}", allowed=error.allowed, hint=error.hint) from None


@dataclass(frozen=True)
class Said:
    """What the reference says of an example: its answer, and outputs to hold an artifact's against."""

    prediction: Prediction
    outputs: Mapping[str, Array]


class ReferenceAnswers:
    """The float reference on labelled examples, in batches of similar length; each is computed once.

    Padding within a batch is masked, so that answers equal those of single rows to 1e-5. Nothing is computed
    before it is asked for, and several artifacts of the same longest length share what was.

    Args:
        metrics: what the examples are scored by, the one that gates first.
        max_length: what longer texts are cut to, or read in windows of: the artifact's longest length.

    Raises:
        InputError: an example whose label is missing or unknown.
    """

    def __init__(
        self,
        task: Task,
        metrics: Sequence[Metric],
        tokenizer: Tokenizer,
        reference: Compute,
        examples: Sequence[Example],
        max_length: int,
    ) -> None:
        self.task, self.metrics, self.tokenizer = task, tuple(metrics), tokenizer
        self.examples, self.max_length = examples, max_length
        self.targets = targets_of(task, tokenizer, examples)
        self.said: dict[int, Said] = {}
        self._reference = reference
        shapes = []
        self.truncated = 0
        for encodings in _each(examples, self._encoded):
            shapes.append((max(map(len, encodings)), len(encodings)))
            self.truncated += not task.windows and any(encoding.truncated for encoding in encodings)
        self.batches = list(_batches(shapes))

    def answer(self, indices: Sequence[int]) -> None:
        """Have what the reference says of these examples in `said`."""
        missing = [index for index in indices if index not in self.said]
        if not missing:
            return
        encodings = [self._encoded(self.examples[index]) for index in missing]
        rows = self._rows([encoding for several in encodings for encoding in several])
        for index, several in zip(missing, encodings, strict=True):
            mine = [next(rows) for _ in several]
            example = self.examples[index]
            self.said[index] = Said(
                self.task.predict(example, mine, self.tokenizer),
                self.task.outputs_to_compare(mine, self.tokenizer),
            )

    def _encoded(self, example: Example) -> list[Encoding]:
        return self.task.encode(example, self.tokenizer, self.max_length, DEFAULT_DOC_STRIDE)

    def _rows(self, encodings: Sequence[Encoding]) -> Iterator[Row]:
        for start in range(0, len(encodings), BATCH_ROWS):
            batch = encodings[start : start + BATCH_ROWS]
            length = max(map(len, batch))
            padded = [pad(encoding, length, self.tokenizer.special_ids["pad"]) for encoding in batch]
            inputs = {name: np.concatenate([row[name] for row in padded]) for name in padded[0]}
            outputs = self._reference(inputs)
            for row, encoding in enumerate(batch):
                yield self.task.row(encoding, {name: value[row, None] for name, value in outputs.items()})


def compare(
    reference: ReferenceAnswers,
    tokenizer: Tokenizer,
    compute: Compute,
    lengths: Sequence[int],
    *,
    journal: Journal | None = None,
    progress: Progress = silent,
) -> AccuracyComparison:
    """Hold an artifact against its reference on the same labelled examples.

    Args:
        tokenizer: the artifact's own.
        lengths: the artifact's; the longest must be the reference's `max_length`.
        journal: where answers are kept as they come, and those found there are not computed again.
    """
    task, examples = reference.task, reference.examples
    known: Mapping[int, Any] = journal.done if journal else {}
    pairs = {index: Pair.from_json(value) for index, value in known.items()}
    for batch in reference.batches:
        progress("accuracy", len(pairs), len(examples))
        pending = [index for index in batch if index not in pairs]
        if pending:
            reference.answer(batch)  # all of it, so that the rounding is that of an uninterrupted run
        for index in pending:
            said, example = reference.said[index], examples[index]
            rows = answer_rows(task, tokenizer, compute, example, lengths)
            found = Said(task.predict(example, rows, tokenizer), task.outputs_to_compare(rows, tokenizer))
            pairs[index] = _pair(said, found)
            if journal:
                journal.add(index, asdict(pairs[index]))
    progress("accuracy", len(examples), len(examples))
    return _compared(reference, pairs)


def compare_batched(
    reference: ReferenceAnswers, compute: Compute, progress: Progress = silent
) -> AccuracyComparison:
    """Hold something that takes batches, (B, S), against the reference on the same labelled examples."""
    other = ReferenceAnswers(
        reference.task,
        reference.metrics,
        reference.tokenizer,
        compute,
        reference.examples,
        reference.max_length,
    )
    for done, batch in _counted(reference.batches):
        progress("accuracy", done, len(reference.examples))
        reference.answer(batch)
        other.answer(batch)
    return _compared(reference, {i: _pair(said, other.said[i]) for i, said in reference.said.items()})


def _pair(said: Said, found: Said) -> Pair:
    noise = {name: Comparison() for name in said.outputs}
    for name, outputs in found.outputs.items():
        noise[name].add(said.outputs[name], outputs)
    return Pair(said.prediction, found.prediction, noise)


def _compared(reference: ReferenceAnswers, pairs: Mapping[int, Pair]) -> AccuracyComparison:
    return compared(
        reference.task,
        reference.metrics,
        reference.examples,
        reference.targets,
        [pairs[index] for index in range(len(reference.examples))],
        reference.truncated,
    )


def fingerprint(examples: Sequence[Example]) -> str:
    """A hash of examples and labels in their order."""
    digest = hashlib.sha256()
    for example in examples:
        shown = [getattr(example, part.name) for part in fields(example) if part.name != "where"]
        digest.update(repr(shown).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _batches(shapes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Examples by length, in lists of about BATCH_ROWS rows.

    Args:
        shapes: for each example the tokens of its longest row, and its rows.
    """
    batch: list[int] = []
    rows = 0
    for index in sorted(range(len(shapes)), key=shapes.__getitem__):
        if batch and rows + shapes[index][1] > BATCH_ROWS:
            yield batch
            batch, rows = [], 0
        batch.append(index)
        rows += shapes[index][1]
    if batch:
        yield batch


def _counted(batches: Sequence[Sequence[int]]) -> Iterator[tuple[int, Sequence[int]]]:
    """Each batch with the number of examples before it."""
    done = 0
    for batch in batches:
        yield done, batch
        done += len(batch)
