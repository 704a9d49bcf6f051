"""Which form suits each format and precision on a device, found by measuring all of them there."""

from __future__ import annotations

import shutil
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import exporters
from exporters.errors import EdgeError, InputError, UnavailableError
from exporters.units import CPU_FP16, EVERY_CHIP, GPU, Unit, parse_unit
from squeezebert_edge.bundle.manifest import Manifest, UnitRecord, Verification
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.devices import Device
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.catalog import FORMS
from squeezebert_edge.latency import record, workload
from squeezebert_edge.latency.protocol import REPEAT_TOLERANCE, Protocol, Samples, broken_rule, by_length
from squeezebert_edge.latency.workload import Workload
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.plumbing.staging import CannotWriteError, scratch_directory
from squeezebert_edge.verbs.bench import cool_down
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan

ROUNDS = 3


@dataclass(frozen=True)
class Tuning:
    """How candidates are measured.

    protocol: of each run. settings: of the runtime; what is open there the device decides.
    data: texts of a form that the checkpoint's task reads; by default the built-in sample.
    rounds: in each round every candidate runs once; a candidate's latency is the median of its rounds.
    """

    protocol: Protocol
    settings: record.Settings = field(default_factory=record.Settings)
    data: Path | None = None
    rounds: int = ROUNDS


@dataclass(frozen=True)
class Candidate:
    """A way to compute the network: a form, for a format and an exact precision."""

    format: str
    precision: str
    form: str


@dataclass(frozen=True)
class Trial:
    """What came of a candidate.

    verification: of its bundle; None if it cannot be exported.
    excluded: why it cannot be chosen; None if it can.
    rounds_ns: the latency of each round: the median at each length, averaged as often as the texts have
        that length. Empty if it was not measured.
    """

    candidate: Candidate
    verification: Verification | None
    excluded: str | None = None
    rounds_ns: tuple[int, ...] = ()

    @property
    def latency_ns(self) -> float | None:
        """The median of the rounds."""
        return statistics.median(self.rounds_ns) if self.rounds_ns else None

    @property
    def spread(self) -> float | None:
        """By how much of the fastest round the slowest one is slower."""
        return max(self.rounds_ns) / min(self.rounds_ns) - 1 if self.rounds_ns else None

    @property
    def padding_safe(self) -> bool | None:
        """Whether padding changes no answer; None if that could not be computed."""
        if self.verification is None or self.verification.status == "not verified":
            return None
        return not any("padding" in failure for failure in self.verification.failures)


@dataclass(frozen=True)
class Decision:
    """What was decided for a format and an exact precision.

    default: the form that was taken so far. chosen: the form to take now; None if no candidate can be.
    device: what measured, in words; None if nothing ran there.
    """

    format: str
    precision: str
    default: str
    trials: tuple[Trial, ...]
    chosen: str | None
    device: str | None


@dataclass(frozen=True)
class Skipped:
    """A format that the device does not run, or not with these settings, and why."""

    format: str
    error: EdgeError


def tune_forms(
    checkpoint: Checkpoint,
    plan: Plan,
    device: Device,
    tuning: Tuning,
    *,
    progress: Progress = silent,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Decision | Skipped]:
    """Choose a form for each pair of the plan: padding-safe, within the gates, then the fastest.

    What the plan has for a pair is its default, and stays where nothing beats it, as `choose` has it.
    Formats that are skipped come first, then each decision when it is made.

    Args:
        plan: `form` is not read; `forms` has the defaults.
        sleep: rests for so many seconds before a run.

    Raises:
        InputError: before anything is exported: wrong data or settings; later: no room for the bundles.
        UnavailableError: the device runs none of the formats, or is gone.
    """
    if tuning.rounds < 1:
        raise InputError(f"{tuning.rounds} rounds are too few", allowed="1 or more")
    work = workload.of_data(task_of(checkpoint), checkpoint.tokenizer, tuning.data, plan.lengths)
    pairs = dict.fromkeys((name, choices.exact_precision(name, asked).name) for name, asked in plan.pairs)
    settled: dict[str, record.Settings] = {}
    skipped = []
    for name in dict.fromkeys(name for name, _ in pairs):
        try:
            stand_in = _stand_in(plan, name, [exact for other, exact in pairs if other == name])
            settled[name] = device.settle(stand_in, tuning.settings)
        except EdgeError as error:
            skipped.append(Skipped(name, error))
    if not settled:
        raise skipped[0].error
    yield from skipped
    for name, exact in pairs:
        if name in settled:
            units = _beside_cpu(name, settled[name].unit)
            mine = replace(plan, pairs=[(name, exact)], form=None, units=units)
            stopwatch = _Stopwatch(device, work, replace(tuning, settings=settled[name]), sleep)
            yield _decide(checkpoint, mine, stopwatch, progress)


def forms_file(
    checkpoint: Checkpoint, plan: Plan, device: Device, tuning: Tuning, decisions: Iterable[Decision]
) -> choices.FormsFile:
    """What was decided, for `export --forms`, with what it was decided by.

    Raises:
        ValueError: no form was chosen.
    """
    decisions = list(decisions)
    measured_on = next((decision.device for decision in decisions if decision.chosen), None)
    if measured_on is None:
        raise ValueError("no form was chosen")
    forms: dict[str, dict[str, str]] = {}
    for decision in decisions:
        if decision.chosen is not None:
            forms.setdefault(decision.format, {})[decision.precision] = decision.chosen
    return choices.FormsFile(
        device=measured_on,
        forms=forms,
        measured=choices.Measured(
            time=record.now(),
            checkpoint=checkpoint.source,
            checkpoint_sha256=checkpoint.sha256,
            lengths=list(plan.lengths),
            texts=workload.BUILT_IN if tuning.data is None else tuning.data.name,
            protocol=tuning.protocol.name,
            runner=device.runner,
            threads=tuning.settings.threads,
            trials=[
                choices.Trial(
                    format=decision.format,
                    precision=decision.precision,
                    form=trial.candidate.form,
                    excluded=trial.excluded,
                    rounds_ns=list(trial.rounds_ns),
                )
                for decision in decisions
                for trial in decision.trials
            ],
        ),
    )


def _stand_in(plan: Plan, name: str, precisions: Iterable[str]) -> Bundle:
    """What a device is asked about before there is a bundle, since making one takes minutes.

    It has what a device settles by: the format, and every unit that bundles of it can be made for.
    """
    every = replace(plan, units=[CPU_FP16, GPU, Unit("npu", EVERY_CHIP)])
    kinds = [units for exact in precisions for units in every.units_of(name, exact).values()]
    record = UnitRecord.model_construct(files={})
    units = {str(unit): record for units in kinds for unit in units}
    return Bundle(
        Path(f"{name} bundles"), Manifest.model_construct(format=name, units=units), allow_failed=True
    )


def _beside_cpu(name: str, unit: str | None) -> list[Unit]:
    """What a format's candidates are made and proven for beside the CPU; Core ML's units run one program."""
    units = [] if unit is None else [parse_unit(unit)]
    return [unit for unit in units if unit.kind in exporters.format_named(name).units]


def _decide(checkpoint: Checkpoint, plan: Plan, stopwatch: _Stopwatch, progress: Progress) -> Decision:
    ((name, exact),) = plan.pairs
    default = plan.form_of(name, exact).name
    with scratch_directory() as directory:
        trials, bundles = [], {}
        for form in (default, *(form for form in FORMS if form != default)):
            trial, bundle = _export(checkpoint, plan, form, directory, with_prefix(form, progress))
            trials.append(trial)
            if bundle is not None:
                bundles[trial.candidate] = bundle
        timed = stopwatch.time(bundles, progress)
    trials = [
        replace(
            trial,
            excluded=trial.excluded or timed.failures.get(trial.candidate),
            rounds_ns=timed.rounds_ns.get(trial.candidate, ()),
        )
        for trial in trials
    ]
    return Decision(name, exact, default, tuple(trials), choose(trials, default), timed.device)


def _export(
    checkpoint: Checkpoint, plan: Plan, form: str, directory: Path, progress: Progress
) -> tuple[Trial, Bundle | None]:
    """A candidate's bundle; None if there is none or it is not verified."""
    ((name, exact),) = plan.pairs
    candidate = Candidate(name, exact, form)
    out = directory / form
    try:
        (bundle,) = export_bundles(checkpoint, replace(plan, form=form), out, progress=progress)
    except CannotWriteError:
        raise
    except EdgeError as error:
        return Trial(candidate, None, excluded=error.problem), None
    verification = bundle.manifest.verification
    for unit in plan.units:
        if str(unit) not in bundle.manifest.units:
            return Trial(candidate, verification, excluded=f"{unit} does not compute {name} {exact}"), None
        if verification.status == "verified":
            verification = bundle.manifest.units[str(unit)].verification
    if verification.status == "verified":
        return Trial(candidate, verification), bundle
    shutil.rmtree(out)  # so that only what will be measured takes room
    return Trial(candidate, verification, excluded="; ".join(verification.failures)), None


def choose(trials: Sequence[Trial], default: str) -> str | None:
    """The form to take: the fastest of those that beat the default, which stays if none does.

    One beats it that is faster in every round, and in the median by more than the noise that the protocol
    allows. Where the default itself is excluded, the fastest form is taken; None if all are.
    """
    eligible = {trial.candidate.form: trial for trial in trials if trial.excluded is None and trial.rounds_ns}
    kept = eligible.get(default)
    better = eligible if kept is None else {form: one for form, one in eligible.items() if _beats(one, kept)}
    if not better:
        return default if kept else None
    return min(better, key=lambda form: statistics.median(better[form].rounds_ns))


def _beats(trial: Trial, other: Trial) -> bool:
    mine, theirs = (statistics.median(one.rounds_ns) for one in (trial, other))
    in_every_round = all(a < b for a, b in zip(trial.rounds_ns, other.rounds_ns, strict=True))
    return in_every_round and theirs - mine > REPEAT_TOLERANCE * mine


@dataclass(frozen=True)
class _Times:
    """The latency of each round of candidates, and why others have none; device: what ran them, in words."""

    rounds_ns: Mapping[Candidate, tuple[int, ...]]
    failures: Mapping[Candidate, str]
    device: str | None


@dataclass(frozen=True)
class _Stopwatch:
    device: Device
    work: Workload
    tuning: Tuning
    sleep: Callable[[float], object]

    def time(self, bundles: Mapping[Candidate, Bundle], progress: Progress) -> _Times:
        """Run all bundles in turn, round after round, so that a device that warms up slows all of them."""
        runs: dict[Candidate, list[Samples]] = {candidate: [] for candidate in bundles}
        failures: dict[Candidate, str] = {}
        device = None
        for turn in range(self.tuning.rounds):
            # Every other round goes backwards: the last of a round is not the one that always runs warmest.
            for candidate in list(bundles)[:: -1 if turn % 2 else 1]:
                if candidate in failures:
                    continue
                named = f"{candidate.form}: {candidate.format} {candidate.precision}"
                telling = with_prefix(f"{named}: round {turn + 1} of {self.tuning.rounds}", progress)
                # Before the first run as well: exporting has warmed this computer, which may be the device.
                cool_down(self.tuning.protocol.cool_down, telling, self.sleep)
                try:
                    run = self._run(bundles[candidate], telling)
                except UnavailableError:
                    raise
                except EdgeError as error:  # it does not run there in this form
                    failures[candidate] = error.problem
                    continue
                device = device or _in_words(run, self.tuning.settings.unit)
                rule = broken_rule(self.tuning.protocol, run.samples)
                if rule is not None:
                    failures[candidate] = rule
                runs[candidate].append(run.samples)
        whole = {candidate: samples for candidate, samples in runs.items() if candidate not in failures}
        return _Times(self._latencies(whole), failures, device)

    def _run(self, bundle: Bundle, progress: Progress) -> record.Run:
        tuning = self.tuning
        return self.device.measure(bundle, self.work.rows, tuning.protocol, tuning.settings, progress)

    def _latencies(self, runs: Mapping[Candidate, Sequence[Samples]]) -> dict[Candidate, tuple[int, ...]]:
        """Of each run one latency, over lengths that all of them have: a faster one gets to more texts."""
        medians = {
            candidate: [
                {length: numbers.p50_ns for length, numbers in by_length(samples).items()}
                for samples in several
            ]
            for candidate, several in runs.items()
        }
        shares = Counter(row["input_ids"].shape[1] for row in self.work.rows)
        common = [
            length
            for length in shares
            if all(length in of_run for several in medians.values() for of_run in several)
        ]
        total = sum(shares[length] for length in common)
        return {
            candidate: tuple(
                round(sum(shares[length] * of_run[length] for length in common) / total) for of_run in several
            )
            for candidate, several in medians.items()
        }


def _in_words(run: record.Run, unit: str | None) -> str:
    words = f"{run.device.name}, {run.device.os}" + (", emulated" if run.emulated else "")
    return words if unit in (None, "cpu") else f"{words}, {unit}"
