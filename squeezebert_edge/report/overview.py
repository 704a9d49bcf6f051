"""A report laid out: what each bundle is called there, and its numbers beside those of the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from squeezebert_edge.accuracy.paired import AccuracyComparison, MetricComparison
from squeezebert_edge.bundle.manifest import unit_in_words
from squeezebert_edge.latency.record import Record
from squeezebert_edge.report.cells import Column, milliseconds, number, rounded
from squeezebert_edge.report.changes import Changes, change_columns
from squeezebert_edge.report.measurements import NUMBERS
from squeezebert_edge.report.rows import Report, Row


@dataclass(frozen=True)
class Entry:
    """One bundle of a report, which every form of the report reads.

    name: what it is called here: format and precision, and its directory where two are called the same.
    metrics: its accuracy by the name of each of the report's metrics; None was not measured.
    records: by the label of each of the report's devices, the one whose latency is quoted; None if none is.
    """

    name: str
    row: Row
    metrics: Mapping[str, MetricComparison | None]
    records: Mapping[str, Record | None]

    @property
    def proven(self) -> bool:
        """Whether it was verified."""
        return self.row.verification.status == "verified"

    @property
    def megabytes(self) -> float:
        """The size of its artifact."""
        return self.row.bytes / 1e6


def _of_accuracy(read: Callable[[AccuracyComparison], object]) -> Callable[[Entry], object]:
    """A fact of a bundle's accuracy, if that was measured."""
    return lambda entry: None if entry.row.accuracy is None else read(entry.row.accuracy)


MADE: tuple[Column[Entry], ...] = (
    Column(lambda entry: entry.row.bundle, "bundle", key="bundle"),
    Column(lambda entry: entry.name, heading="bundle", brief=True),
    Column(lambda entry: entry.row.checkpoint, "checkpoint"),
    Column(lambda entry: entry.row.format, "format", key="format"),
    Column(lambda entry: entry.row.precision.name, "precision", key="precision"),
    Column(lambda entry: entry.row.precision.exact, "exact precision", key="exact_precision"),
    Column(lambda entry: entry.row.precision.kept_float, key="kept_float"),
    Column(lambda entry: " ".join(entry.row.precision.kept_float), "kept in float"),
    Column(lambda entry: entry.row.form, "form", key="form"),
    Column(lambda entry: entry.row.unit, "unit", key="unit"),
    Column(lambda entry: unit_in_words(entry.row.unit), heading="unit"),
    Column(lambda entry: entry.row.bytes, "bytes", key="bytes"),
    Column(lambda entry: entry.megabytes, heading=">MB", text=rounded(".1f"), brief=True),
)

PROOF: tuple[Column[Entry], ...] = (
    Column(lambda entry: entry.row.verification.status, "proof"),
    Column(lambda entry: entry.row.proof, heading="proof", brief=True),
    Column(lambda entry: entry.row.verification.by, "proven by"),
    Column(lambda entry: entry.row.verification.sqnr_db, "SQNR dB", ">SQNR\ndB", rounded(".0f"), brief=True),
    Column(lambda entry: entry.row.verification.max_abs_error, "largest error"),
    Column(lambda entry: entry.row.verification.padding_error, "padding error"),
    Column(lambda entry: entry.row.delegation.delegated, "delegated"),
    Column(lambda entry: entry.row.delegation.total, "operators"),
    Column(_of_accuracy(lambda accuracy: accuracy.examples), "examples"),
)


@dataclass(frozen=True)
class Overview:
    """A report's bundles by its metrics and its devices.

    metrics: the names of the metrics of any bundle with their units, in their order.
    devices: what the devices that have a latency of any bundle to show are called, by label.
    changes: since a baseline, if the report is compared with one.
    """

    report: Report
    entries: tuple[Entry, ...]
    metrics: Mapping[str, str]
    devices: Mapping[str, str]
    changes: Changes | None = None

    @classmethod
    def of(cls, report: Report, changes: Changes | None = None) -> Overview:
        """Lay out a report."""
        measured = [row.accuracy.metrics if row.accuracy else () for row in report.rows]
        units = {metric.name: metric.unit for metrics in measured for metric in metrics}
        devices = {
            label: name
            for label, name in report.devices().items()
            if any(report.record_of(row, label) for row in report.rows)
        }
        entries = [
            Entry(
                name,
                row,
                dict.fromkeys(units) | {metric.name: metric for metric in metrics},
                {label: report.record_of(row, label) for label in devices},
            )
            for name, row, metrics in zip(report.names, report.rows, measured, strict=True)
        ]
        return cls(report, tuple(entries), units, devices, changes)

    def columns(self) -> list[Column[Entry]]:
        """Every fact of a bundle that is shown, in the order of tables and of CSV."""
        size = change_columns(self.changes, _size_change, "bytes change %", ">MB\nchange")
        columns = [*MADE, *size, *PROOF]
        for name, unit in self.metrics.items():
            columns += _metric_columns(name, unit, self.changes, brief=name == next(iter(self.metrics)))
        columns += [
            Column(_of_accuracy(lambda accuracy: accuracy.mcnemar_p), "McNemar p"),
            Column(
                _of_accuracy(lambda accuracy: accuracy.agreement),
                "agreement",
                ">agreement" if self.metrics else None,
                rounded(".2%"),
            ),
            Column(
                _of_accuracy(lambda accuracy: len(accuracy.flips)),
                "flips",
                ">flips" if self.metrics else None,
                brief=True,
            ),
        ]
        for label, name in self.devices.items():
            columns += _device_columns(label, name, self.changes)
        return columns


def in_a_line(row: Row) -> str:
    """A bundle by itself: its size, its proof and its first metric."""
    found = [f"{row.bytes / 1e6:.1f} MB", row.proof]
    if row.verification.sqnr_db is not None:
        found.append(f"SQNR {number(row.verification.sqnr_db, '.0f')} dB")
    if row.accuracy is not None:
        first = row.accuracy.metrics[0]
        found.append(f"{first.name} {in_unit(first.unit)(first.artifact)}, {difference(first)}")
    return f"{row.name}: {', '.join(found)}"


def _size_change(changes: Changes, entry: Entry) -> float | None:
    return None if entry.row.is_further_unit else changes.size(entry.row.seal)


def _metric_columns(name: str, unit: str, changes: Changes | None, *, brief: bool) -> list[Column[Entry]]:
    """The reference's value, the artifact's, and their difference with its interval."""

    def of_metric(read: Callable[[MetricComparison], object]) -> Callable[[Entry], object]:
        def value(entry: Entry) -> object:
            metric = entry.metrics[name]
            return None if metric is None else read(metric)

        return value

    def change(changes: Changes, entry: Entry) -> float | None:
        return None if entry.row.is_further_unit else changes.metric(entry.row.seal, name)

    text, digits = in_unit(unit), "+.2f" if unit == "points" else "+.4f"
    return [
        Column(of_metric(lambda metric: metric.reference), f"reference {name}", f">reference\n{name}", text),
        Column(of_metric(lambda metric: metric.artifact), name, f">{name}", text, brief=brief),
        Column(of_metric(lambda metric: metric.difference), f"{name} difference"),
        Column(of_metric(lambda metric: metric.low), f"{name} low"),
        Column(of_metric(lambda metric: metric.high), f"{name} high"),
        Column(of_metric(difference), heading=">difference (95%)", brief=brief),
        *change_columns(changes, change, f"{name} change", f">{name}\nchange", digits, ""),
    ]


def in_unit(unit: str) -> Callable[[float], str]:
    """A metric's value in words."""
    return rounded(".2%" if unit == "points" else ".4f")


def difference(metric: MetricComparison) -> str:
    """How much more or less an artifact has than the reference, with the interval."""
    digits = "+.2f" if metric.unit == "points" else "+.4f"
    interval = " [{}, {}]".format(*(number(bound, digits) for bound in (metric.low, metric.high)))
    return number(metric.difference, digits) + (interval if math.isfinite(metric.difference) else "")


def _device_columns(label: str, name: str, changes: Changes | None) -> list[Column[Entry]]:
    """The numbers of a device's records, headed with what it is called."""

    def of_record(read: Callable[[Record], object]) -> Callable[[Entry], object]:
        def value(entry: Entry) -> object:
            record = entry.records[label]
            return None if record is None else read(record)

        return value

    def p50(changes: Changes, entry: Entry) -> float | None:
        record = entry.records[label]
        return None if record is None else changes.p50(record)

    def p90(changes: Changes, entry: Entry) -> float | None:
        record = entry.records[label]
        return None if record is None else changes.p90(record)

    changed = {
        "p50 ms": change_columns(changes, p50, f"{name}: p50 change %", f">{name}:\np50 change"),
        "p90 ms": change_columns(changes, p90, f"{name}: p90 change %"),
    }
    columns = []
    for what, read in NUMBERS.items():
        heading = f">{name}:\n{what}"
        columns.append(
            Column(of_record(read), f"{name}: {what}", heading, milliseconds, brief=what == "p50 ms")
        )
        columns += changed.get(what, [])
    return [*columns, Column(of_record(lambda record: record.label), f"{name}: device")]
