"""Bundles of a plan, in mixed precision where a gate asks: as much is quantized as the accuracy allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import exporters
from squeezebert_edge.accuracy.answers import BatchedAnswers, RunnerAnswers, compare, reference_answers
from squeezebert_edge.accuracy.paired import AccuracyComparison
from squeezebert_edge.accuracy.sensitivity import Sensitivity, fewest_in_float
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.rounding import FORM
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.verbs.export import export_bundles, refuse_outputs
from squeezebert_edge.verbs.plan import Plan


@dataclass(frozen=True)
class AccuracyGate:
    """What a bundle may lose against the float reference.

    data: labelled examples of a form that the task reads.
    max_drop: percentage points of the first metric.
    dataset, labels: as `resolve_dataset` takes them.
    columns: where the words and tags of a file without a header stand, as `read_tagged` takes it.
    """

    data: Path
    max_drop: float
    dataset: str | None = None
    labels: Sequence[str] | None = None
    columns: Mapping[str, int] | None = None


def make_bundles(
    checkpoint: Checkpoint,
    plan: Plan,
    out: Path,
    *,
    gate: AccuracyGate | None = None,
    force: bool = False,
    jobs: int = 1,
    progress: Progress = silent,
) -> Iterator[tuple[Bundle, AccuracyComparison | None]]:
    """Make the plan's bundles; with a gate, each with the fewest parts in float that meet it.

    Args:
        jobs: as `export_bundles` takes it; with a gate they are made one after the other.

    Yields:
        Each bundle, and with a gate its accuracy; `AccuracyComparison.passes` tells whether it meets it.

    Raises:
        InputError: as `export_bundles`, or data that is wrong.
        GateError: as `export_bundles`.
    """
    if gate is None:
        for bundle in export_bundles(checkpoint, plan, out, force=force, jobs=jobs, progress=progress):
            yield bundle, None
        return
    reference = reference_answers(
        checkpoint,
        task_of(checkpoint).read_file(gate.data, gate.columns),
        dataset=gate.dataset,
        labels=gate.labels,
        max_length=plan.lengths[-1],
    )
    yield from export_within(checkpoint, plan, out, reference, gate.max_drop, force=force, progress=progress)


def export_within(
    checkpoint: Checkpoint,
    plan: Plan,
    out: Path,
    reference: BatchedAnswers,
    max_drop: float,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> Iterator[tuple[Bundle, AccuracyComparison]]:
    """Make the plan's bundles, each with the fewest parts in float that lose at most `max_drop` points.

    A bundle is also made if it loses more whatever stays in float, or if its precision has no parts to
    choose from: `AccuracyComparison.passes` tells.

    Args:
        reference: answers of the checkpoint's float model, cut to the plan's longest length.

    Raises:
        InputError: as `export_bundles`.
    """
    refuse_outputs(plan, out, force=force)
    for format_, precision in plan.pairs:
        mine = replace(plan, pairs=[(format_, precision)])
        part_progress = with_prefix(f"{format_} {precision}", progress)
        replacing = force
        exact = choices.exact_precision(format_, precision).name
        form = plan.form_of(format_, exact).name
        for kept in _candidates(checkpoint, mine, exact, reference, max_drop, part_progress):
            # Of all forms, only the plain one has no parts of these names.
            chosen = replace(mine, keep_float=kept, form=FORM if kept and form == "plain" else plan.form)
            (bundle,) = export_bundles(checkpoint, chosen, out, force=replacing, progress=progress)
            replacing = True  # from here on, the bundle that is there was made by this call
            runner = bundle.load_runner()
            answers = RunnerAnswers(reference.data, bundle.tokenizer, runner, runner.lengths)
            comparison = compare(reference, answers, progress=part_progress)
            if comparison.passes(max_drop):
                break
        yield bundle, comparison


def _candidates(
    checkpoint: Checkpoint,
    plan: Plan,
    exact: str,
    reference: BatchedAnswers,
    max_drop: float,
    progress: Progress,
) -> Iterator[tuple[str, ...]]:
    """Sets of parts to keep in float, the most promising first; there is always one."""
    ((format_, _),) = plan.pairs
    any_meets_gate = False
    if exporters.format_named(format_).precision(exact).rounding:
        sensitivity = Sensitivity(checkpoint, reference, format_, exact, plan.calibration)
        for kept in fewest_in_float(sensitivity, max_drop, progress):
            any_meets_gate = True
            yield kept
    if not any_meets_gate:
        yield ()
