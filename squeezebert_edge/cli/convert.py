"""`squeezebert-edge convert`: a SqueezeBERT from a fine-tuned BERT."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from squeezebert_edge.cli import options as shared
from squeezebert_edge.cli import show
from squeezebert_edge.cli import train_options as options
from squeezebert_edge.training.config import CONVERSION, TrainingConfig

if TYPE_CHECKING:
    from squeezebert_edge.verbs.convert import ConversionResult, Cost

STUDENT = "The student"


def convert(
    context: typer.Context,
    bert: Annotated[
        str,
        typer.Argument(
            metavar="BERT_CHECKPOINT", help="A fine-tuned BERT of any size: a directory, or a hub id."
        ),
    ],
    data: Annotated[
        Path, typer.Option(metavar="TRAIN_TSV", help="Labelled texts or pairs of texts, a TSV with a header.")
    ],
    out: options.OutOption,
    dev: options.DevOption = None,
    text: Annotated[
        Path | None, typer.Option(help="Further texts without labels, one a line.", show_default="none")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="TRAIN_TSV's names of the BERT's classes, in their order; the student takes them.",
            show_default="the BERT's own",
        ),
    ] = None,
    vocabulary: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Words to keep: those that the texts use most.",
            show_default="all",
            rich_help_panel=STUDENT,
        ),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Encoder layers.", show_default="as many as the BERT's", rich_help_panel=STUDENT
        ),
    ] = None,
    groups: Annotated[
        int,
        typer.Option(
            min=1, help="Groups of every convolution but post_attention's.", rich_help_panel=STUDENT
        ),
    ] = 4,
    half: options.HalfOption = False,
    epochs: options.EpochsOption = CONVERSION.epochs,
    batch_size: options.BatchSizeOption = CONVERSION.batch_size,
    learning_rate: Annotated[
        float, typer.Option("--lr", help="Highest learning rate.", rich_help_panel=options.SCHEDULE)
    ] = CONVERSION.learning_rate,
    warmup: options.WarmupOption = CONVERSION.warmup,
    weight_decay: options.WeightDecayOption = CONVERSION.weight_decay,
    dropout: Annotated[
        float, typer.Option(help="Dropout probability.", rich_help_panel=options.SCHEDULE)
    ] = CONVERSION.dropout or 0.0,
    max_length: Annotated[
        int,
        typer.Option(help="Tokens of a text; longer ones are cut.", rich_help_panel=options.SCHEDULE),
    ] = CONVERSION.max_length,
    seed: options.SeedOption = CONVERSION.seed,
    temperature: options.TemperatureOption = CONVERSION.temperature,
    teacher_weight: options.TeacherWeightOption = CONVERSION.teacher_weight,
    hidden_weight: options.HiddenWeightOption = CONVERSION.hidden_weight,
    attention_weight: Annotated[
        float, typer.Option(help="Weight of the teacher's attention.", rich_help_panel=options.TEACHER)
    ] = CONVERSION.attention_weight,
    peak_weight: options.PeakWeightOption = CONVERSION.peak_weight,
    noise_bits: options.NoiseBitsOption = CONVERSION.noise_bits,
    device: options.DeviceOption = CONVERSION.device,
    force: options.ForceOption = False,
    json: shared.JsonOption = False,
) -> None:
    """Make a SqueezeBERT of a fine-tuned BERT, which then answers as it does.

    It begins with the BERT's own weights and learns from its answers. The same command continues after an
    interruption. Under torchrun it trains on several processes or machines.
    """
    import torch

    from squeezebert_edge.verbs.convert import StudentShape, convert_bert

    given = context.params
    config = TrainingConfig(
        **{field.name: given[field.name] for field in fields(TrainingConfig) if field.name in given}
    )
    with options.one_voice(out, "the same command continues"), show.progress() as progress:
        result = convert_bert(
            bert,
            data,
            out,
            config,
            StudentShape(groups, layers, vocabulary),
            validation=dev,
            labels=shared.parse_labels(labels),
            text=text,
            dtype=torch.float16 if half else torch.float32,
            force=force,
            progress=progress,
            log=show.note,
        )
    if result is not None and json:
        show.as_json(result.to_json())
    elif result is not None:
        _print(bert, result)


def _print(bert: str, result: ConversionResult) -> None:
    accuracy = result.accuracy
    metric = accuracy.metrics[0]
    show.table(
        f"{result.directory}: {accuracy.examples} examples, agreement {accuracy.agreement:.2%}, "
        f"{metric.name} {metric.difference:+.2f} points [{metric.low:+.2f}, {metric.high:+.2f}], 95%",
        (
            "",
            f">{metric.name}",
            ">layers",
            ">words",
            ">parameters",
            f">GFLOP at {result.length}",
            f">host ms ({result.threads} threads)",
        ),
        [
            (f"teacher {bert}", f"{metric.reference:.2%}", *_cells(result.teacher)),
            (f"student {result.directory}", f"{metric.artifact:.2%}", *_cells(result.student)),
            (
                "student / teacher",
                f"{metric.artifact / metric.reference:.1%}" if metric.reference else "-",
                "",
                "",
                f"{result.student.parameters / result.teacher.parameters:.1%}",
                f"{result.student.gflop / result.teacher.gflop:.1%}",
                f"{result.student.latency_ms / result.teacher.latency_ms:.1%}",
            ),
        ],
    )
    show.note("milliseconds are those of the float model in torch on this computer, of one text")


def _cells(cost: Cost) -> tuple[str, str, str, str, str]:
    return (
        str(cost.layers),
        f"{cost.words:,}",
        f"{cost.parameters:,}",
        f"{cost.gflop:.2f}",
        f"{cost.latency_ms:.1f}",
    )
