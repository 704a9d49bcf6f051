"""What the tests of the exporters export, and how they compare it with torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import exporters
from exporters.spec import Artifact, ExportRequest, Runner
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.model.activations import activation
from squeezebert_edge.model.config import ACTIVATION_NAMES
from squeezebert_edge.tasks.heads import of_architecture
from tests.kit.tiny import tiny_model

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LENGTHS = (8, 16)
WORDS = 12_000  # of a vocabulary that is nearly all of a masked LM's bytes
METADATA = {"task": "a test", "labels": '["schön", "not"]'}


class Small(nn.Module):
    """One output per token, one per row. It is as wide as one of LENGTHS, which must not confuse anybody."""

    outputs = ("tokens", "row")

    def __init__(self, words: int = 50) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.types = nn.Embedding(words, 16), nn.Embedding(2, 16)
        self.linear = nn.Linear(16, 16)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """(1, S) each -> (1, S, 16) and (1, 16)."""
        x = self.linear(self.words(input_ids) + self.types(token_type_ids)) * attention_mask[..., None]
        return x, torch.tanh(x[:, 0] - x[:, 1])


class Activations(nn.Module):
    """Each activation on (1, C, S), as in the encoder; those with weights on (1, S, C) too, the LM head's."""

    with_weights = ("prelu", "xielu")
    outputs = (*ACTIVATION_NAMES, *(f"{name}_last" for name in with_weights))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(50, 6)
        self.activations = nn.ModuleDict({f"act_{name}": activation(name) for name in ACTIVATION_NAMES})

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """(1, S) each -> a tensor for each of `outputs`."""
        x = self.words(input_ids) * 3 + (attention_mask + token_type_ids)[..., None]
        flipped = x.permute(0, 2, 1)  # (1, S, C) -> (1, C, S)
        return (
            *(self.activations[f"act_{name}"](flipped) for name in ACTIVATION_NAMES),
            *(self.activations[f"act_{name}"](x) for name in self.with_weights),
        )


def request(
    module: nn.Module,
    outputs: Sequence[str],
    precision: str = "fp32",
    *,
    lengths: Sequence[int] = LENGTHS,
    target: str | None = None,
) -> ExportRequest:
    examples = {
        length: {name: torch.ones(1, length, dtype=torch.int32) for name in INPUTS} for length in lengths
    }
    return ExportRequest(module.eval(), examples, outputs, precision, METADATA, target)


class Made(NamedTuple):
    """An artifact, what its exporter said of it, and the module that it was made of."""

    path: Path
    artifact: Artifact
    module: nn.Module


def make(format_: str, directory: Path, module: nn.Module, outputs: Sequence[str], **options: Any) -> Made:
    """A module in a format; options as `request` takes them."""
    exporter = exporters.get(format_, to_export=True)
    path = directory / exporter.file_name
    return Made(path, exporter.export(request(module, outputs, **options), path), module)


def head(architecture: str, form: str = "plain", **overrides: Any) -> tuple[nn.Module, tuple[str, ...]]:
    """A head of one layer in a form, and the names of its outputs."""
    task = of_architecture(architecture)
    model = tiny_model(architecture, **{"num_hidden_layers": 1} | overrides)
    return lay_out(model, task, form), tuple(task.outputs)


def row(length: int, tokens: int, words: int = 50) -> dict[str, np.ndarray]:
    """A row of so many random tokens and padding."""
    random = np.random.default_rng(length + tokens)
    mask = (np.arange(length) < tokens).astype(np.int32)[None]
    return {
        "input_ids": random.integers(0, words, (1, length), np.int32) * mask,
        "attention_mask": mask,
        "token_type_ids": random.integers(0, 2, (1, length), np.int32) * mask,
    }


def computed(module: nn.Module, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs by torch."""
    with torch.inference_mode():
        return [output.numpy() for output in module(*(torch.from_numpy(inputs[name]) for name in INPUTS))]


def assert_equal(
    runner: Runner, module: nn.Module, tolerance: float = 1e-5, outputs: Sequence[str] | None = None
) -> None:
    """The runner computes what torch does for a full row, a padded one and one that is all padding.

    `outputs` names the module's outputs where the runner, which finds some of them equal, may reorder them.
    """
    for length in runner.lengths:
        for tokens in (length, length // 2, 0):
            inputs = row(length, tokens)
            found = runner(inputs)
            assert tuple(found) == runner.outputs
            for name, expected in zip(outputs or runner.outputs, computed(module, inputs), strict=True):
                assert found[name].dtype == np.float32
                assert found[name].shape == expected.shape
                assert np.isfinite(found[name]).all()
                bound = tolerance * max(1.0, float(abs(expected).max()))
                np.testing.assert_allclose(found[name], expected, rtol=0, atol=bound, err_msg=name)


WRONG_INPUTS = {
    "a missing input": lambda inputs: {"input_ids": inputs["input_ids"]},
    "none at all": lambda inputs: {},
    "one too many": lambda inputs: inputs | {"position_ids": inputs["input_ids"]},
    "int64": lambda inputs: {name: value.astype(np.int64) for name, value in inputs.items()},
    "float": lambda inputs: {name: value.astype(np.float32) for name, value in inputs.items()},
    "a length that is not there": lambda inputs: {name: value[:, :7] for name, value in inputs.items()},
    "no batch axis": lambda inputs: {name: value[0] for name, value in inputs.items()},
    "two rows": lambda inputs: {name: value.repeat(2, 0) for name, value in inputs.items()},
    "different lengths": lambda inputs: inputs | {"attention_mask": np.ones((1, 8), np.int32)},
}
