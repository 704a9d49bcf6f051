"""The float model, called as an artifact is called, and held to what transformers computes.

Reference and artifact come of the same code, so that an error in it is in both, and no comparison of the two
sees it. The package therefore carries what transformers computed (tests/kit/golden.py wrote it): for the
default model, its tokenizer included, and for a tiny network of each head.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from exporters.arrays import Array
from exporters.errors import GateError
from squeezebert_edge.checkpoint.checkpoint import DEFAULT, load_checkpoint
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.tasks.heads import TASKS, Task, TextClassification
from squeezebert_edge.text.tokenizer import Tokenizer, pad

GOLDEN = "golden.safetensors"  # among the package's assets
WORTH_SHARING = 0.5e9  # multiply-accumulates of a call; over fewer, threads mostly wait for each other
TOLERANCE = 1e-5  # relative to max(1, largest output): floats are added up in another order elsewhere


class Reference:
    """The float model in torch, with the interface of an artifact's runner.

    Args:
        model: in eval mode.
        task: what its head is for.

    Raises:
        GateError: this installation's float model does not compute what transformers does.
    """

    def __init__(self, model: torch.nn.Module, task: type[Task]) -> None:
        require_sound_reference()
        self.model, self.task = model, task
        self._macs = macs_per_token(model)

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the task's outputs for a batch of rows.

        Args:
            inputs: name -> (B, S) integers. Each choice of a multiple choice is a row of its own.

        Returns:
            Name -> float32, its first axis B.
        """
        with torch_threads(useful_threads(self._macs * next(iter(inputs.values())).size)):
            return _compute(self.model, self.task, inputs)


def useful_threads(macs: int) -> int:
    """How many of torch's threads help with a call of so many multiply-accumulates: all of them or one."""
    return torch.get_num_threads() if macs >= WORTH_SHARING else 1


def threads_for(model: torch.nn.Module, length: int) -> int:
    """How many of torch's threads help with a row of a model."""
    return useful_threads(macs_per_token(model) * length)


@cache
def require_sound_reference() -> None:
    """Raise GateError if the float model does not compute what transformers does.

    It is computed once a process, in a fraction of a second.
    """
    path = Path(str(resources.files("squeezebert_edge"))) / "assets" / GOLDEN
    with safe_open(path, framework="pt") as file:
        texts: dict[str, str] = file.metadata()
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    wrong = list(_differences(tensors, texts))
    if wrong:
        raise GateError(
            f"the float reference of this installation is wrong: {'; '.join(wrong)}",
            allowed=f"what transformers computes, to {TOLERANCE:g} of the largest output",
            hint="install squeezebert-edge and torch anew; nothing can be proven with this one",
        )


def _differences(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> Iterator[str]:
    """In words, each thing that is computed here otherwise than by transformers."""
    checkpoint = load_checkpoint(DEFAULT)
    given = _below("default/inputs", tensors)
    for (text, pair), *row in zip(json.loads(texts["texts"]), *given.values(), strict=True):
        if not _is_encoded(text, pair, dict(zip(given, row, strict=True)), checkpoint.tokenizer):
            yield f"the default model's tokenizer gives other tokens for {text!r}"
    yield from _difference("the default model", checkpoint.model, TextClassification, "default", tensors)
    for task in TASKS.values():
        model = ARCHITECTURES[task.architecture](
            SqueezeBertConfig.from_dict(json.loads(texts[f"{task.name}/config"]))
        )
        weights = _below(f"{task.name}/weights", tensors)
        model.load_state_dict({name: weight.float() for name, weight in weights.items()})
        yield from _difference(f"a network for {task.name}", model.eval(), task, task.name, tensors)


def _is_encoded(text: str, pair: str | None, expected: Mapping[str, Tensor], tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer makes these rows of (S,) of a text."""
    length = len(next(iter(expected.values())))
    encoding = tokenizer.encode(text, pair, max_length=length)
    row = pad(encoding, length, tokenizer.special_ids["pad"])
    return all(np.array_equal(row[name][0], value.numpy()) for name, value in expected.items())


def _difference(
    what: str, model: torch.nn.Module, task: type[Task], name: str, tensors: Mapping[str, Tensor]
) -> Iterator[str]:
    """In words, the largest error of a model on its golden inputs, if that is too large."""
    inputs = {key: value.numpy() for key, value in _below(f"{name}/inputs", tensors).items()}
    computed = _compute(model, task, inputs)
    for output, golden in _below(f"{name}/outputs", tensors).items():
        expected = golden.numpy()
        error = float(np.abs(computed[output] - expected).max())
        limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
        if not error <= limit:  # NaN is an error too
            yield f"{output} of {what} differ by {error:.2g}"


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def macs_per_token(model: torch.nn.Module) -> int:
    """About how many multiply-accumulates a token takes: the weights but for tables, which are looked up."""
    tables = {id(part.weight) for part in model.modules() if isinstance(part, torch.nn.Embedding)}
    return sum(weight.numel() for weight in model.parameters() if id(weight) not in tables)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Have torch compute with so many threads."""
    before = torch.get_num_threads()
    if threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _compute(model: torch.nn.Module, task: type[Task], inputs: Mapping[str, Array]) -> dict[str, Array]:
    tensors = {name: torch.from_numpy(value).long() for name, value in inputs.items()}
    if task.name == "multiple-choice":  # the model takes (B, choices, S): here one choice in each
        tensors = {name: value[:, None] for name, value in tensors.items()}
    with torch.inference_mode():
        result = model(**tensors, return_dict=True)
    return {name: result[name].numpy() for name in task.outputs}
