"""`squeezebert-edge train`: a classifier from a table of labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporters.errors import EdgeError, InputError
from squeezebert_edge.cli import options, show
from squeezebert_edge.training.config import (
    DEVICES,
    FINE_TUNING_LEARNING_RATE,
    QUANTIZATIONS,
    QUANTIZING_LEARNING_RATE,
    SCRATCH_LEARNING_RATE,
    NetworkSize,
    TrainingConfig,
)

if TYPE_CHECKING:
    from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
    from squeezebert_edge.tasks.data import Example
    from squeezebert_edge.text.tokenizer import Tokenizer
    from squeezebert_edge.training.train import TrainingResult

SCRATCH, HOW, PROCESS = "From scratch", "How to train", "The training itself"
TEACHER = "Learning from a teacher"
DEFAULTS = TrainingConfig(SCRATCH_LEARNING_RATE)
VOCABULARY_SIZE = 8000


def train(
    data: Annotated[
        Path,
        typer.Argument(metavar="TRAIN_TSV", help="Labelled texts or pairs of texts, a TSV with a header."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The checkpoint to write, in Hugging Face's layout.")],
    dev: Annotated[
        Path | None,
        typer.Option(
            "--dev", help="Labelled texts to validate on.", show_default="a tenth of TRAIN_TSV, by class"
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Names of classes 0, 1, ...",
            show_default="the checkpoint's, else those in TRAIN_TSV",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="CHECKPOINT", help="What to fine-tune.", show_default="training from scratch"
        ),
    ] = None,
    vocab: Annotated[
        Path | None,
        typer.Option(
            help="A WordPiece vocab.txt.",
            show_default="one learned from TRAIN_TSV",
            rich_help_panel=SCRATCH,
        ),
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option(
            min=8,
            help="Pieces of a learned vocabulary.",
            show_default=str(VOCABULARY_SIZE),
            rich_help_panel=SCRATCH,
        ),
    ] = None,
    cased: Annotated[
        bool, typer.Option("--cased", help="Keep upper case and accents.", rich_help_panel=SCRATCH)
    ] = False,
    hidden_size: Annotated[
        int, typer.Option(min=1, help="Width.", rich_help_panel=SCRATCH)
    ] = NetworkSize.hidden_size,
    layers: Annotated[
        int, typer.Option(min=1, help="Encoder layers.", rich_help_panel=SCRATCH)
    ] = NetworkSize.layers,
    heads: Annotated[
        int, typer.Option(min=1, help="Attention heads.", rich_help_panel=SCRATCH)
    ] = NetworkSize.heads,
    intermediate_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Width inside the feed-forward part.",
            show_default="4 x the width",
            rich_help_panel=SCRATCH,
        ),
    ] = NetworkSize.intermediate_size,
    groups: Annotated[
        int,
        typer.Option(
            min=1, help="Groups of every convolution but post_attention's.", rich_help_panel=SCRATCH
        ),
    ] = NetworkSize.groups,
    epochs: Annotated[int, typer.Option(help="Passes over the data.", rich_help_panel=HOW)] = DEFAULTS.epochs,
    batch_size: Annotated[
        int, typer.Option(help="Examples a step, over all processes.", rich_help_panel=HOW)
    ] = DEFAULTS.batch_size,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Highest learning rate.",
            show_default=f"{FINE_TUNING_LEARNING_RATE:g} with --from, {QUANTIZING_LEARNING_RATE:g} with "
            f"--quantize, else {SCRATCH_LEARNING_RATE:g}",
            rich_help_panel=HOW,
        ),
    ] = None,
    warmup: Annotated[
        float, typer.Option(help="Share of the steps in which it rises.", rich_help_panel=HOW)
    ] = DEFAULTS.warmup,
    weight_decay: Annotated[
        float, typer.Option(help="AdamW's, of matrices and embeddings.", rich_help_panel=HOW)
    ] = DEFAULTS.weight_decay,
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Dropout probability.", show_default="the checkpoint's, else 0.1", rich_help_panel=HOW
        ),
    ] = DEFAULTS.dropout,
    max_length: Annotated[
        int,
        typer.Option(help="Tokens of a text; from scratch, the model's positions too.", rich_help_panel=HOW),
    ] = DEFAULTS.max_length,
    seed: Annotated[int, typer.Option(help="Of every random choice.", rich_help_panel=HOW)] = DEFAULTS.seed,
    quantize: Annotated[
        str | None,
        typer.Option(
            help=f"Train for the rounding of int8-static ({', '.join(QUANTIZATIONS)}); needs --from.",
            show_default="no",
            rich_help_panel=HOW,
        ),
    ] = DEFAULTS.quantize,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="A classifier with the same vocabulary and labels; without transformers a SqueezeBERT.",
            show_default="none",
            rich_help_panel=TEACHER,
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Of the teacher's logits.", rich_help_panel=TEACHER)
    ] = DEFAULTS.temperature,
    teacher_weight: Annotated[
        float, typer.Option(help="Share of its logits beside the labels.", rich_help_panel=TEACHER)
    ] = DEFAULTS.teacher_weight,
    hidden_weight: Annotated[
        float, typer.Option(help="Weight of its hidden states.", rich_help_panel=TEACHER)
    ] = DEFAULTS.hidden_weight,
    device: Annotated[
        str, typer.Option(help=f"{', '.join(DEVICES)}.", rich_help_panel=PROCESS)
    ] = DEFAULTS.device,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights as float16.", rich_help_panel=PROCESS)
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training.", rich_help_panel=PROCESS)
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace a checkpoint at --out, and forget an interrupted training.",
            rich_help_panel=PROCESS,
        ),
    ] = False,
    json: options.JsonOption = False,
) -> None:
    """Fine-tune a checkpoint, or train one from scratch, to classify texts or pairs of texts.

    The best epoch on the validation data is kept. Under torchrun it trains on several processes or machines.
    """
    import torch

    from squeezebert_edge.tasks.data import read_texts
    from squeezebert_edge.training import train as training
    from squeezebert_edge.training.processes import rank
    from squeezebert_edge.training.state import state_path
    from squeezebert_edge.training.teacher import load_teacher

    if lr is None and quantize is not None:
        lr = QUANTIZING_LEARNING_RATE
    elif lr is None:
        lr = SCRATCH_LEARNING_RATE if checkpoint is None else FINE_TUNING_LEARNING_RATE
    size = NetworkSize(hidden_size, layers, heads, intermediate_size, groups)
    config = TrainingConfig(
        lr,
        epochs=epochs,
        batch_size=batch_size,
        warmup=warmup,
        weight_decay=weight_decay,
        dropout=dropout,
        max_length=max_length,
        seed=seed,
        device=device,
        quantize=quantize,
        temperature=temperature,
        teacher_weight=teacher_weight,
        hidden_weight=hidden_weight,
    )
    _refuse_alone(config, checkpoint, teacher)
    names = None if labels is None else labels.split(",")
    try:
        with show.progress() as progress:
            if rank() == 0:
                progress(f"reading {data}", 0, 0)
            examples = read_texts(data)
            validation = None if dev is None else read_texts(dev)
            if checkpoint is None:
                model, tokenizer = _new(size, config, examples, names, vocab, vocab_size, cased=cased)
            else:
                _refuse_with_checkpoint(size, vocab, vocab_size, cased=cased)
                loaded = training.from_checkpoint(checkpoint, examples, names, seed)
                model, tokenizer = loaded.model, loaded.tokenizer
            learned_from = None if teacher is None else load_teacher(teacher)
            result = training.train(
                config,
                model,
                tokenizer,
                examples,
                validation,
                out,
                teacher=learned_from,
                dtype=torch.float16 if half else torch.float32,
                resume=resume,
                force=force,
                progress=progress,
                log=show.note,
            )
    except (EdgeError, KeyboardInterrupt) as error:
        if rank() != 0:
            raise typer.Exit(error.exit_code if isinstance(error, EdgeError) else 1) from None
        if isinstance(error, KeyboardInterrupt) and state_path(out).exists():
            show.note(f"{state_path(out)} holds what was learned; the same command with --resume continues")
        raise
    if rank() == 0:
        _print(result, json=json)


def _new(
    size: NetworkSize,
    config: TrainingConfig,
    examples: Sequence[Example],
    labels: Sequence[str] | None,
    vocab: Path | None,
    vocab_size: int | None,
    *,
    cased: bool,
) -> tuple[SqueezeBertPreTrainedModel, Tokenizer]:
    """A network of random weights, and its tokenizer, learned or given."""
    from squeezebert_edge.tasks.data import read_lines
    from squeezebert_edge.text.tokenizer import Tokenizer
    from squeezebert_edge.text.vocabulary import TokenizerFlags
    from squeezebert_edge.training import train as training
    from squeezebert_edge.training.data import labels_in

    if vocab is not None and vocab_size is not None:
        raise InputError("both --vocab and --vocab-size are given", allowed="one of them")
    flags = TokenizerFlags(lower_case=not cased)
    if vocab is not None:
        tokenizer = Tokenizer(read_lines(vocab), flags)
    else:
        texts = [text for example in examples for text in (example.text, example.pair) if text is not None]
        tokenizer = Tokenizer.train(texts, vocab_size or VOCABULARY_SIZE, flags)
    return training.from_scratch(size, tokenizer, labels or labels_in(examples), config), tokenizer


def _refuse_with_checkpoint(
    size: NetworkSize, vocab: Path | None, vocab_size: int | None, *, cased: bool
) -> None:
    """Raise InputError where something is asked of the network that the checkpoint decides."""
    if size != NetworkSize() or vocab is not None or vocab_size is not None or cased:
        raise InputError(
            "--from is given together with sizes or a vocabulary",
            allowed="the checkpoint's own network and vocabulary",
            hint=f"leave out --from, or the options under '{SCRATCH}'",
        )


def _refuse_alone(config: TrainingConfig, checkpoint: str | None, teacher: str | None) -> None:
    """Raise InputError where an option is given without the one that it needs."""
    if config.quantize is not None and checkpoint is None:
        raise InputError(
            "--quantize is given without --from",
            allowed="a trained checkpoint, whose quantization is then fine-tuned",
            hint="train in float first",
        )
    of_teacher = ("temperature", "teacher_weight", "hidden_weight")
    if teacher is None and any(getattr(config, name) != getattr(DEFAULTS, name) for name in of_teacher):
        raise InputError("how to learn from a teacher is given, and no teacher", hint="--teacher CHECKPOINT")


def _print(result: TrainingResult, *, json: bool) -> None:
    if json:
        show.as_json(asdict(result) | {"directory": str(result.directory)})
        return
    show.table(
        f"{result.directory}: accuracy {result.accuracy:.2%} on {result.validation_examples} examples, "
        f"weights of epoch {result.best.epoch}",
        (">epoch", ">loss", ">validation loss", ">accuracy"),
        [
            (
                str(epoch.epoch),
                f"{epoch.loss:.4f}",
                f"{epoch.validation_loss:.4f}",
                f"{epoch.validation_accuracy:.2%}",
            )
            for epoch in result.epochs
        ],
    )
