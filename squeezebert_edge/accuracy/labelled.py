"""Labelled examples, and what they are scored by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import TypeVar

from exporters.errors import InputError
from squeezebert_edge.accuracy.metrics import Metric
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import DEFAULT_DOC_STRIDE, Task, place_of
from squeezebert_edge.text.tokenizer import Encoding, Tokenizer

T = TypeVar("T")

BATCH_ROWS = 16  # larger batches are no faster on a CPU


class LabelledData:
    """Labelled examples for one head, in batches of similar length.

    Args:
        task: the head, with the meaning of the examples' labels decided.
        metrics: what the examples are scored by. The first one gates.
        tokenizer: the checkpoint's.
        examples: those whose label says that there is none are left out.
        max_length: longer texts are cut to it, or read in windows of it: an artifact's longest length.

    Attributes:
        examples: those that are scored.
        unlabelled: how many were left out.
        targets: the right answer to each example.
        truncated: how many examples are cut to `max_length`.
        batches: every example's index once, the shortest first, about BATCH_ROWS rows in a batch.

    Raises:
        InputError: there are no examples, or a label is missing or unknown; says which example's.
    """

    def __init__(
        self,
        task: Task,
        metrics: Sequence[Metric],
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        max_length: int,
    ) -> None:
        if not examples:
            raise InputError("there are no examples to measure accuracy on", allowed="at least one")
        self.task, self.metrics, self.tokenizer = task, tuple(metrics), tokenizer
        self.examples, self.max_length = (
            [example for example in examples if task.has_gold(example)],
            max_length,
        )
        self.unlabelled = len(examples) - len(self.examples)
        if not self.examples:
            raise InputError(
                f"the label is {examples[0].label!r}, which says that there is none, in all examples",
                allowed="labelled examples, such as a data set's development set",
            )
        self.targets = list(_for_each(self.examples, lambda example: task.target(example, tokenizer)))
        self.truncated = 0
        shapes = []
        for encodings in _for_each(self.examples, self.encode):
            shapes.append((max(map(len, encodings)), len(encodings)))
            self.truncated += not task.windows and any(encoding.truncated for encoding in encodings)
        self.batches = list(_batches(shapes))

    def encode(self, example: Example) -> list[Encoding]:
        """The rows of an example, none longer than `max_length`."""
        return self.task.encode(example, self.tokenizer, self.max_length, DEFAULT_DOC_STRIDE)


def fingerprint(examples: Sequence[Example]) -> str:
    """A hash of examples and their labels, in order; where they come from does not matter."""
    digest = hashlib.sha256()
    for example in examples:
        values = [getattr(example, part.name) for part in fields(example) if part.compare]
        digest.update(repr(values).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _for_each(examples: Sequence[Example], function: Callable[[Example], T]) -> Iterator[T]:
    """Call a function with every example; an InputError then says which example it is about."""
    for number, example in enumerate(examples, start=1):
        try:
            yield function(example)
        except InputError as error:
            place = place_of(example, number)
            raise InputError(f"{place}: {error.problem}", allowed=error.allowed, hint=error.hint) from None


def _batches(shapes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Indices of examples by length, in lists of about BATCH_ROWS rows.

    Args:
        shapes: of each example the tokens of its longest row, and how many rows it has.
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
