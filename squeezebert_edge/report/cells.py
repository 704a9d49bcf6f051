"""What tables are made of: cells of text, and numbers rounded to what they are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NONE = "-"


@dataclass(frozen=True)
class Table:
    """Headers, of two lines where that keeps a column narrow, and rows of cells.

    Columns headed with a leading '>' are numbers.
    """

    columns: Sequence[str]
    cells: Sequence[Sequence[str]]


def number(value: float | None, form: str) -> str:
    """A number as the format says, or a dash where there is none."""
    return NONE if value is None or not math.isfinite(value) else format(value, form)


def milliseconds(value: float | None) -> str:
    """A time, or as many bytes, as precisely as it is worth."""
    return number(value, ".1f" if value is None or value >= 10 else ".2f" if value >= 1 else ".3f")
