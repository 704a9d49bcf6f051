"""The configuration of a SqueezeBERT network, read from and written as Hugging Face's config.json."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from exporters.errors import LONGEST_VALUE, InputError
from squeezebert_edge.plumbing.reading import read_object

MODEL_TYPE = "squeezebert"

# The names of transformers' activation table (transformers/activations.py, ACT2FN).
ACTIVATION_NAMES = (
    "gelu",
    "gelu_10",
    "gelu_accurate",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_python_tanh",
    "gelu_pytorch_tanh",
    "hardswish",
    "laplace",
    "leaky_relu",
    "linear",
    "mish",
    "prelu",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "sigmoid",
    "silu",
    "sqrtsoftplus",
    "swish",
    "tanh",
    "xielu",
)

ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]
PROBLEM_TYPES: tuple[ProblemType, ...] = (
    "regression",
    "single_label_classification",
    "multi_label_classification",
)

LARGEST_SIZE = 2**31 - 1  # tensors are indexed by 32 bits on phones
MOST_LABELS = 1_000_000  # each has a name

# The fields of the six convolutions' numbers of groups.
GROUPS = (
    "q_groups",
    "k_groups",
    "v_groups",
    "post_attention_groups",
    "intermediate_groups",
    "output_groups",
)
_POSITIVE_INTEGERS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "embedding_size",
    *GROUPS,
)
_FLAGS = ("tie_word_embeddings", "output_attentions", "output_hidden_states", "return_dict")


@dataclass
class SqueezeBertConfig:
    """Sizes and choices of a SqueezeBERT network; the defaults are squeezebert-uncased's.

    Fields bear the names of config.json and mean what they mean in transformers' SqueezeBertConfig. Lengths
    are in tokens, widths in channels; each `*_groups` is the number of groups of that 1x1 convolution.
    `num_labels` is the length of `id2label`. `extra` holds every other key of the file that was read, and
    is written back.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    embedding_size: int = 768
    q_groups: int = 4
    k_groups: int = 4
    v_groups: int = 4
    post_attention_groups: int = 1
    intermediate_groups: int = 4
    output_groups: int = 4
    tie_word_embeddings: bool = True
    id2label: dict[int, str] = field(default_factory=lambda: _default_labels(2))
    label2id: dict[str, int] = field(default_factory=dict)
    problem_type: ProblemType | None = None
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    architectures: list[str] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.label2id and isinstance(self.id2label, dict):
            self.label2id = {label: index for index, label in self.id2label.items()}

    @property
    def num_labels(self) -> int:
        """How many labels there are; setting another number names them LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, number: int) -> None:
        if number != self.num_labels:
            self.id2label = _default_labels(number)
            self.label2id = {label: index for index, label in self.id2label.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SqueezeBertConfig:
        """The configuration that the contents of a config.json describe.

        Keys that are absent take squeezebert-uncased's values, and null labels the default ones.

        Raises:
            InputError: another architecture's configuration, or a value that `validate` refuses.
        """
        remaining = dict(values)
        _check_model_type(remaining.pop("model_type", None))
        older_return_dict = remaining.pop("use_return_dict", None)
        if older_return_dict is not None:
            remaining.setdefault("return_dict", older_return_dict)
        remaining["id2label"] = _read_labels(remaining.get("id2label"), remaining.pop("num_labels", None))
        remaining["label2id"] = _read_label_numbers(remaining.get("label2id"))
        own = {f.name for f in fields(cls)} - {"extra"}
        known = {name: remaining.pop(name) for name in list(remaining) if name in own}
        config = cls(**known, extra=remaining)
        config.validate()
        return config

    @classmethod
    def from_file(cls, path: str | Path) -> SqueezeBertConfig:
        """The configuration in a config.json.

        Raises:
            InputError: no such file, not a JSON object, or a value that `from_dict` refuses.
        """
        path = Path(path)
        if not os.path.lexists(path):
            raise InputError(
                f"{path} does not exist", hint="name the config.json of a SqueezeBERT checkpoint"
            )
        values = read_object(path)
        try:
            return cls.from_dict(values)
        except InputError as error:
            raise InputError(f"{path}: {error.problem}", allowed=error.allowed, hint=error.hint) from None

    def to_dict(self) -> dict[str, Any]:
        """Everything that config.json holds; `from_dict` and transformers' SqueezeBertConfig read it back."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        own["id2label"] = {str(index): label for index, label in self.id2label.items()}
        return json.loads(json.dumps(self.extra | own | {"model_type": MODEL_TYPE}))  # type: ignore[no-any-return]

    def save(self, path: str | Path) -> None:
        """Write config.json to `path`."""
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def validate(self) -> None:
        """Refuse values of a wrong type or range, and sizes that do not fit together.

        Raises:
            InputError: names the key, the value that was seen and what is allowed.
        """
        self._check_values()
        self._check_labels()
        self._check_sizes()

    def _check_values(self) -> None:
        for name in _POSITIVE_INTEGERS:
            value = getattr(self, name)
            _require(_is_integer(value) and value > 0, name, value, "a positive integer")
            _require(value <= LARGEST_SIZE, name, value, f"at most {LARGEST_SIZE}")
        for name in _FLAGS:
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, name)
            _require(_is_number(value) and 0 <= value <= 1, name, value, "a number from 0 to 1")
        for name in ("initializer_range", "layer_norm_eps"):
            value = getattr(self, name)
            _require(_is_number(value) and value > 0, name, value, "a positive number")
        pad = self.pad_token_id
        in_vocabulary = pad is None or (_is_integer(pad) and 0 <= pad < self.vocab_size)
        _require(in_vocabulary, "pad_token_id", pad, f"an integer from 0 to {self.vocab_size - 1}, or null")
        bos, eos = self.bos_token_id, self.eos_token_id
        _require(bos is None or _is_integer(bos), "bos_token_id", bos, "an integer or null")
        eos_ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
        _require(
            all(map(_is_integer, eos_ids)), "eos_token_id", eos, "an integer, a list of integers, or null"
        )
        act = self.hidden_act
        _require(act in ACTIVATION_NAMES, "hidden_act", act, ", ".join(ACTIVATION_NAMES))
        names = self.architectures
        is_names = names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names))
        _require(is_names, "architectures", names, "a list of class names, or null")

    def _check_labels(self) -> None:
        ids = self.id2label
        is_map = isinstance(ids, dict) and all(isinstance(label, str) for label in ids.values())
        _require(is_map, "id2label", ids, "labels that are texts or whole numbers")
        numbered = len(ids) > 0 and set(ids) == set(range(len(ids)))
        _require(numbered, "id2label", ids, "a label for each of 0, 1, 2, ... without gaps")
        _require(len(set(ids.values())) == len(ids), "id2label", ids, "labels that differ from each other")
        back = self.label2id
        is_map = isinstance(back, dict) and all(
            isinstance(k, str) and _is_integer(v) for k, v in back.items()
        )
        _require(is_map, "label2id", back, "an integer for each label")
        for index, label in ids.items():
            _require(
                back.get(label, index) == index,
                "label2id",
                back,
                f"id2label's numbers ('{label}' is {index})",
            )
        kind = self.problem_type
        _require(
            kind is None or kind in PROBLEM_TYPES,
            "problem_type",
            kind,
            f"{', '.join(PROBLEM_TYPES)}, or null",
        )
        if kind == "single_label_classification" and len(ids) == 1:
            raise InputError(
                "problem_type is 'single_label_classification' with one label, so there is nothing to choose",
                allowed="two labels or more",
                hint="for one output that is a number, set problem_type to 'regression'",
            )

    def _check_sizes(self) -> None:
        if self.embedding_size != self.hidden_size:
            raise InputError(
                f"embedding_size is {self.embedding_size} and hidden_size is {self.hidden_size}: SqueezeBERT "
                "has no layer between the embeddings and the encoder that could change the width",
                allowed="embedding_size equal to hidden_size",
            )
        divisors = {
            "num_attention_heads": ("hidden_size",),
            "q_groups": ("hidden_size",),
            "k_groups": ("hidden_size",),
            "v_groups": ("hidden_size",),
            "post_attention_groups": ("hidden_size",),
            "intermediate_groups": ("hidden_size", "intermediate_size"),
            "output_groups": ("intermediate_size", "hidden_size"),
        }
        for divisor, sizes in divisors.items():
            for size in sizes:
                if getattr(self, size) % getattr(self, divisor):
                    raise InputError(
                        f"{size} is {getattr(self, size)}, which {divisor} ({getattr(self, divisor)}) does "
                        "not divide",
                        allowed=f"{size} a multiple of {divisor}",
                    )


def _check_model_type(seen: Any) -> None:
    if seen == MODEL_TYPE:
        return
    if seen is None:
        problem = "the configuration has no model_type, so it does not say which architecture it is for"
    else:
        problem = f"this is the configuration of another architecture: model_type is {_seen(seen)}"
    raise InputError(
        problem,
        allowed=f"model_type '{MODEL_TYPE}'",
        hint="make a SqueezeBERT of the BERT: squeezebert-edge convert DIRECTORY --data TRAIN_TSV --out OUT"
        if seen == "bert"
        else "name a directory that holds a SqueezeBERT checkpoint",
    )


def _default_labels(number: int) -> dict[int, str]:
    return {index: f"LABEL_{index}" for index in range(number)}


def _read_labels(id2label: Any, num_labels: Any) -> Any:
    """JSON's id2label with its keys as integers, or the default labels where it is absent."""
    if num_labels is not None:
        _require(_is_integer(num_labels) and num_labels > 0, "num_labels", num_labels, "a positive integer")
        _require(num_labels <= MOST_LABELS, "num_labels", num_labels, f"at most {MOST_LABELS}")
    if id2label is None:
        return _default_labels(2 if num_labels is None else num_labels)
    _require(isinstance(id2label, dict), "id2label", id2label, "an object of labels by number")
    if num_labels is not None and num_labels != len(id2label):
        raise InputError(
            f"num_labels is {num_labels}, but id2label names {len(id2label)} labels",
            hint="remove num_labels from the configuration, or correct id2label",
        )
    try:
        # transformers takes names that are numbers too, and writes them so.
        return {int(index): str(label) if _is_integer(label) else label for index, label in id2label.items()}
    except (TypeError, ValueError):
        raise InputError(f"id2label is {_seen(id2label)}", allowed="keys that are integers") from None


def _read_label_numbers(label2id: Any) -> Any:
    """JSON's label2id, its numbers as integers; transformers does not mind numbers that are texts."""
    if label2id is None:
        return {}
    if not isinstance(label2id, dict):
        return label2id
    return {
        label: int(number) if isinstance(number, str) and number.isdecimal() and number.isascii() else number
        for label, number in label2id.items()
    }


def _require(holds: bool, name: str, value: Any, allowed: str) -> None:
    if not holds:
        raise InputError(f"{name} is {_seen(value)}", allowed=allowed)


def _seen(value: Any) -> str:
    """A value as JSON spells it, cut to a line."""
    text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))
