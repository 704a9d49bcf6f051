"""A report as one table, for people and for machines: the columns that bundles are compared by."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from squeezebert_edge.report.cells import Table, facts, tabulate
from squeezebert_edge.report.changes import Changes
from squeezebert_edge.report.measurements import conditions, latencies, measurement
from squeezebert_edge.report.overview import Entry, Overview
from squeezebert_edge.report.rows import Report


def table(report: Report, changes: Changes | None = None, *, brief: bool = False) -> Table:
    """What people compare bundles by, in words and rounded numbers.

    Args:
        brief: only what a terminal of 100 columns has room for.
    """
    overview = Overview.of(report, changes)
    columns = [column for column in overview.columns() if column.brief or not brief]
    return tabulate(columns, overview.entries)


def change_table(report: Report, changes: Changes) -> Table:
    """What changed alone: narrow enough for a terminal."""
    overview = Overview.of(report, changes)
    first, *others = (column for column in overview.columns() if column.heading is not None)
    return tabulate([first, *(column for column in others if column.change)], overview.entries)


def to_markdown(report: Report, changes: Changes | None = None) -> str:
    """The tables, the warnings and what is to be said of the changes, in Markdown."""
    blocks = []
    if report.rows or not report.records:
        blocks.append(_markdown(table(report, changes)))
    if report.records:
        blocks += [_markdown(latencies(report.records, changes)), _markdown(conditions(report.records))]
    blocks.append([f"- {_escape(warning)}" for warning in report.warnings])
    if changes is not None:
        blocks.append([f"Changes are against {_escape(changes.baseline)}."])
        blocks.append([f"- **{_escape(sentence)}**" for sentence in changes.exceeded])
        blocks.append([f"- {_escape(sentence)}" for sentence in changes.notes])
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def to_csv(report: Report, changes: Changes | None = None) -> str:
    """A line for each bundle with unrounded numbers, or for each record where there are only these.

    A cell of what is not known is empty.
    """
    overview = Overview.of(report, changes)
    lines = [facts(overview.columns(), entry) for entry in overview.entries]
    if not lines:
        lines = [measurement(record, changes) for record in report.records]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def describe_bundles(report: Report, changes: Changes | None = None) -> list[dict[str, object]]:
    """The bundles for JSON: unrounded, their flips counted."""
    overview = Overview.of(report, changes)
    return [_describe(overview, entry) for entry in overview.entries]


def _describe(overview: Overview, entry: Entry) -> dict[str, object]:
    accuracy, changes = entry.row.accuracy, overview.changes
    described: dict[str, object] = {
        column.key: column.value(entry) for column in overview.columns() if column.key is not None
    }
    described |= {
        "verification": entry.row.verification.model_dump(),
        "accuracy": None if accuracy is None else accuracy.summary(),
        "latency": {
            overview.devices[label]: measurement(record, changes)
            for label, record in entry.records.items()
            if record is not None
        },
    }
    if changes is not None:
        seal = entry.row.seal
        described["change"] = {
            "bytes_percent": changes.size(seal),
            "metrics": {name: changes.metric(seal, name) for name in overview.metrics},
        }
    return described


def _markdown(shown: Table) -> list[str]:
    return [
        _line([column.removeprefix(">") for column in shown.columns]),
        _line(["---:" if column.startswith(">") else "---" for column in shown.columns], escaped=False),
        *(_line(row) for row in shown.cells),
    ]


def _line(cells: Sequence[str], *, escaped: bool = True) -> str:
    return "| " + " | ".join(_escape(cell) if escaped else cell for cell in cells) + " |"


def _escape(text: str) -> str:
    """Text that Markdown takes as it stands, on one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\|`*_<>[]&" else letter for letter in flat)
