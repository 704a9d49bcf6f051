"""A report as one table: the columns that people compare bundles by."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from squeezebert_edge.paired import MetricComparison
from squeezebert_edge.report.rows import Report, Row

HOST = "host, rough"
NONE = "-"


@dataclass(frozen=True)
class Table:
    """Headers, of two lines where that keeps a column narrow, and a row of cells for each bundle.

    Columns headed with a leading '>' are numbers.
    """

    columns: Sequence[str]
    cells: Sequence[Sequence[str]]


def table(report: Report) -> Table:
    """What people compare bundles by, in words and rounded numbers."""
    metrics = metric_names(report)
    lengths = latency_lengths(report)
    columns = ["bundle", ">MB", "proof", ">SQNR\ndB"]
    for name in metrics:
        columns += [f">reference\n{name}", f">{name}", ">difference (95%)"]
    if metrics:
        columns += [">agreement", ">flips"]
    columns += [f">{HOST}:\nms at {length}" for length in lengths]
    cells = []
    for name, row in zip(report.names, report.rows, strict=True):
        proven = [f"{row.bytes / 1e6:.1f}", row.proof, number(row.verification.sqnr_db, ".0f")]
        times = [milliseconds(ms_at(row, length)) for length in lengths]
        cells.append([name, *proven, *_accuracy(row, metrics), *times])
    return Table(columns, cells)


def metric_names(report: Report) -> list[str]:
    """The metrics of any bundle, in their order."""
    return list(
        dict.fromkeys(metric.name for row in report.rows if row.accuracy for metric in row.accuracy.metrics)
    )


def latency_lengths(report: Report) -> list[int]:
    """The lengths that any latency was taken at, ascending."""
    timed = [row.latency for row in report.rows if row.latency]
    return sorted({length for latency in timed for length in (latency.length, latency.longest)})


def ms_at(row: Row, length: int) -> float | None:
    """A bundle's rough latency on the host at a length, in milliseconds, if it was taken there."""
    if row.latency is None:
        return None
    taken = {row.latency.longest: row.latency.longest_median_ms, row.latency.length: row.latency.median_ms}
    return taken.get(length)


def metric_of(row: Row, name: str) -> MetricComparison | None:
    """A bundle's metric by its name, if it was measured."""
    metrics = row.accuracy.metrics if row.accuracy else ()
    return next((metric for metric in metrics if metric.name == name), None)


def to_markdown(report: Report) -> str:
    """The table and the warnings, in Markdown."""
    shown = table(report)
    lines = [
        _line([column.removeprefix(">") for column in shown.columns]),
        _line(["---:" if column.startswith(">") else "---" for column in shown.columns], escaped=False),
        *(_line(row) for row in shown.cells),
    ]
    warnings = [f"- {_plain(warning)}" for warning in report.warnings]
    return "\n".join([*lines, *(["", *warnings] if warnings else [])]) + "\n"


def to_csv(report: Report) -> str:
    """A line for each bundle with unrounded numbers; a cell of what is not known is empty."""
    metrics, lengths = metric_names(report), latency_lengths(report)
    records = [_record(row, metrics, lengths) for row in report.rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def _record(row: Row, metrics: Sequence[str], lengths: Sequence[int]) -> dict[str, object]:
    found, accuracy = row.verification, row.accuracy
    record: dict[str, object] = {
        "bundle": row.bundle,
        "checkpoint": row.checkpoint,
        "format": row.format,
        "precision": row.precision.name,
        "exact precision": row.precision.exact,
        "kept in float": " ".join(row.precision.kept_float),
        "form": row.form,
        "bytes": row.bytes,
        "proof": found.status,
        "proven by": found.by,
        "SQNR dB": found.sqnr_db,
        "largest error": found.max_abs_error,
        "padding error": found.padding_error,
        "delegated": row.delegation.delegated,
        "operators": row.delegation.total,
        "examples": accuracy.examples if accuracy else None,
    }
    for name in metrics:
        metric = metric_of(row, name)
        record |= {
            f"reference {name}": metric.reference if metric else None,
            name: metric.artifact if metric else None,
            f"{name} difference": metric.difference if metric else None,
            f"{name} low": metric.low if metric else None,
            f"{name} high": metric.high if metric else None,
        }
    record |= {
        "McNemar p": accuracy.mcnemar_p if accuracy else None,
        "agreement": accuracy.agreement if accuracy else None,
        "flips": len(accuracy.flips) if accuracy else None,
    }
    record |= {f"{HOST}: ms at {length}": ms_at(row, length) for length in lengths}
    return record | {f"{HOST}: machine": row.latency.machine if row.latency else None}


def _accuracy(row: Row, metrics: Sequence[str]) -> list[str]:
    if not metrics:
        return []
    cells = []
    for name in metrics:
        metric = metric_of(row, name)
        cells += metric_cells(metric) if metric else [NONE] * 3
    if row.accuracy is None:
        return [*cells, NONE, NONE]
    return [*cells, number(row.accuracy.agreement, ".2%"), str(len(row.accuracy.flips))]


def metric_cells(metric: MetricComparison) -> list[str]:
    """The reference's value, the artifact's, and their difference with its interval."""
    value, digits = (".2%", "+.2f") if metric.unit == "points" else (".4f", "+.4f")
    interval = " [{}, {}]".format(*(number(bound, digits) for bound in (metric.low, metric.high)))
    difference = number(metric.difference, digits) + (interval if math.isfinite(metric.difference) else "")
    return [number(metric.reference, value), number(metric.artifact, value), difference]


def number(value: float | None, form: str) -> str:
    """A number as the format says, or a dash where there is none."""
    return NONE if value is None or not math.isfinite(value) else format(value, form)


def milliseconds(value: float | None) -> str:
    """A time as precisely as a rough one is worth."""
    return number(value, ".1f" if value is not None and value >= 10 else ".2f")


def _line(cells: Sequence[str], *, escaped: bool = True) -> str:
    return "| " + " | ".join(_plain(cell) if escaped else cell for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text that Markdown takes as it stands, on one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\|`*_<>[]&" else letter for letter in flat)
