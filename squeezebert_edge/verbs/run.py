"""Everything about a checkpoint: each bundle of a plan is made, proven and measured, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from exporters.errors import GateError, UnavailableError
from squeezebert_edge import devices
from squeezebert_edge.accuracy.answers import BatchedAnswers, RunnerAnswers, compare, reference_answers
from squeezebert_edge.accuracy.lengths import propose_for
from squeezebert_edge.accuracy.packages import can_measure_accuracy
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import DEFAULT, Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.latency.protocol import Protocol
from squeezebert_edge.latency.record import Record
from squeezebert_edge.latency.workload import BUILT_IN
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.proof.reference import threads_for
from squeezebert_edge.report.rows import Report, Row
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from squeezebert_edge.verbs.estimate import estimate
from squeezebert_edge.verbs.export import export_bundles, refuse_outputs
from squeezebert_edge.verbs.plan import Plan
from squeezebert_edge.verbs.recipe import find_bundles


@dataclass(frozen=True)
class Work:
    """What a run does.

    found: the bundles that are there already. missing: the plan of those that are made, `jobs` side by side.
    examples: how many labelled ones the accuracies are of. protocol: of the latencies; None measures none.
    seconds: about how long it takes.
    """

    found: Mapping[tuple[str, str], Bundle]
    missing: Plan
    jobs: int
    examples: int
    protocol: Protocol | None
    seconds: float


def _say_nothing(news: Work | Row | Record) -> None:
    """What is told to a caller who waits for the report."""


def compare_precisions(
    checkpoint: Checkpoint,
    plan: Plan,
    out: Path,
    *,
    data: Path | None = None,
    dataset: str | None = None,
    labels: Sequence[str] | None = None,
    columns: Mapping[str, int] | None = None,
    null_threshold: float | None = None,
    protocol: Protocol | None = None,
    force: bool = False,
    jobs: int = 1,
    tell: Callable[[Work | Row | Record], None] = _say_nothing,
    progress: Progress = silent,
) -> Report:
    """Make the plan's bundles in `out`, prove each, and measure its accuracy and its latency on this host.

    A bundle that is there as it would be made (`find_bundles`) is not made again.

    Args:
        data: a file of labelled examples that the task can read. Without it no accuracy is measured, except
            of the default model, which brings its own examples.
        columns: where the words and tags of a file without a header stand, as `read_tagged` takes it.
        dataset, labels, null_threshold: as `resolve_dataset` takes them.
        protocol: for latencies, on the texts of `data` or the built-in ones; None measures no latency.
        force: make every bundle anew, and replace what is in their places.
        jobs: as `export_bundles` takes it.
        tell: is told the work before it begins, then each row and each latency as soon as it is known.

    Raises:
        InputError: before anything is made, if a bundle was asked for otherwise and `force` is false, or if
            the data is wrong.
    """
    if force:
        refuse_outputs(plan, out, force=True)
    found = {} if force else find_bundles(checkpoint, plan, out)
    missing = replace(plan, pairs=[pair for pair in plan.pairs if pair not in found])
    examples = _labelled_examples(checkpoint, data, columns)
    at_once = min(jobs, max(1, len(missing.pairs)))
    seconds = estimate(
        checkpoint,
        missing,
        jobs=at_once,
        pairs=len(plan.pairs),
        examples=len(examples or ()),
        protocol=protocol,
    )
    tell(Work(found, missing, at_once, len(examples or ()), protocol, seconds))
    reference = None
    if examples is not None:
        max_length = plan.lengths[-1]
        reference = reference_answers(
            checkpoint,
            examples,
            dataset=dataset,
            labels=labels,
            null_threshold=null_threshold,
            max_length=max_length,
        )
    source = None if reference is None else str(data or BUILT_IN)
    threads = threads_for(checkpoint.model, plan.lengths[-1])
    made = dict(found)
    rows: dict[tuple[str, str], list[Row]] = {}
    exported = export_bundles(checkpoint, missing, out, force=True, jobs=jobs, progress=progress)
    with closing(exported):  # an interruption while a bundle is scored ends those that are being made
        for bundle in chain(found.values(), exported):
            pair = (bundle.manifest.format, bundle.manifest.precision.name)
            row = _evaluate(bundle, reference, source, threads, progress)
            made[pair], rows[pair] = bundle, [row, *row.further_units(bundle)]
            for each in rows[pair]:
                tell(each)
    bundles = [made[pair] for pair in plan.pairs]
    calibrated = any(b.manifest.calibration and b.manifest.calibration.calibrated for b in bundles)
    notes = list(plan.calibration.warnings) if plan.calibration and calibrated else []
    records = []
    for record in _measure_latency(bundles, protocol, data, notes, progress) if protocol else ():
        records.append(record)
        tell(record)
    return Report(
        tuple(row for pair in plan.pairs for row in rows[pair]),
        records=tuple(records),
        notes=tuple(notes),
        proposal=propose_for(reference.data, checkpoint.config, plan.lengths) if data and reference else None,
    )


def _labelled_examples(
    checkpoint: Checkpoint, data: Path | None, columns: Mapping[str, int] | None
) -> list[Example] | None:
    """The examples of a file; without one, the default model's own, if accuracy can be measured here."""
    task = task_of(checkpoint)
    if data is not None:
        return task.read_file(data, columns)
    if checkpoint.source == DEFAULT and task.metrics and can_measure_accuracy():
        return task.built_in_examples(task.samples[0])
    return None


def _evaluate(
    bundle: Bundle, reference: BatchedAnswers | None, data: str | None, threads: int, progress: Progress
) -> Row:
    """A bundle with its accuracy. One whose proof failed, or could not be computed, has none."""
    if reference is None or bundle.manifest.verification.status != "verified":
        return Row.of(bundle)
    runner = bundle.load_runner(threads=threads)
    comparison = compare(
        reference,
        RunnerAnswers(reference.data, bundle.tokenizer, runner, runner.lengths),
        progress=with_prefix(f"{bundle.manifest.format} {bundle.manifest.precision.name}", progress),
    )
    return Row.of(bundle, data=data, accuracy=comparison)


def _measure_latency(
    bundles: Sequence[Bundle], protocol: Protocol, data: Path | None, notes: list[str], progress: Progress
) -> Iterator[Record]:
    """The records of the verified bundles that run here. What fails is noted, and the rest goes on."""
    device = devices.open_device("host")
    for bundle in bundles:
        proof = bundle.manifest.verification
        if proof.by != "runtime" or proof.status == "failed":
            continue
        try:
            yield from benchmark_bundles([bundle], device, Request(protocol, data=data), progress=progress)
        except (GateError, UnavailableError) as error:
            notes.append(f"{bundle.directory.name} has no latency: {error.problem}")
