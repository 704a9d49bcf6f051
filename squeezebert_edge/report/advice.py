"""What people ask a report first: which file to ship, what that costs, whether it can be trusted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import exporters
from squeezebert_edge.report.cells import milliseconds, number
from squeezebert_edge.report.measurements import median_ms
from squeezebert_edge.report.overview import Entry, Overview, difference, in_unit

NOT_TIMED = "its latency is not known here"
NOT_SCORED = "its accuracy was not measured"


@dataclass(frozen=True)
class Advice:
    """What to ship of a format.

    format: its short name. title: the bundle's name; of a format without one to ship, its own.
    directory: of the bundle; None if there is none to ship. cost, trust: the other answers, in words.
    """

    format: str
    title: str
    directory: str | None
    cost: str
    trust: str

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        if self.directory is None:
            return f"nothing of {self.title} is to be shipped: {self.trust}"
        return f"ship {self.title} ({self.directory}): {self.cost}; {self.trust}"


def advise(overview: Overview) -> list[Advice]:
    """For each format the bundle to ship: the fastest, or smallest, that is proven and not clearly worse."""
    formats = dict.fromkeys(entry.row.format for entry in overview.entries)
    return [_advise(overview, format_) for format_ in formats]


def summarize(overview: Overview) -> str:
    """How many bundles are proven."""
    entries = overview.entries
    statuses = Counter(entry.row.verification.status for entry in entries)
    others = [f"{statuses[status]} {status}" for status in ("failed", "not verified") if statuses[status]]
    sentence = f"{statuses['verified']} of {len(entries)} are proven equal to the float model"
    return f"{sentence}: {', '.join(others)}" if others else sentence


def _advise(overview: Overview, format_: str) -> Advice:
    entries = [entry for entry in overview.entries if entry.row.format == format_]
    own = [entry for entry in entries if not entry.row.is_further_unit]
    proven = [entry for entry in own if entry.proven]
    kept = [entry for entry in proven if not _clearly_worse(entry)]
    if not kept:
        why = "all that is proven is clearly worse than the float model" if proven else "none is proven"
        return Advice(format_, exporters.title(format_), None, "", why)
    best = min(kept, key=lambda entry: (_times(entry), entry.row.bytes))
    largest = max(own, key=lambda entry: entry.row.bytes)
    return Advice(format_, best.name, best.row.bundle, _cost(overview, best, largest), _trust(best))


def _clearly_worse(entry: Entry) -> bool:
    return entry.row.accuracy is not None and entry.row.accuracy.metrics[0].clearly_worse


def _times(entry: Entry) -> list[float]:
    """Its median on each device, infinite where it has none."""
    return [float("inf") if record is None else median_ms(record) for record in entry.records.values()]


def _cost(overview: Overview, best: Entry, largest: Entry) -> str:
    size = f"{best.megabytes:.1f} MB"
    if best.row.bytes < largest.row.bytes:
        size += f" ({best.row.bytes / largest.row.bytes:.0%} of {largest.row.precision.name})"
    costs = [size]
    for label, device in overview.devices.items():
        record = best.records[label]
        if record is not None:
            costs.append(f"{milliseconds(median_ms(record))} ms on {device}")
    if best.row.accuracy is not None:
        metric = best.row.accuracy.metrics[0]
        costs.append(
            f"{metric.name} {in_unit(metric.unit)(metric.artifact)}, {difference(metric)} {metric.unit}"
        )
    return ", ".join(costs)


def _trust(best: Entry) -> str:
    proof = best.row.verification
    words = [f"{proof.words}, SQNR {number(proof.sqnr_db, '.0f')} dB on {proof.inputs} inputs"]
    if best.row.accuracy is None:
        words.append(NOT_SCORED)
    if all(record is None for record in best.records.values()):
        words.append(NOT_TIMED)
    return "; ".join(words)
