"""Training a classifier: fine-tuning a checkpoint, or from random weights; on one process or under torchrun.

A teacher may be imitated beside the labels (objective.py), and the rounding of int8 be trained for
(fake_quantization.py), or that of int4 (stepped.py).

Every random choice follows from the seed and the step alone: neither an interruption nor the number of
processes changes what is learned, but for the order in which floats are added up.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from exporters.errors import InputError
from exporters.spec import Ranges
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from squeezebert_edge.checkpoint.hub import CONFIG_FILE
from squeezebert_edge.forms.balancing import balance
from squeezebert_edge.forms.steps import put_on_steps
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import SqueezeBertForSequenceClassification
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.plumbing.staging import refuse_existing
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.training import data as training_data
from squeezebert_edge.training.config import INT4, NetworkSize, TrainingConfig
from squeezebert_edge.training.fake_quantization import fake_quantize
from squeezebert_edge.training.processes import join_processes, rank
from squeezebert_edge.training.run import Data, EpochResult, Run, validate
from squeezebert_edge.training.state import check_start, state_path
from squeezebert_edge.training.teacher import Teacher

ARCHITECTURE = SqueezeBertForSequenceClassification.__name__


@dataclass(frozen=True)
class TrainingResult:
    """What was written, and how good it is.

    accuracy: on the validation data, of the weights as they were stored, fake-quantized with the stored
        ranges where training was quantization-aware.
    best: the epoch whose weights they are: of the highest accuracy, then of the lowest loss.
    seconds: spent in steps and validation since the start or the resumption.
    """

    directory: Path
    accuracy: float
    best: EpochResult
    epochs: tuple[EpochResult, ...]
    training_examples: int
    validation_examples: int
    seconds: float


def from_scratch(
    size: NetworkSize, tokenizer: Tokenizer, labels: Sequence[str], config: TrainingConfig
) -> SqueezeBertPreTrainedModel:
    """A classifier of random weights, with as many positions as the training's longest text may have.

    Raises:
        InputError: sizes that do not fit each other, or fewer than two labels.
    """
    network = size.to_config(len(tokenizer.vocab), config.max_length, list(labels))
    network.pad_token_id = tokenizer.special_ids["pad"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return SqueezeBertForSequenceClassification(network)


def from_checkpoint(
    source: str | Path, examples: Sequence[Example], labels: Sequence[str] | None, seed: int
) -> Checkpoint:
    """A checkpoint to fine-tune as a classifier.

    Args:
        labels: the classes. If they are not the checkpoint's own, the head is a new one; by default they are
            its own, or those in the examples if it has no classifier.

    Raises:
        InputError: the checkpoint is unsound (load_checkpoint).
    """
    if labels is None:
        try:
            return load_checkpoint(source, architecture=ARCHITECTURE)
        except InputError:  # no classifier; whatever else is wrong with it is found again below
            labels = training_data.labels_in(examples)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_checkpoint(source, architecture=ARCHITECTURE, for_training=True, labels=labels)


def train(
    config: TrainingConfig,
    model: SqueezeBertPreTrainedModel,
    tokenizer: Tokenizer,
    training: Sequence[Example],
    validation: Sequence[Example] | None,
    out: Path,
    *,
    teacher: Teacher | None = None,
    unlabelled: Sequence[Example] = (),
    origin: str | None = None,
    dtype: torch.dtype = torch.float32,
    resume: bool | None = False,
    force: bool = False,
    keep_state: bool = False,
    progress: Progress = silent,
    log: Callable[[str], None] = lambda line: None,
) -> TrainingResult:
    """Train a classifier and write the best epoch's weights as a checkpoint.

    Until the checkpoint is written, the training's state is in `state_path(out)`. An interruption (SIGINT,
    SIGTERM) lets the step finish, writes the state and raises KeyboardInterrupt. Under torchrun every process
    makes this same call; the first one writes and reports.

    Args:
        model: what to begin with (from_scratch, from_checkpoint); left as it is.
        validation: None holds out `config.hold_out` of `training`.
        out: the directory to write; with quantization.json if `config.quantize`.
        teacher: whose logits and hidden states are learned beside the labels (load_teacher).
        unlabelled: texts on which the teacher alone is learned from.
        origin: what the model's weights follow from. A training is resumed only with the same, by default
            with the same weights; with an origin it may be resumed with any weights, as they are not read.
        dtype: of the stored weights, torch.float32 or torch.float16.
        resume: continue from the state of an interrupted training with the same settings. None continues if
            there is one, and then replaces what is at `out`, which can only be of that training.
        force: replace a checkpoint that is at `out`, and forget an unfinished training.
        keep_state: leave the state where it is, for a caller who has more to do and may be interrupted.
        log: called with loss, learning rate and speed from time to time, and with each epoch's accuracy.

    Raises:
        InputError: the data, the settings or the output cannot be used.
        GateError: the loss or the gradients are not finite; the last state that was written is kept.
        UnavailableError: there is no such device, or scikit-learn is needed and not installed.
    """
    if rank() == 0:  # the others may be on machines that do not have its files
        if resume is None:
            resume = state_path(out).exists()
            force = force or resume
        refuse_existing(out, marker=CONFIG_FILE, force=force)
        check_start(out, resume=resume, force=force)
    else:
        progress, log = silent, lambda line: None
    network_config = _classifier_config(model, config)
    labels = [network_config.id2label[index] for index in range(network_config.num_labels)]
    _check_teacher(teacher, config, tokenizer, labels)
    if config.quantize is not None:  # as the exporters do before they quantize
        model = copy.deepcopy(model)
        balance(model)
    classes = validation_classes = training_data.read_classes(training, labels, "training data")
    if validation is None:
        training, validation = training_data.hold_out(training, config.hold_out, config.seed)
    else:
        validation_classes = training_data.read_classes(validation, labels, "validation data")
    progress("encoding", 0, 0)
    longest = config.max_length
    data = Data(
        training_data.encode(training, tokenizer, classes, longest, "training data"),
        training_data.encode(validation, tokenizer, validation_classes, longest, "validation data"),
        tokenizer.special_ids["pad"],
    )
    if len({example.label for example in data.training}) < 2:
        raise InputError("the training data has one class only", allowed="two classes or more")
    data.training.extend(
        training_data.random_texts(config.random_texts, len(tokenizer.vocab), longest, config.seed)
    )
    if unlabelled:
        data.training.extend(training_data.encode(unlabelled, tokenizer, None, longest, "unlabelled text"))
    with join_processes(config.device) as processes:
        run = Run(config, model, teacher, data, processes, state_path(out), origin)
        if processes.broadcast(resume):
            run.resume(log)
        seconds = run.run_to_end(progress, log)
        trained = _load_rounded(model, run.best_weights, network_config, config, dtype).to(processes.device)
        measured, ranges = _quantize_as_trained(trained, run.best_reach)
        _, accuracy = validate(measured, data, config, processes)
        if processes.is_leader:
            save_checkpoint(
                out,
                config=network_config,
                model=trained,
                tokenizer=tokenizer,
                dtype=dtype,
                ranges=ranges,
                force=force,
            )
            if not keep_state:
                state_path(out).unlink(missing_ok=True)
        processes.wait()
    return TrainingResult(
        out, accuracy, run.best, tuple(run.epochs), len(data.training), len(data.validation), seconds
    )


def _check_teacher(
    teacher: Teacher | None, config: TrainingConfig, tokenizer: Tokenizer, labels: Sequence[str]
) -> None:
    if teacher is not None:
        teacher.check(tokenizer, labels, config.max_length)
    elif config.random_texts:
        raise InputError(f"{config.random_texts} random texts, and no teacher to judge them")


def _classifier_config(model: SqueezeBertPreTrainedModel, config: TrainingConfig) -> SqueezeBertConfig:
    """What the trained checkpoint's config.json will say."""
    own = model.config
    if not isinstance(model, SqueezeBertForSequenceClassification):
        raise InputError(f"{type(model).__name__} is not trained here", allowed=ARCHITECTURE)
    if own.problem_type not in (None, "single_label_classification") or own.num_labels < 2:
        raise InputError(
            f"a model of problem_type {own.problem_type} with {own.num_labels} labels is not trained here",
            allowed="one class of several for each text; regression and several labels at once are not",
            hint="--labels A,B,... begins a new head of classes",
        )
    if config.max_length > own.max_position_embeddings:
        raise InputError(
            f"a max_length of {config.max_length} is longer than the checkpoint allows",
            allowed=f"at most {own.max_position_embeddings}, the checkpoint's max_position_embeddings",
        )
    trained = replace(own, problem_type="single_label_classification")
    if config.dropout is not None:
        trained.hidden_dropout_prob = trained.attention_probs_dropout_prob = config.dropout
    return trained


def _load_rounded(
    model: SqueezeBertPreTrainedModel,
    weights: dict[str, Tensor],
    network_config: SqueezeBertConfig,
    config: TrainingConfig,
    dtype: torch.dtype,
) -> SqueezeBertPreTrainedModel:
    """The reference model with trained weights, rounded as they will be stored."""
    trained = copy.deepcopy(model)
    trained.load_state_dict(weights)
    trained.config = network_config
    if config.quantize == INT4:
        put_on_steps(trained)
    return trained.to(dtype).float().eval()


def _quantize_as_trained(
    trained: SqueezeBertPreTrainedModel, reach: Tensor | None
) -> tuple[SqueezeBertPreTrainedModel, dict[str, Ranges] | None]:
    """The network to measure, fake-quantized where ranges were learned, and those by product."""
    if reach is None:
        return trained, None
    network = copy.deepcopy(trained)
    quantizing = fake_quantize(network)
    quantizing.set(reach.to(quantizing.reach.device))
    return network, quantizing.by_product()
