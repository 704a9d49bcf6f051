"""What a step of training minimizes: cross entropy with the labels, and a teacher's part where there is one.

Logits are distilled after Hinton et al. 2015 (arXiv 1503.02531), hidden states after TinyBERT (Jiao et al.
2020, arXiv 1909.10351): layers paired evenly, through a learned projection where the two differ in width;
attention as in MiniLM (Wang et al. 2020, arXiv 2002.10957), but in every pair of layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.training.config import TrainingConfig
from squeezebert_edge.training.data import NO_LABEL, Batch
from squeezebert_edge.training.peaks import Peaks
from squeezebert_edge.training.teacher import Teacher


def pair_layers(student: int, teacher: int) -> list[tuple[int, int]]:
    """Which hidden state of a student learns from which of its teacher, the numbers of layers given.

    0 is the embeddings, i the output of layer i. First learns from first, last from last, and between them as
    evenly as the shallower of the two allows.
    """
    steps = min(student, teacher)

    def nearest(layers: int, step: int) -> int:
        return (2 * step * layers + steps) // (2 * steps)  # step * layers / steps, halves rounded up

    return [(nearest(student, step), nearest(teacher, step)) for step in range(steps + 1)]


class Objective(nn.Module):
    """What a step minimizes, of each text: cross entropy with its label, or that and the teacher's part.

    With a teacher: (1 - w) CE + w T^2 KL(teacher, student at temperature T) + h MSE + a KL, the mean squared
    error of the paired hidden states over the real tokens, and the mean divergence of what the paired layers'
    heads attend to from them, with w, T, h and a from the configuration. A text without a label has no CE.
    The projection is among the parameters here, and not among the student's.
    """

    def __init__(
        self, network: SqueezeBertPreTrainedModel, config: TrainingConfig, teacher: Teacher | None
    ) -> None:
        super().__init__()
        self.network, self.config = network, config
        self._learn_from = teacher  # no module, so that neither its weights nor its mode are touched
        self.projection: nn.Module = nn.Identity()
        self._peaks = Peaks(network) if config.peak_weight > 0 else None
        if teacher is None:
            return
        own, other = network.config, teacher.config
        self._pairs = pair_layers(own.num_hidden_layers, other.num_hidden_layers)
        if own.hidden_size != other.hidden_size:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                self.projection = nn.Linear(own.hidden_size, other.hidden_size)

    def forward(self, batch: Batch) -> Tensor:
        """The loss of each text, (B,)."""
        if self._peaks is None:
            return self._learn(batch)
        self._peaks.begin(batch.attention_mask)
        loss = self._learn(batch)
        return loss + self.config.peak_weight * self._peaks.end()

    def _learn(self, batch: Batch) -> Tensor:
        """Of the labels, and of a teacher where there is one, (B,)."""
        teacher = self._learn_from
        student = self.network(
            batch.input_ids,
            batch.attention_mask,
            batch.token_type_ids,
            output_hidden_states=teacher is not None,
            output_attentions=self.config.attention_weight > 0,
            return_dict=True,
        )
        labelled = F.cross_entropy(student.logits, batch.labels, reduction="none", ignore_index=NO_LABEL)
        if teacher is None:
            return labelled
        logits, hidden, scores = teacher(batch)
        share, temperature = self.config.teacher_weight, self.config.temperature
        imitated = F.kl_div(
            F.log_softmax(student.logits / temperature, dim=1),
            F.log_softmax(logits / temperature, dim=1),
            reduction="none",
            log_target=True,
        ).sum(1)
        loss = (1 - share) * labelled + share * temperature**2 * imitated
        loss = loss + self.config.hidden_weight * self._hidden(student.hidden_states, hidden, batch)
        if self.config.attention_weight == 0:
            return loss
        return loss + self.config.attention_weight * self._attention(student.attentions, scores, batch)

    def _hidden(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """The mean squared error of the paired hidden states over each text's tokens, (B,)."""
        errors = [
            (self.projection(student[own]) - teacher[other]).square().mean(2)  # (B, S, C) -> (B, S)
            for own, other in self._pairs
        ]
        return _over_tokens(torch.stack(errors).mean(0), batch)

    def _attention(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """The mean divergence of the paired layers' attention, over heads and each text's tokens, (B,)."""
        divergences = [
            F.kl_div(
                F.log_softmax(student[own - 1], dim=-1),  # scores, (B, H, S, S)
                F.log_softmax(teacher[other - 1], dim=-1),
                reduction="none",
                log_target=True,
            ).sum(3).mean(1)  # (B, H, S, S) -> (B, S)
            for own, other in self._pairs[1:]
        ]  # fmt: skip
        return _over_tokens(torch.stack(divergences).mean(0), batch)


def _over_tokens(values: Tensor, batch: Batch) -> Tensor:
    """The mean of (B, S) over each text's tokens, (B,)."""
    real = batch.attention_mask / batch.attention_mask.sum(1, keepdim=True)
    return (values * real).sum(1)
