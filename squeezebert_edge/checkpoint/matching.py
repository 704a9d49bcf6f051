"""Stored weights to a model's own: differences known to be harmless are named, all others refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from exporters.errors import InputError
from squeezebert_edge.checkpoint.weights import count_weights, list_names
from squeezebert_edge.model.config import SqueezeBertConfig

BASE = "transformer."
# What the names of each head's weights begin with; no model here has pre-training's sentence-order head.
HEADS = {
    "cls.predictions.": "masked-LM",
    "cls.seq_relationship.": "sentence-order",
    "classifier.": "classification",
    "qa_outputs.": "question-answering",
}
HEAD_OF = {
    "SqueezeBertModel": None,
    "SqueezeBertForMaskedLM": "cls.predictions.",
    "SqueezeBertForSequenceClassification": "classifier.",
    "SqueezeBertForMultipleChoice": "classifier.",
    "SqueezeBertForTokenClassification": "classifier.",
    "SqueezeBertForQuestionAnswering": "qa_outputs.",
}
_BEGINNINGS = (BASE, "embeddings.", "encoder.", "pooler.", *HEADS)  # of a model's own names
_POSITION_IDS = f"{BASE}embeddings.position_ids"
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)

# Part of a weight's name -> the key of config.json that its shape follows.
_SIZED_BY = {
    "word_embeddings": "vocab_size",
    "decoder": "vocab_size",
    "cls.predictions.bias": "vocab_size",
    "position_embeddings": "max_position_embeddings",
    "token_type_embeddings": "type_vocab_size",
    "classifier": "id2label",
    "attention.query": "q_groups",
    "attention.key": "k_groups",
    "attention.value": "v_groups",
    "post_attention": "post_attention_groups",
    "intermediate": "intermediate_groups",
    "output.conv1d": "output_groups",
}


def without_prefix(stored: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The weights without a beginning that all their names share, and that beginning; empty where it is none.

    Wrappers leave one: DistributedDataParallel `module.`, torch.compile `_orig_mod.`, Lightning its own.
    """
    first = next(iter(stored), "")
    starts = [0, *(match.end() for match in re.finditer(r"\.", first))]
    for start in starts:
        prefix = first[:start]
        if all(name.startswith(tuple(prefix + known for known in _BEGINNINGS)) for name in stored):
            return {name.removeprefix(prefix): tensor for name, tensor in stored.items()}, prefix
    return dict(stored), ""


def heads_in(names: Collection[str]) -> list[str]:
    """The keys of HEADS whose head has weights among the names."""
    return [head for head in HEADS if any(name.startswith(head) for name in names)]


@dataclass
class Match:
    """What came of matching stored weights to those that a model expects.

    tensors: the model's weights by its own names, as they are stored; of tied ones all that are there.
    accepted: the differences that were taken in, in words.
    problems: the differences that were not, in words.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def match(
    stored: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    tied: Sequence[Sequence[str]],
    config: SqueezeBertConfig,
) -> Match:
    """Find the model's weights among the stored ones.

    Args:
        stored: weights by their names in the file.
        expected: the model's weights by its own names; their names and shapes alone are read.
        tied: groups of expected names that are one parameter.
        config: what the model was made from, for messages.
    """
    result = Match()
    has_head = any(name.startswith(BASE) for name in expected)
    named = _rename_as_with_head(stored, has_head, result)
    _take_position_ids(named, config, result)
    _leave_other_heads(named, expected, result)
    if not has_head:  # the bare model's own names have no prefix
        named = {name.removeprefix(BASE): tensor for name, tensor in named.items()}
    _compare_names(named, expected, tied, result)
    result.tensors = {name: tensor for name, tensor in named.items() if name in expected}
    _compare_shapes(result, expected, config)
    if not result.problems:
        _compare_tied(result, tied)
    return result


def to_float32(tensors: Mapping[str, Tensor], file: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Copies in float32, and in words what was rounded or widened to it.

    Args:
        tensors: weights by name.
        file: where they were read, for messages.

    Raises:
        InputError: numbers of another kind, NaN, or infinity.
    """
    kinds: dict[torch.dtype, int] = {}
    problems: list[str] = []
    copies: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        kinds[tensor.dtype] = kinds.get(tensor.dtype, 0) + 1
        if tensor.dtype not in _FLOATS:
            problems.append(f"{name} is {_kind(tensor.dtype)}")
            continue
        copy = copies[name] = tensor.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        # The sum alone says so when all is well, in one pass and without a tensor of truth values.
        if not copy.sum().isfinite() and not copy.isfinite().all():
            nans, number = int(copy.isnan().sum()), copy.numel()
            problems.append(f"{name}: {nans} NaN and {int(copy.isinf().sum())} infinite of {number} values")
    if problems:
        raise InputError(
            f"{file} has weights that cannot be used: {list_names(problems)}",
            allowed=f"finite numbers of {', '.join(map(_kind, _FLOATS))}",
            hint="take an earlier checkpoint, or save the model again as it was before it was quantized",
        )
    stored_otherwise = {kind: number for kind, number in kinds.items() if kind != torch.float32}
    return copies, [
        f"{count_weights(number)} stored as {_kind(kind)}: loaded as float32"
        for kind, number in stored_otherwise.items()
    ]


def _rename_as_with_head(stored: Mapping[str, Tensor], has_head: bool, result: Match) -> dict[str, Tensor]:
    """The stored weights under the names of a model with a head."""
    bare = not any(name.startswith(BASE) for name in stored)
    prefixed, renamed = 0, 0
    named: dict[str, Tensor] = {}
    for stored_name, tensor in stored.items():
        name = stored_name
        owner, _, last = stored_name.rpartition(".")
        if last in ("gamma", "beta") and owner.lower().endswith("layernorm"):
            name = f"{owner}.{'weight' if last == 'gamma' else 'bias'}"
            renamed += 1
        if bare and name.startswith(("embeddings.", "encoder.", "pooler.")):
            name = BASE + name
            prefixed += 1
        if name in named:
            result.problems.append(f"doubled: {name} is there under two names")
        named[name] = tensor
    if renamed:
        result.accepted.append(
            f"{count_weights(renamed)} of LayerNorms called gamma or beta: taken as weight and bias"
        )
    if prefixed and has_head:
        result.accepted.append(f"{count_weights(prefixed)} of the base model without its prefix '{BASE}'")
    return named


def _take_position_ids(named: dict[str, Tensor], config: SqueezeBertConfig, result: Match) -> None:
    buffer = named.pop(_POSITION_IDS, None)
    if buffer is None:
        return
    if buffer.flatten().tolist() == list(range(config.max_position_embeddings)):
        result.accepted.append("the position_ids buffer, which only counts positions, is not read")
    else:
        result.problems.append(
            f"misshapen: {_POSITION_IDS} is not 0 to {config.max_position_embeddings - 1} in order "
            f"(max_position_embeddings)"
        )


def _leave_other_heads(named: dict[str, Tensor], expected: Collection[str], result: Match) -> None:
    for head in heads_in(named):
        if head in heads_in(expected):
            continue
        left = [name for name in named if name.startswith(head)]
        for name in left:
            del named[name]
        result.accepted.append(
            f"{count_weights(len(left))} of a {HEADS[head]} head, which was not asked for ({head}*): left out"
        )


def _compare_names(
    named: Collection[str], expected: Collection[str], tied: Sequence[Sequence[str]], result: Match
) -> None:
    stand_ins = {name for group in tied for name in group if any(other in named for other in group)}
    missing = [name for name in expected if name not in named and name not in stand_ins]
    extra = [name for name in named if name not in expected]
    if missing:
        result.problems.append(f"{len(missing)} missing: {list_names(missing)}")
    if extra:
        result.problems.append(f"{len(extra)} not expected: {list_names(extra)}")


def _compare_shapes(result: Match, expected: Mapping[str, Tensor], config: SqueezeBertConfig) -> None:
    wrong = []
    for name, tensor in result.tensors.items():
        shape = tuple(expected[name].shape)
        if tuple(tensor.shape) != shape:
            key = next((key for part, key in _SIZED_BY.items() if part in name), "hidden_size")
            value = f"{config.num_labels} labels" if key == "id2label" else getattr(config, key)
            wrong.append(f"{name} is {tuple(tensor.shape)}, config.json wants {shape} ({key}: {value})")
    if wrong:
        result.problems.append(f"{len(wrong)} misshapen: {list_names(wrong)}")


def _compare_tied(result: Match, tied: Sequence[Sequence[str]]) -> None:
    for group in tied:
        first, *others = [name for name in group if name in result.tensors]
        unequal = [name for name in others if not torch.equal(result.tensors[name], result.tensors[first])]
        if unequal:
            result.problems.append(
                f"tied, but not equal: {first} and {', '.join(unequal)} (tie_word_embeddings: true)"
            )
        elif others:
            result.accepted.append(f"{', '.join(others)} is stored again, equal to {first}")


def _kind(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
