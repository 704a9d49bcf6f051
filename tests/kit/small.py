"""A small checkpoint with a real tokenizer, and runners made of torch alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezebert_edge.bundle.manifest import write_manifest
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, save_checkpoint
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.tasks.heads import Task
from squeezebert_edge.text.tokenizer import Tokenizer
from tests.kit.tiny import tiny_config, tiny_model

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"-()"
WORDS = ["the", "is", "of", "and", "good", "bad", "##ing", "##ed", "film", "food"]
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS[:36]),
    *WORDS,
]


def small_checkpoint(
    architecture: str = "SqueezeBertForSequenceClassification", **overrides: Any
) -> Checkpoint:
    """A random tiny model with a tokenizer that knows every letter."""
    config = tiny_config(architectures=[architecture], **overrides)
    model = tiny_model(architecture, **overrides)
    return Checkpoint(
        config=config,
        model=model,
        tokenizer=Tokenizer(VOCABULARY),
        source="CHECKPOINT",
        sha256="0" * 64,
        accepted=(),
    )


def save_small(directory: Path, **overrides: Any) -> Path:
    """The same in a directory, which this gives back."""
    small = small_checkpoint(**overrides)
    save_checkpoint(directory, config=small.config, model=small.model, tokenizer=small.tokenizer)
    return directory


def uncased_layer(architecture: str) -> Checkpoint:
    """One layer in squeezebert-uncased's shapes, its weights as training would begin with them."""
    shapes = {"hidden_size": 768, "embedding_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
    config = tiny_config(architectures=[architecture], num_hidden_layers=1, **shapes)
    torch.manual_seed(0)
    return replace(
        small_checkpoint(architecture), config=config, model=ARCHITECTURES[architecture](config).eval()
    )


def as_format(bundle: Bundle, format_: str, directory: Path) -> Bundle:
    """A bundle's files as one of another format, for what copies bundles and runs none."""
    artifact = {"coreml": "model.mlpackage", "executorch": "model.pte", "tflite": "model.tflite"}[format_]
    shutil.copytree(bundle.directory, directory)
    made = directory / artifact
    fields = bundle.manifest.model_dump(exclude={"schema_version", "files"})
    if format_ == "coreml":
        fields["inputs"] = [{"name": "inputs", "dtype": "int32", "shape": [1, len(fields["inputs"]), None]}]
        made.mkdir()
        made /= "model.mlmodel"
    (directory / bundle.manifest.artifact).rename(made)
    write_manifest(directory, fields | {"format": format_, "artifact": artifact}, proven=True)
    return open_bundle(directory)


class TorchRunner:
    """A form run by torch, standing in for a runtime."""

    computed_by = "runtime"
    inputs = ("input_ids", "attention_mask", "token_type_ids")

    def __init__(self, model: nn.Module, task: type[Task], lengths: tuple[int, ...]) -> None:
        self.form = lay_out(model, task, "plain")
        self.outputs, self.lengths = task.outputs, lengths

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            values = self.form(*(torch.from_numpy(inputs[name]) for name in self.inputs))
        return {name: value.numpy() for name, value in zip(self.outputs, values, strict=True)}
