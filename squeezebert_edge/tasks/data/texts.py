"""A text or a pair of texts with a label: GLUE's tables and their like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exporters.errors import InputError
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.tables import TableRow, read_lines, read_table

# How labelled tables name their texts, GLUE's spellings among them; the first that a file has is taken.
TEXT_COLUMNS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("#1 String", "#2 String"),
    ("text", "pair"),
    ("sentence",),
    ("text",),
)
LABEL_COLUMNS = ("label", "gold_label", "score", "is_duplicate", "Quality")

COLA_COLUMNS = 4  # source, label, the author's mark, sentence; no header


def read_texts(path: Path) -> list[Example]:
    """A TSV, CSV or JSON lines of texts and labels, or CoLA's TSV, which has no header.

    Raises:
        InputError: no column has texts, or a row is malformed; the message has its line.
    """
    lines = read_lines(path)
    if _is_cola(lines[0]):
        return list(_cola(path, lines))
    rows = read_table(path)
    columns = _text_columns(path, rows[0])
    examples = []
    for row in rows:
        text, *pair = (row.text(column) for column in columns)
        label = row.first_value(LABEL_COLUMNS)
        examples.append(Example(text, pair[0] if pair else None, label=label, where=row.where))
    return examples


def _text_columns(path: Path, first: TableRow) -> tuple[str, ...]:
    """The columns of an example's one or two texts."""
    for names in TEXT_COLUMNS:
        if first.values.keys() >= set(names):
            return names
    raise InputError(
        f"{path}:1: the header {list(first.values)} has no column of texts",
        allowed=f"a label ({', '.join(LABEL_COLUMNS)}) and "
        + ", or ".join(" and ".join(names) for names in TEXT_COLUMNS),
    )


def _is_cola(line: str) -> bool:
    columns = line.split("\t")
    return len(columns) == COLA_COLUMNS and columns[1] in ("0", "1") and columns[2] in ("", "*")


def _cola(path: Path, lines: Sequence[str]) -> list[Example]:
    examples = []
    for number, line in enumerate(lines, start=1):
        if not _is_cola(line):
            raise InputError(
                f"{path}:{number}: this is not a row of CoLA",
                allowed="source, 0 or 1, nothing or *, and the sentence, separated by tabs",
            )
        _, label, _, sentence = line.split("\t")
        examples.append(Example(sentence, label=label, where=f"{path}:{number}"))
    return examples
