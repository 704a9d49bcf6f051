"""Forms: the same network laid out for a runtime, each equal to the reference.

A form takes (input_ids, attention_mask, token_type_ids), each (B, S) int32, and gives the tuple of a task's
outputs. `PlainForm` is the reference's own network; a form that is laid out for a runtime stands beside it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from exporters.errors import InputError
from squeezebert_edge.model import SqueezeBertForMultipleChoice
from squeezebert_edge.tasks import Task

# Added to the scores of padding. exp(-1e4) is 0 in every precision, and -1e4 is finite in float16, where the
# reference's float32 minimum is -inf and turns a row that is all padding into NaN.
MASKED_SCORE = -1e4


class PlainForm(nn.Module):
    """The reference's network as it stands: grouped Conv1d over (B, C, S).

    Args:
        model: the reference, in eval mode; its weights are shared, not copied.
        task: names the outputs. Multiple choice gives the score of one choice, (B, 1).
    """

    def __init__(self, model: nn.Module, task: type[Task]) -> None:
        super().__init__()
        self.model, self.outputs = model, task.outputs

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute the outputs, float32."""
        padding = (attention_mask == 0).to(torch.float32)
        mask = (padding * MASKED_SCORE)[:, None, None, :]  # (B, S) -> (B, 1, 1, S)
        inputs: dict[str, Any] = {"attention_mask": mask, "token_type_ids": token_type_ids}
        if isinstance(self.model, SqueezeBertForMultipleChoice):
            return (self.model.classifier(self.model.transformer(input_ids, **inputs).pooler_output),)
        result = self.model(input_ids, **inputs)
        return tuple(result[name] for name in self.outputs)


FORMS: dict[str, type[nn.Module]] = {"plain": PlainForm}


def lay_out(model: nn.Module, task: type[Task], form: str) -> nn.Module:
    """The model in a form, in eval mode.

    Raises:
        InputError: no such form.
    """
    if form not in FORMS:
        raise InputError(f"unknown form '{form}'", allowed=", ".join(FORMS))
    return FORMS[form](model, task).eval()
