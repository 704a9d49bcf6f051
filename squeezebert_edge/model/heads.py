"""The float reference, whole: SqueezeBERT (Iandola et al. 2020, arXiv 2006.11316) and its heads.

Arguments, outputs, losses and state-dict names are those of transformers' SqueezeBERT. Inside the encoder
activations are (B, C, S): batch, channels, sequence; every position-wise product of BERT is a convolution
with kernel size 1, most of them in groups (section 3 of the paper). In comments H counts heads, d is a
head's width, N counts choices.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.errors import InputError
from squeezebert_edge.model.activations import activation
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel, resize_rows
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.outputs import EncoderOutput, HeadOutput, ModelOutput, SpanOutput


class Embeddings(nn.Module):
    """Words, positions and token types, summed and normalized."""

    position_ids: Tensor

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        width = config.embedding_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
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
        summed = words + self.position_embeddings(position_ids) + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(summed))  # type: ignore[no-any-return]


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


class PaddingWarning(UserWarning):
    """Ids that begin or end with the padding token came without an attention mask.

    Python's own filters show it once in a process.
    """


class SqueezeBertModel(SqueezeBertPreTrainedModel):
    """Embeddings, encoder and pooler, without a head."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config)
        self.initialize(self)

    @property
    def base_model(self) -> SqueezeBertModel:
        """This model."""
        return self

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        head_mask: Tensor | None = None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Encode a batch.

        Args:
            input_ids: (batch, length), integers; or instead of them
            inputs_embeds: their embeddings, (batch, length, width).
            attention_mask: what to attend to. (batch, length) or (batch, length, length), of any dtype: zero
                is left out, anything else is attended to. 4-D, broadcastable to (batch, heads, length,
                length): added to the scores as it is, whatever its dtype. (transformers 5 takes no 3-D mask
                but one without zeros; here each of its rows says what that position attends to.)
            token_type_ids: (batch, length); zeros when not given.
            position_ids: (batch, length) or (1, length); 0, 1, 2, ... when not given.
            output_attentions, output_hidden_states, return_dict: None takes the configuration's value; with
                `return_dict` false the output is a plain tuple.
            head_mask: always refused.

        Raises:
            InputError: ids and embeddings both or neither, a head mask, or shapes that do not fit.
        """
        if head_mask is not None:
            raise InputError("SqueezeBERT has no head masks", hint="leave head_mask out")
        words = self._words(input_ids, inputs_embeds, position_ids)
        if input_ids is not None and attention_mask is None:
            _warn_of_padding(input_ids, self.config.pad_token_id)
        embedded = self.embeddings(words, token_type_ids, position_ids)
        mask = None if attention_mask is None else self._additive(attention_mask, embedded)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        last, hidden, scores = self.encoder(embedded, mask, output_hidden_states, output_attentions)
        return self.returned(EncoderOutput(last, self.pooler(last), hidden, scores), return_dict)

    def _words(
        self, input_ids: Tensor | None, inputs_embeds: Tensor | None, position_ids: Tensor | None
    ) -> Tensor:
        """The word embeddings, (B, S, C)."""
        if input_ids is not None and inputs_embeds is not None:
            raise InputError("both input_ids and inputs_embeds are given", allowed="one of them")
        given = inputs_embeds if input_ids is None else input_ids
        if given is None:
            raise InputError("neither input_ids nor inputs_embeds is given", allowed="one of them")
        width = self.config.hidden_size
        fits = given.dim() == 2 if input_ids is not None else given.dim() == 3 and given.shape[2] == width
        if not fits:
            raise InputError(
                f"{'inputs_embeds' if input_ids is None else 'input_ids'} of shape {tuple(given.shape)}",
                allowed=f"input_ids (batch, length), or inputs_embeds (batch, length, {width})",
            )
        longest = self.config.max_position_embeddings
        if position_ids is None and not _is_tracing() and not 1 <= given.shape[1] <= longest:
            raise InputError(f"{given.shape[1]} tokens", allowed=f"1 to max_position_embeddings, {longest}")
        return self.embeddings.word_embeddings(given) if input_ids is not None else given

    def _additive(self, mask: Tensor, embedded: Tensor) -> Tensor:
        """An attention mask as what is added to the scores, broadcastable to (B, heads, S, S).

        A position that may attend to nothing attends to everything alike: the least number is finite.
        """
        shape = tuple(mask.shape)
        if mask.dim() == 4:
            added = mask.to(embedded)
        else:
            if mask.dim() == 2:
                mask = mask[:, None, None, :]  # (B, S) -> (B, 1, 1, S)
            elif mask.dim() == 3:
                mask = mask[:, None]  # (B, S, S) -> (B, 1, S, S)
            attended = torch.zeros((), dtype=embedded.dtype, device=embedded.device)
            left_out = torch.finfo(embedded.dtype).min
            added = torch.where(mask.to(embedded.device) != 0, attended, left_out)
        (batch, length, _), heads = embedded.shape, self.config.num_attention_heads
        scores = (batch, heads, length, length)
        # Under torch.jit.trace sizes are tensors, and comparing them warns.
        if added.dim() != 4 or not (
            _is_tracing() or all(size in (1, full) for size, full in zip(added.shape, scores, strict=True))
        ):
            raise InputError(
                f"attention_mask of shape {shape}, for {batch} x {length} tokens",
                allowed=f"({batch}, {length}), ({batch}, {length}, {length}), or what broadcasts to {scores}",
            )
        return added


def _is_tracing() -> bool:
    """Whether torch.jit.trace is recording."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _warn_of_padding(input_ids: Tensor, pad: int | None) -> None:
    """Warn when the first or last id of a row is padding; never while a program is being traced."""
    is_plain = type(input_ids) is Tensor and input_ids.device.type != "meta"
    if pad is None or not is_plain or torch.compiler.is_compiling() or _is_tracing():
        return
    if (input_ids[:, [0, -1]] == pad).any():
        warnings.warn(
            f"some input_ids begin or end with the padding token ({pad}) and no attention_mask is given: "
            "padding is attended to and changes the outputs. Pass attention_mask.",
            PaddingWarning,
            stacklevel=1,
        )


class _WithHead(SqueezeBertPreTrainedModel):
    """A model with a head; the encoder is under `transformer`, as in checkpoints."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        self.transformer = SqueezeBertModel(config)

    @property
    def base_model(self) -> SqueezeBertModel:
        """The model without its head."""
        return self.transformer


class SqueezeBertForMaskedLM(_WithHead):
    """Scores for every piece of the vocabulary at every position."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        self.cls = MLMHead(config)
        self.initialize(self.cls)
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Linear:
        """The decoder."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder, and with it the word embeddings' weight where the two are tied.

        Raises:
            InputError: the weight is not (vocab_size, hidden_size), or there is no bias.
        """
        self.check_table(new_embeddings)
        if new_embeddings.bias is None:
            raise InputError("output embeddings without a bias", allowed="torch.nn.Linear with its bias")
        head = self.cls.predictions
        head.decoder, head.bias = new_embeddings, new_embeddings.bias
        if self.config.tie_word_embeddings:
            self.get_input_embeddings().weight = new_embeddings.weight

    def tie_weights(self) -> None:
        """Where the configuration ties them, share the embeddings' weight and the head's bias."""
        if self.config.tie_word_embeddings:
            head = self.cls.predictions
            head.decoder.weight = self.get_input_embeddings().weight
            head.decoder.bias = head.bias

    def resize_decoder(self, size: int, std: float | None) -> None:
        """Follow the word embeddings' new size."""
        head = self.cls.predictions
        head.decoder.out_features = size
        if self.config.tie_word_embeddings:
            resize_rows(head, "bias", size, 0.0)
            self.tie_weights()
            return
        resize_rows(head.decoder, "weight", size, std)
        resize_rows(head.decoder, "bias", size, None if std is None else 0.0)
        head.bias = head.decoder.bias

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        head_mask: Tensor | None = None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Score every piece at every position; for the arguments not named here see SqueezeBertModel.

        Args:
            labels: ids of the right pieces, (batch, length); -100 is left out of the loss.
        """
        encoded = self.transformer(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, True, head_mask=head_mask,
        )  # fmt: skip
        logits = self.cls(encoded.last_hidden_state)
        loss = None if labels is None else _token_loss(logits, labels)
        return self.returned(HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions), return_dict)


class SqueezeBertForSequenceClassification(_WithHead):
    """A label, several labels or a number for each text, from the pooled first token."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.initialize(self.classifier)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        head_mask: Tensor | None = None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Classify each text; for the arguments not named here see SqueezeBertModel.

        Args:
            labels: (batch,) integers for one label each, (batch, labels) floats for several, or (batch,)
                floats for a number. The first call with labels sets a problem_type that is still open.
        """
        encoded = self.transformer(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, True, head_mask=head_mask,
        )  # fmt: skip
        logits = self.classifier(self.dropout(encoded.pooler_output))
        loss = None if labels is None else _sequence_loss(logits, labels, self.config)
        return self.returned(HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions), return_dict)


class SqueezeBertForMultipleChoice(_WithHead):
    """One score for each of several choices, which are encoded as texts of their own."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.initialize(self.classifier)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        head_mask: Tensor | None = None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Score each choice; every input is (batch, choices, length), with a width after it for embeddings.

        For the arguments not named here see SqueezeBertModel.

        Args:
            attention_mask: (batch, choices, length); or 4-D for batch * choices rows, added to the scores
                as it is (transformers would read such a mask as one of zeros and ones).
            labels: the number of the right choice, (batch,).
        """
        given = inputs_embeds if input_ids is None else input_ids
        if given is not None and given.dim() != (4 if input_ids is None else 3):
            raise InputError(
                f"{'inputs_embeds' if input_ids is None else 'input_ids'} of shape {tuple(given.shape)}",
                allowed="input_ids (batch, choices, length), inputs_embeds (batch, choices, length, width)",
            )
        is_added = attention_mask is not None and attention_mask.dim() == 4
        encoded = self.transformer(
            _per_choice(input_ids),
            attention_mask if is_added else _per_choice(attention_mask),
            _per_choice(token_type_ids),
            _per_choice(position_ids),
            None if inputs_embeds is None else inputs_embeds.flatten(0, 1),  # (B, N, S, C) -> (B*N, S, C)
            output_attentions,
            output_hidden_states,
            True,
            head_mask=head_mask,
        )
        assert given is not None  # the encoder refuses inputs that are missing
        scores = self.classifier(self.dropout(encoded.pooler_output))
        logits = scores.view(-1, given.shape[1])  # (B*N, 1) -> (B, N)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return self.returned(HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions), return_dict)


class SqueezeBertForTokenClassification(_WithHead):
    """A label for every token."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.initialize(self.classifier)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        head_mask: Tensor | None = None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Classify every token; for the arguments not named here see SqueezeBertModel.

        Args:
            labels: (batch, length); -100 is left out of the loss.
        """
        encoded = self.transformer(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, True, head_mask=head_mask,
        )  # fmt: skip
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        loss = None if labels is None else _token_loss(logits, labels)
        return self.returned(HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions), return_dict)


class SqueezeBertForQuestionAnswering(_WithHead):
    """Scores for every token to be the answer's first and its last.

    Raises:
        InputError: the configuration has other than two labels, one for each end.
    """

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        if config.num_labels != 2:
            raise InputError(
                f"a question-answering head with {config.num_labels} outputs",
                allowed="two labels in the configuration: one output for the answer's start, one for its end",
            )
        self.qa_outputs = nn.Linear(config.hidden_size, config.num_labels)
        self.initialize(self.qa_outputs)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        head_mask: Tensor | None = None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Score both ends at every token; for the arguments not named here see SqueezeBertModel.

        Args:
            start_positions, end_positions: (batch,); negative ones count as 0, those past the last token
                are left out of the loss. Without both there is no loss.
        """
        encoded = self.transformer(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, True, head_mask=head_mask,
        )  # fmt: skip
        start, end = self.qa_outputs(encoded.last_hidden_state).unbind(-1)  # (B, S, 2) -> two of (B, S)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (_position_loss(start, start_positions) + _position_loss(end, end_positions)) / 2
        output = SpanOutput(loss, start, end, encoded.hidden_states, encoded.attentions)
        return self.returned(output, return_dict)


ARCHITECTURES: dict[str, type[SqueezeBertPreTrainedModel]] = {
    model.__name__: model
    for model in (
        SqueezeBertModel,
        SqueezeBertForMaskedLM,
        SqueezeBertForSequenceClassification,
        SqueezeBertForMultipleChoice,
        SqueezeBertForTokenClassification,
        SqueezeBertForQuestionAnswering,
    )
}


def _per_choice(ids: Tensor | None) -> Tensor | None:
    """Each choice as a row of its own."""
    return None if ids is None else ids.flatten(0, -2)  # (B, N, S) -> (B*N, S)


def _token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of (B, S, classes) and (B, S) over the labels that are not -100."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def _sequence_loss(logits: Tensor, labels: Tensor, config: SqueezeBertConfig) -> Tensor:
    """The loss of the configuration's problem_type, which labels and their number decide where it is open."""
    if config.problem_type is None:
        if config.num_labels == 1:
            config.problem_type = "regression"
        elif labels.dtype in (torch.long, torch.int):
            config.problem_type = "single_label_classification"
        else:
            config.problem_type = "multi_label_classification"
    if config.problem_type == "regression":
        if config.num_labels == 1:
            logits, labels = logits.squeeze(), labels.squeeze()  # (B, 1) -> (B,)
        return F.mse_loss(logits, labels)
    if config.problem_type == "single_label_classification":
        return F.cross_entropy(logits, labels.flatten())
    return F.binary_cross_entropy_with_logits(logits, labels)


def _position_loss(logits: Tensor, positions: Tensor) -> Tensor:
    """Mean cross entropy of (B, S) and (B,) or (B, 1) over the positions that are inside the text."""
    length = logits.shape[1]
    return F.cross_entropy(logits, positions.reshape(-1).clamp(0, length), ignore_index=length)
