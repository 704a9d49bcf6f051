"""Forms: the same network laid out for a runtime, each equal to the reference.

A form takes (input_ids, attention_mask, token_type_ids), each (B, S) int32, and gives the tuple of a task's
outputs. In comments B, C, S are batch, channels, sequence, H counts heads, d is a head's width.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.products import BatchedLinear
from squeezebert_edge.forms.attention import _added_to_scores, _holds_whole_heads
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


class GroupResidentLayer(nn.Module):
    """One encoder layer over (B, S, C)."""

    def __init__(self, layer: EncoderLayer) -> None:
        super().__init__()
        attention = layer.attention
        self.heads, self.head_width = attention.heads, attention.head_width
        if _holds_whole_heads(attention):
            self.qkv = _fused(attention)
        else:
            query, key = _scaled(attention)
            self.query = _linears(query, attention.query.groups)
            self.key = _linears(key, attention.key.groups)
            self.value = _linears(_parameters(attention.value), attention.value.groups)
        self.post_attention = _linears_of(layer.post_attention.conv1d)
        self.attention_norm = _norm(layer.post_attention.layernorm)
        self.intermediate = _linears_of(layer.intermediate.conv1d)
        self.activation = layer.intermediate.act
        self.output = _linears_of(layer.output.conv1d)
        self.output_norm = _norm(layer.output.layernorm)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, S, C) and a mask that broadcasts to (B, H, S, S) -> (B, S, C)."""
        x = self.attention_norm(_grouped(self.post_attention, self._context(x, mask)) + x)
        return self.output_norm(self._feed_forward(x) + x)  # type: ignore[no-any-return]

    def _context(self, x: Tensor, mask: Tensor) -> Tensor:
        if hasattr(self, "qkv"):
            fused = [linear(part) for linear, part in zip(self.qkv, _parts(x, len(self.qkv)), strict=True)]
            # (B, S, 3C/G) -> (B, 3H/G, S, d) of each group, its queries before its keys before its values
            groups = [_parts(self._apart(part), 3, dim=1) for part in fused]
            query, key, value = (_joined(list(parts), dim=1) for parts in zip(*groups, strict=True))
        else:
            parts = self.query, self.key, self.value
            query, key, value = (self._apart(_grouped(part, x)) for part in parts)
        return self._attend(query, key, value, mask).transpose(1, 2).flatten(2)  # (B, H, S, d) -> (B, S, C)

    def _apart(self, x: Tensor) -> Tensor:
        """As many heads as there are: (B, S, H*d) -> (B, H, S, d)."""
        return x.view(*x.shape[:2], -1, self.head_width).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """(B, H, S, d) each -> (B, H, S, d)."""
        probabilities = F.softmax(torch.matmul(query, key.transpose(2, 3)) + mask, dim=-1)  # (B, H, S, S)
        return torch.matmul(probabilities, value)

    def _feed_forward(self, x: Tensor) -> Tensor:
        if len(self.intermediate) != len(self.output):
            return _grouped(self.output, self.activation(_grouped(self.intermediate, x)))
        parts = zip(self.intermediate, self.output, _parts(x, len(self.output)), strict=True)
        return _joined([narrow(self.activation(widen(part))) for widen, narrow, part in parts])


class GroupResidentForm(nn.Module):
    """Linear layers over (B, S, C), one for each group of a convolution.

    A group's channels stay together as long as they can: where queries, keys and values have the same groups,
    and these hold whole heads, one product gives all three to the group's own heads; where the feed-forward
    part has the same groups on both sides, it is so many small networks. Elsewhere a layer falls back to
    products that are put together again after each convolution.

    Args:
        model: the reference, in eval mode; weights that change their shape are copied, others shared.
        task: names the outputs. Multiple choice gives the score of one choice, (B, 1).
    """

    layer = GroupResidentLayer

    def __init__(self, model: SqueezeBertPreTrainedModel, task: type[Task]) -> None:
        super().__init__()
        base = model.base_model
        self.embeddings = base.embeddings
        layers = [self.layer(cast("EncoderLayer", layer)) for layer in base.encoder.layers]
        self.layers = nn.ModuleList(layers)
        self.head = Head(model, layers[-1])

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute the outputs, float32."""
        mask = _added_to_scores(attention_mask)
        x = self.embeddings(self.embeddings.word_embeddings(input_ids), token_type_ids)  # (B, S, C)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(x)  # type: ignore[no-any-return]


class GroupBatchedLayer(GroupResidentLayer):
    """One encoder layer over (1, S, C); a layer whose groups hold no whole heads is one over (B, S, C)."""

    def __init__(self, layer: EncoderLayer) -> None:
        super().__init__(layer)
        if hasattr(self, "qkv") and len(self.qkv) > 1:
            self.batched_qkv = BatchedLinear(self.qkv)
            del self.qkv

    def _context(self, x: Tensor, mask: Tensor) -> Tensor:
        if not hasattr(self, "batched_qkv"):
            return super()._context(x, mask)
        groups = len(self.batched_qkv.weight)
        apart = x.view(x.shape[1], groups, -1).transpose(0, 1)  # (1, S, C) -> (S, G, C/G) -> (G, S, C/G)
        fused = self._apart(self.batched_qkv(apart))  # (G, S, 3C/G) -> (G, 3H/G, S, d)
        query, key, value = _parts(fused, 3, dim=1)
        context = self._attend(query, key, value, mask)  # (G, H/G, S, d)
        return context.permute(2, 0, 1, 3).reshape(x.shape)  # (G, H/G, S, d) -> (S, G, H/G, d) -> (1, S, C)


class GroupBatchedForm(GroupResidentForm):
    """The group-resident form with the queries, keys and values of all groups as one batched product.

    Takes one row at a time.
    """

    layer = GroupBatchedLayer


class Head(nn.Module):
    """A head over hidden states (B, S, C).

    Args:
        model: the reference.
        last: its last layer, whose LayerNorm leaves scale and shift to a product over every token.
    """

    def __init__(self, model: SqueezeBertPreTrainedModel, last: GroupResidentLayer) -> None:
        super().__init__()
        self.kind = type(model)
        match model:
            case SqueezeBertForMaskedLM():
                transform = model.cls.predictions.transform
                last.output_norm, self.transform = _absorbed(last.output_norm, transform.dense)
                self.activation = transform.transform_act_fn
                self.norm, self.decoder = _absorbed(transform.LayerNorm, model.cls.predictions.decoder)
            case SqueezeBertForTokenClassification():
                last.output_norm, self.classifier = _absorbed(last.output_norm, model.classifier)
            case SqueezeBertForQuestionAnswering():
                last.output_norm, self.qa_outputs = _absorbed(last.output_norm, model.qa_outputs)
            case _:
                self.pooler = model.base_model.pooler.dense
                if isinstance(model, SqueezeBertForSequenceClassification | SqueezeBertForMultipleChoice):
                    self.classifier = model.classifier

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, S, C) -> the outputs of the task."""
        if self.kind is SqueezeBertForMaskedLM:
            return (self.decoder(self.norm(self.activation(self.transform(x)))),)  # (B, S, vocabulary)
        if self.kind is SqueezeBertForTokenClassification:
            return (self.classifier(x),)  # (B, S, labels)
        if self.kind is SqueezeBertForQuestionAnswering:
            return self.qa_outputs(x).unbind(-1)  # type: ignore[no-any-return]  # (B, S, 2) -> two of (B, S)
        pooled = torch.tanh(self.pooler(x[:, 0]))  # (B, C)
        return (self.classifier(pooled),) if hasattr(self, "classifier") else (x, pooled)


Parameters = tuple[Tensor, Tensor]  # a grouped convolution's weight (C_out, C_in/G) and bias (C_out,)


def _parameters(conv: nn.Conv1d, scale: float = 1.0) -> Parameters:
    assert conv.bias is not None
    return conv.weight.detach()[..., 0] * scale, conv.bias.detach() * scale


def _scaled(attention: SelfAttention) -> tuple[Parameters, Parameters]:
    """Queries and keys, with the scores' division by sqrt(d) in them, half of it on each side."""
    scale = 1 / math.sqrt(math.sqrt(attention.head_width))
    return _parameters(attention.query, scale), _parameters(attention.key, scale)


def _fused(attention: SelfAttention) -> nn.ModuleList:
    """For each group one product that gives its queries, keys and values, in this order."""
    parts = *_scaled(attention), _parameters(attention.value)
    groups = attention.query.groups
    # (C, C/G) of each part -> (G, 3, C/G, C/G) -> (3C, C/G), and biases alike
    weight = torch.stack([weight.reshape(groups, -1, weight.shape[1]) for weight, _ in parts], dim=1)
    bias = torch.stack([bias.reshape(groups, -1) for _, bias in parts], dim=1)
    return _linears((weight.flatten(0, 2), bias.flatten()), groups)


def _linears_of(conv: nn.Conv1d) -> nn.ModuleList:
    return _linears(_parameters(conv), conv.groups)


def _linears(parameters: Parameters, groups: int) -> nn.ModuleList:
    """A grouped 1x1 convolution as a linear layer for each group."""
    linears = nn.ModuleList()
    for weight, bias in zip(*(parameter.chunk(groups) for parameter in parameters), strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
        linear.weight, linear.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        linears.append(linear)
    return linears


def _norm(layernorm: nn.LayerNorm) -> nn.LayerNorm:
    """The reference's LayerNorm over channels, with channels last."""
    norm = nn.LayerNorm(layernorm.normalized_shape, eps=layernorm.eps, device="meta")
    norm.weight, norm.bias = layernorm.weight, layernorm.bias
    return norm


def _absorbed(norm: nn.LayerNorm, linear: nn.Linear) -> tuple[nn.LayerNorm, nn.Linear]:
    """Both, with the norm's scale and shift in the product that follows it.

    LiteRT's converter would do so unasked, and the exporters know a product by its weights.
    """
    bare = nn.LayerNorm(norm.normalized_shape, eps=norm.eps, elementwise_affine=False)
    absorbing = nn.Linear(linear.in_features, linear.out_features, device="meta")
    weight, scale, shift = linear.weight.detach(), norm.weight.detach(), norm.bias.detach()
    absorbing.weight = nn.Parameter(weight * scale)
    absorbing.bias = nn.Parameter(linear.bias.detach() + weight @ shift)
    return bare, absorbing


def _grouped(linears: nn.ModuleList, x: Tensor) -> Tensor:
    """A grouped product: (B, S, C_in) -> (B, S, C_out)."""
    parts = zip(linears, _parts(x, len(linears)), strict=True)
    return _joined([linear(part) for linear, part in parts])


def _parts(x: Tensor, count: int, dim: int = -1) -> list[Tensor]:
    """Equal parts; slices, for ExecuTorch's XNNPACK does not take a split."""
    width = x.shape[dim] // count
    return [x] if count == 1 else [x.narrow(dim, i * width, width) for i in range(count)]


def _joined(parts: list[Tensor], dim: int = -1) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
