"""`squeezebert-edge run`: everything about a checkpoint in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import exporters
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.evaluate import cells, columns, print_warnings
from squeezebert_edge.cli.evaluate import described as accuracy_described
from squeezebert_edge.cli.export import COLUMNS, default_out, described, exit_code, print_failures, row

if TYPE_CHECKING:
    from squeezebert_edge.paired import AccuracyComparison


def run(
    checkpoint: options.CheckpointArgument,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Labelled examples, as `evaluate` takes them; adds the accuracy."),
    ] = None,
    to: options.FormatsOption = None,
    precision: options.PrecisionsOption = None,
    lengths: options.LengthsOption = None,
    labels: options.LabelsOption = None,
    task: options.TaskOption = None,
    ios: options.IosOption = 17,
    out: options.OutOption = None,
    force: options.ForceOption = False,
    require_runtime: options.RequireRuntimeOption = False,
    json: options.JsonOption = False,
) -> None:
    """Export a checkpoint to every format and precision, prove each, and measure its accuracy on your data.

    Without --precision, every one that a format has. The default model brings its own labelled sample.
    """
    from squeezebert_edge import accuracy, pipeline
    from squeezebert_edge import checkpoint as checkpoints
    from squeezebert_edge.metrics import installed, scored_as
    from squeezebert_edge.parity import Reference
    from squeezebert_edge.progress import of

    with show.progress() as progress:
        pairs = pipeline.possible_pairs(to or tuple(exporters.FORMATS), precision or [])
        progress(f"loading {checkpoint}", 0, 0)
        loaded = checkpoints.load(checkpoint, architecture=pipeline.architecture_of(task))
        model_task = pipeline.task_of(loaded)
        plan = pipeline.Plan(
            pairs, pipeline.checked_lengths(options.parse_lengths(lengths), loaded.config), ios=ios
        )
        directory = out or default_out(checkpoint)
        pipeline.refuse_outputs(plan, directory, force=force)
        reference = None
        if data is not None or (checkpoint == "default" and model_task.metrics and installed()):
            scored, metrics = scored_as(model_task, None, None if labels is None else labels.split(","))
            examples = type(scored).read(data) if data else scored.built_in(scored.samples[0])
            reference = accuracy.ReferenceAnswers(
                scored,
                metrics,
                loaded.tokenizer,
                Reference(loaded.model, type(scored)),
                examples,
                plan.lengths[-1],
            )
        bundles = []
        found: list[AccuracyComparison] = []
        for bundle in pipeline.export(loaded, plan, directory, force=force, progress=progress):
            bundles.append(bundle)
            if reference:
                named = of(f"{bundle.manifest.format} {bundle.manifest.precision.name}", progress)
                runner, tokenizer = pipeline.load_runner(bundle), pipeline.tokenizer_of_bundle(bundle)
                found.append(accuracy.compare(reference, tokenizer, runner, plan.lengths, progress=named))
    if json:
        accuracies = [{"accuracy": accuracy_described(comparison)} for comparison in found]
        show.as_json(
            {
                "checkpoint": checkpoint,
                "bundles": [
                    described(bundle) | accuracy
                    for bundle, accuracy in zip(bundles, accuracies or [{}] * len(bundles), strict=True)
                ],
            }
        )
    else:
        shown = [cells(comparison) for comparison in found] or [[]] * len(bundles)
        show.table(
            f"{checkpoint}: bundles in {directory}"
            + (f"; accuracy on {found[0].examples} examples" if found else ""),
            [*COLUMNS, *(columns(found[0]) if found else [])],
            [[*row(bundle), *accuracies] for bundle, accuracies in zip(bundles, shown, strict=True)],
        )
        print_failures(bundles)
        print_warnings(found)
    proofs = [bundle.manifest.verification for bundle in bundles]
    raise typer.Exit(exit_code(proofs, require_runtime=require_runtime))
