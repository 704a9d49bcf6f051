"""A teacher: a trained classifier, SqueezeBERT or any of transformers', that a student is to imitate."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from exporters.errors import InputError, UnavailableError
from exporters.quiet import quiet_tools
from squeezebert_edge.checkpoint import weights
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.checkpoint.hub import CONFIG_FILE
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.config import MODEL_TYPE
from squeezebert_edge.model.heads import SqueezeBertForSequenceClassification
from squeezebert_edge.plumbing.reading import read_object
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.text.vocabulary import read_vocab
from squeezebert_edge.training.data import Batch
from squeezebert_edge.training.layers import BatchNoise, prepare_for_training


class TeacherAnswer(NamedTuple):
    """Logits (B, classes); the embeddings and each layer's output, (B, S, C) each; attention scores before
    softmax, (B, heads, S, S) of each layer, or none."""

    logits: Tensor
    hidden: tuple[Tensor, ...]
    scores: tuple[Tensor, ...]


@dataclass(frozen=True)
class Teacher:
    """A trained classifier in eval mode.

    network: called as transformers' models are.
    vocab: the words that its input ids stand for.
    sha256: of its weights (weights.sha256).
    gives_scores: whether it answers with attention scores too.
    """

    network: nn.Module
    vocab: list[str]
    sha256: str
    gives_scores: bool = False

    @classmethod
    def of(cls, network: SqueezeBertPreTrainedModel, tokenizer: Tokenizer, sha256: str) -> Teacher:
        """A network of ours, which answers with attention scores too."""
        quick = prepare_for_training(network, BatchNoise(torch.device("cpu")), dropout=None)
        return cls(quick.eval().requires_grad_(False), tokenizer.vocab, sha256, gives_scores=True)

    @property
    def config(self) -> Any:
        """The network's configuration, with the attributes that all of transformers' have."""
        return self.network.config

    def check(self, tokenizer: Tokenizer, labels: Sequence[str], max_length: int) -> None:
        """Raise InputError if it does not read the student's ids or does not give the student's classes."""
        if self.vocab != tokenizer.vocab:
            raise InputError(
                f"the teacher's vocabulary, of {len(self.vocab)} words, is not the student's, of "
                f"{len(tokenizer.vocab)}",
                allowed="a teacher with the same vocab.txt",
                hint="train a student from scratch with the teacher's: --vocab",
            )
        own = [self.config.id2label[index] for index in range(self.config.num_labels)]
        if own != list(labels):
            raise InputError(
                f"the teacher's labels are {', '.join(own)}, the student's {', '.join(labels)}",
                allowed="the same labels in the same order",
                hint=f"--labels {','.join(own)}",
            )
        if self.config.problem_type not in (None, "single_label_classification"):
            raise InputError(
                f"the teacher's problem_type is {self.config.problem_type}",
                allowed="one class of several for each text",
            )
        longest = self.config.max_position_embeddings
        if max_length > longest:
            raise InputError(
                f"max_length is {max_length}", allowed=f"at most {longest}, the teacher's positions"
            )

    def __call__(self, batch: Batch) -> TeacherAnswer:
        """What it makes of a batch."""
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if "token_type_ids" in inspect.signature(self.network.forward).parameters:  # DistilBERT has none
            inputs["token_type_ids"] = batch.token_type_ids
        with torch.no_grad():
            output = self.network(
                **inputs, output_hidden_states=True, output_attentions=self.gives_scores, return_dict=True
            )
        return TeacherAnswer(output.logits, output.hidden_states, output.attentions or ())


def load_teacher(source: str | Path) -> Teacher:
    """A classifier to learn from: a SqueezeBERT checkpoint, or a directory of any model of transformers.

    Raises:
        InputError: no such directory, one without a classifier's weights, or a tokenizer that is not BERT's.
        UnavailableError: the model is not SqueezeBERT, and transformers is not installed.
    """
    config_file = Path(source) / CONFIG_FILE
    if not config_file.is_file() or _model_type(config_file) == MODEL_TYPE:
        loaded = load_checkpoint(source, architecture=SqueezeBertForSequenceClassification.__name__)
        network: nn.Module = loaded.model
        vocab = loaded.tokenizer.vocab
    else:
        vocab = _vocabulary(Path(source))
        network = _from_transformers(Path(source))
    return Teacher(network.eval().requires_grad_(False), vocab, weights.sha256(network.state_dict()))


def _model_type(config_file: Path) -> Any:
    return read_object(config_file).get("model_type")


def _vocabulary(directory: Path) -> list[str]:
    """vocab.txt, whatever the class of the tokenizer: the student's makes the ids."""
    vocab_file = directory / "vocab.txt"
    return read_vocab(vocab_file) if vocab_file.exists() else Tokenizer.from_directory(directory).vocab


def _from_transformers(directory: Path) -> nn.Module:
    try:
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging as notices
    except ImportError:
        raise UnavailableError(
            f"{directory} is not a SqueezeBERT, and other teachers need transformers, which is not installed",
            allowed="a SqueezeBERT checkpoint",
            hint="pip install transformers",
        ) from None
    has_bars = notices.is_progress_bar_enabled()
    notices.disable_progress_bar()
    try:
        with quiet_tools():
            network, loading = AutoModelForSequenceClassification.from_pretrained(
                directory, local_files_only=True, output_loading_info=True, dtype=torch.float32
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{directory}: transformers cannot load a classifier from it: {error}") from error
    finally:
        if has_bars:
            notices.enable_progress_bar()
    absent = sorted(loading["missing_keys"])
    if absent:
        raise InputError(
            f"{directory} has no weights for {weights.list_names(absent)}",
            allowed="a teacher that was trained as a classifier",
        )
    return network  # type: ignore[no-any-return]
