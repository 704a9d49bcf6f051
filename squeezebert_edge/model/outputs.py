"""What the models return: records that also read as tuples of the fields that are present."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor
from torch.export import register_dataclass


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """A record whose fields are also the items of a tuple; fields that are None are left out of it.

    So `logits, = model(...)`, `loss, logits = model(..., labels=...)`, `output[0]` and `output["logits"]`
    all work beside `output.logits`.
    """

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are present, in order."""
        return tuple(value for _, value in self.items())

    def items(self) -> list[tuple[str, Any]]:
        """Name and value of each field that is present, in order."""
        pairs = [(f.name, getattr(self, f.name)) for f in fields(self)]
        return [(name, value) for name, value in pairs if value is not None]

    def keys(self) -> list[str]:
        """Names of the fields that are present, in order; with it `dict(output)` works."""
        return [name for name, _ in self.items()]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.to_tuple())

    def __getitem__(self, key: int | slice | str) -> Any:
        return dict(self.items())[key] if isinstance(key, str) else self.to_tuple()[key]


@dataclass(frozen=True, eq=False)
class EncoderOutput(ModelOutput):
    """Of the bare model.

    last_hidden_state: (batch, length, width).
    pooler_output: (batch, width): the first token's, after a linear layer and tanh.
    hidden_states: the embeddings and each layer's output, each (batch, length, width).
    attentions: each layer's scores after the mask and *before* softmax, (batch, heads, length, length),
        as transformers' SqueezeBERT returns them.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True, eq=False)
class HeadOutput(ModelOutput):
    """Of the heads with one tensor of logits.

    loss: a scalar, when labels were given.
    logits: masked LM (batch, length, vocabulary); sequence classification (batch, labels); multiple choice
        (batch, choices); token classification (batch, length, labels).
    hidden_states, attentions: as in EncoderOutput.
    """

    loss: Tensor | None
    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True, eq=False)
class SpanOutput(ModelOutput):
    """Of the question-answering head.

    loss: the mean of start's and end's, when both positions were given.
    start_logits, end_logits: (batch, length).
    hidden_states, attentions: as in EncoderOutput.
    """

    loss: Tensor | None
    start_logits: Tensor
    end_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


# So that torch.export and DistributedDataParallel find the tensors inside.
for _record in (EncoderOutput, HeadOutput, SpanOutput):
    register_dataclass(_record)
