"""A report as one page that needs nothing else: no network, no scripts, light and dark, screen and paper."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from squeezebert_edge.paired import Flip
from squeezebert_edge.report import plots
from squeezebert_edge.report.rows import NAMES, Report, Row
from squeezebert_edge.report.table import (
    HOST,
    latency_lengths,
    metric_cells,
    metric_names,
    milliseconds,
    ms_at,
    number,
    table,
)

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
    checkpoints = list(dict.fromkeys(row.checkpoint for row in report.rows))
    return {
        "title": ", ".join(PurePath(checkpoint).name for checkpoint in checkpoints) or "no bundles",
        "checkpoints": checkpoints,
        "version": report.version,
        "tasks": sorted({row.task for row in report.rows}),
        "data": sorted({row.data for row in report.rows if row.data}),
        "examples": sorted({row.accuracy.examples for row in report.rows if row.accuracy}),
        "machines": sorted({row.latency.machine for row in report.rows if row.latency}),
        "runs": sorted({row.latency.runs for row in report.rows if row.latency}),
        "warnings": report.warnings,
        "cards": list(_cards(report)),
        "table": table(report),
        "rows": list(zip(report.names, report.rows, strict=True)),
        "figures": list(_figures(report)),
        "formats": [(name, NAMES[name]) for name in NAMES if any(row.format == name for row in report.rows)],
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
    lengths = latency_lengths(report)
    timed = [(ms, name, row) for name, row in proven if (ms := ms_at(row, lengths[0] if lengths else 0))]
    if timed:
        ms, name, row = min(timed, key=lambda item: item[0])
        yield Card(
            f"Fastest proven ({HOST})", f"{milliseconds(ms)} ms", f"{name} at {lengths[0]} tokens{_loss(row)}"
        )


def _loss(row: Row) -> str:
    if row.accuracy is None:
        return ""
    metric = row.accuracy.metrics[0]
    return f", {metric.difference:+.2f} {metric.unit}"


def _figures(report: Report) -> Iterator[Figure]:
    """Gain against size, and against latency where one was taken."""
    sizes = [row.bytes / 1e6 for row in report.rows]
    yield from _figure(report, "size", "size, MB", sizes)
    lengths = latency_lengths(report)
    if lengths:
        times = [ms_at(row, lengths[0]) for row in report.rows]
        yield from _figure(report, "latency", f"{HOST}: ms at {lengths[0]} tokens", times)


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
