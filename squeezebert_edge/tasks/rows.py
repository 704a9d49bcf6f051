"""An example as rows of inputs, and what a network answers to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from exporters.arrays import Array
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import DEFAULT_DOC_STRIDE, Row, Task
from squeezebert_edge.text.tokenizer import Encoding, Tokenizer, pad, shortest_length

Compute = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def answer_rows(
    task: Task,
    tokenizer: Tokenizer,
    compute: Compute,
    example: Example,
    lengths: Sequence[int],
    doc_stride: int = DEFAULT_DOC_STRIDE,
) -> list[Row]:
    """Run an example, each of its rows at the shortest of `lengths` that fits."""
    encodings = task.encode(example, tokenizer, lengths[-1], doc_stride)
    return [task.row(encoding, compute(_pad(encoding, tokenizer, lengths))) for encoding in encodings]


def rows_of(
    task: Task, tokenizer: Tokenizer, example: Example, lengths: Sequence[int]
) -> list[Mapping[str, Array]]:
    """The rows of one example, each at the shortest length that fits."""
    encodings = task.encode(example, tokenizer, lengths[-1], DEFAULT_DOC_STRIDE)
    return [_pad(encoding, tokenizer, lengths) for encoding in encodings]


def _pad(encoding: Encoding, tokenizer: Tokenizer, lengths: Sequence[int]) -> Mapping[str, Array]:
    return pad(encoding, shortest_length(len(encoding), lengths), tokenizer.special_ids["pad"])
