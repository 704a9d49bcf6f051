"""A classifier trained from a file of labelled texts, from scratch or from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from exporters.errors import InputError
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.tasks.data import Example, read_lines, read_texts, tell_unread
from squeezebert_edge.tasks.labels import is_gold
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.text.vocabulary import TokenizerFlags
from squeezebert_edge.training import train as training
from squeezebert_edge.training.config import VOCABULARY_SIZE, NetworkSize, TrainingConfig
from squeezebert_edge.training.data import labels_in
from squeezebert_edge.training.processes import rank
from squeezebert_edge.training.teacher import load_teacher
from squeezebert_edge.training.train import TrainingResult


@dataclass(frozen=True)
class Scratch:
    """A network to begin with whose weights are random.

    size: of the network. vocab: a WordPiece vocab.txt; None learns one from the training texts.
    vocab_size: pieces of a learned vocabulary. cased: keep upper case and accents.

    Raises:
        InputError: both a vocabulary and the size of a learned one.
    """

    size: NetworkSize = field(default_factory=NetworkSize)
    vocab: Path | None = None
    vocab_size: int | None = None
    cased: bool = False

    def __post_init__(self) -> None:
        if self.vocab is not None and self.vocab_size is not None:
            raise InputError("both --vocab and --vocab-size are given", allowed="one of them")


def train_classifier(
    data: Path,
    out: Path,
    config: TrainingConfig,
    *,
    start: str | Scratch | None = None,
    validation: Path | None = None,
    labels: Sequence[str] | None = None,
    teacher: str | None = None,
    dtype: torch.dtype = torch.float32,
    resume: bool = False,
    force: bool = False,
    progress: Progress = silent,
    log: Callable[[str], None] = lambda line: None,
) -> TrainingResult:
    """Train a classifier of texts or pairs of texts and write it as a checkpoint.

    Args:
        data: labelled texts, a TSV with a header. validation: likewise; None holds out a share of `data`.
        out: the directory to write.
        start: a checkpoint to fine-tune, or a network from scratch; None is the default network.
        labels: the classes in their order; by default the checkpoint's, else those in `data`.
        teacher: a classifier to learn from beside the labels.
        dtype, resume, force, log: as for `training.train.train`.

    Raises:
        InputError: data, settings or outputs that cannot be used, or training for int8 from scratch.
        GateError: the loss or the gradients are not finite; the last state that was written is kept.
        UnavailableError: there is no such device, or scikit-learn is needed and not installed.
    """
    begin = Scratch() if start is None else start
    if config.quantize is not None and isinstance(begin, Scratch):
        raise InputError(
            f"a network from scratch cannot be trained for {config.quantize}",
            allowed="a trained checkpoint, whose quantization is then fine-tuned",
            hint="train in float first, then --from that checkpoint",
        )
    if rank() == 0:
        progress(f"reading {data}", 0, 0)
    examples = read_labelled(data, labels, log)
    validated = None if validation is None else read_labelled(validation, labels, log)
    if isinstance(begin, Scratch):
        model, tokenizer = _begin(begin, config, examples, labels)
    else:
        loaded = training.from_checkpoint(begin, examples, labels, config.seed)
        model, tokenizer = loaded.model, loaded.tokenizer
    return training.train(
        config,
        model,
        tokenizer,
        examples,
        validated,
        out,
        teacher=None if teacher is None else load_teacher(teacher),
        dtype=dtype,
        resume=resume,
        force=force,
        progress=progress,
        log=log,
    )


def read_labelled(data: Path, labels: Sequence[str] | None, log: Callable[[str], None]) -> list[Example]:
    """The examples of a file but for those whose label says that there is none."""
    examples = read_texts(data)
    labelled = [example for example in examples if is_gold(example.label, labels or ())]
    if len(labelled) < len(examples) and rank() == 0:
        left = len(examples) - len(labelled)
        log(f"{data}: {left} of {len(examples)} examples have no label (- or -1): left out")
    if (unread := tell_unread(examples)) and rank() == 0:
        log(f"warning: {data}: {unread}")
    return labelled


def _begin(
    scratch: Scratch, config: TrainingConfig, examples: Sequence[Example], labels: Sequence[str] | None
) -> tuple[SqueezeBertPreTrainedModel, Tokenizer]:
    """A network of random weights, and its tokenizer, learned or given."""
    flags = TokenizerFlags(lower_case=not scratch.cased)
    if scratch.vocab is not None:
        tokenizer = Tokenizer(read_lines(scratch.vocab), flags)
    else:
        texts = [text for example in examples for text in (example.text, example.pair) if text is not None]
        tokenizer = Tokenizer.train(texts, scratch.vocab_size or VOCABULARY_SIZE, flags)
    return training.from_scratch(scratch.size, tokenizer, labels or labels_in(examples), config), tokenizer
