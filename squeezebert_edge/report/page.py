"""A report as one page that needs nothing else: no network, no scripts, light and dark, screen and paper."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import exporters
from squeezebert_edge.accuracy.paired import AccuracyComparison, Flip
from squeezebert_edge.latency.record import Record
from squeezebert_edge.report import plots, timelines
from squeezebert_edge.report.advice import Advice, advise, summarize
from squeezebert_edge.report.cells import Table, milliseconds, number, tabulate
from squeezebert_edge.report.changes import Changes
from squeezebert_edge.report.measurements import conditions, latencies, median_ms
from squeezebert_edge.report.overview import Entry, Overview
from squeezebert_edge.report.plots import HeatMap
from squeezebert_edge.report.rows import Ranking, Report
from squeezebert_edge.report.timelines import Lines, Timeline

MOST_FLIPS = 100  # of a bundle, on the page; the JSON has all
GATES = {  # names of proof.gates.Gates in words
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
    """A bundle's SQNR and its gate, as shares of the axis from 0 to 1; None is not known or not gated."""

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
    """A record's percentiles, as shares of the axis from 0 to 1, and in words; p99 may be None."""

    name: str
    device: str
    format: str
    p50: float
    p90: float
    p99: float | None
    text: str


@dataclass(frozen=True)
class Card:
    """A number that people look for first."""

    title: str
    value: str
    note: str


@dataclass(frozen=True)
class FlipLine:
    """An example that was decided differently: its label, both sides' answers, and what that does.

    effect: broken, mended or changed.
    """

    flip: Flip
    label: str
    reference: str
    bundle: str
    effect: str


@dataclass(frozen=True)
class Flips:
    """A bundle's flips, the first MOST_FLIPS of them as lines."""

    name: str
    accuracy: AccuracyComparison
    lines: Sequence[FlipLine]


@dataclass(frozen=True)
class Latency:
    """The section of measurements.

    tables: latencies and conditions, a row for each of `records`.
    distribution: of those that may be quoted; None if there are none. timelines: a plot of each of these.
    """

    records: Sequence[Record]
    tables: Sequence[Table]
    speeds: Sequence[Speed]
    distribution: Lines | None
    timelines: Sequence[tuple[Timeline, Record]]


@dataclass(frozen=True)
class Canvas:
    """The size of every plot, and the edges of the frame that its data stand in."""

    width: int = plots.WIDTH
    height: int = plots.HEIGHT
    left: int = plots.LEFT
    right: int = plots.RIGHT
    top: int = plots.TOP
    bottom: int = plots.BOTTOM


@dataclass(frozen=True)
class Page:
    """Everything that the templates show.

    advice, summary: what to ship, and how many bundles are proven. cards: of measurements alone.
    data, examples: what the accuracies are of. devices: what they are called in tables, and their labels.
    table: a row for each of `entries`. formats: those that there are, with their names in words.
    changes: since a baseline, if there is one. latency: None without measurements. unmoved: bundles
        without flips.
    """

    title: str
    version: str
    checkpoints: Sequence[str]
    tasks: Sequence[str]
    data: Sequence[str]
    examples: Sequence[int]
    advice: Sequence[Advice]
    summary: str
    cards: Sequence[Card]
    warnings: Sequence[str]
    changes: Changes | None
    entries: Sequence[Entry]
    table: Table
    devices: Sequence[tuple[str, str]]
    formats: Sequence[tuple[str, str]]
    figures: Sequence[Figure]
    bars: Sequence[Bar]
    latency: Latency | None
    heat_maps: Sequence[tuple[Ranking, HeatMap]]
    flips: Sequence[Flips]
    unmoved: Sequence[str]
    canvas: Canvas = Canvas()


def to_html(report: Report, changes: Changes | None = None) -> str:
    """The page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("squeezebert_edge", "assets/report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("page.html").render(page=_page(report, changes))


def _page(report: Report, changes: Changes | None) -> Page:
    rows, records = report.rows, report.records
    checkpoints = list(
        dict.fromkeys([row.checkpoint for row in rows] + [each.bundle.checkpoint for each in records])
    )
    overview = Overview.of(report, changes)
    return Page(
        title=", ".join(PurePath(checkpoint).name for checkpoint in checkpoints) or "no bundles",
        version=report.version,
        checkpoints=checkpoints,
        tasks=sorted({row.task for row in rows} | {each.bundle.task for each in records}),
        data=sorted({row.data for row in rows if row.data}),
        examples=sorted({row.accuracy.examples for row in rows if row.accuracy}),
        advice=advise(overview),
        summary=summarize(overview),
        cards=list(_cards(overview)),
        warnings=report.warnings,
        changes=changes,
        entries=overview.entries,
        table=tabulate(overview.columns(), overview.entries),
        devices=[(name, label) for label, name in overview.devices.items()],
        formats=[(name, exporters.title(name)) for name in dict.fromkeys(row.format for row in rows)],
        figures=list(_figures(overview)),
        bars=_bars(overview),
        latency=_latency(records, changes) if records else None,
        heat_maps=[
            (ranking, plots.heat_map([(cost.part, cost.sqnr_db, cost.drop) for cost in ranking.parts]))
            for ranking in report.rankings
            if ranking.parts
        ],
        flips=[
            Flips(entry.name, accuracy, [_line(flip) for flip in accuracy.flips[:MOST_FLIPS]])
            for entry in overview.entries
            if (accuracy := entry.row.accuracy)
        ],
        unmoved=[
            entry.name for entry in overview.entries if entry.row.accuracy and not entry.row.accuracy.flips
        ],
    )


def _latency(records: Sequence[Record], changes: Changes | None) -> Latency:
    quoted = [each for each in records if each.quotable]
    names = _names(quoted)
    return Latency(
        records,
        [latencies(records, changes), conditions(records)],
        _speeds(quoted),
        timelines.distribution(quoted, names) if quoted else None,
        [(timelines.over_time(each, name), each) for each, name in zip(quoted, names, strict=True)],
    )


def _cards(overview: Overview) -> Iterator[Card]:
    entries, records = overview.entries, overview.report.records
    if not entries:
        quoted = sum(each.quotable for each in records)
        yield Card("Latencies to be quoted", f"{quoted} of {len(records)}", "measurements")


def _figures(overview: Overview) -> Iterator[Figure]:
    """Gain against size, and against latency where one was taken."""
    yield from _figure(overview, "size", "size, MB", [entry.megabytes for entry in overview.entries])
    for label, device in overview.devices.items():
        records = [entry.records[label] for entry in overview.entries]
        times = [None if record is None else median_ms(record) for record in records]
        yield from _figure(overview, f"latency on {device}", f"{device}: median ms", times)


def _figure(overview: Overview, what: str, x_title: str, xs: Sequence[float | None]) -> Iterator[Figure]:
    first = next(iter(overview.metrics.items()), None)
    gained = "SQNR, dB" if first is None else f"{first[0]}: {first[1]} gained"
    points, missing = [], []
    for entry, x in zip(overview.entries, xs, strict=True):
        row = entry.row
        gain, low, high = (row.verification.sqnr_db, None, None) if first is None else _gain(row.accuracy)
        if x is None or gain is None or not math.isfinite(gain):
            missing.append(entry.name)
            continue
        points.append(
            plots.Point(entry.name, row.precision.name, row.format, x, gain, low, high, entry.proven)
        )
    if not points:
        return
    plot = plots.scatter(points)
    best = ", ".join(mark.point.name for mark in sorted(plot.marks, key=lambda m: m.x) if mark.on_front)
    subject = "Error" if first is None else "Accuracy"
    yield Figure(
        f"{subject} against {what}",
        f"{len(plot.marks)} bundles by {x_title}, and by {gained}. On the front: {best or 'none'}.",
        x_title,
        gained,
        plot,
        missing,
    )


def _gain(accuracy: AccuracyComparison | None) -> tuple[float | None, float | None, float | None]:
    """How much better than the reference a bundle is in its first metric, with the interval."""
    if accuracy is None:
        return None, None, None
    metric = accuracy.metrics[0]
    sign = 1 if metric.higher_is_better else -1
    low, high = sorted((sign * metric.low, sign * metric.high))
    known = math.isfinite(low) and math.isfinite(high)
    return -metric.drop, low if known else None, high if known else None


def _bars(overview: Overview) -> list[Bar]:
    proofs = [entry.row.verification for entry in overview.entries]
    most = max((proof.sqnr_db or 0.0 for proof in proofs), default=0.0)
    gates = [proof.gates.get("min_sqnr_db", 0.0) for proof in proofs]
    end = 1.05 * max([most, *gates, 1.0])
    bars = []
    for entry, proof in zip(overview.entries, proofs, strict=True):
        gate = proof.gates.get("min_sqnr_db")
        bars.append(
            Bar(
                entry.name,
                entry.row.format,
                proof.status,
                None if proof.sqnr_db is None else max(proof.sqnr_db, 0.0) / end,
                number(proof.sqnr_db, ".0f"),
                number(proof.max_abs_error, ".2g"),
                None if gate is None else max(gate, 0.0) / end,
                "; ".join(GATES.get(key, key + " {:g}").format(value) for key, value in proof.gates.items()),
            )
        )
    return bars


def _names(records: Sequence[Record]) -> list[str]:
    """What each record is called in a plot: its bundle and device, and which run where that is not enough."""
    names = [f"{each.bundle.name}, {each.place}" for each in records]
    return [
        name if names.count(name) == 1 else f"{name}, {each.time} (run {each.repeat.index})"
        for name, each in zip(names, records, strict=True)
    ]


def _speeds(records: Sequence[Record]) -> list[Speed]:
    """Bundle by bundle, device beside device."""
    ordered = sorted(records, key=lambda each: (each.bundle.name, each.place, each.time))
    end = 1.05 * max(
        (each.latency.overall.p99_ns or each.latency.overall.p90_ns for each in ordered), default=1
    )
    speeds = []
    for each, name in zip(ordered, _names(ordered), strict=True):
        overall = each.latency.overall
        percentiles = [
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
                " / ".join(percentiles),
            )
        )
    return speeds


def _line(flip: Flip) -> FlipLine:
    """A flip in words; of many tags only those that changed."""
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
    return FlipLine(flip, wanted, before, after, effect)
