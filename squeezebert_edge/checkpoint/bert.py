"""BERT checkpoints, read as what they are here: a SqueezeBERT whose convolutions all have one group.

A convolution of kernel size 1 in one group is a linear layer, so the network computes what BERT computes.
Only the names differ, and the kernel's axis: (C_out, C_in) there, (C_out, C_in, 1) here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from exporters.errors import InputError, quote
from squeezebert_edge.checkpoint import hub, matching, weights
from squeezebert_edge.checkpoint.checkpoint import (
    Checkpoint,
    build,
    check_vocabulary,
    choose_architecture,
    content_sha256,
    locate,
)
from squeezebert_edge.model.config import GROUPS, MODEL_TYPE, SqueezeBertConfig
from squeezebert_edge.plumbing.reading import read_object
from squeezebert_edge.text.tokenizer import Tokenizer

BERT = "bert"
SOME_CAPITALS = 0.01  # the share of words from which on a vocabulary is cased; BERT's own has 0 or 0.4
# config.json's keys that would change what the network computes -> the values that do not.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
    "pruned_heads": ({}, None),
}
# The beginning of a BERT's name, after `bert.encoder.layer.N.` -> the beginning here.
_IN_LAYER = {
    "attention.self.": "attention.",
    "attention.output.dense.": "post_attention.conv1d.",
    "attention.output.LayerNorm.": "post_attention.layernorm.",
    "intermediate.dense.": "intermediate.conv1d.",
    "output.dense.": "output.conv1d.",
    "output.LayerNorm.": "output.layernorm.",
}
_LAYER = re.compile(r"(.*\b)encoder\.layer\.(\d+)\.(.+)")
_CONVOLUTION = re.compile(r"\.(query|key|value|conv1d)\.weight$")


def load_bert(source: str | Path, *, architecture: str | None = None) -> Checkpoint:
    """Load a BERT of any size and head; every weight must be there once, in its shape, and no other.

    Args:
        source: a directory, a weight file in one, or a hub id.
        architecture: a name in model.ARCHITECTURES; by default the one that the config names.

    Raises:
        InputError: no such checkpoint, another architecture's, or an unsound one.
        UnavailableError: a hub id, and the hub cannot be reached.
    """
    try:
        file = locate(source)
        directory = file.parent
        config = _read_config(directory / hub.CONFIG_FILE)
        tokenizer = Tokenizer.from_directory(directory)
        accepted = [*check_vocabulary(tokenizer, config, directory), *_check_case(tokenizer, directory)]
        renamed = {_rename(name): tensor for name, tensor in weights.read(file).items()}
        stored, prefix = matching.without_prefix(renamed)
        if prefix:
            accepted.append(f"all weights' names begin with '{prefix}': it is left out")
        stored = {name: _reshape(name, tensor) for name, tensor in stored.items()}
        name = choose_architecture(architecture, config, stored, directory)
        accepted += _add_pooler(stored, config, name)
        config = replace(config, architectures=[name])
        model, matched = build(name, config, stored, file, new_head=False)
        sha256 = content_sha256(directory / hub.CONFIG_FILE, weights.files(file), tokenizer)
    except OSError as error:
        raise InputError(f"{error.filename or source} cannot be read: {error.strerror}") from error
    for module in model.modules():  # BERT has one epsilon for all, SqueezeBERT a fixed one inside its layers
        if isinstance(module, nn.LayerNorm):
            module.eps = config.layer_norm_eps
    return Checkpoint(config, model, tokenizer, str(source), sha256, (*accepted, *matched))


def _read_config(file: Path) -> SqueezeBertConfig:
    """The configuration of the dense network that a BERT is."""
    values = read_object(file)
    kind = values.get("model_type")
    if kind != BERT:
        raise InputError(
            f"{file}: the model_type is {quote(kind)}",
            allowed=f"'{BERT}': BERT itself, and what is BERT with other sizes (MiniLM, TinyBERT, BERT-tiny)",
            hint="a SqueezeBERT needs no conversion"
            if kind == MODEL_TYPE
            else "fine-tune a BERT on the same data, and convert that",
        )
    for key, neutral in _NEUTRAL.items():
        if values.get(key) not in neutral:
            raise InputError(f"{file}: {key} is {quote(values[key])}", allowed=str(neutral[0]).lower())
    names = values.get("architectures")
    if isinstance(names, list):
        values["architectures"] = [f"Squeeze{name}" for name in names]
    values |= {"model_type": MODEL_TYPE, "embedding_size": values.get("hidden_size")} | dict.fromkeys(
        GROUPS, 1
    )
    own = {field.name for field in fields(SqueezeBertConfig)} | {"model_type"}
    try:  # without the keys that mean something to a BERT alone
        return SqueezeBertConfig.from_dict({key: value for key, value in values.items() if key in own})
    except InputError as error:
        raise InputError(f"{file}: {error.problem}", allowed=error.allowed, hint=error.hint) from None


def _check_case(tokenizer: Tokenizer, directory: Path) -> list[str]:
    """Refuse a cased vocabulary whose tokenizer lower-cases, which never finds the words with capitals."""
    words = [word for word in tokenizer.vocab if not word.startswith("[")]
    capitals = [word for word in words if word != word.lower()]
    cased = len(capitals) > SOME_CAPITALS * len(words)
    if cased and tokenizer.flags.lower_case:
        raise InputError(
            f"{directory} has a cased vocabulary ({len(capitals)} words with capitals, such as "
            f"{quote(capitals[-1])}), and a tokenizer that lower-cases",
            allowed='a cased BERT with "do_lower_case": false in tokenizer_config.json, or an uncased one',
            hint="write that line if the BERT was trained so: a cased student then comes of it",
        )
    if tokenizer.flags.lower_case or cased:
        return []
    return ["do_lower_case is false, and no word has capitals: words with capitals are unknown to this BERT"]


def _rename(name: str) -> str:
    """A BERT's weight by SqueezeBERT's name for it."""
    layer = _LAYER.fullmatch(name)
    if layer:
        prefix, number, rest = layer.groups()
        own = next((begin for begin in _IN_LAYER if rest.startswith(begin)), "")
        name = f"{prefix}encoder.layers.{number}.{_IN_LAYER.get(own, '')}{rest.removeprefix(own)}"
    return re.sub(r"(^|\.)bert\.", rf"\1{matching.BASE}", name)


def _reshape(name: str, tensor: Tensor) -> Tensor:
    """A linear layer's weight as a convolution's: (C_out, C_in) -> (C_out, C_in, 1)."""
    return tensor.unsqueeze(2) if _CONVOLUTION.search(name) and tensor.dim() == 2 else tensor


def _add_pooler(named: dict[str, Tensor], config: SqueezeBertConfig, architecture: str) -> list[str]:
    """Add a pooler of zeros where BERT has none, since its head does not read it."""
    if any("pooler." in name for name in named) or architecture in (
        "SqueezeBertForSequenceClassification",
        "SqueezeBertForMultipleChoice",
    ):
        return []
    width = config.hidden_size
    base = matching.BASE if any(name.startswith(matching.BASE) for name in named) else ""
    named[f"{base}pooler.dense.weight"] = torch.zeros(width, width)
    named[f"{base}pooler.dense.bias"] = torch.zeros(width)
    return [f"there is no pooler, which {architecture} does not read: it is zeros"]
