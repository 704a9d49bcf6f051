"""What `squeezebert-edge train` and `convert` share: options, by the panels of --help, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from exporters.errors import EdgeError
from squeezebert_edge.cli import show
from squeezebert_edge.training.config import (
    DEVICES,
    FINE_TUNING_LEARNING_RATE,
    INT4,
    INT8,
    QUANTIZATIONS,
    QUANTIZING_LEARNING_RATES,
    SCRATCH_LEARNING_RATE,
    VOCABULARY_SIZE,
)

QUANTIZING_RATES = [f"{QUANTIZING_LEARNING_RATES[name]:g} ({name})" for name in QUANTIZATIONS]
SCRATCH = "From scratch"
SCHEDULE = "How to train"
TEACHER = "Learning from a teacher"
PROCESS = "The training itself"

DataArgument = Annotated[
    Path, typer.Argument(metavar="TRAIN_TSV", help="Labelled texts or pairs of texts, a TSV with a header.")
]
OutOption = Annotated[Path, typer.Option("--out", help="The checkpoint to write, in Hugging Face's layout.")]
DevOption = Annotated[
    Path | None,
    typer.Option(
        "--dev", help="Labelled texts to validate on.", show_default="a tenth of TRAIN_TSV, by class"
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="A,B,...",
        help="Names of classes 0, 1, ...",
        show_default="the checkpoint's, else those in TRAIN_TSV",
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="CHECKPOINT", help="What to fine-tune.", show_default="training from scratch"
    ),
]

VocabOption = Annotated[
    Path | None,
    typer.Option(
        "--vocab",
        help="A WordPiece vocab.txt.",
        show_default="one learned from TRAIN_TSV",
        rich_help_panel=SCRATCH,
    ),
]
VocabSizeOption = Annotated[
    int | None,
    typer.Option(
        "--vocab-size",
        min=8,
        help="Pieces of a learned vocabulary.",
        show_default=str(VOCABULARY_SIZE),
        rich_help_panel=SCRATCH,
    ),
]
CasedOption = Annotated[
    bool, typer.Option("--cased", help="Keep upper case and accents.", rich_help_panel=SCRATCH)
]
HiddenSizeOption = Annotated[
    int, typer.Option("--hidden-size", min=1, help="Width of the network.", rich_help_panel=SCRATCH)
]
LayersOption = Annotated[
    int, typer.Option("--layers", min=1, help="Encoder layers.", rich_help_panel=SCRATCH)
]
HeadsOption = Annotated[int, typer.Option("--heads", min=1, help="Attention heads.", rich_help_panel=SCRATCH)]
IntermediateSizeOption = Annotated[
    int | None,
    typer.Option(
        "--intermediate-size",
        min=1,
        help="Width inside the feed-forward part.",
        show_default="4 x the width",
        rich_help_panel=SCRATCH,
    ),
]
GroupsOption = Annotated[
    int,
    typer.Option(
        "--groups",
        min=1,
        help="Groups of every convolution but post_attention's.",
        rich_help_panel=SCRATCH,
    ),
]

EpochsOption = Annotated[
    int, typer.Option("--epochs", help="Passes over the data.", rich_help_panel=SCHEDULE)
]
BatchSizeOption = Annotated[
    int,
    typer.Option("--batch-size", help="Examples a step, over all processes.", rich_help_panel=SCHEDULE),
]
LearningRateOption = Annotated[
    float | None,
    typer.Option(
        "--lr",
        help="Highest learning rate.",
        show_default=f"{FINE_TUNING_LEARNING_RATE:g} with --from, {' or '.join(QUANTIZING_RATES)} with "
        f"--quantize, else {SCRATCH_LEARNING_RATE:g}",
        rich_help_panel=SCHEDULE,
    ),
]
WarmupOption = Annotated[
    float,
    typer.Option("--warmup", help="Share of the steps in which the rate rises.", rich_help_panel=SCHEDULE),
]
WeightDecayOption = Annotated[
    float,
    typer.Option(
        "--weight-decay", help="AdamW's weight decay, of matrices and embeddings.", rich_help_panel=SCHEDULE
    ),
]
DropoutOption = Annotated[
    float | None,
    typer.Option(
        "--dropout",
        help="Dropout probability.",
        show_default="the checkpoint's, else 0.1",
        rich_help_panel=SCHEDULE,
    ),
]
MaxLengthOption = Annotated[
    int,
    typer.Option(
        "--max-length",
        help="Tokens of a text; from scratch, the model's positions too.",
        rich_help_panel=SCHEDULE,
    ),
]
SeedOption = Annotated[
    int, typer.Option("--seed", help="Decides every random choice.", rich_help_panel=SCHEDULE)
]
PeakWeightOption = Annotated[
    float,
    typer.Option(
        "--peak-weight",
        help="Weight of values that stand out where int8 rounds (docs/convert.md).",
        rich_help_panel=SCHEDULE,
    ),
]
NoiseBitsOption = Annotated[
    int | None,
    typer.Option(
        "--noise-bits",
        help="Disturb what goes into products as if it were rounded to so many bits.",
        show_default="none",
        rich_help_panel=SCHEDULE,
    ),
]
QuantizeOption = Annotated[
    str | None,
    typer.Option(
        "--quantize",
        help=f"{INT8}: train for the rounding of int8-static; {INT4}: put the weights on steps that int4 and "
        "int8 share, so that neither rounds them; needs --from.",
        show_default="no",
        rich_help_panel=SCHEDULE,
    ),
]

TeacherOption = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="CHECKPOINT",
        help="A classifier with the same vocabulary and labels; without transformers a SqueezeBERT.",
        show_default="none",
        rich_help_panel=TEACHER,
    ),
]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", help="Temperature of the teacher's logits.", rich_help_panel=TEACHER)
]
TeacherWeightOption = Annotated[
    float,
    typer.Option(
        "--teacher-weight", help="Share of the teacher's logits beside the labels.", rich_help_panel=TEACHER
    ),
]
HiddenWeightOption = Annotated[
    float,
    typer.Option("--hidden-weight", help="Weight of the teacher's hidden states.", rich_help_panel=TEACHER),
]
RandomTextsOption = Annotated[
    int,
    typer.Option(
        "--random-texts",
        help="Rows of random words to learn from the teacher, beside the data.",
        rich_help_panel=TEACHER,
    ),
]

DeviceOption = Annotated[
    str, typer.Option("--device", help=f"Where to train: {', '.join(DEVICES)}.", rich_help_panel=PROCESS)
]
HalfOption = Annotated[
    bool, typer.Option("--half", help="Store the weights as float16.", rich_help_panel=PROCESS)
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Continue an interrupted training.", rich_help_panel=PROCESS)
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace a checkpoint at --out, and forget an interrupted training.",
        rich_help_panel=PROCESS,
    ),
]


@contextmanager
def one_voice(out: Path, continues: str) -> Iterator[None]:
    """Let one process of a training say how it ended, and what an interruption leaves.

    Args:
        out: the checkpoint that is made. continues: what the user does next, for the note.
    """
    from squeezebert_edge.training.processes import rank
    from squeezebert_edge.training.state import state_path

    try:
        yield
    except (EdgeError, KeyboardInterrupt) as error:
        if rank() != 0:
            raise typer.Exit(error.exit_code if isinstance(error, EdgeError) else 1) from None
        if isinstance(error, KeyboardInterrupt) and state_path(out).exists():
            show.note(f"{state_path(out)} holds what was learned; {continues}")
        raise
