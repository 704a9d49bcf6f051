"""`squeezebert-edge run`: everything about a checkpoint in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import exporters
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.export import COLUMNS, default_out, described, exit_code, print_failures, row

if TYPE_CHECKING:
    from squeezebert_edge.accuracy import Accuracy


def run(
    checkpoint: options.CheckpointArgument,
    data: Annotated[
        Path | None, typer.Option("--data", help="Labelled examples, a TSV with a header; adds the accuracy.")
    ] = None,
    to: options.FormatsOption = None,
    precision: options.PrecisionsOption = None,
    lengths: options.LengthsOption = None,
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
        if data is not None:
            examples = type(model_task).read(data)
        else:
            has_sample = checkpoint == "default" and model_task.scored
            examples = model_task.built_in(model_task.samples[0]) if has_sample else []
        reference = Reference(loaded.model, type(model_task))

        def measure(name: str, compute: accuracy.Compute) -> Accuracy:
            return accuracy.evaluate(
                model_task, loaded.tokenizer, compute, examples, plan.lengths, of(name, progress)
            )

        expected = measure("reference", reference) if examples else None
        bundles = []
        found: list[Accuracy | None] = []
        for bundle in pipeline.export(loaded, plan, directory, force=force, progress=progress):
            bundles.append(bundle)
            name = f"{bundle.manifest.format} {bundle.manifest.precision.name}"
            found.append(measure(name, pipeline.load_runner(bundle)) if examples else None)
    if json:
        show.as_json(
            {
                "checkpoint": checkpoint,
                "examples": len(examples),
                "reference_accuracy": expected.mean if expected else None,
                "bundles": [
                    described(bundle) | {"accuracy": measured.mean if measured else None}
                    for bundle, measured in zip(bundles, found, strict=True)
                ],
            }
        )
    else:
        title = f"{checkpoint}: bundles in {directory}"
        if expected:
            title += f"; the float reference is right on {expected.right}"
        rows = [
            [*row(bundle), *([f"{measured.mean:.2%}", measured.right] if measured else [])]
            for bundle, measured in zip(bundles, found, strict=True)
        ]
        show.table(title, [*COLUMNS, *([">accuracy", ">right"] if expected else [])], rows)
        print_failures(bundles)
    proofs = [bundle.manifest.verification for bundle in bundles]
    raise typer.Exit(exit_code(proofs, require_runtime=require_runtime))
