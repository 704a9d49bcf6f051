"""Real texts as the rows that a latency is measured on, and how long it takes to make them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.arrays import Array
from exporters.errors import InputError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import statistics
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import Task
from squeezebert_edge.tasks.rows import rows_of
from squeezebert_edge.text.tokenizer import Tokenizer

MOST_TEXTS = 1024  # what loadgen keeps in memory for a benchmark of this kind
BUILT_IN = "the built-in sample"


@dataclass(frozen=True)
class Workload:
    """Rows to run in turn.

    source: where the texts are from, as it was named. texts: how many there are.
    rows: each row's inputs by name, (1, length) int32.
    tokenization_ns: how long each text took from characters to rows.
    """

    source: str
    texts: int
    rows: tuple[Mapping[str, Array], ...]
    tokenization_ns: tuple[int, ...]

    @property
    def tokenization(self) -> record.Tokenization:
        """How long tokenizing took, as records have it."""
        return record.Tokenization(where="host", statistics=statistics(self.tokenization_ns))


def of_bundle(bundle: Bundle, data: Path | None, length: int | None) -> Workload:
    """The rows of a file's first texts, or of the built-in sample's, as the bundle takes them.

    Args:
        data: a file of a form that the bundle's task reads.
        length: cut or pad every text to it; by default each to the shortest length that fits.

    Raises:
        InputError: the bundle does not have the length, or the data is wrong.
    """
    lengths = bundle.manifest.lengths
    if length is not None and length not in lengths:
        raise InputError(f"{bundle.directory} has no length {length}", allowed=", ".join(map(str, lengths)))
    return of_data(bundle.task, bundle.tokenizer, data, [length] if length else lengths)


def of_data(task: Task, tokenizer: Tokenizer, data: Path | None, lengths: Sequence[int]) -> Workload:
    """The rows of a file's first texts, or of the built-in sample's, each at the shortest length that fits.

    Raises:
        InputError: the data is wrong.
    """
    examples = task.built_in_examples() if data is None else type(task).read(data)[:MOST_TEXTS]
    if not examples:
        raise InputError(f"{data} has no texts", allowed="at least one")
    source = BUILT_IN if data is None else data.name
    return of_examples(task, tokenizer, examples, lengths, source)


def of_examples(
    task: Task, tokenizer: Tokenizer, examples: Sequence[Example], lengths: Sequence[int], source: str
) -> Workload:
    """The rows of examples, each at the shortest length that fits."""
    rows: list[Mapping[str, Array]] = []
    times = []
    rows_of(task, tokenizer, examples[0], lengths)  # the first call of a tokenizer is a slow one
    for example in examples:
        start = time.monotonic_ns()
        found = rows_of(task, tokenizer, example, lengths)
        times.append(time.monotonic_ns() - start)
        rows += found
    return Workload(source, len(examples), tuple(rows), tuple(times))
