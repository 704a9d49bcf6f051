"""The bare model under each of its heads, with the head's loss, and `ARCHITECTURES`, every model by name.

Arguments, outputs, losses and state-dict names are those of transformers' SqueezeBERT. The arguments that a
`forward` here does not describe are SqueezeBertModel's. In comments N counts choices.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.errors import InputError
from squeezebert_edge.model.base import SqueezeBertModel, SqueezeBertPreTrainedModel, resize_rows
from squeezebert_edge.model.config import ProblemType, SqueezeBertConfig
from squeezebert_edge.model.layers import MLMHead
from squeezebert_edge.model.outputs import EncoderOutput, HeadOutput, ModelOutput, SpanOutput


class _WithHead(SqueezeBertPreTrainedModel):
    """A model with a head; the encoder is under `transformer`, as in checkpoints."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        self.transformer = SqueezeBertModel(config)

    @property
    def base_model(self) -> SqueezeBertModel:
        """The model without its head."""
        return self.transformer


class _WithLabels(_WithHead):
    """A head that gives one tensor of logits, and a loss where `labels` are given."""

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
        """Encode a batch and compute the head's logits; for the other arguments see SqueezeBertModel.

        Args:
            labels: what is right; the class of the head gives their shape.
        """
        encoded = self.transformer(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, True, head_mask=head_mask,
        )  # fmt: skip
        logits = self.logits(encoded)
        loss = None if labels is None else self.loss(logits, labels)
        output = HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self.format_output(output, return_dict)

    @abstractmethod
    def logits(self, encoded: EncoderOutput) -> Tensor:
        """The head's logits, from the encoder's output."""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss that training minimizes, a scalar."""


class SqueezeBertForMaskedLM(_WithLabels):
    """Scores for every piece of the vocabulary at every position.

    The labels of `forward` are the ids of the right pieces, (batch, length); -100 is left out of the loss.
    """

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
        self.check_embeddings(new_embeddings)
        if new_embeddings.bias is None:
            raise InputError(
                "output embeddings without a bias cannot be the decoder",
                allowed="torch.nn.Linear with its bias",
            )
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
        """Give the decoder the word embeddings' new size."""
        head = self.cls.predictions
        head.decoder.out_features = size
        if self.config.tie_word_embeddings:
            resize_rows(head, "bias", size, 0.0)
            self.tie_weights()
            return
        resize_rows(head.decoder, "weight", size, std)
        resize_rows(head.decoder, "bias", size, None if std is None else 0.0)
        head.bias = head.decoder.bias

    def logits(self, encoded: EncoderOutput) -> Tensor:
        """(batch, length, vocabulary)."""
        return self.cls(encoded.last_hidden_state)  # type: ignore[no-any-return]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy of the pieces."""
        return _token_loss(logits, labels)


class SqueezeBertForSequenceClassification(_WithLabels):
    """A label, several labels or a number for each text, from the pooled first token.

    The labels of `forward` are (batch,) integers for one label each, (batch, labels) floats for several, or
    (batch,) floats for a number. Where the configuration's problem_type is None, they decide which it is.
    """

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.initialize(self.classifier)

    def logits(self, encoded: EncoderOutput) -> Tensor:
        """(batch, labels)."""
        return self.classifier(self.dropout(encoded.pooler_output))  # type: ignore[no-any-return]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error, cross entropy or binary cross entropy, by the problem's type."""
        problem_type = self.config.problem_type or _problem_type(self.config.num_labels, labels)
        if problem_type == "regression":
            if self.config.num_labels == 1:
                logits, labels = logits.squeeze(), labels.squeeze()  # (B, 1) -> (B,)
            return F.mse_loss(logits, labels)
        if problem_type == "single_label_classification":
            return F.cross_entropy(logits, labels.flatten())
        return F.binary_cross_entropy_with_logits(logits, labels)


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

        For the other arguments see SqueezeBertModel.

        Args:
            attention_mask: (batch, choices, length); or 4-D for batch * choices rows, added to the scores
                as it is (transformers would read such a mask as one of zeros and ones).
            labels: the number of the right choice, (batch,).
        """
        given = inputs_embeds if input_ids is None else input_ids
        if given is not None and given.dim() != (4 if input_ids is None else 3):
            name = "inputs_embeds" if input_ids is None else "input_ids"
            raise InputError(
                f"{name} of shape {tuple(given.shape)} do not hold choices",
                allowed="input_ids (batch, choices, length), inputs_embeds (batch, choices, length, width)",
            )
        is_added = attention_mask is not None and attention_mask.dim() == 4
        encoded = self.transformer(
            _by_choice(input_ids),
            attention_mask if is_added else _by_choice(attention_mask),
            _by_choice(token_type_ids),
            _by_choice(position_ids),
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
        output = HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self.format_output(output, return_dict)


class SqueezeBertForTokenClassification(_WithLabels):
    """A label for every token.

    The labels of `forward` are (batch, length); -100 is left out of the loss.
    """

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.initialize(self.classifier)

    def logits(self, encoded: EncoderOutput) -> Tensor:
        """(batch, length, labels)."""
        return self.classifier(self.dropout(encoded.last_hidden_state))  # type: ignore[no-any-return]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy of the tokens."""
        return _token_loss(logits, labels)


class SqueezeBertForQuestionAnswering(_WithHead):
    """Scores for every token to be the answer's first and its last.

    Raises:
        InputError: the configuration does not have two labels, one for each end.
    """

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        if config.num_labels != 2:
            raise InputError(
                f"a question-answering head cannot have {config.num_labels} outputs",
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
        """Score both ends at every token; for the other arguments see SqueezeBertModel.

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
        return self.format_output(output, return_dict)


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


def _by_choice(ids: Tensor | None) -> Tensor | None:
    """Each choice as a row of its own."""
    return None if ids is None else ids.flatten(0, -2)  # (B, N, S) -> (B*N, S)


def _token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of (B, S, classes) and (B, S) over the labels that are not -100."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def _problem_type(num_labels: int, labels: Tensor) -> ProblemType:
    """The problem's type where the configuration leaves it open: the labels and their number decide."""
    if num_labels == 1:
        return "regression"
    if labels.dtype in (torch.long, torch.int):
        return "single_label_classification"
    return "multi_label_classification"


def _position_loss(logits: Tensor, positions: Tensor) -> Tensor:
    """Mean cross entropy of (B, S) and (B,) or (B, 1) over the positions that are inside the text."""
    length = logits.shape[1]
    return F.cross_entropy(logits, positions.reshape(-1).clamp(0, length), ignore_index=length)
