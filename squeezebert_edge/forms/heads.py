"""The reference's heads over the hidden states of a form, whose layout says how these lie in memory.

A head has the same submodules whatever the layout, so that a product has the same name in every form.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from squeezebert_edge.forms.layouts import Layout
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.heads import (
    SqueezeBertForMaskedLM,
    SqueezeBertForMultipleChoice,
    SqueezeBertForQuestionAnswering,
    SqueezeBertForSequenceClassification,
    SqueezeBertForTokenClassification,
)


class LastLayer(Protocol):
    """A form's last encoder layer, as a head may have it.

    output_norm: its norm, which a head may replace together with the product that follows.
    first_only: whether it gives the first token's output alone. Of the others then only keys and values are
        computed, which is all that is read of them.
    """

    output_norm: nn.Module
    first_only: bool


def build_head(model: SqueezeBertPreTrainedModel, layout: type[Layout], last: LastLayer) -> nn.Module:
    """The head of a model, as a module (hidden states) -> the outputs of its task.

    Args:
        model: the reference.
        layout: of the hidden states.
        last: of the form's layers; its norm is replaced where a product follows it for every token, and it
            gives the first token's output alone where no other is read.
    """
    match model:
        case SqueezeBertForMaskedLM():
            return MaskedLMHead(model, layout, last)
        case SqueezeBertForTokenClassification():
            return TokenHead(model, layout, last)
        case SqueezeBertForQuestionAnswering():
            return SpanHead(model, layout, last)
        case SqueezeBertForSequenceClassification() | SqueezeBertForMultipleChoice():
            return TextHead(model, layout, last)
        case _:
            return BareHead(model, layout)


class MaskedLMHead(nn.Module):
    """Scores of the vocabulary for every token."""

    def __init__(self, model: SqueezeBertForMaskedLM, layout: type[Layout], last: LastLayer) -> None:
        super().__init__()
        self.layout = layout
        transform, decoder = model.cls.predictions.transform, model.cls.predictions.decoder
        last.output_norm, self.transform = layout.norm_and_product(last.output_norm, transform.dense)
        self.activation = transform.transform_act_fn
        self.norm, self.decoder = layout.norm_and_product(layout.norm(transform.LayerNorm), decoder)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Hidden states -> (B, S, vocabulary)."""
        return (self.layout.tokens(self.decoder(self.norm(self.activation(self.transform(x))))),)


class TokenHead(nn.Module):
    """A class for every token."""

    def __init__(
        self, model: SqueezeBertForTokenClassification, layout: type[Layout], last: LastLayer
    ) -> None:
        super().__init__()
        self.layout = layout
        last.output_norm, self.classifier = layout.norm_and_product(last.output_norm, model.classifier)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Hidden states -> (B, S, labels)."""
        return (self.layout.tokens(self.classifier(x)),)


class SpanHead(nn.Module):
    """The first and the last token of an answer."""

    def __init__(self, model: SqueezeBertForQuestionAnswering, layout: type[Layout], last: LastLayer) -> None:
        super().__init__()
        self.layout = layout
        last.output_norm, self.qa_outputs = layout.norm_and_product(last.output_norm, model.qa_outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Hidden states -> two of (B, S)."""
        return self.layout.channels(self.qa_outputs(x))


class BareHead(nn.Module):
    """No head: the hidden states, and the pooled first token."""

    def __init__(self, model: SqueezeBertPreTrainedModel, layout: type[Layout]) -> None:
        super().__init__()
        self.layout = layout
        self.pooler = layout.product(model.base_model.pooler.dense)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Hidden states -> (B, S, C) and (B, C)."""
        return self.layout.tokens(x), self.layout.pooled(self.pool(self.layout.first(x)))

    def pool(self, x: Tensor) -> Tensor:
        """Hidden states of the first token -> hidden states of one token."""
        return torch.tanh(self.pooler(x))


class TextHead(BareHead):
    """A class for a text, or the score of one choice, from the pooled first token."""

    def __init__(
        self,
        model: SqueezeBertForSequenceClassification | SqueezeBertForMultipleChoice,
        layout: type[Layout],
        last: LastLayer,
    ) -> None:
        super().__init__(model, layout)
        last.first_only = self.first_only = layout.first_alone
        self.classifier = layout.product(model.classifier)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Hidden states, of the first token at least -> (B, labels), or (B, 1) for a choice."""
        first = x if self.first_only else self.layout.first(x)
        return (self.layout.pooled(self.classifier(self.pool(first))),)
