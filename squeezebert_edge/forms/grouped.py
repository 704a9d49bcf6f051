"""Forms whose products are linear layers, one for each group of a convolution.

A form takes its inputs as every form does, and gives a task's outputs (catalog.py). In comments B, C, S are
batch, channels and sequence, G counts groups, H heads, d is a head's width.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.products import BatchedLinear
from squeezebert_edge.forms.attention import holds_whole_heads, padding_scores, query_key_scale
from squeezebert_edge.forms.heads import build_head
from squeezebert_edge.forms.layouts import LinearLayout
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.layers import EncoderLayer, SelfAttention
from squeezebert_edge.tasks.heads import Task


class GroupResidentLayer(nn.Module):
    """One encoder layer over (B, S, C).

    first_only: whether the first token's output alone is asked for.
    """

    def __init__(self, layer: EncoderLayer) -> None:
        super().__init__()
        self.first_only = False
        attention = layer.attention
        self.head_width = attention.head_width
        if holds_whole_heads(attention):
            self.qkv = _fuse(attention)
        else:
            scale = query_key_scale(attention.head_width)
            self.query = _linears_of(attention.query, scale)
            self.key = _linears_of(attention.key, scale)
            self.value = _linears_of(attention.value)
        self.post_attention = _linears_of(layer.post_attention.conv1d)
        self.attention_norm = LinearLayout.norm(layer.post_attention.layernorm)
        self.intermediate = _linears_of(layer.intermediate.conv1d)
        self.activation = layer.intermediate.act
        self.output = _linears_of(layer.output.conv1d)
        self.output_norm: nn.Module = LinearLayout.norm(layer.output.layernorm)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, S, C) and a mask that broadcasts to (B, H, S, S) -> (B, S, C), or (B, 1, C)."""
        context = self._context(x, mask)
        asked = LinearLayout.first(x) if self.first_only else x
        x = self.attention_norm(_grouped_product(self.post_attention, context) + asked)
        return self.output_norm(self._feed_forward(x) + x)  # type: ignore[no-any-return]

    def _context(self, x: Tensor, mask: Tensor) -> Tensor:
        if hasattr(self, "qkv"):
            fused = [linear(part) for linear, part in zip(self.qkv, _split(x, len(self.qkv)), strict=True)]
            # (B, S, 3C/G) -> (B, 3H/G, S, d) of each group, its queries before its keys before its values
            groups = [_split(self._split_heads(part), 3, dim=1) for part in fused]
            query, key, value = (_join(list(parts), dim=1) for parts in zip(*groups, strict=True))
        else:
            products = self.query, self.key, self.value
            query, key, value = (self._split_heads(_grouped_product(linears, x)) for linears in products)
        return self._attend(query, key, value, mask).transpose(1, 2).flatten(2)  # (B, H, S, d) -> (B, S, C)

    def _split_heads(self, x: Tensor) -> Tensor:
        """As many heads as there are: (B, S, H*d) -> (B, H, S, d)."""
        return x.view(*x.shape[:2], -1, self.head_width).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """(B, H, S, d) each -> (B, H, S, d), or (B, H, 1, d) of the first token."""
        if self.first_only:
            query = query[:, :, :1]
        probabilities = F.softmax(torch.matmul(query, key.transpose(2, 3)) + mask, dim=-1)  # (B, H, S, S)
        return torch.matmul(probabilities, value)

    def _feed_forward(self, x: Tensor) -> Tensor:
        if len(self.intermediate) != len(self.output):
            return _grouped_product(self.output, self.activation(_grouped_product(self.intermediate, x)))
        parts = zip(self.intermediate, self.output, _split(x, len(self.output)), strict=True)
        return _join([narrow(self.activation(widen(part))) for widen, narrow, part in parts])


class GroupResidentForm(nn.Module):
    """Linear layers over (B, S, C), one for each group of a convolution.

    A group's channels stay together as long as they can: where queries, keys and values have the same groups,
    and these hold whole heads, one product gives all three to the group's own heads; where the feed-forward
    part has the same groups on both sides, each group is a small network of its own. Elsewhere what the
    groups give is put together again after each convolution.

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
        self.head = build_head(model, LinearLayout, layers[-1])

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute the outputs, float32."""
        mask = padding_scores(attention_mask)[:, None, None, :]  # (B, S) -> (B, 1, 1, S)
        x = self.embeddings(self.embeddings.word_embeddings(input_ids), token_type_ids)  # (B, S, C)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(x)  # type: ignore[no-any-return]


class GroupBatchedLayer(GroupResidentLayer):
    """One encoder layer over (1, S, C); a layer whose groups hold no whole heads is one over (B, S, C)."""

    def __init__(self, layer: EncoderLayer) -> None:
        super().__init__(layer)
        if hasattr(self, "qkv") and len(self.qkv) > 1:
            self.register_module("qkv", BatchedLinear(self.qkv))  # a part is called alike in every form

    def _context(self, x: Tensor, mask: Tensor) -> Tensor:
        qkv = getattr(self, "qkv", None)
        if not isinstance(qkv, BatchedLinear):
            return super()._context(x, mask)
        groups = len(qkv.weight)
        apart = x.view(x.shape[1], groups, -1).transpose(0, 1)  # (1, S, C) -> (S, G, C/G) -> (G, S, C/G)
        fused = self._split_heads(qkv(apart))  # (G, S, 3C/G) -> (G, 3H/G, S, d)
        query, key, value = _split(fused, 3, dim=1)
        context = self._attend(query, key, value, mask)  # (G, H/G, S, d)
        return context.permute(2, 0, 1, 3).flatten(1)[None]  # (G, H/G, S, d) -> (S, G, H/G, d) -> (1, S, C)


class GroupBatchedForm(GroupResidentForm):
    """The group-resident form with the queries, keys and values of all groups as one batched product.

    Takes one row at a time.
    """

    layer = GroupBatchedLayer


def _parameters(conv: nn.Conv1d, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """A convolution's weight (C_out, C_in/G) and bias (C_out,), both times `scale`."""
    assert conv.bias is not None
    return conv.weight.detach()[..., 0] * scale, conv.bias.detach() * scale


def _linears_of(conv: nn.Conv1d, scale: float = 1.0) -> nn.ModuleList:
    """A grouped 1x1 convolution as a linear layer for each group, their outputs times `scale`."""
    return _linears(*_parameters(conv, scale), conv.groups)


def _fuse(attention: SelfAttention) -> nn.ModuleList:
    """For each group one product that gives its queries, keys and values, in this order."""
    scale, groups = query_key_scale(attention.head_width), attention.query.groups
    parts = (
        _parameters(attention.query, scale),
        _parameters(attention.key, scale),
        _parameters(attention.value),
    )
    # (C, C/G) of each part -> (G, 3, C/G, C/G) -> (3C, C/G), and biases alike
    weight = torch.stack([weight.reshape(groups, -1, weight.shape[1]) for weight, _ in parts], dim=1)
    bias = torch.stack([bias.reshape(groups, -1) for _, bias in parts], dim=1)
    return _linears(weight.flatten(0, 2), bias.flatten(), groups)


def _linears(weight: Tensor, bias: Tensor, groups: int) -> nn.ModuleList:
    """A linear layer for each group of a weight (C_out, C_in/G) and a bias (C_out,)."""
    linears = nn.ModuleList()
    for rows, shifts in zip(weight.chunk(groups), bias.chunk(groups), strict=True):
        linear = nn.Linear(rows.shape[1], rows.shape[0], device="meta")
        linear.weight, linear.bias = nn.Parameter(rows.clone()), nn.Parameter(shifts.clone())
        linears.append(linear)
    return linears


def _grouped_product(linears: nn.ModuleList, x: Tensor) -> Tensor:
    """(B, S, C_in) -> (B, S, C_out), each group from its own part of the channels."""
    parts = zip(linears, _split(x, len(linears)), strict=True)
    return _join([linear(part) for linear, part in parts])


def _split(x: Tensor, count: int, dim: int = -1) -> list[Tensor]:
    """Equal parts. They are slices, since ExecuTorch's XNNPACK does not take a split."""
    width = x.shape[dim] // count
    return [x] if count == 1 else [x.narrow(dim, i * width, width) for i in range(count)]


def _join(parts: list[Tensor], dim: int = -1) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
