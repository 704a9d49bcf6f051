"""A prompt and its endings: SWAG's CSV, CODAH's TSV, and rows with named columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporters.errors import InputError
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.tables import TableRow, read_lines, read_table

CODAH_COLUMNS = 7  # category, prompt, four endings and the label; no header
_ENDING = re.compile(r"(?:ending|choice)[_ ]?(\d+)")


def read_choices(path: Path) -> list[Example]:
    """Rows of a prompt, its endings and, if it is known, the index of the right one, counted from 0.

    SWAG's columns sent1, sent2 and ending0 to ending3 (each ending continues sent2); CODAH's form, which has
    no header; `prompt` and the list `choices` in JSON lines; `prompt` and choice0, choice1, ... in a table.

    Raises:
        InputError: a row is malformed, or its label is not a choice's index; the message has the line.
    """
    lines = read_lines(path)
    if _codah_row(lines[0]):
        return list(_codah(path, lines))
    return [_example(row) for row in read_table(path)]


def _example(row: TableRow) -> Example:
    values = row.values
    endings = sorted(
        (int(match[1]), column) for column in values if (match := _ENDING.fullmatch(column)) is not None
    )
    choices: Any = [row.text(column) for _, column in endings] or values.get("choices")
    if "sent1" in values:
        beginning, name = row.text("sent2"), "sent1"
        choices = [f"{beginning} {choice}".strip() for choice in choices or ()]
    else:
        name = "prompt"
    if name not in values or not isinstance(choices, list):
        raise InputError(
            f"{row.where}: the row has no {'choices' if name in values else name}",
            allowed="prompt and choices (a list, or columns choice0, choice1, ...), or SWAG's sent1, sent2, "
            "ending0, ...",
        )
    if len(choices) < 2 or not all(isinstance(choice, str) for choice in choices):
        raise InputError(f"{row.where}: the choices are {choices!r}", allowed="two texts or more")
    label = _index(row.where, values.get("label"), len(choices))
    return Example(row.text(name), choices=tuple(choices), label=label, where=row.where)


def _index(where: str, label: Any, count: int) -> int | None:
    if label is None:
        return None
    if isinstance(label, bool) or not re.fullmatch("[0-9]+", str(label)) or int(label) >= count:
        raise InputError(f"{where}: the label is {label!r}", allowed=f"a number from 0 to {count - 1}")
    return int(label)


def _codah_row(line: str) -> list[str] | None:
    columns = line.split("\t")
    return columns if len(columns) == CODAH_COLUMNS and re.fullmatch("[0-3]", columns[-1]) else None


def _codah(path: Path, lines: Sequence[str]) -> list[Example]:
    examples = []
    for number, line in enumerate(lines, start=1):
        row = _codah_row(line)
        if row is None:
            raise InputError(
                f"{path}:{number}: this is not a row of CODAH",
                allowed="category, prompt, four endings and a label from 0 to 3, separated by tabs",
            )
        _, prompt, *choices, label = row
        examples.append(Example(prompt, choices=tuple(choices), label=int(label), where=f"{path}:{number}"))
    return examples
