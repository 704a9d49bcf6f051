"""What a report is made of, and how it is saved: a row for each bundle, and records of measurements."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

import exporters
from exporters.errors import GateError, InputError
from exporters.spec import Delegation
from exporters.units import CPU, parse_unit
from squeezebert_edge import __version__
from squeezebert_edge.accuracy.lengths import Proposal
from squeezebert_edge.accuracy.paired import AccuracyComparison
from squeezebert_edge.accuracy.parts import PartCost
from squeezebert_edge.bundle.gates import broken_gates, gates_of, own_gates
from squeezebert_edge.bundle.manifest import MANIFEST, Calibration, FormatName, Precision, Verification
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.latency import record
from squeezebert_edge.latency.record import Record
from squeezebert_edge.plumbing.reading import CONTENTS, read_bytes, read_record
from squeezebert_edge.plumbing.signing import Key
from squeezebert_edge.report.grouping import group

PROOFS = {"failed": "failed its proof", "not verified": "is not verified"}
SAVED = "report.json"
SIGNED_AS = "report"
RECORD = ConfigDict(extra="forbid", ser_json_inf_nan="strings")  # what is no number survives as "NaN"


@dataclass(frozen=True, config=RECORD)
class Row:
    """One bundle on one compute unit, and its accuracy; None was not measured.

    unit: what its numbers are of; None where the phone decides, as Core ML does.
    bundle: its directory. seal: its manifest's sha256, which names its content, in records too.
    data: what the accuracy was measured on.
    """

    bundle: str
    seal: str
    checkpoint: str
    task: str
    format: FormatName
    precision: Precision
    calibration: Calibration | None
    form: str
    lengths: tuple[int, ...]
    target: str | None
    bytes: int
    delegation: Delegation
    verification: Verification
    data: str | None = None
    accuracy: AccuracyComparison | None = None
    unit: str | None = str(CPU)

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        *,
        data: str | None = None,
        accuracy: AccuracyComparison | None = None,
    ) -> Row:
        """A bundle as its runtime computes it by itself, with what was measured of it."""
        manifest = bundle.manifest
        return cls(
            bundle=str(bundle.directory),
            seal=bundle.seal,
            checkpoint=manifest.source.checkpoint,
            task=manifest.task,
            format=manifest.format,
            precision=manifest.precision,
            calibration=manifest.calibration,
            form=manifest.form,
            lengths=tuple(manifest.lengths),
            target=manifest.target,
            bytes=bundle.size,
            delegation=manifest.delegation,
            verification=manifest.verification,
            data=data,
            accuracy=accuracy,
            unit=manifest.unit,
        )

    def further_units(self, bundle: Bundle) -> list[Row]:
        """The same bundle on each of its further units. An accuracy is of one unit, and no other's."""
        return [
            replace(
                self,
                unit=name,
                bytes=bundle.size_of(parse_unit(name)),
                delegation=unit.delegation,
                verification=unit.verification,
                data=None,
                accuracy=None,
            )
            for name, unit in bundle.manifest.units.items()
        ]

    @property
    def is_further_unit(self) -> bool:
        """Whether it is of a unit that the bundle was made for beside its runtime's own."""
        return self.unit not in (None, str(CPU))

    @property
    def name(self) -> str:
        """Format and precision in words, and a further unit."""
        unit = f" on {self.unit}" if self.is_further_unit else ""
        return f"{exporters.title(self.format)} {self.precision.name}{unit}"

    @property
    def proof(self) -> str:
        """The verification's status, with what computed it when that was not the runtime."""
        return self.verification.words


@dataclass(frozen=True, config=RECORD)
class Ranking:
    """What each part of a network costs when it alone is quantized, as `sensitivity --json` prints it."""

    checkpoint: str
    format: FormatName
    precision: str
    metric: str
    examples: int
    parts: tuple[PartCost, ...]


@dataclass(frozen=True, config=RECORD)
class Report:
    """Bundles of one task side by side, their latencies, and what is known of the network's parts.

    records: of these bundles or, where there are no rows, of any.
    notes: what was warned of when the bundles were made.
    proposal: sequence lengths that suit the data that the accuracies are of.
    """

    rows: tuple[Row, ...]
    records: tuple[Record, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    notes: tuple[str, ...] = ()
    proposal: Proposal | None = None
    version: str = __version__
    schema_version: Literal[2] = 2

    @property
    def names(self) -> list[str]:
        """What each row is called: format and precision, and the bundle where two are called the same."""
        known = [row.name for row in self.rows]
        return [row.name if known.count(row.name) == 1 else f"{row.name} ({row.bundle})" for row in self.rows]

    @property
    def warnings(self) -> list[str]:
        """What speaks against a bundle or a number, in sentences."""
        found = [
            f"{name} {PROOFS.get(row.verification.status, '')}: {failure}"
            for name, row in zip(self.names, self.rows, strict=True)
            for failure in row.verification.failures
        ]
        for name, row in zip(self.names, self.rows, strict=True):
            table = gates_of(row.format, row.precision.exact, row.unit)
            own = own_gates(row.verification, table)
            found += [f"{name}: its proof is {own}"] if own else []
            found += [f"{name} says that it is verified, but {one}" for one in broken_gates(row.verification)]
        found += self.notes
        found += self._accuracy_warnings()
        if len({row.data for row in self.rows if row.accuracy}) > 1:
            found.append("the accuracies are of different data, so they do not compare")
        found += self._latency_warnings()
        if any(row.verification.by == "mil-evaluator" for row in self.rows):
            found.append(
                "Core ML was computed by the MIL evaluator, not by Core ML, "
                "so its answers are proven and its latency is unknown"
            )
        return list(dict.fromkeys(found))

    def _accuracy_warnings(self) -> list[str]:
        """What is said of every bundle is of the data, and names none."""
        said = [
            (name, set(row.accuracy.warnings))
            for name, row in zip(self.names, self.rows, strict=True)
            if row.accuracy
        ]
        of_data = set.intersection(*(warnings for _, warnings in said)) if said else set()
        of_bundles = ((name, each) for name, warnings in said for each in sorted(warnings - of_data))
        return sorted(of_data) + group(
            of_bundles,
            alone=lambda name, warning: f"{name}: {warning}",
            together=lambda names, warning: f"{warning} ({names})",
        )

    def _latency_warnings(self) -> list[str]:
        places = dict.fromkeys(each.place for each in self.records)
        found = [warning for place in places for warning in self._warnings_at(place)]
        quoted = [each for each in self.records if each.quotable]
        for kind in sorted({each.device.kind for each in quoted}):
            if len({each.device.name for each in quoted if each.device.kind == kind}) > 1:
                found.append(
                    f"the latencies of kind {kind} are of different machines, so they do not compare"
                )
        if len({each.texts.source for each in quoted}) > 1:
            found.append("the latencies are of different texts, so they do not compare")
        return found

    def _warnings_at(self, place: str) -> list[str]:
        """Why latencies that were measured at a place are not quoted, or to be doubted."""
        here = [each for each in self.records if each.place == place]
        return group(
            ((each.bundle.name, each.standing) for each in here if not each.quotable),
            alone=lambda name, why: f"the latency of {name} on {place} is not quoted: {why}",
            together=lambda names, why: f"latencies on {place} are not quoted: {why} ({names})",
        ) + group(
            ((each.bundle.name, doubt) for each in here for doubt in each.doubts),
            alone=lambda name, doubt: f"{name} on {place}: {doubt}",
            together=lambda names, doubt: f"on {place} {doubt} ({names})",
        )

    def devices(self) -> dict[str, str]:
        """What the devices are called here, by their labels in records: their kind where that is enough."""
        labels = {each.label: each.device.kind for each in self.records}
        kinds = list(labels.values())
        return {label: kind if kinds.count(kind) == 1 else label for label, kind in labels.items()}

    def record_of(self, row: Row, label: str) -> Record | None:
        """The last quotable record of a row's bundle and unit on a device, by the label of its records."""
        of_row = [
            each
            for each in self.records
            if each.quotable
            and each.label == label
            and each.bundle.sha256 == row.seal
            and each.settings.unit == row.unit
        ]
        return max(of_row, key=lambda each: each.time, default=None)


_REPORT, _RANKING = TypeAdapter(Report), TypeAdapter(Ranking)


def to_json(report: Report) -> str:
    """The report whole; `collect` reads it back."""
    return _REPORT.dump_json(report, indent=2).decode() + "\n"


def collect(paths: Sequence[Path], rankings: Sequence[Path] = (), key: Key | None = None) -> Report:
    """The rows of bundles, of saved reports, records, and of directories that hold any of them.

    A bundle's measurements are those that the saved report beside it has for it, if it is as it was then.

    Args:
        rankings: files of what `sensitivity --json` printed.
        key: that has to have signed every bundle, report and record.

    Raises:
        GateError: one is not signed by the key.
        InputError: no bundle, report or record there, one that was altered, or bundles of different tasks.
    """
    rows: dict[tuple[str, str | None], Row] = {}
    records: dict[str, Record] = {}
    ranked: list[Ranking] = []
    notes: list[str] = []
    for path in paths:
        report = _read(path, key)
        records |= {each.id: each for each in report.records}
        ranked += report.rankings
        notes += report.notes
        for row in report.rows:
            if (row.seal, row.unit) not in rows or rows[row.seal, row.unit].accuracy is None:
                rows[row.seal, row.unit] = row
    tasks = sorted({row.task for row in rows.values()})
    if len(tasks) > 1:
        raise InputError(
            f"the bundles are for different tasks: {', '.join(tasks)}", allowed="bundles of one task at once"
        )
    ranked += [
        read_record(
            path,
            _RANKING,
            allowed="a file of what `squeezebert-edge sensitivity --json` printed",
            most=CONTENTS,
        )
        for path in rankings
    ]
    return Report(
        tuple(rows.values()),
        tuple(records.values()),
        tuple(dict.fromkeys(ranked)),
        tuple(dict.fromkeys(notes)),
    )


def _read(path: Path, key: Key | None) -> Report:
    """A saved report, records, or bundles with what the report beside them says of their content."""
    if path.is_file():
        of_record = path.name.endswith(record.SUFFIX)
        return Report((), (record.read(path, key),)) if of_record else _read_saved(path, key)
    alone = (path / MANIFEST).exists()
    bundles = [path] if alone else sorted(file.parent for file in path.glob(f"[!.]*/{MANIFEST}"))
    saved = (path.resolve().parent if alone else path) / SAVED
    report = _read_saved(saved, key) if os.path.lexists(saved) else None
    records = tuple(record.read(file, key) for file in sorted(path.glob(f"[!.]*{record.SUFFIX}")))
    if not bundles and report is None and not records:
        raise InputError(
            f"{path} holds no bundle, no {SAVED} and no record",
            allowed=f"bundles, {SAVED} and *{record.SUFFIX} files, and directories that hold them",
        )
    known = report or Report(())
    if bundles:
        known = _keep_bundles(known, bundles, key)
    return replace(known, records=known.records + records)


def _keep_bundles(report: Report, bundles: Sequence[Path], key: Key | None) -> Report:
    """What a saved report says of the bundles that are there now."""
    known = {(row.seal, row.unit): row for row in report.rows}
    order = {key: place for place, key in enumerate(known)}
    rows = []
    for bundle in (open_bundle(path, allow_failed=True) for path in bundles):
        if key is not None:
            bundle.require_signature(key)
        row = Row.of(bundle)
        rows += [_with_accuracy(each, known) for each in (row, *row.further_units(bundle))]
    rows.sort(key=lambda row: order.get((row.seal, row.unit), len(order)))
    seals = {row.seal for row in rows}
    records = tuple(each for each in report.records if each.bundle.sha256 in seals)
    return replace(report, rows=tuple(rows), records=records)


def _with_accuracy(row: Row, known: Mapping[tuple[str, str | None], Row]) -> Row:
    """The row with the accuracy that is known of its content."""
    old = known.get((row.seal, row.unit), row)
    return replace(row, data=old.data, accuracy=old.accuracy)


def add_known(report: Report, saved: Path, key: Key | None = None) -> Report:
    """A report, and what a saved one knows of the same bundles that was not measured anew.

    Args:
        saved: the report of an earlier run, if there is one.
        key: that has to have signed it; what is not signed is not taken over.
    """
    try:
        old = _read_saved(saved, key)
    except (InputError, GateError):
        return report
    known = {(row.seal, row.unit): row for row in old.rows}
    rows = tuple(row if row.accuracy else _with_accuracy(row, known) for row in report.rows)
    seals = {row.seal for row in rows}
    anew = {(each.bundle.sha256, each.place) for each in report.records}
    before = tuple(
        each
        for each in old.records
        if each.bundle.sha256 in seals and (each.bundle.sha256, each.place) not in anew
    )
    return replace(report, rows=rows, records=before + report.records)


def is_saved(path: Path) -> bool:
    """Whether a file is a report that `run` wrote."""
    try:
        _read_saved(path, None)
    except InputError:
        return False
    return True


def sign(path: Path, key: Key) -> None:
    """Write the signature of a saved report beside it."""
    key.sign(path, SIGNED_AS, read_bytes(path, CONTENTS))


def _read_saved(path: Path, key: Key | None) -> Report:
    if key is not None:
        key.require(path, SIGNED_AS, read_bytes(path, CONTENTS))
    return read_record(path, _REPORT, allowed=f"a {SAVED} that `squeezebert-edge run` wrote", most=CONTENTS)
