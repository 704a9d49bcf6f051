"""Mixed precision by measurement: as much of a network quantized as an accuracy allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import exporters
from squeezebert_edge.accuracy.answers import ReferenceAnswers, compare
from squeezebert_edge.accuracy.paired import AccuracyComparison
from squeezebert_edge.accuracy.sensitivity import FORM, Sensitivity, fewest_in_float
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.forms import choices
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.verbs.export import export_bundles, refuse_outputs
from squeezebert_edge.verbs.plan import Plan


def export_within(
    checkpoint: Checkpoint,
    plan: Plan,
    out: Path,
    reference: ReferenceAnswers,
    max_drop: float,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> Iterator[tuple[Bundle, AccuracyComparison]]:
    """Make the plan's bundles, each with the fewest parts in float that lose at most `max_drop` points.

    A bundle that loses more whatever is kept, or in a precision that has no parts to keep, is made all the
    same: `AccuracyComparison.passes` tells.

    Raises:
        InputError: as pipeline.export.
    """
    refuse_outputs(plan, out, force=force)
    for format_, precision in plan.pairs:
        mine = replace(plan, pairs=[(format_, precision)])
        named = with_prefix(f"{format_} {precision}", progress)
        replacing = force
        exact = choices.exact_precision(format_, precision).name
        form = plan.form_of(format_, exact).name
        for kept in _candidates(checkpoint, mine, exact, reference, max_drop, named):
            # Every form but the plain one has parts of these names.
            chosen = replace(mine, keep_float=kept, form=FORM if kept and form == "plain" else plan.form)
            (bundle,) = export_bundles(checkpoint, chosen, out, force=replacing, progress=progress)
            replacing = True  # what stands there now is of this call
            runner, tokenizer = bundle.load_runner(), bundle.tokenizer
            comparison = compare(reference, tokenizer, runner, runner.lengths, progress=named)
            if comparison.passes(max_drop):
                break
        yield bundle, comparison


def _candidates(
    checkpoint: Checkpoint,
    plan: Plan,
    exact: str,
    reference: ReferenceAnswers,
    max_drop: float,
    progress: Progress,
) -> Iterator[tuple[str, ...]]:
    """Sets of parts to keep in float, the first the most promising; never none at all."""
    ((format_, _),) = plan.pairs
    found = False
    if exporters.format_named(format_).precision(exact).rounding:
        sensitivity = Sensitivity(checkpoint, reference, format_, exact, plan.calibration)
        for kept in fewest_in_float(sensitivity, max_drop, progress):
            found = True
            yield kept
    if not found:
        yield ()
