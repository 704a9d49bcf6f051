"""Rows with named columns, whether a file is a TSV, a CSV or JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.errors import InputError


@dataclass(frozen=True)
class TableRow:
    """One row: its values by column, and its place as `file:line`."""

    where: str
    values: dict[str, Any]

    def text(self, column: str) -> str:
        """The text in a column.

        Raises:
            InputError: this row has no such column, or something else than a text in it.
        """
        if column not in self.values:
            raise InputError(
                f"{self.where}: the row has no {column}", allowed="the same columns in every row"
            )
        if not isinstance(self.values[column], str):
            raise InputError(f"{self.where}: {column} is {self.values[column]!r}", allowed="a text")
        return str(self.values[column])

    def first_value(self, columns: Sequence[str]) -> Any:
        """The value in the first of `columns` that the row has; None if it has none of them."""
        return next((self.values[column] for column in columns if column in self.values), None)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without their ends.

    Raises:
        InputError: the file is missing, unreadable, empty or not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}", hint="convert it to UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    lines = [line.removesuffix("\r") for line in lines]
    if not any(lines):
        raise InputError(f"{path} is empty")
    return lines[:-1] if lines[-1] == "" else lines


def read_table(path: Path) -> list[TableRow]:
    """The rows of a TSV or CSV with a header, or of JSON lines; at least one.

    A TSV quotes nothing, as GLUE's do not. A file is read as what its content shows it to be: lines that open
    with a brace are JSON, a header with commas and no tab is CSV's, as is every header of a `.csv`.

    Raises:
        InputError: a row is malformed; the message has its line.
    """
    lines = read_lines(path)
    while not lines[-1]:
        lines.pop()
    if lines[0].lstrip().startswith(("{", "[")):
        rows = list(_json_lines(path, lines))
    elif path.suffix.lower() == ".csv" or ("," in lines[0] and "\t" not in lines[0]):
        rows = list(_table(path, _csv_rows(path, lines)))
    else:
        rows = list(_table(path, ((number, line.split("\t")) for number, line in enumerate(lines, start=1))))
    if not rows:
        raise InputError(f"{path} has a header and no examples")
    return rows


def _table(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Iterator[TableRow]:
    """Numbered rows under their header."""
    _, header = next(rows)
    for number, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"{path}:{number}: the row has {len(row)} columns, the header {len(header)}",
                allowed="one example a row; columns separated by tabs, nothing quoted, or a CSV's by commas",
            )
        yield TableRow(f"{path}:{number}", dict(zip(header, row, strict=True)))


def _csv_rows(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """A CSV's rows with the number of the line each begins in; a quoted field may hold line ends."""
    reader = csv.reader((line + "\n" for line in lines), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path}:{number}: this is not CSV: {error}") from None


def _json_lines(path: Path, lines: Sequence[str]) -> Iterator[TableRow]:
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{where}: this is not JSON: {error.msg}", allowed="an object on each line"
            ) from None
        if not isinstance(values, dict):
            raise InputError(f"{where}: this is not an object", allowed="an object on each line")
        yield TableRow(where, values)
