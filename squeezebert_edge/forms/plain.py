"""The form that changes nothing: the reference's network as it stands."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from squeezebert_edge.forms.attention import padding_scores
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.heads import (
    SqueezeBertForMaskedLM,
    SqueezeBertForMultipleChoice,
    SqueezeBertForQuestionAnswering,
    SqueezeBertForTokenClassification,
)
from squeezebert_edge.tasks.heads import Task


class PlainForm(nn.Module):
    """The reference's network as it stands: grouped Conv1d over (B, C, S).

    Args:
        model: the reference, in eval mode; its weights are shared, not copied.
        task: names the outputs. Multiple choice gives the score of one choice, (B, 1).
    """

    def __init__(self, model: SqueezeBertPreTrainedModel, task: type[Task]) -> None:
        super().__init__()
        self.model, self.outputs = model, task.outputs

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute the outputs, float32."""
        mask = padding_scores(attention_mask)[:, None, None, :]  # (B, S) -> (B, 1, 1, S)
        inputs: dict[str, Any] = {
            "attention_mask": mask,
            "token_type_ids": token_type_ids,
            "return_dict": True,
        }
        if isinstance(self.model, SqueezeBertForMultipleChoice):
            return (self.model.classifier(self.model.transformer(input_ids, **inputs).pooler_output),)
        result = self.model(input_ids, **inputs)
        return tuple(result[name] for name in self.outputs)

    def norms_before_products(self) -> dict[str, str]:
        """Each norm with the product for every token that follows it, by dotted names.

        LiteRT's converter makes one product of the two. Where there is such a product, nothing is pooled.
        """
        last = f"model.transformer.encoder.layers.{self.model.config.num_hidden_layers - 1}.output.layernorm"
        match self.model:
            case SqueezeBertForMaskedLM():
                head = "model.cls.predictions"
                return {last: f"{head}.transform.dense", f"{head}.transform.LayerNorm": f"{head}.decoder"}
            case SqueezeBertForTokenClassification():
                return {last: "model.classifier"}
            case SqueezeBertForQuestionAnswering():
                return {last: "model.qa_outputs"}
            case _:
                return {}
