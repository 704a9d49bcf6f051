"""`squeezebert-edge train`: a classifier from a table of labelled texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import typer

from exporters.errors import InputError
from squeezebert_edge.cli import options as shared
from squeezebert_edge.cli import show
from squeezebert_edge.cli import train_options as options
from squeezebert_edge.training.config import (
    SCRATCH_LEARNING_RATE,
    NetworkSize,
    TrainingConfig,
    default_learning_rate,
)

if TYPE_CHECKING:
    from squeezebert_edge.training.train import TrainingResult

DEFAULTS = TrainingConfig(SCRATCH_LEARNING_RATE)
OF_TEACHER = ("temperature", "teacher_weight", "hidden_weight", "random_texts")


def train(
    context: typer.Context,
    data: options.DataArgument,
    out: options.OutOption,
    dev: options.DevOption = None,
    labels: options.LabelsOption = None,
    checkpoint: options.FromOption = None,
    vocab: options.VocabOption = None,
    vocab_size: options.VocabSizeOption = None,
    cased: options.CasedOption = False,
    hidden_size: options.HiddenSizeOption = NetworkSize.hidden_size,
    layers: options.LayersOption = NetworkSize.layers,
    heads: options.HeadsOption = NetworkSize.heads,
    intermediate_size: options.IntermediateSizeOption = NetworkSize.intermediate_size,
    groups: options.GroupsOption = NetworkSize.groups,
    epochs: options.EpochsOption = DEFAULTS.epochs,
    batch_size: options.BatchSizeOption = DEFAULTS.batch_size,
    learning_rate: options.LearningRateOption = None,
    warmup: options.WarmupOption = DEFAULTS.warmup,
    weight_decay: options.WeightDecayOption = DEFAULTS.weight_decay,
    dropout: options.DropoutOption = DEFAULTS.dropout,
    max_length: options.MaxLengthOption = DEFAULTS.max_length,
    seed: options.SeedOption = DEFAULTS.seed,
    quantize: options.QuantizeOption = DEFAULTS.quantize,
    teacher: options.TeacherOption = None,
    temperature: options.TemperatureOption = DEFAULTS.temperature,
    teacher_weight: options.TeacherWeightOption = DEFAULTS.teacher_weight,
    hidden_weight: options.HiddenWeightOption = DEFAULTS.hidden_weight,
    peak_weight: options.PeakWeightOption = DEFAULTS.peak_weight,
    noise_bits: options.NoiseBitsOption = DEFAULTS.noise_bits,
    random_texts: options.RandomTextsOption = DEFAULTS.random_texts,
    device: options.DeviceOption = DEFAULTS.device,
    half: options.HalfOption = False,
    resume: options.ResumeOption = False,
    force: options.ForceOption = False,
    json: shared.JsonOption = False,
) -> None:
    """Fine-tune a checkpoint, or train one from scratch, to classify texts or pairs of texts.

    The best epoch on the validation data is kept. Under torchrun it trains on several processes or machines.
    """
    import torch

    from squeezebert_edge.training.processes import rank
    from squeezebert_edge.verbs.train import Scratch, train_classifier

    if learning_rate is None:
        learning_rate = default_learning_rate(fine_tuning=checkpoint is not None, quantize=quantize)
    given = {**context.params, "learning_rate": learning_rate}
    config = TrainingConfig(**_select(TrainingConfig, given))
    scratch = Scratch(NetworkSize(**_select(NetworkSize, given)), vocab, vocab_size, cased)
    _refuse_contradictions(config, teacher, checkpoint, default_network=scratch == Scratch())
    with options.one_voice(out, "the same command with --resume continues"), show.progress() as progress:
        result = train_classifier(
            data,
            out,
            config,
            start=checkpoint or scratch,
            validation=dev,
            labels=shared.parse_labels(labels),
            teacher=teacher,
            dtype=torch.float16 if half else torch.float32,
            resume=resume,
            force=force,
            progress=progress,
            log=show.note,
        )
    if rank() == 0:
        _print(result, json=json)


def _select(kind: type[TrainingConfig | NetworkSize], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are fields of a record: they are named alike."""
    return {field.name: given[field.name] for field in fields(kind) if field.name in given}


def _refuse_contradictions(
    config: TrainingConfig, teacher: str | None, checkpoint: str | None, *, default_network: bool
) -> None:
    """Raise InputError where options are given that another one rules out, or that need another one."""
    if checkpoint is not None and not default_network:
        raise InputError(
            "--from is given together with sizes or a vocabulary",
            allowed="the checkpoint's own network and vocabulary",
            hint=f"leave out --from, or the options under '{options.SCRATCH}'",
        )
    if teacher is None and any(getattr(config, name) != getattr(DEFAULTS, name) for name in OF_TEACHER):
        raise InputError("options about a teacher are given, and no teacher", hint="--teacher CHECKPOINT")


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
