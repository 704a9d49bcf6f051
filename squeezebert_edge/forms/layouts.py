"""Layouts of hidden states in memory, and what computes on them there.

A form's layers and its head ask their layout for everything that depends on how hidden states lie. In
comments B, C, S are batch, channels and sequence, V rows of a table, H counts heads, d is a head's width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from squeezebert_edge.model.layers import Embeddings

SMALLEST_SCALE = 1e-12  # of a norm's channel


class Layout(ABC):
    """How hidden states lie in memory, and what a head computes on them.

    first_alone: whether the last layer computes the first token alone where no other is read.
    """

    first_alone: ClassVar[bool] = True

    @staticmethod
    @abstractmethod
    def product(layer: nn.Linear) -> nn.Module:
        """A reference's linear layer as one of hidden states."""

    @staticmethod
    @abstractmethod
    def norm(norm: nn.LayerNorm) -> nn.Module:
        """A reference's norm over channels as one of hidden states."""

    @classmethod
    def norm_and_product(cls, norm: nn.Module, layer: nn.Linear) -> tuple[nn.Module, nn.Module]:
        """A norm and the product that follows it for every token, as the layout has them together.

        Args:
            norm: of hidden states, as `norm` makes it.
            layer: the reference's product.
        """
        return norm, cls.product(layer)

    @staticmethod
    @abstractmethod
    def first(x: Tensor) -> Tensor:
        """The hidden states of the first token alone."""

    @staticmethod
    @abstractmethod
    def pooled(x: Tensor) -> Tensor:
        """Hidden states of one token -> (B, C)."""

    @staticmethod
    @abstractmethod
    def tokens(x: Tensor) -> Tensor:
        """Hidden states -> (B, S, C)."""

    @staticmethod
    @abstractmethod
    def channels(x: Tensor) -> tuple[Tensor, ...]:
        """Hidden states -> each channel of them, (B, S)."""


class LinearLayout(Layout):
    """Hidden states (B, S, C), as linear layers take them."""

    @staticmethod
    def product(layer: nn.Linear) -> nn.Linear:
        """The reference's own, (B, S, C_in) -> (B, S, C_out)."""
        return layer

    @staticmethod
    def norm(norm: nn.LayerNorm) -> nn.LayerNorm:
        """A norm of (B, S, C)."""
        return channels_last_norm(norm)

    @classmethod
    def norm_and_product(cls, norm: nn.Module, layer: nn.Linear) -> tuple[nn.Module, nn.Module]:
        """The norm without its scale and shift, and a product that has them in its weights.

        LiteRT's converter would do so unasked, and the exporters know a product by its weights.
        """
        before = cast("nn.LayerNorm", norm)
        bare = nn.LayerNorm(before.normalized_shape, eps=before.eps, elementwise_affine=False)
        absorbing = nn.Linear(layer.in_features, layer.out_features, device="meta")
        weight, scale, shift = layer.weight.detach(), before.weight.detach(), before.bias.detach()
        absorbing.weight = nn.Parameter(weight * scale)
        absorbing.bias = nn.Parameter(layer.bias.detach() + weight @ shift)
        return bare, absorbing

    @staticmethod
    def first(x: Tensor) -> Tensor:
        """(B, S, C) -> (B, 1, C)."""
        return x[:, :1]

    @staticmethod
    def pooled(x: Tensor) -> Tensor:
        """(B, 1, C) -> (B, C)."""
        return x[:, 0]

    @staticmethod
    def tokens(x: Tensor) -> Tensor:
        """(B, S, C) as it is."""
        return x

    @staticmethod
    def channels(x: Tensor) -> tuple[Tensor, ...]:
        """(B, S, C) -> C of (B, S)."""
        return x.unbind(-1)


class ConvLayout(Layout):
    """Hidden states of one row with four axes, as convolutions take them."""

    @staticmethod
    @abstractmethod
    def product(layer: nn.Conv1d | nn.Linear, scale: float = 1.0) -> nn.Module:
        """A reference's product as a convolution of hidden states, its outputs times `scale`."""

    @staticmethod
    @abstractmethod
    def embeddings(embeddings: Embeddings) -> nn.Module:
        """A module (ids (1, S), token types (1, S)) -> hidden states."""

    @staticmethod
    @abstractmethod
    def mask(scores: Tensor) -> Tensor:
        """What is added to the scores of each position, (1, S), as `context` takes it."""

    @staticmethod
    @abstractmethod
    def context(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> Tensor:
        """Attention; all but the mask are hidden states, the queries perhaps of the first token alone."""


class ChannelsFirst(ConvLayout):
    """Hidden states (1, C, 1, S): what Apple advises for the Neural Engine.

    Apple, "Deploying Transformers on the Apple Neural Engine", 2022
    (https://machinelearning.apple.com/research/neural-engine-transformers): convolutions instead of linear
    layers, four axes with the sequence last, and attention head by head, written so that keys alone are
    transposed.
    """

    @staticmethod
    def product(layer: nn.Conv1d | nn.Linear, scale: float = 1.0) -> nn.Module:
        """A product (1, C_in, 1, S) -> (1, C_out, 1, S)."""
        return _pointwise(nn.Conv2d, layer, scale)

    @staticmethod
    def norm(norm: nn.LayerNorm) -> nn.Module:
        """A norm of (1, C, 1, S)."""
        return ChannelNorm(norm)

    @staticmethod
    def embeddings(embeddings: Embeddings) -> nn.Module:
        """A module of (1, S) and (1, S) -> (1, C, 1, S)."""
        return ChannelEmbeddings(embeddings)

    @staticmethod
    def mask(scores: Tensor) -> Tensor:
        """(1, S) -> (1, S, 1, 1), since keys lie along the channels of the scores."""
        return scores[:, :, None, None]

    @staticmethod
    def context(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> Tensor:
        """(1, C, 1, S) each and the mask (1, S, 1, 1) -> (1, C, 1, S), of as many tokens as queries."""
        width = query.shape[1] // heads
        queries, values = (
            torch.split(query, width, dim=1),
            torch.split(value, width, dim=1),
        )  # H of (1, d, 1, S)
        keys = torch.split(
            key.transpose(1, 3), width, dim=3
        )  # (1, C, 1, S) -> (1, S, 1, C) -> H of (1, S, 1, d)
        contexts = []
        for q, k, v in zip(queries, keys, values, strict=True):
            scores = torch.einsum("bkhc,bchq->bkhq", k, q) + mask  # (1, S of keys, 1, S)
            probabilities = F.softmax(scores, dim=1)
            contexts.append(torch.einsum("bchk,bkhq->bchq", v, probabilities))  # (1, d, 1, S)
        return torch.cat(contexts, dim=1)

    @staticmethod
    def first(x: Tensor) -> Tensor:
        """(1, C, 1, S) -> (1, C, 1, 1)."""
        return x[..., :1]

    @staticmethod
    def pooled(x: Tensor) -> Tensor:
        """(1, C, 1, 1) -> (1, C)."""
        return x[..., 0, 0]

    @staticmethod
    def tokens(x: Tensor) -> Tensor:
        """(1, C, 1, S) -> (1, S, C)."""
        return x[:, :, 0].transpose(1, 2)

    @staticmethod
    def channels(x: Tensor) -> tuple[Tensor, ...]:
        """(1, C, 1, S) -> C of (1, S)."""
        return tuple(x[:, index, 0] for index in range(x.shape[1]))


class ChannelsFirstByGroup(ChannelsFirst):
    """The same, with a convolution for each group: what goes into it can then have a scale of its own."""

    @staticmethod
    def product(layer: nn.Conv1d | nn.Linear, scale: float = 1.0) -> nn.Module:
        """A product (1, C_in, 1, S) -> (1, C_out, 1, S)."""
        whole = _pointwise(nn.Conv2d, layer, scale)
        return whole if isinstance(layer, nn.Linear) else Groups(whole)


class Groups(nn.ModuleList):
    """A 1x1 Conv2d with groups as one without groups for each of them."""

    def __init__(self, whole: nn.Conv2d) -> None:
        super().__init__()
        assert whole.bias is not None
        parameters = whole.weight.detach().chunk(whole.groups), whole.bias.detach().chunk(whole.groups)
        for weight, bias in zip(*parameters, strict=True):
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], kernel_size=1, device="meta")
            conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
            self.append(conv)

    def forward(self, x: Tensor) -> Tensor:
        """(1, C_in, 1, S) -> (1, C_out, 1, S)."""
        parts = zip(self, torch.split(x, x.shape[1] // len(self), dim=1), strict=True)
        return torch.cat([conv(part) for conv, part in parts], dim=1)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of (1, C, 1, S), spelled as coremltools makes one operation of it."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.eps = norm.eps
        weight, bias = norm.weight.detach(), norm.bias.detach()
        # The shift is added before the scale multiplies, so that no scale may be 0.
        scale = torch.where(weight.abs() < SMALLEST_SCALE, SMALLEST_SCALE, weight)
        self.register_buffer("scale", scale[:, None, None])  # (C,) -> (C, 1, 1)
        self.register_buffer("shift", (bias / scale)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each position."""
        centred = x - x.mean(dim=1, keepdim=True)
        variance = (centred * centred).mean(dim=1, keepdim=True)
        return (centred * torch.rsqrt(variance + self.eps) + self.shift) * self.scale


class ChannelEmbedding(nn.Embedding):
    """A table in the shape of a convolution's weight, (V, C, 1, 1), so that a tied decoder can be one."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__(table.num_embeddings, table.embedding_dim, device="meta")
        self.weight = nn.Parameter(table.weight.detach()[..., None, None])

    def forward(self, ids: Tensor) -> Tensor:
        """(1, S) -> (S, C, 1, 1)."""
        return self.weight.index_select(0, ids[0])


class ChannelEmbeddings(nn.Module):
    """Words, positions and token types, summed and normalized, channels first."""

    def __init__(self, embeddings: Embeddings) -> None:
        super().__init__()
        self.word_embeddings = ChannelEmbedding(embeddings.word_embeddings)
        self.position_embeddings = ChannelEmbedding(embeddings.position_embeddings)
        self.token_type_embeddings = ChannelEmbedding(embeddings.token_type_embeddings)
        self.known_types = embeddings.known_types
        self.norm = ChannelNorm(embeddings.LayerNorm)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """(1, S) each -> (1, C, 1, S)."""
        positions = self.position_embeddings.weight[: input_ids.shape[1]]
        types = self.token_type_embeddings(self.known_types(token_type_ids))
        summed = self.word_embeddings(input_ids) + positions + types
        return self.norm(summed.permute(2, 1, 3, 0))  # type: ignore[no-any-return]  # (S, C, 1, 1) -> (1, C, 1, S)


class ChannelsLast(ConvLayout):
    """Hidden states (1, 1, S, C): NHWC, in which LiteRT and XNNPACK compute convolutions."""

    first_alone = False  # Qualcomm's emulator then computes the layer wrongly in integers: 3 to 7 dB

    @staticmethod
    def product(layer: nn.Conv1d | nn.Linear, scale: float = 1.0) -> nn.Module:
        """A product (1, 1, S, C_in) -> (1, 1, S, C_out)."""
        return _pointwise(ChannelsLastConv2d, layer, scale)

    @staticmethod
    def norm(norm: nn.LayerNorm) -> nn.Module:
        """A norm of (1, 1, S, C)."""
        return channels_last_norm(norm)

    @staticmethod
    def embeddings(embeddings: Embeddings) -> nn.Module:
        """A module of (1, S) and (1, S) -> (1, 1, S, C)."""
        return ChannelsLastEmbeddings(embeddings)

    @staticmethod
    def mask(scores: Tensor) -> Tensor:
        """(1, S) -> (1, 1, 1, S)."""
        return scores[:, None, None]

    @staticmethod
    def context(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> Tensor:
        """(1, 1, S, C) each and the mask (1, 1, 1, S) -> (1, 1, S, C)."""
        apart = (1, query.shape[2], heads, query.shape[3] // heads)  # (1, S, H, d)
        query, value = query.view(apart).transpose(1, 2), value.view(apart).transpose(1, 2)  # (1, H, S, d)
        key = key.view(apart).permute(0, 2, 3, 1)  # (1, S, H, d) -> (1, H, d, S)
        probabilities = F.softmax(torch.matmul(query, key) + mask, dim=-1)  # (1, H, S, S)
        context = torch.matmul(probabilities, value).transpose(1, 2)  # (1, H, S, d) -> (1, S, H, d)
        return context.flatten(2)[:, None]  # (1, S, H, d) -> (1, 1, S, C)

    @staticmethod
    def first(x: Tensor) -> Tensor:
        """(1, 1, S, C) -> (1, 1, 1, C)."""
        return x[:, :, :1]

    @staticmethod
    def pooled(x: Tensor) -> Tensor:
        """(1, 1, 1, C) -> (1, C)."""
        return x[:, 0, 0]

    @staticmethod
    def tokens(x: Tensor) -> Tensor:
        """(1, 1, S, C) -> (1, S, C)."""
        return x[:, 0]

    @staticmethod
    def channels(x: Tensor) -> tuple[Tensor, ...]:
        """(1, 1, S, C) -> C of (1, S)."""
        return tuple(x[:, 0, :, index] for index in range(x.shape[3]))


class ChannelsLastConv2d(nn.Conv2d):
    """A convolution of (N, H, W, C_in), which a runtime with channels last computes as it lies."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, H', W', C_out)."""
        y = super().forward(x.permute(0, 3, 1, 2))  # (N, H, W, C_in) -> (N, C_in, H, W)
        return y.permute(0, 2, 3, 1)  # (N, C_out, H', W') -> (N, H', W', C_out)


class ChannelsLastEmbeddings(nn.Module):
    """The reference's embeddings, with an axis more."""

    def __init__(self, embeddings: Embeddings) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """(1, S) each -> (1, 1, S, C)."""
        words = self.embeddings.word_embeddings(input_ids)  # (1, S, C)
        return self.embeddings(words, token_type_ids)[:, None]  # type: ignore[no-any-return]


def channels_last_norm(norm: nn.LayerNorm) -> nn.LayerNorm:
    """A reference's LayerNorm over channels, with channels last; the parameters are shared."""
    last = nn.LayerNorm(norm.normalized_shape, eps=norm.eps, device="meta")
    last.weight, last.bias = norm.weight, norm.bias
    return last


def _pointwise(kind: type[nn.Conv2d], layer: nn.Conv1d | nn.Linear, scale: float) -> nn.Conv2d:
    """A 1x1 Conv2d of some kind with the weights of a product."""
    groups = layer.groups if isinstance(layer, nn.Conv1d) else 1
    weight = layer.weight.detach().flatten(1)  # (C_out, C_in/G)
    assert layer.bias is not None
    conv = kind(weight.shape[1] * groups, weight.shape[0], kernel_size=1, groups=groups, device="meta")
    conv.weight = nn.Parameter(weight[..., None, None] * scale if scale != 1 else weight[..., None, None])
    conv.bias = nn.Parameter(layer.bias.detach() * scale)
    return conv
