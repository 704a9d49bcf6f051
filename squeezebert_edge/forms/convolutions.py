"""Forms whose products are 1x1 Conv2d with the groups kept: for the Neural Engine, and with channels last.

Their parts have the names of the group-resident form's (forms.py): a part, or a learned range, is the same
thing in each.
"""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from squeezebert_edge.forms.attention import MASKED_SCORE
from squeezebert_edge.forms.layouts import (
    ChannelEmbeddings,
    ChannelsFirst,
    ChannelsFirstByGroup,
    ChannelsLast,
    Layout,
)
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.heads import (
    SqueezeBertForMaskedLM,
    SqueezeBertForMultipleChoice,
    SqueezeBertForQuestionAnswering,
    SqueezeBertForSequenceClassification,
    SqueezeBertForTokenClassification,
)
from squeezebert_edge.model.layers import EncoderLayer, SelfAttention
from squeezebert_edge.tasks.heads import Task


class ConvForm(nn.Module):
    """A network of 1x1 convolutions; it takes one row at a time.

    Args:
        model: the reference, in eval mode; weights whose values change are copied, others shared.
        task: names the outputs. Multiple choice gives the score of one choice, (1, 1).
    """

    layout: ClassVar[type[Layout]]

    def __init__(self, model: SqueezeBertPreTrainedModel, task: type[Task]) -> None:
        super().__init__()
        base = model.base_model
        self.embeddings = self.layout.embeddings(base.embeddings)
        self.layers = nn.ModuleList(
            ConvLayer(cast("EncoderLayer", layer), self.layout) for layer in base.encoder.layers
        )
        self.head = ConvHead(model, self.layout)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute the outputs, float32."""
        mask = self.layout.mask((attention_mask == 0).to(torch.float32) * MASKED_SCORE)
        x = self.embeddings(input_ids, token_type_ids)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(x)  # type: ignore[no-any-return]


class NeuralEngineForm(ConvForm):
    """Channels first, (1, C, 1, S); see ChannelsFirst."""

    layout: ClassVar[type[Layout]] = ChannelsFirst

    def __init__(self, model: SqueezeBertPreTrainedModel, task: type[Task]) -> None:
        super().__init__(model, task)
        if isinstance(model, SqueezeBertForMaskedLM) and model.config.tie_word_embeddings:
            words = cast("ChannelEmbeddings", self.embeddings).word_embeddings
            cast("nn.Conv2d", self.head.decoder).weight = words.weight  # so that it is stored once


class NeuralEngineGroupsForm(NeuralEngineForm):
    """The same with a convolution for each group, each of which may have a scale of its own."""

    layout = ChannelsFirstByGroup


class Conv2dForm(ConvForm):
    """Channels last, (1, 1, S, C): fast in float.

    LiteRT quantizes what goes into a convolution with one scale for all tokens at run time, so that padding
    would change an answer: no form for precisions that do so.
    """

    layout = ChannelsLast


class ConvLayer(nn.Module):
    """One encoder layer."""

    def __init__(self, layer: EncoderLayer, layout: type[Layout]) -> None:
        super().__init__()
        attention = layer.attention
        self.heads, self.layout = attention.heads, layout
        scale = 1 / math.sqrt(math.sqrt(attention.head_width))  # half of the scores' division on each side
        query, key = layout.product(attention.query, scale), layout.product(attention.key, scale)
        value = layout.product(attention.value)
        if _holds_whole_heads(attention):
            self.qkv = nn.ModuleDict({"query": query, "key": key, "value": value})
        else:
            self.query, self.key, self.value = query, key, value
        self.post_attention = layout.product(layer.post_attention.conv1d)
        self.attention_norm = layout.norm(layer.post_attention.layernorm)
        self.intermediate = layout.product(layer.intermediate.conv1d)
        self.activation = layer.intermediate.act
        self.output = layout.product(layer.output.conv1d)
        self.output_norm = layout.norm(layer.output.layernorm)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Hidden states and a mask as the layout has them -> hidden states."""
        products = self.qkv.values() if hasattr(self, "qkv") else (self.query, self.key, self.value)
        query, key, value = (product(x) for product in products)
        context = self.layout.context(query, key, value, mask, self.heads)
        x = self.attention_norm(self.post_attention(context) + x)
        return self.output_norm(self.output(self.activation(self.intermediate(x))) + x)  # type: ignore[no-any-return]


class ConvHead(nn.Module):
    """A head over hidden states."""

    def __init__(self, model: SqueezeBertPreTrainedModel, layout: type[Layout]) -> None:
        super().__init__()
        self.kind, self.layout = type(model), layout
        match model:
            case SqueezeBertForMaskedLM():
                transform = model.cls.predictions.transform
                self.transform, self.activation = layout.product(transform.dense), transform.transform_act_fn
                self.norm = layout.norm(transform.LayerNorm)
                self.decoder = layout.product(model.cls.predictions.decoder)
            case SqueezeBertForTokenClassification():
                self.classifier = layout.product(model.classifier)
            case SqueezeBertForQuestionAnswering():
                self.qa_outputs = layout.product(model.qa_outputs)
            case _:
                self.pooler = layout.product(model.base_model.pooler.dense)
                if isinstance(model, SqueezeBertForSequenceClassification | SqueezeBertForMultipleChoice):
                    self.classifier = layout.product(model.classifier)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Hidden states -> the outputs of the task."""
        if self.kind is SqueezeBertForMaskedLM:
            scores = self.decoder(self.norm(self.activation(self.transform(x))))
            return (self.layout.tokens(scores),)  # (1, S, vocabulary)
        if self.kind is SqueezeBertForTokenClassification:
            return (self.layout.tokens(self.classifier(x)),)  # (1, S, labels)
        if self.kind is SqueezeBertForQuestionAnswering:
            ends = self.qa_outputs(x)
            return self.layout.channel(ends, 0), self.layout.channel(ends, 1)  # (1, S) each
        pooled = torch.tanh(self.pooler(self.layout.first(x)))
        if hasattr(self, "classifier"):
            return (self.layout.pooled(self.classifier(pooled)),)  # (1, labels)
        return self.layout.tokens(x), self.layout.pooled(pooled)


def _holds_whole_heads(attention: SelfAttention) -> bool:
    """Whether queries, keys and values are one part: each group makes those of heads of its own."""
    groups = {part.groups for part in (attention.query, attention.key, attention.value)}
    return len(groups) == 1 and attention.heads % groups.pop() == 0
