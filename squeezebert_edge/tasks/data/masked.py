"""Texts with [MASK] in them."""

from __future__ import annotations

from pathlib import Path

from exporters.errors import InputError
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.records import read_records


def read_masked(path: Path) -> list[Example]:
    """Rows of `text` with [MASK] in it and, if it is known, `answer`, the word that stood there.

    Raises:
        InputError: a malformed row, with its line.
    """
    examples = []
    for record in read_records(path):
        answer = record.values.get("answer")
        if answer is not None and not isinstance(answer, str):
            raise InputError(f"{record.where}: answer {answer!r}", allowed="the word that stood at [MASK]")
        examples.append(Example(record.text("text"), label=answer, where=record.where))
    return examples
