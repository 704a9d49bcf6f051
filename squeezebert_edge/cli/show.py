"""What people see: tables on stdout, progress and errors on stderr, JSON for machines."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from exporters.errors import EdgeError
from exporters.units import CPU, CPU_FP16, GPU, Unit

if TYPE_CHECKING:
    from squeezebert_edge.bundle.manifest import Verification
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.latency.record import Record
    from squeezebert_edge.report.changes import Changes

BESIDE_MEASUREMENTS = (
    1  # times a second that progress is drawn, so that it takes no time from what is measured
)
WIDTH_IN_FILES = 140  # where there is no terminal to fit a table to

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_IN_FILES)
err = Console(stderr=True, highlight=False)

STATUS_STYLE = {"verified": "green", "failed": "bold red", "not verified": "yellow"}


def error(problem: EdgeError) -> None:
    """Print what was wrong, what is allowed and what to do next."""
    err.print("error: ", style="bold red", end="")
    err.print(str(problem), markup=False, soft_wrap=True)


def note(text: str) -> None:
    """Print a remark that is no part of the result."""
    err.print(text, style="dim", markup=False, soft_wrap=True)


def as_json(value: Any) -> None:
    """Print one JSON value on one line."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Print a table; columns headed with a leading '>' are numbers and stand to the right."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_header=any(columns))
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        shown.add_column(column.removeprefix(">"), justify=justify, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    if title:
        out.print(title, style="bold", markup=False)
    out.print(shown)


def pairs(title: str, values: Mapping[str, str | Text]) -> None:
    """Print names and values."""
    table(title, ("", ""), list(values.items()))


def status(verification: Verification) -> Text:
    """A verification's status in its colour, with what computed it when that was not the runtime."""
    return Text(verification.words, style=STATUS_STYLE[verification.status])


def measurements(title: str, records: Sequence[Record], changes: Changes | None = None) -> None:
    """Tables of measurements, why each latency may be quoted or not in its colour."""
    from squeezebert_edge.report.measurements import conditions, latencies

    shown = latencies(records, changes)
    standing = shown.columns.index("standing")
    coloured: list[list[str | Text]] = [
        [*cells[:standing], Text(cells[standing], style=_standing_style(record)), *cells[standing + 1 :]]
        for cells, record in zip(shown.cells, records, strict=True)
    ]
    against = "" if changes is None else f"; changes are against {changes.baseline}"
    table(title + against, shown.columns, coloured)
    beside = conditions(records)
    table("", beside.columns, beside.cells)


def remarks(changes: Changes) -> None:
    """What a comparison with a baseline says beside its numbers."""
    for sentence in changes.notes:
        note(f"baseline: {sentence}")
    for sentence in changes.exceeded:
        note(f"worse than the baseline: {sentence}")


def _standing_style(record: Record) -> str:
    if record.validity.rule:
        return STATUS_STYLE["failed"]
    return STATUS_STYLE["verified" if record.quotable else "not verified"]


def doubts(bundles: Iterable[Bundle], unit: Unit = CPU) -> None:
    """Warn of bundles that were proven by other gates than those of their precision, or not on a unit."""
    import exporters
    from squeezebert_edge.bundle.gates import own_gates_of

    for bundle in bundles:
        manifest = bundle.manifest
        for proven_on, words in own_gates_of(manifest):
            place = "" if proven_on in (None, "cpu") else f" on {proven_on}"
            note(f"warning: {bundle.directory}{place}: its proof is {words}")
        # An NPU's files come with their proof; the others run any bundle of a format that they know.
        unproven = exporters.format_named(manifest.format).units.keys() - manifest.units
        if unit in (CPU_FP16, GPU) and unit.kind in unproven:
            note(
                f"warning: {bundle.directory} is not proven on {unit}: "
                f"`squeezebert-edge verify {bundle.directory} --unit {unit}` proves it here"
            )


def number(value: float | None, form: str) -> str:
    """A number as the format says, or a dash where there is none."""
    return "-" if value is None else format(value, form)


@contextmanager
def progress(per_second: float = 10) -> Iterator[Callable[[str, int, int], None]]:
    """Something to tell stages and counts to: a live line on a terminal, a line a stage elsewhere.

    Each thread that tells anything has a live line of its own, as long as it runs.

    per_second: how often the live line is drawn anew, which takes time from what is measured beside it.
    """
    if not err.is_terminal:
        yield _line_per_stage()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
    )
    shown = Progress(
        *columns, TimeElapsedColumn(), console=err, transient=True, refresh_per_second=per_second
    )
    with shown as live:
        lines: dict[threading.Thread, TaskID] = {}
        stages: dict[threading.Thread, str] = {}
        lock = threading.Lock()

        def tell(stage: str, done: int, total: int) -> None:
            with lock:
                for thread in [each for each in lines if not each.is_alive()]:
                    live.remove_task(lines.pop(thread))
                me = threading.current_thread()
                if me not in lines:
                    lines[me] = live.add_task(stage, total=total or None)
                elif stages[me] != stage:
                    live.reset(lines[me], description=stage, total=total or None)
                stages[me] = stage
                live.update(lines[me], completed=done, total=total or None)

        yield tell


def _line_per_stage() -> Callable[[str, int, int], None]:
    told: set[str] = set()

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in told:
            told.add(stage)
            note(stage)

    return tell
