"""An earlier report to compare with: which of its bundles is the same as one of another day."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

import exporters
from exporters.errors import InputError
from squeezebert_edge.latency.record import SUFFIX, Measured, Record
from squeezebert_edge.report.rows import SAVED, Report, Row, collect


@dataclass(frozen=True)
class Identity:
    """What makes bundles of two days the same one, whatever form they are laid out in.

    directory: its name, which tells several of a task, format and precision apart.
    """

    task: str
    format: str
    precision: str
    directory: str

    @classmethod
    def of(cls, bundle: Row | Measured) -> Identity:
        """The identity of a report's row, or of a record's bundle."""
        if isinstance(bundle, Row):
            return cls(bundle.task, bundle.format, bundle.precision.name, PurePath(bundle.bundle).name)
        return cls(bundle.task, bundle.format, bundle.precision, bundle.name)

    @property
    def name(self) -> str:
        """Format, precision and task in words."""
        return f"{exporters.title(self.format)} {self.precision} ({self.task})"

    def resembles(self, other: Identity) -> bool:
        """Whether the two are the same but for the directory's name."""
        return (self.task, self.format, self.precision) == (other.task, other.format, other.precision)


@dataclass(frozen=True)
class Limits:
    """How much worse than the baseline a bundle may be; None is not limited.

    max_slowdown: percent that the median latency may grow.
    max_drop: what the accuracy's first metric may lose, in percentage points (nats for a loss).
    """

    max_slowdown: float | None = None
    max_drop: float | None = None


@dataclass(frozen=True)
class Tracked:
    """A bundle as a report knows it: its row, if there is one, and its records, the last one last.

    name: what it is called.
    """

    name: str
    identity: Identity
    row: Row | None
    records: list[Record]

    @property
    def bytes(self) -> int:
        """The size of its artifact."""
        return self.row.bytes if self.row else self.records[-1].bundle.artifact_bytes

    @property
    def quoted(self) -> list[Record]:
        """The records whose latency may be quoted."""
        return [record for record in self.records if record.quotable]


def track(report: Report) -> list[Tracked]:
    """The bundles of a report: its rows, then those of which there are only records.

    A record belongs to the row that has its seal, or else to the only one that has its identity.
    """
    rows, by_seal = [], {}
    for name, row in zip(report.names, report.rows, strict=True):
        if row.is_further_unit:
            continue  # its latencies are of phones, whose records tell units apart
        rows.append(Tracked(name, Identity.of(row), row, []))
        by_seal[row.seal] = rows[-1]
    others: dict[Identity, Tracked] = {}
    for record in sorted(report.records, key=lambda record: record.time):
        identity = Identity.of(record.bundle)
        owner = by_seal.get(record.bundle.sha256)
        if owner is None:
            alike = [row for row in rows if row.identity == identity]
            alone = Tracked(identity.directory, identity, None, [])
            owner = alike[0] if len(alike) == 1 else others.setdefault(identity, alone)
        owner.records.append(record)
    return [*rows, *others.values()]


@dataclass(frozen=True)
class Baseline:
    """An earlier report to compare with. path: where it was read from."""

    path: Path
    report: Report
    limits: Limits = Limits()

    @cached_property
    def bundles(self) -> list[Tracked]:
        """Every bundle that it knows."""
        return track(self.report)

    def matches(self, identity: Identity) -> list[Tracked]:
        """The bundle that is the same one: none if it is not there, several if they cannot be told apart."""
        similar = [known for known in self.bundles if known.identity.resembles(identity)]
        return [known for known in similar if known.identity == identity] or similar

    def require(self, wanted: Sequence[Identity], *, latency: bool = False) -> None:
        """Refuse a baseline that says nothing of what it is wanted for.

        Args:
            wanted: bundles of which at least one must be there. latency: with a latency that is quoted.

        Raises:
            InputError: none is.
        """
        names = ", ".join(dict.fromkeys(identity.name for identity in wanted))
        found = [known for identity in wanted for known in self.matches(identity)]
        if wanted and not found:
            there = ", ".join(dict.fromkeys(known.identity.name for known in self.bundles))
            raise InputError(
                f"the baseline {self.path} has none of the bundles that were looked for: {names}",
                allowed=f"a baseline of at least one of them; this one has {there or 'no bundle'}",
            )
        if latency and not any(known.quoted for known in found):
            raise InputError(
                f"the baseline {self.path} has no quoted latency of what was looked for: {names}",
                allowed="valid records of a quoted protocol on a real processor",
            )


def read_baseline(path: Path, limits: Limits = Limits()) -> Baseline:
    """A saved report, a record, or what a directory holds of them, to compare with.

    Raises:
        InputError: there is none, or it is not as it was written.
    """
    if not os.path.lexists(path):
        raise InputError(
            f"the baseline {path} does not exist",
            allowed=f"a {SAVED} that `squeezebert-edge run` wrote, a *{SUFFIX} file, or a directory of them",
        )
    return Baseline(path, collect([path]), limits)
