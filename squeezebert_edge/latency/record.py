"""The record of one measurement: what every device writes, and what every report is made of.

Python, the native runner and the apps all write it alike. docs/record.md says what each field means, and
docs/record.schema.json is generated from here. Times are whole nanoseconds.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, model_validator

from exporters.errors import InputError
from squeezebert_edge.bundle.manifest import FormatName, unit_in_words
from squeezebert_edge.latency.protocol import (
    Protocol,
    Samples,
    Statistics,
    WarmUp,
    broken_rule,
    by_length,
    statistics,
)
from squeezebert_edge.plumbing.reading import CONTENTS, read_bytes, read_record
from squeezebert_edge.plumbing.staging import write_whole

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.plumbing.signing import Key

SUFFIX = ".record.json"
VERSION: Literal[1] = 1
SIGNED_AS = "record"

KindName = Literal["host", "ssh", "android", "ios"]
UnitName = Annotated[str, Field(pattern=r"^(cpu|cpu-fp16|gpu|ane|npu(:[A-Za-z0-9_]+)?)$")]
RunnerName = Literal["python", "native", "app"]

# How units were named before they were settings: by what a model was handed to, and by Core ML.
EARLIER_UNITS = {
    "cpu": "cpu",
    "gpu": "gpu",
    "cpu_only": "cpu",
    "cpu_and_gpu": "gpu",
    "cpu_and_ne": "ane",
    "all": None,
}
EARLIER_FIELDS = {"delegate", "compute_units"}


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Facts(_Fields):
    """Fields that a device may not give: such a field is None, and `unknown` has the reason by its name."""

    unknown: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_reasons(self) -> Self:
        missing = {name for name in type(self).model_fields if getattr(self, name) is None}
        if missing != self.unknown.keys():
            raise ValueError(f"{sorted(missing)} are null, and {sorted(self.unknown)} are explained")
        return self


class Device(_Facts):
    """What was measured on.

    name: model or processor. soc: the chip. cpus: how many.
    clusters: numbers of the CPUs of each kind, the fastest kind first; one list where all are alike.
    """

    kind: KindName
    name: str
    os: str
    architecture: str
    cpus: int | None
    soc: str | None
    clusters: list[list[int]] | None
    memory_bytes: int | None


class State(_Facts):
    """How a device was at a moment.

    time: UTC, ISO 8601.
    temperatures_c: by the sensor's own name. thermal_status: the system's own word.
    battery: from 0 to 1. governors, frequencies_mhz: of each CPU, by number.
    load: runnable processes, averaged over a minute. allowed_cpus: where the measured process may run.
    """

    time: str
    temperatures_c: dict[str, float] | None
    thermal_status: str | None
    battery: float | None
    charging: bool | None
    low_power_mode: bool | None
    governors: list[str] | None
    frequencies_mhz: list[float] | None
    load: float | None
    allowed_cpus: list[int] | None


class Runtime(_Fields):
    """What computed.

    runner: what called it. libc: glibc, bionic, musl or darwin; on Android only bionic's number is an app's.
    """

    name: FormatName
    version: str
    runner: RunnerName
    libc: str


class Measured(_Fields):
    """The bundle. sha256: of its manifest, which holds the hashes of its files."""

    name: str
    sha256: str
    checkpoint: str
    checkpoint_sha256: str
    task: str
    format: FormatName
    precision: str
    exact_precision: str
    form: str
    lengths: list[int]
    artifact_bytes: PositiveInt

    @classmethod
    def of(cls, bundle: Bundle) -> Measured:
        """The facts of a bundle that a record has."""
        manifest = bundle.manifest
        return cls(
            name=bundle.directory.resolve().name,
            sha256=bundle.seal,
            checkpoint=manifest.source.checkpoint,
            checkpoint_sha256=manifest.source.sha256,
            task=manifest.task,
            format=manifest.format,
            precision=manifest.precision.name,
            exact_precision=manifest.precision.exact,
            form=manifest.form,
            lengths=manifest.lengths,
            artifact_bytes=bundle.size,
        )


class Settings(_Fields):
    """What was asked for; null leaves it to the runtime or the system.

    unit: the compute unit: cpu, cpu-fp16 (in float16), gpu, ane, or npu and in a record its chip, npu:SM8650.
    cpus: the only ones to run on.
    length: the one that every text is padded or cut to; by default each text's shortest.
    runtime: which of several a format has, by its package's name.
    """

    threads: int | None = None
    unit: UnitName | None = None
    cpus: list[int] | None = None
    length: int | None = None
    runtime: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_earlier(cls, fields: Any) -> Any:
        """A unit as records had it in two fields, `delegate` and Core ML's `compute_units`."""
        if not isinstance(fields, dict) or "unit" in fields or not fields.keys() >= EARLIER_FIELDS:
            return fields
        asked = fields["compute_units"] or fields["delegate"]
        if asked not in EARLIER_UNITS or fields["delegate"] not in EARLIER_UNITS:
            return fields
        kept = {name: value for name, value in fields.items() if name not in EARLIER_FIELDS}
        return kept | {"unit": EARLIER_UNITS[asked]}

    @property
    def unit_kind(self) -> str | None:
        """The unit without its chip."""
        return self.unit and self.unit.partition(":")[0]


class Texts(_Fields):
    """What was asked: the source's name, its texts, and the rows of tokens that they became."""

    source: str
    texts: int
    rows: int


class Tokenization(_Fields):
    """How long it takes to make a text's rows, no part of any latency. where: host or device."""

    where: Literal["host", "device"]
    statistics: Statistics


class ColdStart(_Facts):
    """Before anything is warm, apart from the samples.

    process_ns: from the start of the process to the runtime being ready to load.
    load_ns: opening the artifact. first_ns: the first query at each length; later ones are the samples.
    """

    process_ns: int | None
    load_ns: int | None
    first_ns: dict[int, int] | None


class Memory(_Facts):
    """Resident bytes of the process.

    baseline_bytes: with the runtime, before it opens the artifact. peak_bytes: at most, after a query at each
        length.
    """

    baseline_bytes: int | None
    peak_bytes: int | None

    @property
    def growth_bytes(self) -> int | None:
        """Bytes that the artifact adds."""
        if self.peak_bytes is None or self.baseline_bytes is None:
            return None
        return self.peak_bytes - self.baseline_bytes


LONGEST_NS = 2**63 - 1  # a clock's


class Repeat(_Fields):
    """Which of several runs in a row this is, from 1, and the medians of all."""

    index: int = Field(ge=1)
    of: int
    medians_ns: list[int]

    @model_validator(mode="after")
    def _check_count(self) -> Self:
        if not self.index <= self.of == len(self.medians_ns):
            raise ValueError(f"it is run {self.index} of {self.of}, with {len(self.medians_ns)} medians")
        return self


class Latency(_Fields):
    """The samples in numbers: all of them, and those of each length."""

    overall: Statistics
    by_length: dict[int, Statistics]

    @classmethod
    def of(cls, samples: Samples) -> Latency:
        """The statistics of at least one sample."""
        return cls(overall=statistics(samples.latency_ns), by_length=by_length(samples))


class Validity(_Fields):
    """Whether the measurement kept the rules, or which it broke."""

    valid: bool
    rule: str | None


class Foreign(_Fields):
    """A number of somebody else's tool, beside ours; note: why it is none of ours."""

    tool: str
    mean_ns: float
    note: str


class Run(_Fields):
    """What a device measured, before it is known what of and whether that counts.

    emulated: whether the processor is a program.
    float16: whether the processor adds and multiplies in float16; null where nothing asked.
    """

    device: Device
    runtime: Runtime
    before: State
    after: State
    cold_start: ColdStart
    memory: Memory
    warm_up: list[WarmUp]
    samples: Samples
    emulated: bool
    float16: bool | None = None


class Record(Run):
    """One measurement of one bundle on one device.

    id: unique. time: when it was written, UTC, ISO 8601.
    quotable: whether its latency may be shown as the device's: a valid run of a protocol that is quoted, on
        a processor that is none of software.
    """

    record_version: Literal[1]
    id: str
    time: str
    generator: str
    bundle: Measured
    settings: Settings
    protocol: Protocol
    repeat: Repeat
    texts: Texts
    tokenization: Tokenization
    latency: Latency
    foreign: list[Foreign] = Field(default_factory=list)
    validity: Validity
    quotable: bool

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        columns = {len(column) for column in asdict(self.samples).values()}
        if len(columns) != 1 or columns == {0}:
            raise ValueError("the samples are columns of different lengths, or none")
        times, starts = [*self.samples.latency_ns, *self.repeat.medians_ns], self.samples.start_ns
        if min(times) < 1 or min(starts) < 0 or max(*times, *starts) > LONGEST_NS:
            raise ValueError("a time of the samples or medians is none that a clock can give")
        if not _same(Latency.of(self.samples), self.latency):
            raise ValueError("the latency is not that of the samples")
        if self.repeat.medians_ns[self.repeat.index - 1] != self.latency.overall.p50_ns:
            raise ValueError("repeat has another median for this run")
        rule = broken_rule(self.protocol, self.samples, self.repeat.medians_ns)
        if self.validity.valid != (self.validity.rule is None) or (rule and self.validity.valid):
            raise ValueError(f"validity says {self.validity.rule}, the samples say {rule}")
        if self.quotable != (self.validity.valid and self.protocol.quoted and not self.emulated):
            raise ValueError("only a valid run of a quoted protocol that was not emulated is quotable")
        if self.settings.unit == "npu":
            raise ValueError("settings.unit names an NPU without its chip")
        return self

    @property
    def unit(self) -> str:
        """The compute unit, in words."""
        return unit_in_words(self.settings.unit)

    @property
    def label(self) -> str:
        """The heading of its numbers: the device's kind and name, and whether it is emulated."""
        return f"{self.device.kind}: {self.device.name}" + (", emulated" if self.emulated else "")

    @property
    def place(self) -> str:
        """Where it was measured, in a sentence: the label, and the compute unit if that is not the CPU."""
        return self.label if self.settings.unit == "cpu" else f"{self.label}, {self.unit}"

    @property
    def standing(self) -> str:
        """Whether it is quoted, with the protocol's name; or why not, or the rule that it broke."""
        if self.validity.rule:
            return f"invalid: {self.validity.rule}"
        if self.emulated:
            return "emulated"
        return f"{'quoted' if self.quotable else 'unquoted'} ({self.protocol.name})"

    @property
    def doubts(self) -> list[str]:
        """What speaks against its latency, though it is valid."""
        found = [
            f"{warmed.length} tokens were not steady after {warmed.queries} queries"
            for warmed in self.warm_up
            if not warmed.steady
        ]
        load, cpus = self.before.load, self.device.cpus
        if load is not None and cpus is not None and load > cpus / 2:
            found.append(f"the load was {load:.1f} on {cpus} CPUs before it began")
        if self.before.low_power_mode:
            found.append("low-power mode was on")
        if self.settings.unit == "cpu-fp16" and self.float16 is False:
            found.append("the processor has no float16: it rounded to it, and computed in float32")
        return found


_RECORD = TypeAdapter(Record)


def now() -> str:
    """The time as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def new_id() -> str:
    """An id for a record, unlike any other's."""
    return secrets.token_hex(8)


def write(record: Record, directory: Path, key: Key | None = None) -> Path:
    """Write a record into a directory, whole or not at all, beside what is there; returns its path.

    Args:
        key: that signs it.

    Raises:
        InputError: the directory cannot be written to.
    """
    stamp = record.time.replace("-", "").replace(":", "")
    target = directory / f"{record.bundle.name}.{record.device.kind}.{stamp}.{record.id}{SUFFIX}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory} cannot be made: {error.strerror}") from None
    content = record.model_dump_json() + "\n"
    write_whole(target, content)
    if key is not None:
        key.sign(target, SIGNED_AS, content.encode())
    return target


def read(path: Path, key: Key | None = None) -> Record:
    """Read a record.

    Args:
        key: that has to have signed it.

    Raises:
        InputError: the file cannot be read, is cut short or of another version, or contradicts itself.
        GateError: it is not signed, or was altered since.
    """
    if key is not None:
        key.require(path, SIGNED_AS, read_bytes(path, CONTENTS))
    return read_record(
        path, _RECORD, allowed=f"a record of version {VERSION}, see docs/record.md", most=CONTENTS
    )


def _same(found: Latency, written: Latency) -> bool:
    """Whether two have the same counts and times, and to nine digits the same means and what follows."""
    if found.by_length.keys() != written.by_length.keys():
        return False
    pairs = [
        (found.overall, written.overall),
        *((found.by_length[n], written.by_length[n]) for n in found.by_length),
    ]
    for mine, theirs in pairs:
        for a, b in zip(asdict(mine).values(), asdict(theirs).values(), strict=True):
            if (a is None) != (b is None) or (a is not None and not math.isclose(a, b, rel_tol=1e-9)):
                return False
    return True
