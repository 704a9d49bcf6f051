"""Where the samples of measurements stand in plots, in the units of their SVG; a template draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from squeezebert_edge.latency.protocol import SECOND, percentile
from squeezebert_edge.latency.record import Record
from squeezebert_edge.report.plots import BOTTOM, LEFT, RIGHT, TOP, Axis, cost_axis

MOST_POINTS = 120  # of a line: more are not told apart
DASHES = 4  # patterns of lines that plot.svg has


@dataclass(frozen=True)
class Line:
    """A record's line; dash tells those of one format apart."""

    name: str
    format: str
    dash: int
    corners: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Lines:
    """A plot of lines. Ticks are places with what stands there."""

    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]


@dataclass(frozen=True)
class Moment:
    """Samples of a short while: where their median, least and largest stand."""

    x: float
    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Timeline:
    """A plot of one record's samples over time."""

    name: str
    format: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    moments: Sequence[Moment]


def distribution(records: Sequence[Record], names: Sequence[str]) -> Lines:
    """How many percent of the queries took at most how long, a line for each of at least one record."""
    ordered = [sorted(record.samples.latency_ns) for record in records]
    # The last percent of a tail would take the most of the plot.
    ends = [percentile(values, 99) for values in ordered]
    x_axis = cost_axis([values[0] / 1e6 for values in ordered] + [end / 1e6 for end in ends])
    y_axis = Axis(0.0, 100.0, BOTTOM, TOP, logarithmic=False)
    lines: list[Line] = []
    for record, name, values, end in zip(records, names, ordered, ends, strict=True):
        shown = [value for value in values if value <= end]
        step = max(1, len(shown) // MOST_POINTS)
        corners = [
            (x_axis.place(shown[index] / 1e6), y_axis.place(100 * (index + 1) / len(values)))
            for index in [*range(0, len(shown), step), len(shown) - 1]
        ]
        before = sum(line.format == record.bundle.format for line in lines)
        lines.append(Line(name, record.bundle.format, before % DASHES, corners))
    return Lines(x_axis.ticks(), y_axis.ticks(), lines)


def over_time(record: Record, name: str) -> Timeline:
    """A record's latencies from the first query to the last; the axis ends above the 99th percentile."""
    samples = record.samples
    top = percentile(sorted(samples.latency_ns), 99) * 1.25 / 1e6
    end = (samples.start_ns[-1] + samples.latency_ns[-1]) / SECOND
    x_axis = Axis(0.0, end, LEFT, RIGHT, logarithmic=False)
    y_axis = Axis(0.0, top, BOTTOM, TOP, logarithmic=False)
    step = max(1, len(samples.start_ns) // MOST_POINTS)
    moments = []
    for start in range(0, len(samples.start_ns), step):
        block = sorted(samples.latency_ns[start : start + step])
        median, least, most = (
            y_axis.place(min(value / 1e6, top)) for value in (percentile(block, 50), block[0], block[-1])
        )
        moments.append(Moment(x_axis.place(samples.start_ns[start] / SECOND), median, least, most))
    return Timeline(name, record.bundle.format, x_axis.ticks(), y_axis.ticks(), moments)
