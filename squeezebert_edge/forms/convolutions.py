"""Forms whose products are 1x1 Conv2d with the groups kept: for the Neural Engine, and with channels last.

Their parts have the names of the group-resident form's (grouped.py), so that a part or a learned range is the
same thing in each. A form takes its inputs as every form does, and gives a task's outputs (catalog.py).
"""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor, nn

from squeezebert_edge.forms.attention import holds_whole_heads, padding_scores, query_key_scale
from squeezebert_edge.forms.heads import MaskedLMHead, build_head
from squeezebert_edge.forms.layouts import (
    ChannelEmbeddings,
    ChannelsFirst,
    ChannelsFirstByGroup,
    ChannelsLast,
    ConvLayout,
)
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.heads import SqueezeBertForMaskedLM
from squeezebert_edge.model.layers import EncoderLayer
from squeezebert_edge.tasks.heads import Task


class ConvForm(nn.Module):
    """A network of 1x1 convolutions; it takes one row at a time.

    Args:
        model: the reference, in eval mode; weights whose values change are copied, others shared.
        task: names the outputs. Multiple choice gives the score of one choice, (1, 1).
    """

    layout: ClassVar[type[ConvLayout]]

    def __init__(self, model: SqueezeBertPreTrainedModel, task: type[Task]) -> None:
        super().__init__()
        base = model.base_model
        self.embeddings = self.layout.embeddings(base.embeddings)
        layers = [ConvLayer(cast("EncoderLayer", layer), self.layout) for layer in base.encoder.layers]
        self.layers = nn.ModuleList(layers)
        self.head = build_head(model, self.layout, layers[-1])

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute the outputs, float32."""
        mask = self.layout.mask(padding_scores(attention_mask))
        x = self.embeddings(input_ids, token_type_ids)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(x)  # type: ignore[no-any-return]


class NeuralEngineForm(ConvForm):
    """Channels first, (1, C, 1, S); see ChannelsFirst."""

    layout: ClassVar[type[ConvLayout]] = ChannelsFirst

    def __init__(self, model: SqueezeBertPreTrainedModel, task: type[Task]) -> None:
        super().__init__(model, task)
        if isinstance(model, SqueezeBertForMaskedLM) and model.config.tie_word_embeddings:
            words = cast("ChannelEmbeddings", self.embeddings).word_embeddings
            decoder = cast("MaskedLMHead", self.head).decoder
            cast("nn.Conv2d", decoder).weight = words.weight  # so that it is stored once


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
    """One encoder layer.

    first_only: whether the first token's output alone is asked for.
    """

    def __init__(self, layer: EncoderLayer, layout: type[ConvLayout]) -> None:
        super().__init__()
        self.first_only = False
        attention = layer.attention
        self.heads, self.layout = attention.heads, layout
        scale = query_key_scale(attention.head_width)
        query, key = layout.product(attention.query, scale), layout.product(attention.key, scale)
        value = layout.product(attention.value)
        if holds_whole_heads(attention):
            self.qkv = nn.ModuleDict({"query": query, "key": key, "value": value})
        else:
            self.query, self.key, self.value = query, key, value
        self.post_attention = layout.product(layer.post_attention.conv1d)
        self.attention_norm = layout.norm(layer.post_attention.layernorm)
        self.intermediate = layout.product(layer.intermediate.conv1d)
        self.activation = layer.intermediate.act
        self.output = layout.product(layer.output.conv1d)
        self.output_norm: nn.Module = layout.norm(layer.output.layernorm)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Hidden states and a mask as the layout has them -> hidden states."""
        products = self.qkv.values() if hasattr(self, "qkv") else (self.query, self.key, self.value)
        query, key, value = products
        asked = self.layout.first(x) if self.first_only else x
        context = self.layout.context(query(asked), key(x), value(x), mask, self.heads)
        x = self.attention_norm(self.post_attention(context) + asked)
        return self.output_norm(self.output(self.activation(self.intermediate(x))) + x)  # type: ignore[no-any-return]
