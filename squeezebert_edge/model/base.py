"""What the bare model and every head share: the configuration, initialization, and the embeddings' upkeep."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from exporters.errors import InputError
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.outputs import ModelOutput

if TYPE_CHECKING:
    from squeezebert_edge.model.heads import SqueezeBertModel


class SqueezeBertPreTrainedModel(nn.Module, ABC):
    """What the bare model and the heads share: the configuration, initialization, and the embeddings.

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
        self.check_table(value)
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
        """Make one parameter again of those that the configuration ties: none, but in masked LM."""

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """Give the vocabulary another size, in the embeddings, the decoder and the configuration.

        Args:
            new_num_tokens: the new size; rows come and go at the end. None is the present size.
            pad_to_multiple_of: round the size up to a multiple of this.
            mean_resizing: draw new rows from the present ones' distribution, narrowed (Hewitt 2021,
                "Initializing new word embeddings for pretrained language models"); otherwise about zero.

        Returns:
            The word embeddings, the same module as before.

        Raises:
            InputError: a size or multiple that is not positive, or a size that drops the padding token.
        """
        embeddings = self.get_input_embeddings()
        if new_num_tokens is None and pad_to_multiple_of is None:
            return embeddings
        size = embeddings.num_embeddings if new_num_tokens is None else new_num_tokens
        multiple = 1 if pad_to_multiple_of is None else pad_to_multiple_of
        if size < 1 or multiple < 1:
            raise InputError(
                f"a vocabulary of {size} rows, in multiples of {multiple}", allowed="positive integers"
            )
        size = math.ceil(size / multiple) * multiple
        pad = self.config.pad_token_id
        if pad is not None and size <= pad:
            raise InputError(f"a vocabulary of {size} rows has none for the padding token, {pad}")
        std = None if mean_resizing else self.config.initializer_range
        resize_rows(embeddings, "weight", size, std)
        embeddings.num_embeddings = self.config.vocab_size = size
        self.resize_decoder(size, std)
        return embeddings

    def resize_decoder(self, size: int, std: float | None) -> None:
        """Follow the word embeddings' new size; nothing to do without a decoder."""

    def prune_heads(self, heads_to_prune: Mapping[int, Sequence[int]]) -> None:
        """Always refused, as the groups of a convolution must stay equally wide.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"heads {dict(heads_to_prune)} cannot be pruned: without them the groups of the grouped "
            "convolutions would differ in width",
            hint="to make the model smaller, train one with fewer heads or layers",
        )

    def check_table(self, table: nn.Embedding | nn.Linear) -> None:
        """Refuse embeddings that do not fit the configuration.

        Raises:
            InputError: the weight is not (vocab_size, hidden_size).
        """
        expected = (self.config.vocab_size, self.config.hidden_size)
        if tuple(table.weight.shape) != expected:
            raise InputError(
                f"embeddings of shape {tuple(table.weight.shape)}",
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

    def returned(self, output: ModelOutput, return_dict: bool | None) -> ModelOutput | tuple[Any, ...]:
        """The output as a record or as a plain tuple; None leaves it to the configuration."""
        as_record = self.config.return_dict if return_dict is None else return_dict
        return output if as_record else output.to_tuple()


def resize_rows(owner: nn.Module, name: str, size: int, std: float | None) -> None:
    """Give a parameter `size` rows: new ones are normal with `std`, or for None like the present ones.

    Like the present ones: normal with their mean and 1e-9 of their covariance.
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
