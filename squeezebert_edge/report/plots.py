"""Where everything stands in a plot, in the units of its SVG; a template draws it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

WIDTH, HEIGHT = 480, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 466, 14, 288  # the frame that data stand in
LETTER, LINE, MARK = 6.6, 14.0, 6.0  # a label's width for each letter and its height; a mark's half width
LOGARITHMIC_FROM = 10.0  # the ratio of greatest to least where a linear axis would crowd the small ones


@dataclass(frozen=True)
class Point:
    """A bundle to plot: less of x is better, more of y is.

    low, high: y's interval, if it has one. eligible: whether it may be on the front.
    """

    name: str
    label: str
    format: str
    x: float
    y: float
    low: float | None
    high: float | None
    eligible: bool


@dataclass(frozen=True)
class Box:
    """A rectangle by its edges."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share any area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass(frozen=True)
class Mark:
    """A point in its place; `label_at` is its label's lower left corner, or none if there is no room."""

    point: Point
    x: float
    y: float
    low: float | None
    high: float | None
    on_front: bool
    label_at: tuple[float, float] | None = None


@dataclass(frozen=True)
class Scatter:
    """A plot of bundles. Ticks are places with what stands there.

    front: corners of the line along the front. zero: where y is 0, if that is in the frame.
    off_scale: points too far below the proven ones to be shown beside them.
    """

    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    marks: Sequence[Mark]
    front: Sequence[tuple[float, float]]
    zero: float | None
    off_scale: Sequence[Point]


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """The (cost, gain) points that no other beats: none costs less or equal and gains more or equal, but
    for equal ones; by ascending cost."""
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1])):
        if not front or points[index][1] > points[front[-1]][1] or points[index] == points[front[-1]]:
            front.append(index)
    return front


def scatter(points: Sequence[Point]) -> Scatter:
    """Place the points, the front among those that may be on it, and as many labels as have room.

    Args:
        points: at least one, finite.
    """
    proven = [point for point in points if point.eligible] or points
    floor = _span([value for point in proven for value in (point.y, point.low, point.high)])
    shown = [point for point in points if floor[0] <= point.y <= floor[1]]
    x_axis, y_axis = cost_axis([point.x for point in shown]), Axis(*floor, BOTTOM, TOP, logarithmic=False)
    able = [point for point in shown if point.eligible]
    best = [able[index] for index in pareto([(point.x, point.y) for point in able])]
    marks = [
        Mark(
            point,
            x_axis.place(point.x),
            y_axis.place(point.y),
            None if point.low is None else y_axis.place(max(point.low, floor[0])),
            None if point.high is None else y_axis.place(min(point.high, floor[1])),
            any(point is other for other in best),
        )
        for point in shown
    ]
    corners = [(x_axis.place(point.x), y_axis.place(point.y)) for point in best]
    return Scatter(
        x_axis.ticks(),
        y_axis.ticks(),
        _labelled(marks),
        list(_steps(corners)),
        y_axis.place(0.0) if floor[0] <= 0 <= floor[1] else None,
        [point for point in points if point not in shown],
    )


@dataclass(frozen=True)
class Axis:
    """Values from `least` to `most` on the places from `start` to `end`."""

    least: float
    most: float
    start: float
    end: float
    logarithmic: bool

    def place(self, value: float) -> float:
        """Where a value stands."""
        least, most = self.least, self.most
        if self.logarithmic:
            value, least, most = math.log(value), math.log(least), math.log(most)
        return round(self.start + (value - least) / (most - least) * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values with their places."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
            values = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        else:
            step = _step((self.most - self.least) / 5)
            first = math.ceil(self.least / step - 1e-9)
            values = [step * count for count in range(first, math.floor(self.most / step + 1e-9) + 1)]
        return [(self.place(v), _written(v)) for v in values if self.least <= v <= self.most * (1 + 1e-9)]


def cost_axis(values: Sequence[float]) -> Axis:
    """From 0, or by magnitudes where that would crowd the small ones."""
    least, most = min(values), max(values)
    if least > 0 and most / least > LOGARITHMIC_FROM:
        return Axis(least / 1.3, most * 1.3, LEFT, RIGHT, logarithmic=True)
    return Axis(0.0, most * 1.12 or 1.0, LEFT, RIGHT, logarithmic=False)


def _span(values: Sequence[float | None]) -> tuple[float, float]:
    """A little more than the values and 0, if that is near, take."""
    known = [value for value in values if value is not None]
    least, most = min(known), max(known)
    if least > 0 and least < 2 * (most - least):
        least = 0.0
    margin = 0.08 * (most - least) or max(1.0, abs(most)) / 2
    return least - margin, most + margin


def _step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20... (and their tenths) that is not below."""
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least * (1 - 1e-9))


def _written(value: float) -> str:
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def _steps(corners: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The corners joined by a stair: until the next costs more, the gain is that of the last."""
    for before, after in itertools.pairwise(corners):
        yield from (before, (after[0], before[1]))
    yield from corners[-1:]


def _labelled(marks: Sequence[Mark]) -> list[Mark]:
    """The marks with their labels where these cover nothing; those on the front choose first."""
    taken = [Box(mark.x - MARK, mark.y - MARK, mark.x + MARK, mark.y + MARK) for mark in marks]
    found = list(marks)
    for index in sorted(range(len(marks)), key=lambda index: not marks[index].on_front):
        for box in _places(marks[index]):
            inside = box.left > LEFT and box.right < WIDTH and box.top > 0 and box.bottom < BOTTOM
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                found[index] = replace(marks[index], label_at=(round(box.left, 1), round(box.bottom - 3, 1)))
                break
    return found


def _places(mark: Mark) -> Iterator[Box]:
    """Where a mark's label may stand, the best first."""
    width = LETTER * len(mark.point.label)
    for dy in (0.0, -LINE, LINE, -2 * LINE, 2 * LINE):
        for left in (mark.x + MARK + 3, mark.x - MARK - 3 - width):
            top = mark.y + dy - LINE / 2
            yield Box(left, top, left + width, top + LINE)


@dataclass(frozen=True)
class Heat:
    """A part of the network in a heat map; level is from 0, harmless, to HOTTEST."""

    part: str
    sqnr_db: float
    drop: float
    level: int


HOTTEST = 6


@dataclass(frozen=True)
class HeatMap:
    """Parts by layer and kind, as rows of a table.

    layers: a layer's number and its part of each kind, null where it has none. others: parts of no layer.
    """

    kinds: Sequence[str]
    layers: Sequence[tuple[str, Sequence[Heat | None]]]
    others: Sequence[Heat]


def heat_map(costs: Sequence[tuple[str, float, float]]) -> HeatMap:
    """Arrange (part, SQNR in dB, drop) by layer and kind of part; `layers.3.qkv` is layer 3's qkv."""
    least, most = min(cost[1] for cost in costs), max(cost[1] for cost in costs)
    scale = HOTTEST / (most - least) if most > least else 0.0
    heats = {
        part: Heat(part, sqnr_db, drop, round(scale * (most - sqnr_db))) for part, sqnr_db, drop in costs
    }
    inside = [part.split(".", 2) for part in heats if part.startswith("layers.") and part.count(".") > 1]
    numbers = sorted({number for _, number, _ in inside}, key=lambda number: (len(number), number))
    order = {"qkv": 0, "post_attention": 1, "intermediate": 2, "output": 3}  # as a layer computes them
    kinds = sorted({kind for _, _, kind in inside}, key=lambda kind: (order.get(kind, len(order)), kind))
    layers = [(number, [heats.get(f"layers.{number}.{kind}") for kind in kinds]) for number in numbers]
    taken = {heat.part for _, cells in layers for heat in cells if heat}
    return HeatMap(kinds, layers, [heat for part, heat in heats.items() if part not in taken])
