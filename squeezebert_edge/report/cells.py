"""What tables are made of: columns of facts, and numbers rounded to what they are worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

NONE = "-"

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Headers, of two lines where that keeps a column narrow, and rows of cells.

    Columns headed with a leading '>' are numbers.
    """

    columns: Sequence[str]
    cells: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Column(Generic[T]):
    """One fact of every bundle or of every measurement, as each form of a report has it.

    value: reads the fact, unrounded; None is not known.
    name: its heading in CSV; None leaves it out there.
    heading: its heading in tables, as `Table` has it; None leaves it out there.
    text: what a table shows of a known value.
    key: its name in the JSON of bundles; None leaves it out there.
    change: whether it says what changed since a baseline.
    brief: whether it is among the few that a terminal shows.
    """

    value: Callable[[T], Any]
    name: str | None = None
    heading: str | None = None
    text: Callable[[Any], str] = str
    key: str | None = None
    change: bool = False
    brief: bool = False

    def cell(self, item: T) -> str:
        """The fact as a table shows it, or a dash where it is not known."""
        value = self.value(item)
        return NONE if value is None else self.text(value)


def tabulate(columns: Sequence[Column[T]], items: Sequence[T]) -> Table:
    """A table of the columns that have a heading; a row for each item."""
    shown = [(column.heading, column) for column in columns if column.heading is not None]
    return Table(
        [heading for heading, _ in shown], [[column.cell(item) for _, column in shown] for item in items]
    )


def facts(columns: Sequence[Column[T]], item: T) -> dict[str, Any]:
    """The unrounded facts of an item by their names in CSV."""
    return {column.name: column.value(item) for column in columns if column.name is not None}


def number(value: float | None, form: str) -> str:
    """A number as the format says, or a dash where there is none."""
    return NONE if value is None or not math.isfinite(value) else format(value, form)


def rounded(form: str) -> Callable[[float], str]:
    """`number` in this form."""
    return lambda value: number(value, form)


def milliseconds(value: float | None) -> str:
    """A time, or as many bytes, as precisely as it is worth."""
    return number(value, ".1f" if value is None or value >= 10 else ".2f" if value >= 1 else ".3f")
