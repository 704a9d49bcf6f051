"""The layers of SqueezeBERT (Iandola et al. 2020, arXiv 2006.11316), from embeddings to heads.

Names in the state dict are those of transformers' SqueezeBERT. Inside the encoder activations are (B, C, S):
batch, channels, sequence; every position-wise product of BERT is a convolution with kernel size 1, most of
them in groups (section 3 of the paper). In comments H counts heads, d is a head's width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from squeezebert_edge.model.activations import activation
from squeezebert_edge.model.config import SqueezeBertConfig


class Embeddings(nn.Module):
    """Words, positions and token types, summed and normalized."""

    position_ids: Tensor

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        width = config.embedding_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.one_type = config.type_vocab_size == 1
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        positions = torch.arange(config.max_position_embeddings).unsqueeze(0)
        self.register_buffer("position_ids", positions, persistent=False)

    def forward(
        self, words: Tensor, token_type_ids: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        """Embed.

        Args:
            words: the word embeddings, (B, S, C).
            token_type_ids: (B, S); zeros when not given.
            position_ids: (B, S) or (1, S); 0, 1, 2, ... when not given.

        Returns:
            (B, S, C).
        """
        if token_type_ids is None:
            token_type_ids = torch.zeros(words.shape[:2], dtype=torch.long, device=words.device)
        if position_ids is None:
            position_ids = self.position_ids[:, : words.shape[1]]
        types = self.token_type_embeddings(self.known_types(token_type_ids))
        summed = words + self.position_embeddings(position_ids) + types
        return self.dropout(self.LayerNorm(summed))  # type: ignore[no-any-return]

    def known_types(self, token_type_ids: Tensor) -> Tensor:
        """The types as this network tells them apart; one with a single type takes every text for the first.

        transformers computes the same where it is given no types, and has an IndexError for others.
        """
        return token_type_ids * 0 if self.one_type else token_type_ids


class ChannelLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, S)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each position."""
        x = super().forward(x.permute(0, 2, 1))  # (B, C, S) -> (B, S, C)
        return x.permute(0, 2, 1)  # (B, S, C) -> (B, C, S)


class ConvDropoutLayerNorm(nn.Module):
    """A grouped convolution whose output is added to the residual and normalized."""

    def __init__(self, c_in: int, c_out: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(c_in, c_out, kernel_size=1, groups=groups)
        # SqueezeBERT fixes this epsilon: the configuration's layer_norm_eps is for embeddings and LM head.
        self.layernorm = ChannelLayerNorm(c_out, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(B, c_in, S) and a residual (B, c_out, S) -> (B, c_out, S)."""
        return self.layernorm(self.dropout(self.conv1d(x)) + residual)  # type: ignore[no-any-return]


class ConvActivation(nn.Module):
    """A grouped convolution and the activation."""

    def __init__(self, c_in: int, c_out: int, groups: int, act: str) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(c_in, c_out, kernel_size=1, groups=groups)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, S) -> (B, c_out, S)."""
        return self.act(self.conv1d(x))  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Multi-head attention whose queries, keys and values come from grouped convolutions."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.head_width = config.num_attention_heads, width // config.num_attention_heads
        self.query = nn.Conv1d(width, width, kernel_size=1, groups=config.q_groups)
        self.key = nn.Conv1d(width, width, kernel_size=1, groups=config.k_groups)
        self.value = nn.Conv1d(width, width, kernel_size=1, groups=config.v_groups)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            x: (B, C, S).
            mask: added to the scores; broadcasts to (B, heads, S, S).

        Returns:
            The context (B, C, S), and the masked scores before softmax (B, heads, S, S).
        """
        query = self._split(self.query(x)).transpose(2, 3)  # (B, H, d, S) -> (B, H, S, d)
        key = self._split(self.key(x))
        value = self._split(self.value(x)).transpose(2, 3)  # (B, H, d, S) -> (B, H, S, d)
        scores = torch.matmul(query, key) / math.sqrt(self.head_width)  # (B, H, S, S)
        if mask is not None:
            scores = scores + mask
        context = torch.matmul(self.dropout(F.softmax(scores, dim=-1)), value)  # (B, H, S, d)
        return context.transpose(2, 3).flatten(1, 2), scores  # (B, H, S, d) -> (B, H, d, S) -> (B, C, S)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], self.heads, self.head_width, x.shape[2])  # (B, C, S) -> (B, H, d, S)


class EncoderLayer(nn.Module):
    """Attention, its projection, and the two convolutions of the feed-forward part."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        width, inner, dropout = config.hidden_size, config.intermediate_size, config.hidden_dropout_prob
        self.attention = SelfAttention(config)
        self.post_attention = ConvDropoutLayerNorm(width, width, config.post_attention_groups, dropout)
        self.intermediate = ConvActivation(width, inner, config.intermediate_groups, config.hidden_act)
        self.output = ConvDropoutLayerNorm(inner, width, config.output_groups, dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, C, S) -> the layer's output (B, C, S) and its attention scores (B, heads, S, S)."""
        context, scores = self.attention(x, mask)
        attended = self.post_attention(context, x)
        return self.output(self.intermediate(attended), attended), scores


class Encoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self, x: Tensor, mask: Tensor | None, keep_hidden: bool, keep_scores: bool
    ) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
        """Run every layer.

        Args:
            x: the embeddings, (B, S, C).
            mask: added to the scores of every layer; broadcasts to (B, heads, S, S).
            keep_hidden: whether to give back the embeddings and each layer's output.
            keep_scores: whether to give back each layer's attention scores.

        Returns:
            The last output (B, S, C); what `keep_hidden` asks for, each (B, S, C), or None; what
            `keep_scores` asks for, each (B, heads, S, S), or None.
        """
        hidden, scores = [x], []
        x = x.permute(0, 2, 1)  # (B, S, C) -> (B, C, S)
        for layer in self.layers:
            x, layer_scores = layer(x, mask)
            if keep_hidden:
                hidden.append(x.permute(0, 2, 1))  # (B, C, S) -> (B, S, C)
            if keep_scores:
                scores.append(layer_scores)
        last = x.permute(0, 2, 1)  # (B, C, S) -> (B, S, C)
        return last, tuple(hidden) if keep_hidden else None, tuple(scores) if keep_scores else None


class Pooler(nn.Module):
    """The first token through a linear layer and tanh."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, S, C) -> (B, C)."""
        return torch.tanh(self.dense(hidden[:, 0]))


class PredictionTransform(nn.Module):
    """What the masked-LM head does before its decoder."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform_act_fn = activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, S, C) -> (B, S, C)."""
        return self.LayerNorm(self.transform_act_fn(self.dense(hidden)))  # type: ignore[no-any-return]


class LMPredictionHead(nn.Module):
    """From hidden states to a score for every piece of the vocabulary."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.transform = PredictionTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        # The checkpoint holds the decoder's bias twice; where the decoder is tied, the two are one.
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, S, C) -> (B, S, vocabulary)."""
        return self.decoder(self.transform(hidden))  # type: ignore[no-any-return]


class MLMHead(nn.Module):
    """Holds the prediction head under the checkpoint's name, `cls.predictions`."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.predictions = LMPredictionHead(config)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, S, C) -> (B, S, vocabulary)."""
        return self.predictions(hidden)  # type: ignore[no-any-return]
