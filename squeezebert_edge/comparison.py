"""Everything about a checkpoint: every bundle of a plan made, proven, scored and timed, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from squeezebert_edge import latency, pipeline
from squeezebert_edge.accuracy import ReferenceAnswers, compare
from squeezebert_edge.bundle import Bundle
from squeezebert_edge.checkpoint import DEFAULT, Checkpoint
from squeezebert_edge.evaluation import reference_answers, reference_on
from squeezebert_edge.extras import can_measure_accuracy
from squeezebert_edge.lengths import propose_for
from squeezebert_edge.pipeline import Plan
from squeezebert_edge.progress import Progress, of, silent
from squeezebert_edge.report.rows import Report, Row

BUILT_IN = "the built-in sample"


def compare_precisions(
    checkpoint: Checkpoint,
    plan: Plan,
    out: Path,
    *,
    data: Path | None = None,
    scored: str | None = None,
    labels: Sequence[str] | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Report:
    """Make the plan's bundles in `out` and measure each: its proof, accuracy and rough latency on this host.

    Args:
        data: labelled examples of a form that the task reads; without it there is no accuracy, but for the
            default model, which brings its own.
        scored, labels: as for `evaluation.evaluate_bundles`.
        force: replace bundles that exist.

    Raises:
        InputError: before anything is made, if a bundle exists and `force` is false, or the data is wrong.
    """
    pipeline.refuse_outputs(plan, out, force=force)
    max_length = plan.lengths[-1]
    reference = None
    if data is not None:
        reference = reference_answers(checkpoint, data, scored=scored, labels=labels, max_length=max_length)
    elif checkpoint.source == DEFAULT:
        reference = _on_built_in(checkpoint, scored, labels, max_length)
    source = None if reference is None else str(data or BUILT_IN)
    bundles = pipeline.export(checkpoint, plan, out, force=force, progress=progress)
    rows = tuple(_measured(bundle, reference, source, progress) for bundle in bundles)
    return Report(
        rows,
        notes=tuple(plan.calibration.warnings) if plan.calibration else (),
        proposal=propose_for(reference, checkpoint.config, plan.lengths) if data and reference else None,
    )


def _on_built_in(
    checkpoint: Checkpoint, scored: str | None, labels: Sequence[str] | None, max_length: int
) -> ReferenceAnswers | None:
    """The default model on the labelled sample it brings, if its head and what is installed can be scored."""
    task = pipeline.task_of(checkpoint)
    if not (task.metrics and can_measure_accuracy()):
        return None
    return reference_on(checkpoint, task.built_in(task.samples[0]), scored, labels, max_length)


def _measured(
    bundle: Bundle, reference: ReferenceAnswers | None, data: str | None, progress: Progress
) -> Row:
    if bundle.manifest.verification.status == "not verified":
        return Row.of(bundle)  # what could not be computed for the proof cannot be for a measurement
    named = of(f"{bundle.manifest.format} {bundle.manifest.precision.name}", progress)
    task, tokenizer = pipeline.task_of_bundle(bundle), pipeline.tokenizer_of_bundle(bundle)
    runner = pipeline.load_runner(bundle)
    accuracy = None
    if reference:
        accuracy = compare(reference, tokenizer, runner, runner.lengths, progress=named)
    named("latency", 0, 0)
    example = reference.examples[0] if reference else task.built_in()[0]
    return Row.of(
        bundle,
        data=data,
        accuracy=accuracy,
        latency=latency.rough(task, tokenizer, runner, example),
    )
