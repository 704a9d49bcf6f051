"""`squeezebert-edge sensitivity`: which parts of the network quantization harms."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.names import read_names
from squeezebert_edge.verbs import CALIBRATION_SAMPLES


def sensitivity(
    checkpoint: options.CheckpointArgument,
    data: options.DataOption,
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="executorch, coreml or tflite.")
    ] = "tflite",
    precision: Annotated[
        str, typer.Option("--precision", help="A quantized precision of the format.")
    ] = "int8",
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            min=4,
            help="Tokens that longer texts are cut to.",
            show_default="128 as far as they fit",
        ),
    ] = None,
    task: options.TaskOption = None,
    dataset: options.DatasetOption = None,
    scored: options.ScoredOption = None,
    labels: options.LabelsOption = None,
    columns: options.ColumnsOption = None,
    limit: options.LimitOption = None,
    calibration: options.CalibrationOption = None,
    calibration_samples: options.CalibrationSamplesOption = CALIBRATION_SAMPLES,
    json: options.JsonOption = False,
) -> None:
    """Rank the parts of a network by what their quantization alone costs, in SQNR and in the first metric.

    Computed in torch, without an export. `export --max-drop` keeps the costliest parts in float.
    """
    from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
    from squeezebert_edge.checkpoint.task import architecture_of
    from squeezebert_edge.verbs.sensitivity import rank_parts

    names = read_names(task, dataset, scored=scored)
    with show.progress() as progress:
        progress(f"loading {checkpoint}", 0, 0)
        ranking = rank_parts(
            load_checkpoint(checkpoint, architecture=architecture_of(names.head)),
            data,
            to,
            precision,
            length=length,
            calibration=calibration,
            calibration_samples=calibration_samples,
            dataset=names.scored,
            labels=options.parse_labels(labels),
            columns=options.parse_columns(columns),
            limit=limit,
            progress=progress,
        )
    if json:
        show.as_json(asdict(ranking))
        return
    show.table(
        f"{checkpoint}: each part alone in {ranking.precision} for {ranking.format}, "
        f"on {ranking.examples} examples",
        ("part", ">SQNR dB", f">{ranking.metric} lost"),
        [(cost.part, f"{cost.sqnr_db:.1f}", f"{cost.drop:+.2f}") for cost in ranking.parts],
    )
