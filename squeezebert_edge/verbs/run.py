"""Everything about a checkpoint: every bundle of a plan made, proven, scored and timed, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from exporters.errors import GateError
from squeezebert_edge import devices
from squeezebert_edge.accuracy.answers import ReferenceAnswers, compare
from squeezebert_edge.accuracy.lengths import propose_for
from squeezebert_edge.accuracy.packages import can_measure_accuracy
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import DEFAULT, Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.latency.protocol import Protocol
from squeezebert_edge.latency.record import Record
from squeezebert_edge.latency.workload import BUILT_IN
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.report.rows import Report, Row
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from squeezebert_edge.verbs.evaluate import reference_answers, reference_on
from squeezebert_edge.verbs.export import export_bundles, refuse_outputs
from squeezebert_edge.verbs.plan import Plan


def compare_precisions(
    checkpoint: Checkpoint,
    plan: Plan,
    out: Path,
    *,
    data: Path | None = None,
    scored: str | None = None,
    labels: Sequence[str] | None = None,
    protocol: Protocol | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Report:
    """Make the plan's bundles in `out` and measure each: its proof, accuracy and latency on this host.

    Args:
        data: labelled examples of a form that the task reads; without it there is no accuracy, but for the
            default model, which brings its own.
        scored, labels: as for `evaluation.evaluate_bundles`.
        protocol: of the latencies, measured on `data`'s texts or the built-in ones; null measures none.
        force: replace bundles that exist.

    Raises:
        InputError: before anything is made, if a bundle exists and `force` is false, or the data is wrong.
    """
    refuse_outputs(plan, out, force=force)
    max_length = plan.lengths[-1]
    reference = None
    if data is not None:
        reference = reference_answers(checkpoint, data, scored=scored, labels=labels, max_length=max_length)
    elif checkpoint.source == DEFAULT:
        reference = _on_built_in(checkpoint, scored, labels, max_length)
    source = None if reference is None else str(data or BUILT_IN)
    bundles = []
    rows = []
    for bundle in export_bundles(checkpoint, plan, out, force=force, progress=progress):
        bundles.append(bundle)
        rows.append(_compared(bundle, reference, source, progress))
    notes = list(plan.calibration.warnings) if plan.calibration else []
    records = list(_timed(bundles, protocol, data, notes, progress)) if protocol else []
    return Report(
        tuple(rows),
        records=tuple(records),
        notes=tuple(notes),
        proposal=propose_for(reference, checkpoint.config, plan.lengths) if data and reference else None,
    )


def _on_built_in(
    checkpoint: Checkpoint, scored: str | None, labels: Sequence[str] | None, max_length: int
) -> ReferenceAnswers | None:
    """The default model on the labelled sample it brings, if its head and what is installed can be scored."""
    task = task_of(checkpoint)
    if not (task.metrics and can_measure_accuracy()):
        return None
    return reference_on(checkpoint, task.built_in_examples(task.samples[0]), scored, labels, max_length)


def _compared(
    bundle: Bundle, reference: ReferenceAnswers | None, data: str | None, progress: Progress
) -> Row:
    """A bundle with its accuracy; what could not be computed for the proof cannot be for that."""
    if reference is None or bundle.manifest.verification.status == "not verified":
        return Row.of(bundle)
    runner = bundle.load_runner()
    found = compare(
        reference,
        bundle.tokenizer,
        runner,
        runner.lengths,
        progress=with_prefix(f"{bundle.manifest.format} {bundle.manifest.precision.name}", progress),
    )
    return Row.of(bundle, data=data, accuracy=found)


def _timed(
    bundles: Sequence[Bundle], protocol: Protocol, data: Path | None, notes: list[str], progress: Progress
) -> Iterator[Record]:
    """The records of the bundles that run here; one that gave none is noted, for the rest still stands."""
    device = devices.opened("host")
    for bundle in bundles:
        if bundle.manifest.verification.by != "runtime":
            continue
        try:
            yield from benchmark_bundles([bundle], device, Request(protocol, data=data), progress=progress)
        except GateError as error:
            notes.append(f"{bundle.directory.name} has no latency: {error.problem}")
