"""A prompt and its endings: SWAG's CSV, CODAH's TSV, and rows with named columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporters.errors import InputError, quote
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.tables import TableRow, read_lines, read_table
from squeezebert_edge.tasks.labels import NO_GOLD

CODAH_COLUMNS = 7  # category, prompt, four endings and the label; no header
# SWAG's and this program's own names, HellaSwag's, and those of CODAH on the Hugging Face hub.
PROMPT_COLUMNS = ("prompt", "ctx", "question_propmt")
CHOICES_COLUMNS = ("choices", "endings", "candidate_answers")
LABEL_COLUMNS = ("label", "labels", "target", "correct_answer_idx")
_ENDING = re.compile(r"(?:ending|choice)[_ ]?([0-9]{1,4})")


def read_choices(path: Path) -> list[Example]:
    """Rows of a prompt, its endings and, if it is known, the index of the right one, counted from 0.

    SWAG's columns sent1, sent2 and ending0 to ending3 (each ending continues sent2); CODAH's form, which has
    no header; `prompt` and the list `choices` in JSON lines; `prompt` and choice0, choice1, ... in a table.

    Raises:
        InputError: a row is malformed, or its label is not a choice's index; the message has the line.
    """
    lines = read_lines(path)
    if _codah_row(next(line for line in lines if line.strip())):
        return list(_codah(path, lines))
    rows = read_table(path)
    examples = [_example(row) for row in rows]
    labels = [example.label for example in examples if isinstance(example.label, int)]
    numbers = [number for number, _ in _endings(rows[0])]
    if numbers[:1] == [1] and labels and 0 not in labels:
        raise InputError(
            f"{path} counts its choices from 1, and no label is 0",
            allowed="labels that count the choices from 0",
            hint="call the columns choice0, choice1, ... if the labels do, or subtract 1 from each label",
        )
    return examples


def _endings(row: TableRow) -> list[tuple[int, str]]:
    """The columns of a row's endings with their numbers, in order."""
    found = sorted(
        (int(match[1]), column)
        for column in row.values
        if (match := _ENDING.fullmatch(column.casefold())) is not None
    )
    numbers = [number for number, _ in found]
    if numbers and numbers not in ([*range(len(numbers))], [*range(1, len(numbers) + 1)]):
        raise InputError(
            f"{row.where}: the columns of choices are {', '.join(column for _, column in found)}",
            allowed="choice0, choice1, ... without gaps",
        )
    return found


def _example(row: TableRow) -> Example:
    endings = _endings(row)
    choices: Any = [row.text(column) for _, column in endings] or row.first_value(CHOICES_COLUMNS)
    name = row.find(("sent1",))
    if name is not None:
        beginning = row.text("sent2")
        choices = [f"{beginning} {choice}".strip() for choice in choices or ()]
    else:
        name = row.find(PROMPT_COLUMNS)
    if name is None or not isinstance(choices, list):
        raise InputError(
            f"{row.where}: the row has no {'prompt' if name is None else 'choices'}: its columns are "
            f"{', '.join(row.columns)}",
            allowed="prompt and choices (a list, or columns choice0, choice1, ...), or SWAG's sent1, sent2, "
            "ending0, ...",
        )
    if len(choices) < 2 or not all(isinstance(choice, str) for choice in choices):
        raise InputError(f"{row.where}: the choices are {quote(choices)}", allowed="two texts or more")
    label = _index(row.where, row.first_value(LABEL_COLUMNS), len(choices))
    return Example(row.text(name), choices=tuple(choices), label=label, where=row.where, columns=row.columns)


def _index(where: str, label: Any, count: int) -> int | str | None:
    if label is None or str(label) in NO_GOLD:
        return label  # type: ignore[no-any-return]
    if isinstance(label, bool) or not re.fullmatch("[0-9]{1,9}", str(label)) or int(label) >= count:
        raise InputError(f"{where}: the label is {quote(label)}", allowed=f"a number from 0 to {count - 1}")
    return int(label)


def _codah_row(line: str) -> list[str] | None:
    columns = line.split("\t")
    return columns if len(columns) == CODAH_COLUMNS and re.fullmatch("[0-3]", columns[-1]) else None


def _codah(path: Path, lines: Sequence[str]) -> list[Example]:
    examples = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _codah_row(line)
        if row is None:
            raise InputError(
                f"{path}:{number}: this is not a row of CODAH",
                allowed="category, prompt, four endings and a label from 0 to 3, separated by tabs",
            )
        _, prompt, *choices, label = row
        examples.append(Example(prompt, choices=tuple(choices), label=int(label), where=f"{path}:{number}"))
    return examples
