"""The models' base class, and the bare model.

The base class has what every model can do: draw its weights, replace its embeddings and give them another
size. The bare model is embeddings, encoder and pooler; it turns a caller's inputs into what the layers take.
A head belongs in heads.py.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from exporters.errors import InputError
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.layers import Embeddings, Encoder, Pooler
from squeezebert_edge.model.outputs import EncoderOutput, ModelOutput


class PaddingWarning(UserWarning):
    """Ids that begin or end with the padding token came without an attention mask.

    Python's own filters show it once in a process.
    """


class SqueezeBertPreTrainedModel(nn.Module, ABC):
    """What every model has: a configuration, initialization, and embeddings that can be replaced or resized.

    Raises:
        InputError: the configuration is refused (SqueezeBertConfig.validate).
    """

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        config.validate()
        self.config = config

    @property
    @abstractmethod
    def base_model(self) -> SqueezeBertModel:
        """The model without a head."""

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings."""
        return self.base_model.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embeddings, and with them the weight of a tied decoder.

        Raises:
            InputError: the weight is not (vocab_size, hidden_size).
        """
        self.check_embeddings(value)
        self.base_model.embeddings.word_embeddings = value
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Linear | None:
        """The decoder of masked LM; None in every other model."""
        return None

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder of masked LM, and with it the word embeddings' weight where the two are tied.

        Raises:
            InputError: this model has no decoder, or the weight is not (vocab_size, hidden_size).
        """
        raise InputError(f"{type(self).__name__} has no output embeddings", allowed="SqueezeBertForMaskedLM")

    def tie_weights(self) -> None:
        """Share the parameters that the configuration ties; only masked LM has any."""

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """Give the vocabulary another size, in the embeddings, the decoder and the configuration.

        Args:
            new_num_tokens: the new size; rows are added and removed at the end. None keeps the present size.
            pad_to_multiple_of: round the size up to a multiple of this.
            mean_resizing: draw new rows from the present ones' distribution, narrowed (Hewitt 2021,
                "Initializing new word embeddings for pretrained language models"); otherwise around zero.

        Returns:
            The word embeddings, the same module as before.

        Raises:
            InputError: the size or the multiple is not positive, or the padding token would lose its row.
        """
        embeddings = self.get_input_embeddings()
        if new_num_tokens is None and pad_to_multiple_of is None:
            return embeddings
        size = embeddings.num_embeddings if new_num_tokens is None else new_num_tokens
        multiple = 1 if pad_to_multiple_of is None else pad_to_multiple_of
        if size < 1 or multiple < 1:
            raise InputError(
                f"a vocabulary cannot have {size} rows, in multiples of {multiple}",
                allowed="positive integers",
            )
        size = math.ceil(size / multiple) * multiple
        pad = self.config.pad_token_id
        if pad is not None and size <= pad:
            raise InputError(f"a vocabulary of {size} rows has no row for the padding token, {pad}")
        std = None if mean_resizing else self.config.initializer_range
        resize_rows(embeddings, "weight", size, std)
        embeddings.num_embeddings = self.config.vocab_size = size
        self.resize_decoder(size, std)
        return embeddings

    def resize_decoder(self, size: int, std: float | None) -> None:
        """Give the decoder the word embeddings' new size; a model without a decoder has nothing to do."""

    def prune_heads(self, heads_to_prune: Mapping[int, Sequence[int]]) -> None:
        """Always refused, as the groups of a convolution must stay equally wide.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"heads {dict(heads_to_prune)} cannot be pruned: the groups of the convolutions would differ in "
            "width",
            hint="to make the model smaller, train one with fewer heads or layers",
        )

    def check_embeddings(self, embeddings: nn.Embedding | nn.Linear) -> None:
        """Refuse embeddings that do not fit the configuration.

        Raises:
            InputError: the weight is not (vocab_size, hidden_size).
        """
        expected = (self.config.vocab_size, self.config.hidden_size)
        shape = tuple(embeddings.weight.shape)
        if shape != expected:
            raise InputError(
                f"embeddings of shape {shape} do not fit the configuration",
                allowed=f"(vocab_size, hidden_size) = {expected}",
                hint="for another vocabulary, call resize_token_embeddings first",
            )

    def initialize(self, new: nn.Module) -> None:
        """Draw the weights of new layers: normal with `initializer_range`; biases and the padding row are
        zero, LayerNorms one and zero. Activations with parameters keep what they were made with."""
        std = self.config.initializer_range
        with torch.no_grad():
            for layer in new.modules():
                if isinstance(layer, nn.Linear | nn.Conv1d | nn.Embedding):
                    layer.weight.normal_(std=std)
                if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
                    layer.weight[layer.padding_idx].zero_()
                if isinstance(layer, nn.Linear | nn.Conv1d) and layer.bias is not None:
                    layer.bias.zero_()
                if isinstance(layer, nn.LayerNorm):
                    layer.reset_parameters()

    def format_output(self, output: ModelOutput, return_dict: bool | None) -> ModelOutput | tuple[Any, ...]:
        """The output as a record or as a plain tuple; None leaves the choice to the configuration."""
        as_record = self.config.return_dict if return_dict is None else return_dict
        return output if as_record else output.to_tuple()


def resize_rows(owner: nn.Module, name: str, size: int, std: float | None) -> None:
    """Give a parameter `size` rows; what is removed or added is at the end.

    Args:
        owner: the module that the parameter belongs to.
        name: the parameter's.
        std: new rows are normal around zero with this deviation; None draws them with the present rows' mean
            and 1e-9 of their covariance.
    """
    parameter = getattr(owner, name)
    table = parameter.detach()
    present, added = len(table), size - len(table)
    if added == 0:
        return
    if added < 0:
        rows = table[:size].clone()
    elif std is None:
        centred = table - table.mean(0)
        # Mixing the centred rows at random has exactly their covariance, and needs no decomposition of it.
        mixed = torch.randn(added, present).to(table) @ centred * math.sqrt(1e-9 / present)
        rows = torch.cat([table, table.mean(0) + mixed])
    else:
        rows = torch.cat([table, torch.randn(added, *table.shape[1:]).to(table) * std])
    setattr(owner, name, nn.Parameter(rows, requires_grad=parameter.requires_grad))


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
            InputError: ids and embeddings are both given or both absent, there is a head mask, or shapes do
                not fit.
        """
        if head_mask is not None:
            raise InputError("SqueezeBERT has no head masks", hint="leave head_mask out")
        words = self._embed_words(input_ids, inputs_embeds, position_ids)
        if input_ids is not None and attention_mask is None:
            _warn_of_padding(input_ids, self.config.pad_token_id)
        embedded = self.embeddings(words, token_type_ids, position_ids)
        mask = None if attention_mask is None else self._additive_mask(attention_mask, embedded)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        last, hidden, scores = self.encoder(embedded, mask, output_hidden_states, output_attentions)
        return self.format_output(EncoderOutput(last, self.pooler(last), hidden, scores), return_dict)

    def _embed_words(
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
            name = "inputs_embeds" if input_ids is None else "input_ids"
            raise InputError(
                f"{name} of shape {tuple(given.shape)} do not fit the model",
                allowed=f"input_ids (batch, length), or inputs_embeds (batch, length, {width})",
            )
        longest = self.config.max_position_embeddings
        if position_ids is None and not _is_tracing() and not 1 <= given.shape[1] <= longest:
            raise InputError(
                f"the model cannot read {given.shape[1]} tokens",
                allowed=f"1 to max_position_embeddings, {longest}",
            )
        return self.embeddings.word_embeddings(given) if input_ids is not None else given

    def _additive_mask(self, mask: Tensor, embedded: Tensor) -> Tensor:
        """What an attention mask adds to the scores, broadcastable to (B, heads, S, S).

        A position that may attend to nothing attends to everything alike, since the least number is finite.
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
                f"attention_mask of shape {shape} does not fit {batch} x {length} tokens",
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
