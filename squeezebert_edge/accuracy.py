"""Accuracy on labelled data: the reference and an artifact on the same examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporters.errors import InputError
from squeezebert_edge.data import Example
from squeezebert_edge.progress import Progress, silent
from squeezebert_edge.tasks import DEFAULT_DOC_STRIDE, Row, Task
from squeezebert_edge.text import Tokenizer, pad, shortest_length

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
Compute = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class Accuracy:
    """Scores of each example, 0 to 1, in the order of the data."""

    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The share that is right."""
        return float(np.mean(self.scores))

    @property
    def right(self) -> str:
        """`712 of 872`; examples can be partly right where each holds many words."""
        return f"{sum(self.scores):g} of {len(self.scores)}"


def answer_rows(
    task: Task,
    tokenizer: Tokenizer,
    compute: Compute,
    example: Example,
    lengths: Sequence[int],
    doc_stride: int = DEFAULT_DOC_STRIDE,
) -> list[Row]:
    """Run an example, each of its rows at the shortest of `lengths` that fits."""
    rows = []
    for encoding in task.encode(example, tokenizer, lengths[-1], doc_stride):
        length = shortest_length(len(encoding), lengths)
        inputs = pad(encoding, length, tokenizer.special_ids["pad"])
        rows.append(task.row(encoding, compute(inputs)))
    return rows


def evaluate(
    task: Task,
    tokenizer: Tokenizer,
    compute: Compute,
    examples: Sequence[Example],
    lengths: Sequence[int],
    progress: Progress = silent,
) -> Accuracy:
    """Score a model, reference or artifact alike, on labelled examples.

    Raises:
        InputError: the task has no accuracy, or a label that the model does not know.
    """
    if not task.scored:
        raise InputError(
            f"{task.name} ({task.problem_type or 'features'}) has no accuracy", hint="leave out --data"
        )
    for number, example in enumerate(examples, start=1):
        try:
            task.check(example)
        except InputError as error:
            raise InputError(f"example {number}: {error.problem}", allowed=error.allowed) from None
    scores = []
    for done, example in enumerate(examples):
        progress("accuracy", done, len(examples))
        rows = answer_rows(task, tokenizer, compute, example, lengths)
        scores.append(task.score(example, rows, tokenizer))
    progress("accuracy", len(examples), len(examples))
    return Accuracy(tuple(scores))
