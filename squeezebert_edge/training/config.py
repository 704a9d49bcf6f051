"""What a training is asked for: settings with their defaults, readable without loading torch."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.errors import InputError
from squeezebert_edge.model.config import SqueezeBertConfig

DEVICES = ("auto", "cpu", "cuda", "mps")
INT8, INT4 = "int8", "int4"
QUANTIZATIONS = (INT8, INT4)
SCRATCH_LEARNING_RATE = 5e-4
FINE_TUNING_LEARNING_RATE = 5e-5
QUANTIZING_LEARNING_RATES = {INT8: 1e-5, INT4: 1e-4}
VOCABULARY_SIZE = 8000  # pieces of one that is learned


def default_learning_rate(*, fine_tuning: bool, quantize: str | None) -> float:
    """The learning rate that suits what is trained."""
    if quantize is not None:
        return QUANTIZING_LEARNING_RATES.get(quantize, FINE_TUNING_LEARNING_RATE)
    return FINE_TUNING_LEARNING_RATE if fine_tuning else SCRATCH_LEARNING_RATE


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; AdamW (arXiv 1711.05101) with a linear warmup and a linear decay to zero.

    learning_rate: the highest; 5e-4 suits training from scratch, 5e-5 fine-tuning.
    batch_size: examples a step, over all processes together.
    warmup: the share of all steps in which the learning rate rises.
    weight_decay: of matrices and embeddings; biases and LayerNorms have none.
    clip_norm: the largest norm of all gradients together.
    dropout: None keeps the probabilities of the model's own configuration.
    max_length: tokens; longer texts are cut.
    hold_out: the share of the training data, of each class alike, kept for validation where none is given.
    device: one of DEVICES; auto is a CUDA GPU where there is one, else the CPU.
    quantize: int8 trains with the rounding of `int8-static`, so that the network learns to bear it; int4 puts
        the weights on steps that int4 and int8 share, so that neither rounds them (forms/steps.py).
    temperature, teacher_weight: of a teacher's logits, and the share that they have beside the labels.
    hidden_weight: of the hidden states' mean squared error from the teacher's.
    attention_weight: of the attentions' divergence from the teacher's, which must have as many heads.
    peak_weight: of values that stand out where int8 rounds (peaks.py).
    random_texts: so many rows of words drawn at random, of both token types, are learned from the teacher
        beside the data, so that the network is sound on words that the data has not.
    noise_bits: what goes into products is disturbed as if rounded to so many (rounding_noise.py).
    """

    learning_rate: float
    epochs: int = 3
    batch_size: int = 32
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    dropout: float | None = None
    max_length: int = 128
    hold_out: float = 0.1
    seed: int = 0
    device: str = "auto"
    quantize: str | None = None
    temperature: float = 2.0
    teacher_weight: float = 0.5
    hidden_weight: float = 1.0
    attention_weight: float = 0.0
    peak_weight: float = 0.0
    noise_bits: int | None = None
    random_texts: int = 0

    def __post_init__(self) -> None:
        checks = {
            "learning_rate": (self.learning_rate > 0, "more than 0"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "batch_size": (self.batch_size >= 1, "1 or more"),
            "warmup": (0 <= self.warmup < 1, "a share from 0 to below 1"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "clip_norm": (self.clip_norm > 0, "more than 0"),
            "dropout": (self.dropout is None or 0 <= self.dropout < 1, "a probability from 0 to below 1"),
            "max_length": (self.max_length >= 4, "4 or more: a pair's three special tokens and one of text"),
            "hold_out": (0 < self.hold_out < 1, "a share between 0 and 1"),
            "seed": (self.seed >= 0, "0 or more"),
            "device": (self.device in DEVICES, ", ".join(DEVICES)),
            "quantize": (self.quantize in (None, *QUANTIZATIONS), ", ".join(QUANTIZATIONS)),
            "temperature": (self.temperature > 0, "more than 0"),
            "teacher_weight": (0 <= self.teacher_weight <= 1, "a share from 0 to 1"),
            "hidden_weight": (self.hidden_weight >= 0, "0 or more"),
            "attention_weight": (self.attention_weight >= 0, "0 or more"),
            "peak_weight": (self.peak_weight >= 0, "0 or more"),
            "random_texts": (self.random_texts >= 0, "0 or more"),
            "noise_bits": (self.noise_bits is None or 2 <= self.noise_bits <= 8, "2 to 8"),
        }
        for name, (holds, allowed) in checks.items():
            if not holds:
                raise InputError(f"{name} is {getattr(self, name)}", allowed=allowed)


# A BERT's student begins near its teacher, and imitates it: what the labels add is little.
CONVERSION = TrainingConfig(
    learning_rate=5e-4,
    epochs=4,
    batch_size=64,
    warmup=0.05,
    dropout=0.0,
    teacher_weight=0.9,
    attention_weight=0.5,
    peak_weight=0.2,
)


@dataclass(frozen=True)
class NetworkSize:
    """A network to train from scratch, of SqueezeBERT's structure: post_attention dense, the rest in groups.

    intermediate_size: None is four times the width, as in BERT.
    """

    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    intermediate_size: int | None = None
    groups: int = 4

    def to_config(self, vocab_size: int, max_length: int, labels: list[str]) -> SqueezeBertConfig:
        """The configuration of a classifier of this size.

        Raises:
            InputError: sizes that do not divide each other, or fewer than two labels.
        """
        config = SqueezeBertConfig(
            vocab_size=vocab_size,
            hidden_size=self.hidden_size,
            embedding_size=self.hidden_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.intermediate_size or 4 * self.hidden_size,
            max_position_embeddings=max_length,
            q_groups=self.groups,
            k_groups=self.groups,
            v_groups=self.groups,
            intermediate_groups=self.groups,
            output_groups=self.groups,
            id2label=dict(enumerate(labels)),
            problem_type="single_label_classification",
        )
        config.validate()
        return config
