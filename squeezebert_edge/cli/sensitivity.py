"""`squeezebert-edge sensitivity`: which parts of the network quantization harms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squeezebert_edge.cli import options, show


def sensitivity(
    checkpoint: options.CheckpointArgument,
    data: Annotated[Path, typer.Option("--data", help="Labelled examples, as `evaluate` takes them.")],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="executorch, coreml or tflite.")
    ] = "tflite",
    precision: Annotated[
        str, typer.Option("--precision", help="A quantized precision of the format.")
    ] = "int8",
    length: Annotated[
        int, typer.Option("--length", min=4, help="Tokens that longer texts are cut to.")
    ] = 128,
    scored: options.ScoredOption = None,
    labels: options.LabelsOption = None,
    limit: options.LimitOption = None,
    calibration: options.CalibrationOption = None,
    calibration_samples: options.CalibrationSamplesOption = options.CALIBRATION_SAMPLES,
    json: options.JsonOption = False,
) -> None:
    """Rank the parts of a network by what their quantization alone costs, in SQNR and in the first metric.

    Computed in torch, without an export. `export --max-drop` keeps the costliest parts in float.
    """
    from squeezebert_edge.accuracy.answers import reference_answers
    from squeezebert_edge.accuracy.sensitivity import Sensitivity
    from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
    from squeezebert_edge.checkpoint.task import task_of
    from squeezebert_edge.forms import choices
    from squeezebert_edge.verbs.plan import Plan, add_calibration, check_lengths, possible_pairs

    with show.progress() as progress:
        progress(f"loading {checkpoint}", 0, 0)
        loaded = load_checkpoint(checkpoint)
        ((name, wished),) = possible_pairs([to], [precision])
        (length,) = check_lengths([length], loaded.config)
        plan = add_calibration(Plan([(name, wished)], [length]), loaded, calibration, calibration_samples)
        reference = reference_answers(
            loaded,
            task_of(loaded).read(data)[:limit],
            dataset=scored,
            labels=options.parse_labels(labels),
            max_length=length,
        )
        exact = choices.exact_precision(name, wished).name
        costs = Sensitivity(loaded, reference, name, exact, plan.calibration).rank(progress)
    if json:
        show.as_json(
            {
                "checkpoint": checkpoint,
                "format": name,
                "precision": exact,
                "metric": reference.data.metrics[0].name,
                "examples": len(reference.data.examples),
                "parts": [{"part": c.part, "sqnr_db": c.sqnr_db, "drop": c.drop} for c in costs],
            }
        )
        return
    show.table(
        f"{checkpoint}: each part alone in {exact} for {name}, on {len(reference.data.examples)} examples",
        ("part", ">SQNR dB", f">{reference.data.metrics[0].name} lost"),
        [(cost.part, f"{cost.sqnr_db:.1f}", f"{cost.drop:+.2f}") for cost in costs],
    )
