"""Texts with [MASK] in them."""

from __future__ import annotations

from pathlib import Path

from exporters.errors import InputError, quote
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.tables import read_table

LABEL_COLUMNS = ("answer", "label", "word")


def read_masked(path: Path) -> list[Example]:
    """Rows of `text` with [MASK] in it and, if it is known, `answer`, the word that stood there.

    Raises:
        InputError: a row is malformed; the message has its line.
    """
    examples = []
    for row in read_table(path):
        answer = row.first_value(LABEL_COLUMNS)
        if answer is not None and not isinstance(answer, str):
            raise InputError(
                f"{row.where}: the answer is {quote(answer)}", allowed="the word that stood at [MASK]"
            )
        examples.append(Example(row.text("text"), label=answer, where=row.where, columns=row.columns))
    return examples
