"""A report beside a baseline: what its bundles gained and lost, and what does not compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar

from squeezebert_edge.accuracy.paired import AccuracyComparison, MetricComparison
from squeezebert_edge.latency.record import Record
from squeezebert_edge.report.baseline import Baseline, Tracked, track
from squeezebert_edge.report.cells import Column
from squeezebert_edge.report.rows import Report, Row

T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    """A number in the baseline and now."""

    before: float
    now: float

    @property
    def difference(self) -> float | None:
        """How much more it is now; None if either is not finite."""
        difference = self.now - self.before
        return difference if math.isfinite(difference) else None

    @property
    def percent(self) -> float | None:
        """The same as a share of what it was; None if that was nothing."""
        return None if self.difference is None or not self.before else 100 * self.difference / self.before


@dataclass(frozen=True)
class LatencyChange:
    """A latency in the baseline and now, in nanoseconds; the median is what limits are about."""

    p50: Change
    p90: Change


@dataclass(frozen=True)
class Changes:
    """What changed since a baseline, for the bundles and measurements that compare.

    baseline: where it was read from.
    sizes: in bytes, by the seal of the bundle.
    metrics: in percentage points (nats for a loss), by seal and the metric's name.
    latencies: by the record's id.
    exceeded: which limits are exceeded, in sentences. unchecked: which could not be checked at all.
    not_compared: what has no counterpart and why, in sentences. remarks: what to know of what has one.
    """

    baseline: str
    sizes: Mapping[str, Change]
    metrics: Mapping[tuple[str, str], Change]
    latencies: Mapping[str, LatencyChange]
    exceeded: tuple[str, ...]
    unchecked: tuple[str, ...]
    not_compared: tuple[str, ...]
    remarks: tuple[str, ...]

    def size(self, seal: str) -> float | None:
        """How many percent larger a bundle is."""
        change = self.sizes.get(seal)
        return None if change is None else change.percent

    def metric(self, seal: str, name: str) -> float | None:
        """How much larger a bundle's metric is, in its unit."""
        change = self.metrics.get((seal, name))
        return None if change is None else change.difference

    def file(self, record: Record) -> float | None:
        """How many percent larger the bundle of a record is."""
        return self.size(record.bundle.sha256)

    def p50(self, record: Record) -> float | None:
        """How many percent slower the median of a record is."""
        change = self.latencies.get(record.id)
        return None if change is None else change.p50.percent

    def p90(self, record: Record) -> float | None:
        """How many percent slower the 90th percentile of a record is."""
        change = self.latencies.get(record.id)
        return None if change is None else change.p90.percent

    @property
    def notes(self) -> tuple[str, ...]:
        """What goes with the changes: what was not checked, what was not compared, and what else is new."""
        return self.unchecked + self.not_compared + self.remarks

    def to_json(self) -> dict[str, object]:
        """What goes beside the numbers, for JSON."""
        return {
            "path": self.baseline,
            "exceeded": list(self.exceeded),
            "unchecked": list(self.unchecked),
            "not_compared": list(self.not_compared),
            "remarks": list(self.remarks),
        }


def change_columns(
    changes: Changes | None,
    read: Callable[[Changes, T], float | None],
    name: str,
    heading: str | None = None,
    form: str = "+.1f",
    unit: str = "%",
) -> list[Column[T]]:
    """The column of a change; none without a baseline.

    Args:
        name, heading: as `Column` has them. form, unit: of what tables show.
    """
    if changes is None:
        return []
    return [
        Column(
            lambda item: read(changes, item),
            name,
            heading,
            lambda value: f"{value:{form}}{unit}",
            change=True,
        )
    ]


def compare(report: Report, baseline: Baseline) -> Changes:
    """What changed since the baseline.

    A bundle is compared with the one of its task, format and precision, an accuracy with one of the same
    data, and a latency with the last one that was measured alike (`_conditions`). The limit of latencies is
    about the last one that was measured of a bundle in the same way.

    Raises:
        InputError: the baseline has none of the report's bundles.
    """
    bundles = track(report)
    baseline.require([bundle.identity for bundle in bundles])
    comparison = _Comparison(baseline)
    for bundle in bundles:
        comparison.add(bundle)
    return comparison.changes()


def _conditions(record: Record) -> dict[str, object]:
    """What two latencies must share to be compared."""
    device, settings = record.device, record.settings
    return {
        "device": record.label,
        "architecture": device.architecture,
        "chip": device.soc,
        "number of CPUs": device.cpus,
        "runtime": record.runtime.name,
        "runner": record.runtime.runner,
        "C library": record.runtime.libc,
        "protocol": record.protocol.name,
        "texts": f"{record.texts.source}, {record.texts.texts} in {record.texts.rows} rows",
        "lengths": record.bundle.lengths,
        "length": settings.length,
        "threads": settings.threads,
        "CPUs": settings.cpus,
        "compute unit": record.unit,
    }


def _unlike(record: Record, other: Record) -> list[str]:
    """The conditions that keep two latencies from being compared, in words."""
    there = _conditions(other)
    return [
        f"{what} {there[what]} in the baseline, {here} here"
        for what, here in _conditions(record).items()
        if here != there[what]
    ]


class _Sentences:
    """Sentences; those that say the same of several things become one."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], list[str]] = {}

    def add(self, before: str, name: str, after: str = "") -> None:
        """Say something of a name."""
        self._names.setdefault((before, after), []).append(name)

    def all(self) -> tuple[str, ...]:
        """Every sentence, in the order of their first names."""
        return tuple(
            f"{before}{', '.join(dict.fromkeys(names))}{after}"
            for (before, after), names in self._names.items()
        )


class _Comparison:
    """What was found so far of the bundles that were added."""

    def __init__(self, baseline: Baseline) -> None:
        self.baseline, self.limits = baseline, baseline.limits
        self.sizes: dict[str, Change] = {}
        self.metrics: dict[tuple[str, str], Change] = {}
        self.latencies: dict[str, LatencyChange] = {}
        self.exceeded: list[str] = []
        self.not_compared, self.remarks = _Sentences(), _Sentences()
        self.matched: list[Tracked] = []
        self.drops = self.slowdowns = 0  # how many were held to their limit

    def add(self, bundle: Tracked) -> None:
        """Compare a bundle with the baseline's."""
        matches = self.baseline.matches(bundle.identity)
        self.matched += matches
        if len(matches) != 1:
            has = "several bundles that could be" if matches else "no"
            self.not_compared.add(f"the baseline has {has} ", bundle.name)
            return
        (before,) = matches
        if bundle.row:
            self.sizes[bundle.row.seal] = Change(before.bytes, bundle.row.bytes)
            self._compare_accuracy(bundle.name, bundle.row, before.row)
        for record in bundle.records:
            measured = record.bundle
            self.sizes.setdefault(measured.sha256, Change(before.bytes, measured.artifact_bytes))
        self._compare_latencies(bundle, before)

    def changes(self) -> Changes:
        """What was found."""
        for known in self.baseline.bundles:
            if not any(known is match for match in self.matched):
                self.not_compared.add("the baseline has ", known.name, ", which is not here")
        unchecked = []
        if self.limits.max_slowdown is not None and not self.slowdowns:
            unchecked.append(
                "no latency compares with the baseline's, so the limit of slowdowns was not checked"
            )
        if self.limits.max_drop is not None and not self.drops:
            unchecked.append(
                "no accuracy compares with the baseline's, so the limit of drops was not checked"
            )
        return Changes(
            baseline=str(self.baseline.path),
            sizes=self.sizes,
            metrics=self.metrics,
            latencies=self.latencies,
            exceeded=tuple(self.exceeded),
            unchecked=tuple(unchecked),
            not_compared=self.not_compared.all(),
            remarks=self.remarks.all(),
        )

    def _compare_accuracy(self, name: str, row: Row, before: Row | None) -> None:
        now, old = row.accuracy, before.accuracy if before else None
        if now is None and old is None:
            return
        subject = "the accuracy of "
        if now is None or old is None:
            missing = "the baseline has none" if old is None else "it was not measured here"
            self.not_compared.add(subject, name, f" is not compared: {missing}")
            return
        here, there = (_data(each.data, accuracy) for each, accuracy in ((row, now), (before or row, old)))
        if here != there:
            self.not_compared.add(
                subject, name, f" is not compared: it is of {here}, the baseline's of {there}"
            )
            return
        earlier = {metric.name: metric for metric in old.metrics}
        for place, metric in enumerate(now.metrics):
            known = earlier.get(metric.name)
            if known is None or not math.isfinite(known.artifact):
                subject = f"the {metric.name} of "
                self.not_compared.add(subject, name, " is not compared: the baseline has no number for it")
                continue
            scale = 100 if metric.unit == "points" else 1
            change = Change(scale * known.artifact, scale * metric.artifact)
            self.metrics[row.seal, metric.name] = change
            if place == 0:
                self._hold_to_drop(name, metric, change)

    def _hold_to_drop(self, name: str, metric: MetricComparison, change: Change) -> None:
        most = self.limits.max_drop
        if most is None:
            return
        self.drops += 1
        if change.difference is None:
            self.exceeded.append(f"{name}: the {metric.name} is not a number any more")
            return
        drop = -change.difference if metric.higher_is_better else change.difference
        if drop > most + 1e-9:
            self.exceeded.append(
                f"{name}: the {metric.name} is worse than the baseline's by {drop:.2f} {metric.unit}, "
                f"more than {most:g}"
            )

    def _compare_latencies(self, bundle: Tracked, before: Tracked) -> None:
        alike = {str(_conditions(record)): record for record in before.quoted}
        last = {str(_conditions(record)): record for record in bundle.quoted}
        mentioned = set(last)
        for record in bundle.records:
            subject, on = "the latency of ", f" on {record.place}"
            conditions = str(_conditions(record))
            if not record.quotable:
                self.not_compared.add(subject, bundle.name, f"{on} is not compared: it is {record.standing}")
            elif conditions in alike:
                self._compare_latency(
                    bundle.name, record, alike[conditions], gated=record is last[conditions]
                )
            elif not before.records:
                self.not_compared.add(subject, bundle.name, f"{on} is not compared: the baseline has none")
            elif not alike:
                standing = before.records[-1].standing
                self.not_compared.add(
                    subject, bundle.name, f"{on} is not compared: the baseline's is {standing}"
                )
            else:
                nearest = min(alike.values(), key=lambda other: len(_unlike(record, other)))
                mentioned.add(str(_conditions(nearest)))
                why = "; ".join(_unlike(record, nearest))
                self.not_compared.add(subject, bundle.name, f"{on} is not compared: {why}")
        for conditions, record in alike.items():
            if conditions not in mentioned:
                self.not_compared.add(
                    "the baseline's latency of ",
                    bundle.name,
                    f" on {record.place} is not compared: it was not measured so here",
                )

    def _compare_latency(self, name: str, record: Record, before: Record, *, gated: bool) -> None:
        was, now = before.latency.overall, record.latency.overall
        change = LatencyChange(Change(was.p50_ns, now.p50_ns), Change(was.p90_ns, now.p90_ns))
        self.latencies[record.id] = change
        for what, there, here in (
            ("runtime", before.runtime.version, record.runtime.version),
            ("system", before.device.os, record.device.os),
        ):
            if there != here:
                self.remarks.add(
                    f"the {what} was {there} in the baseline and is {here} for ", name, f" on {record.place}"
                )
        most, slowdown = self.limits.max_slowdown, change.p50.percent
        if most is None or slowdown is None or not gated:
            return
        self.slowdowns += 1
        if slowdown > most + 1e-9:
            self.exceeded.append(
                f"{name} on {record.place} is slower than the baseline by {slowdown:.1f}%, "
                f"more than {most:g}%"
            )


def _data(source: str | None, accuracy: AccuracyComparison) -> str:
    """What an accuracy is of: the file's name, wherever it is, and how many examples."""
    return f"{accuracy.examples} examples of {PurePath(source or 'unknown data').name}"
