"""A report as one table: the columns that people compare bundles by."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from squeezebert_edge.accuracy.paired import MetricComparison
from squeezebert_edge.report.cells import NONE, Table, milliseconds, number
from squeezebert_edge.report.measurements import conditions, latencies, measurement, timed
from squeezebert_edge.report.rows import Report, Row


def table(report: Report) -> Table:
    """What people compare bundles by, in words and rounded numbers."""
    metrics = metric_names(report)
    devices = quoted_devices(report)
    columns = ["bundle", ">MB", "proof", ">SQNR\ndB"]
    for name in metrics:
        columns += [f">reference\n{name}", f">{name}", ">difference (95%)"]
    if metrics:
        columns += [">agreement", ">flips"]
    columns += [f">{name}:\n{what}" for name in devices.values() for what in timed(None)]
    cells = []
    for name, row in zip(report.names, report.rows, strict=True):
        proven = [f"{row.bytes / 1e6:.1f}", row.proof, number(row.verification.sqnr_db, ".0f")]
        times = [
            shown
            for label in devices
            for shown in map(milliseconds, timed(report.quoted(row, label)).values())
        ]
        cells.append([name, *proven, *_accuracy(row, metrics), *times])
    return Table(columns, cells)


def metric_names(report: Report) -> list[str]:
    """The metrics of any bundle, in their order."""
    return list(
        dict.fromkeys(metric.name for row in report.rows if row.accuracy for metric in row.accuracy.metrics)
    )


def quoted_devices(report: Report) -> dict[str, str]:
    """Names of the devices, by label, that have a latency of any row to show."""
    return {
        label: name
        for label, name in report.devices().items()
        if any(report.quoted(row, label) for row in report.rows)
    }


def metric_of(row: Row, name: str) -> MetricComparison | None:
    """A bundle's metric by its name, if it was measured."""
    metrics = row.accuracy.metrics if row.accuracy else ()
    return next((metric for metric in metrics if metric.name == name), None)


def to_markdown(report: Report) -> str:
    """The tables and the warnings, in Markdown."""
    blocks = [
        *([_markdown(table(report))] if report.rows or not report.records else []),
        *(_markdown(shown(report.records)) for shown in (latencies, conditions) if report.records),
        [f"- {_plain(warning)}" for warning in report.warnings],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def _markdown(shown: Table) -> list[str]:
    return [
        _line([column.removeprefix(">") for column in shown.columns]),
        _line(["---:" if column.startswith(">") else "---" for column in shown.columns], escaped=False),
        *(_line(row) for row in shown.cells),
    ]


def to_csv(report: Report) -> str:
    """A line for each bundle with unrounded numbers, or for each record where there are only these.

    A cell of what is not known is empty.
    """
    records = [_record(report, row) for row in report.rows]
    if not records:
        records = [measurement(each) for each in report.records]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def _record(report: Report, row: Row) -> dict[str, object]:
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
    for name in metric_names(report):
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
    for label, name in quoted_devices(report).items():
        record |= {f"{name}: {what}": value for what, value in timed(report.quoted(row, label)).items()}
        record[f"{name}: device"] = label if report.quoted(row, label) else None
    return record


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


def _line(cells: Sequence[str], *, escaped: bool = True) -> str:
    return "| " + " | ".join(_plain(cell) if escaped else cell for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text that Markdown takes as it stands, on one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\|`*_<>[]&" else letter for letter in flat)
