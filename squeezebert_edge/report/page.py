"""A report as one page that needs nothing else: no network, no scripts, light and dark, screen and paper."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import exporters
from squeezebert_edge.accuracy.paired import Flip
from squeezebert_edge.latency.record import Record
from squeezebert_edge.report import plots, timelines
from squeezebert_edge.report.cells import milliseconds, number
from squeezebert_edge.report.measurements import conditions, latencies
from squeezebert_edge.report.rows import Report, Row
from squeezebert_edge.report.table import metric_cells, metric_names, quoted_devices, table

MOST_FLIPS = 100  # of a bundle, on the page; the JSON has all
GATES = {  # names of parity.Gates in words
    "max_error": "error ≤ {:g} of the output",
    "min_sqnr_db": "SQNR ≥ {:g} dB",
    "max_padding_error": "by padding ≤ {:g} of the output",
    "min_padding_sqnr_db": "by padding ≥ {:g} dB",
}


@dataclass(frozen=True)
class Figure:
    """A plot with its words."""

    title: str
    description: str
    x_title: str
    y_title: str
    plot: plots.Scatter
    missing: Sequence[str]


@dataclass(frozen=True)
class Bar:
    """A bundle's SQNR and its gate, as shares of the axis from 0 to 1; null is not known or not gated."""

    name: str
    format: str
    status: str
    share: float | None
    sqnr_db: str
    largest_error: str
    gate: float | None
    gates: str


@dataclass(frozen=True)
class Speed:
    """A record's percentiles, as shares of the axis from 0 to 1, with their words; p99 may be null."""

    name: str
    device: str
    format: str
    p50: float
    p90: float
    p99: float | None
    said: str


@dataclass(frozen=True)
class Card:
    """A number that people look for first."""

    title: str
    value: str
    note: str


def to_html(report: Report) -> str:
    """The page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("squeezebert_edge", "assets/report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("page.html").render(_context(report))


def _context(report: Report) -> Mapping[str, object]:
    checkpoints = list(
        dict.fromkeys(
            [row.checkpoint for row in report.rows] + [each.bundle.checkpoint for each in report.records]
        )
    )
    quoted = [each for each in report.records if each.quotable]
    names = _names(quoted)
    return {
        "title": ", ".join(PurePath(checkpoint).name for checkpoint in checkpoints) or "no bundles",
        "checkpoints": checkpoints,
        "version": report.version,
        "tasks": sorted({row.task for row in report.rows} | {each.bundle.task for each in report.records}),
        "data": sorted({row.data for row in report.rows if row.data}),
        "examples": sorted({row.accuracy.examples for row in report.rows if row.accuracy}),
        "devices": [(name, label) for label, name in quoted_devices(report).items()],
        "warnings": report.warnings,
        "cards": list(_cards(report)),
        "table": table(report),
        "rows": list(zip(report.names, report.rows, strict=True)),
        "figures": list(_figures(report)),
        "formats": [
            (name, exporters.title(name)) for name in dict.fromkeys(row.format for row in report.rows)
        ],
        "measured": [latencies(report.records), conditions(report.records)] if report.records else [],
        "records": report.records,
        "speeds": _speeds(quoted),
        "distribution": timelines.distribution(quoted, names) if quoted else None,
        "timelines": [
            (timelines.over_time(each, name), each) for each, name in zip(quoted, names, strict=True)
        ],
        "frame": {"left": plots.LEFT, "right": plots.RIGHT, "top": plots.TOP, "bottom": plots.BOTTOM},
        "size": (plots.WIDTH, plots.HEIGHT),
        "bars": _bars(report),
        "heat_maps": [
            (ranking, plots.heat_map([(cost.part, cost.sqnr_db, cost.drop) for cost in ranking.parts]))
            for ranking in report.rankings
            if ranking.parts
        ],
        "flips": [
            (name, row.accuracy, [(flip, *_sides(flip)) for flip in row.accuracy.flips[:MOST_FLIPS]])
            for name, row in zip(report.names, report.rows, strict=True)
            if row.accuracy
        ],
        "unmoved": [
            name
            for name, row in zip(report.names, report.rows, strict=True)
            if row.accuracy and not row.accuracy.flips
        ],
    }


def _cards(report: Report) -> Iterator[Card]:
    if not report.rows:
        quoted = sum(each.quotable for each in report.records)
        yield Card("Latencies to be quoted", f"{quoted} of {len(report.records)}", "measurements")
        return
    statuses = Counter(row.verification.status for row in report.rows)
    others = [f"{statuses[status]} {status}" for status in ("failed", "not verified") if statuses[status]]
    yield Card(
        "Proven equal to the float model",
        f"{statuses['verified']} of {len(report.rows)}",
        ", ".join(others) or "every bundle",
    )
    proven = [
        (name, row)
        for name, row in zip(report.names, report.rows, strict=True)
        if row.verification.status == "verified"
    ]
    first = next((row.accuracy for row in report.rows if row.accuracy), None)
    if first:
        metric = first.metrics[0]
        yield Card(
            "Float reference", metric_cells(metric)[0], f"{metric.name} on {first.examples:,} examples"
        )
    if proven:
        name, row = min(proven, key=lambda item: item[1].bytes)
        yield Card("Smallest proven", f"{row.bytes / 1e6:.1f} MB", f"{name}{_loss(row)}")
    for label, device in quoted_devices(report).items():
        timed = [(each, name, row) for name, row in proven if (each := report.quoted(row, label))]
        if timed:
            each, name, row = min(timed, key=lambda item: item[0].latency.overall.p50_ns)
            median = milliseconds(each.latency.overall.p50_ns / 1e6)
            yield Card(f"Fastest proven ({device})", f"{median} ms", f"{name}, the median{_loss(row)}")


def _loss(row: Row) -> str:
    if row.accuracy is None:
        return ""
    metric = row.accuracy.metrics[0]
    return f", {metric.difference:+.2f} {metric.unit}"


def _figures(report: Report) -> Iterator[Figure]:
    """Gain against size, and against latency where one was taken."""
    sizes = [row.bytes / 1e6 for row in report.rows]
    yield from _figure(report, "size", "size, MB", sizes)
    for label, device in quoted_devices(report).items():
        found = [report.quoted(row, label) for row in report.rows]
        times = [each.latency.overall.p50_ns / 1e6 if each else None for each in found]
        yield from _figure(report, f"latency on {device}", f"{device}: median ms", times)


def _figure(report: Report, what: str, x_title: str, xs: Sequence[float | None]) -> Iterator[Figure]:
    metrics = metric_names(report)
    gained = f"{metrics[0]}: {_unit(report, metrics[0])} gained" if metrics else "SQNR, dB"
    points, missing = [], []
    for name, row, x in zip(report.names, report.rows, xs, strict=True):
        gain = _gain(row) if metrics else (row.verification.sqnr_db, None, None)
        if x is None or gain[0] is None or not math.isfinite(gain[0]):
            missing.append(name)
            continue
        proven = row.verification.status == "verified"
        points.append(plots.Point(name, row.precision.name, row.format, x, gain[0], *gain[1:], proven))
    if not points:
        return
    plot = plots.scatter(points)
    best = ", ".join(mark.point.name for mark in sorted(plot.marks, key=lambda m: m.x) if mark.on_front)
    subject = "Accuracy" if metrics else "Error"
    yield Figure(
        f"{subject} against {what}",
        f"{len(plot.marks)} bundles by {x_title}, and by {gained}. On the front: {best or 'none'}.",
        x_title,
        gained,
        plot,
        missing,
    )


def _gain(row: Row) -> tuple[float | None, float | None, float | None]:
    """How much better than the reference a bundle is in its first metric, with the interval."""
    if row.accuracy is None:
        return None, None, None
    metric = row.accuracy.metrics[0]
    sign = 1 if metric.higher_is_better else -1
    low, high = sorted((sign * metric.low, sign * metric.high))
    known = math.isfinite(low) and math.isfinite(high)
    return -metric.drop, low if known else None, high if known else None


def _unit(report: Report, name: str) -> str:
    return next(
        metric.unit
        for row in report.rows
        if row.accuracy
        for metric in row.accuracy.metrics
        if metric.name == name
    )


def _bars(report: Report) -> list[Bar]:
    most = max((row.verification.sqnr_db or 0.0 for row in report.rows), default=0.0)
    gates = [row.verification.gates.get("min_sqnr_db", 0.0) for row in report.rows]
    end = 1.05 * max([most, *gates, 1.0])
    bars = []
    for name, row in zip(report.names, report.rows, strict=True):
        found = row.verification
        gate = found.gates.get("min_sqnr_db")
        bars.append(
            Bar(
                name,
                row.format,
                found.status,
                None if found.sqnr_db is None else max(found.sqnr_db, 0.0) / end,
                number(found.sqnr_db, ".0f"),
                number(found.max_abs_error, ".2g"),
                None if gate is None else max(gate, 0.0) / end,
                "; ".join(GATES.get(key, key + " {:g}").format(value) for key, value in found.gates.items()),
            )
        )
    return bars


def _names(records: Sequence[Record]) -> list[str]:
    """What each record is called in a plot: its bundle and device, and which run where that is not enough."""
    names = [f"{each.bundle.name}, {each.label}" for each in records]
    return [
        name if names.count(name) == 1 else f"{name}, {each.time} (run {each.repeat.index})"
        for name, each in zip(names, records, strict=True)
    ]


def _speeds(records: Sequence[Record]) -> list[Speed]:
    """Bundle by bundle, device beside device."""
    ordered = sorted(records, key=lambda each: (each.bundle.name, each.label, each.time))
    end = 1.05 * max(
        (each.latency.overall.p99_ns or each.latency.overall.p90_ns for each in ordered), default=1
    )
    speeds = []
    for each, name in zip(ordered, _names(ordered), strict=True):
        overall = each.latency.overall
        said = [
            milliseconds(value and value / 1e6) for value in (overall.p50_ns, overall.p90_ns, overall.p99_ns)
        ]
        speeds.append(
            Speed(
                name.partition(", ")[0],
                name.partition(", ")[2],
                each.bundle.format,
                overall.p50_ns / end,
                overall.p90_ns / end,
                None if overall.p99_ns is None else overall.p99_ns / end,
                " / ".join(said),
            )
        )
    return speeds


def _sides(flip: Flip) -> tuple[str, str, str, str]:
    """What was right, what each side said, and what that makes the flip; of many tags, those that changed."""
    if len(flip.reference) == 1:
        was, now = (side[0] in flip.label for side in (flip.reference, flip.artifact))
        wanted, before, after = " / ".join(flip.label), flip.reference[0], flip.artifact[0]
    else:
        was, now = flip.reference == flip.label, flip.artifact == flip.label
        changed = [i for i, (a, b) in enumerate(zip(flip.reference, flip.artifact, strict=True)) if a != b]
        wanted, before, after = (
            ", ".join(f"word {i + 1}: {side[i]}" for i in changed if i < len(side))
            for side in (flip.label, flip.reference, flip.artifact)
        )
    effect = "broken" if was and not now else "mended" if now and not was else "changed"
    return wanted, before, after, effect
