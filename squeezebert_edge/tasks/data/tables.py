"""Rows with named columns, whether a file is a TSV, a CSV or JSON lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from exporters.errors import InputError, quote
from squeezebert_edge.plumbing import reading

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
QUORA = {"question1", "question2", "is_duplicate"}  # columns of GLUE's QQP


@dataclass(frozen=True)
class TableRow:
    """One row: its values by column, and its place as `file:line`."""

    where: str
    values: dict[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the row's columns."""
        return tuple(self.values)

    def find(self, columns: Sequence[str]) -> str | None:
        """The row's name of the first of `columns` that it has, whatever its case; None if it has none."""
        known = _by_folded_name(self.columns)
        return next((known[name.casefold()] for name in columns if name.casefold() in known), None)

    def text(self, column: str) -> str:
        """The text in a column.

        Raises:
            InputError: this row has no such column, or something else than a text in it.
        """
        name = self.find((column,))
        if name is None:
            raise InputError(
                f"{self.where}: the row has no {column}", allowed="the same columns in every row"
            )
        if not isinstance(self.values[name], str):
            raise InputError(f"{self.where}: {column} is {quote(self.values[name])}", allowed="a text")
        return str(self.values[name])

    def first_value(self, columns: Sequence[str]) -> Any:
        """The value in the first of `columns` that the row has; None if it has none of them."""
        name = self.find(columns)
        return None if name is None else self.values[name]


@lru_cache(maxsize=64)
def _by_folded_name(columns: tuple[str, ...]) -> dict[str, str]:
    return {column.casefold(): column for column in reversed(columns)}


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without their ends: LF or CR LF, or CR where there is nothing else.

    Raises:
        InputError: the file is missing, unreadable, empty or not UTF-8.
    """
    lines = reading.read_lines(path)
    if not any(line.strip() for line in lines):
        raise InputError(f"{path} is empty")
    return lines[:-1] if lines[-1] == "" else lines


def read_table(path: Path) -> list[TableRow]:
    """The rows of a TSV or CSV with a header, of JSON lines or of a JSON list; at least one.

    A TSV quotes nothing, as GLUE's do not, unless its whole header is quoted, as Quora's is, or every cell
    with a quote in it is one that a writer of CSV has quoted, as pandas does. A file is read as what its
    content shows it to be: one that opens with a brace or a bracket is JSON, a header with commas and no tab
    is CSV's, as is every header of a `.csv` without tabs. Blank lines are skipped.

    Raises:
        InputError: a row is malformed; the message has its line.
    """
    lines = read_lines(path)
    header = next(line for line in lines if line.strip())
    if header.lstrip().startswith(("{", "[")):
        rows = list(_json_rows(path, lines))
    elif "\t" not in header and (path.suffix.lower() == ".csv" or "," in header):
        rows = list(_table(path, _csv_rows(path, lines, ",")))
    elif _is_quoted(header, lines):
        rows = list(_table(path, _csv_rows(path, lines, "\t")))
    else:
        rows = list(_table(path, _tsv_rows(lines)))
    if not rows:
        raise InputError(f"{path} has a header and no examples")
    return rows


def _is_quoted(header: str, lines: Sequence[str]) -> bool:
    """Whether the cells of a TSV are quoted as a CSV's are."""
    if all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in header.split("\t")):
        return True
    cells = [cell for line in lines if '"' in line for cell in line.split("\t") if '"' in cell]
    return any('""' in cell[1:-1] for cell in cells) and all(map(_QUOTED.fullmatch, cells))


def _table(path: Path, rows: Iterable[tuple[int, list[str]]]) -> Iterator[TableRow]:
    """Numbered rows under their header."""
    filled = ((number, row) for number, row in rows if len(row) > 1 or any(cell.strip() for cell in row))
    number, header = next(filled, (0, []))
    if not header:
        raise InputError(f"{path} is empty")
    header = [name.strip() for name in header]
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if doubled:
        raise InputError(
            f"{path}:{number}: the header has {', '.join(doubled)} twice", allowed="each column once"
        )
    for number, row in filled:
        if len(row) != len(header):
            raise InputError(
                f"{path}:{number}: the row has {len(row)} columns, the header {len(header)}",
                allowed="one example a row; columns separated by tabs, nothing quoted, or a CSV's by commas",
            )
        yield TableRow(f"{path}:{number}", dict(zip(header, row, strict=True)))


def _tsv_rows(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """A TSV's rows with the number of the line each begins in.

    GLUE's own file of Quora's pairs has questions with line ends in them, which quotes nothing: there the
    lines of a row are joined, by a space, where together they have the header's columns.
    """
    width = len(lines[0].split("\t")) if set(lines[0].split("\t")) >= QUORA else 0
    number = 0
    while number < len(lines):
        row, begins = lines[number].split("\t"), number
        number += 1
        while row != [""] and len(row) < width and number < len(lines):
            more = lines[number].split("\t")
            if len(row) + len(more) - 1 > width:
                break
            row = [*row[:-1], f"{row[-1]} {more[0]}".strip(), *more[1:]]
            number += 1
        yield begins + 1, row


def _csv_rows(path: Path, lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """A CSV's rows with the number of the line each begins in; a quoted field may hold line ends."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path}:{number}: this is not CSV: {error}") from None


def _json_rows(path: Path, lines: Sequence[str]) -> Iterator[TableRow]:
    document = whole_document(path, lines)
    if document is None:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path}:{number}"
                yield _json_row(where, reading.parse_json(line, f"{where}: this"))
        return
    rows = document.get("data", [document]) if isinstance(document, dict) else document
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}:1: this is not an object on each line, or a list of objects")
    for number, row in enumerate(rows, start=1):
        yield _json_row(f"{path}: row {number}", row)


def whole_document(path: Path, lines: Sequence[str]) -> Any:
    """The one value that a JSON file is; None of a file with an object on each line.

    Raises:
        InputError: it is neither; the message has the line.
    """
    filled = [line for line in lines if line.strip()]
    try:
        first = reading.parse_json(filled[0], f"{path}: this")
    except reading.NotJsonError:
        if len(filled) > 1 and filled[0].rstrip().endswith("}"):
            return None  # an object that is broken; its line will be named
        try:
            return reading.parse_json("\n".join(lines), f"{path}: this")
        except reading.NotJsonError as error:
            raise InputError(f"{path}:{error.line}: this is not JSON: {error.reason}") from None
    is_whole = isinstance(first, list) or (isinstance(first, dict) and isinstance(first.get("data"), list))
    return first if len(filled) == 1 and is_whole else None


def _json_row(where: str, values: Any) -> TableRow:
    if not isinstance(values, dict):
        raise InputError(f"{where}: this is not an object", allowed="an object on each line")
    return TableRow(where, values)
