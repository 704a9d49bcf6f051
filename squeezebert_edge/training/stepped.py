"""Products and tables that compute with their weights on steps (forms/steps.py) while they are trained.

Gradients pass straight through the rounding (Bengio et al. 2013, arXiv 1308.3432).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from exporters.products import is_large_table
from squeezebert_edge.forms.steps import on_steps, step_of
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.training.layers import PointwiseConv, pointwise_conv


class SteppedProduct(nn.Module):
    """A grouped convolution of kernel size 1, or a linear layer, under its parameters' own names.

    groups: None of a linear layer.
    """

    def __init__(self, weight: Tensor, bias: Tensor, groups: int | None) -> None:
        super().__init__()
        self.weight, self.bias, self.groups = weight, bias, groups  # parameters, under these names

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, S) -> (B, C_out, S) for a convolution, (B, C_in) -> (B, C_out) for a linear layer."""
        weight = _straight_through(self.weight, step_of(self.weight))
        if self.groups is None:
            return F.linear(x, weight, self.bias)
        return pointwise_conv(x, weight, self.bias, self.groups)


class SteppedEmbedding(nn.Module):
    """An embedding whose rows are put on steps as they are looked up."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.weight, self.padding_idx = embedding.weight, embedding.padding_idx

    def forward(self, ids: Tensor) -> Tensor:
        """(B, S) -> (B, S, C)."""
        rows = F.embedding(ids.flatten(), self.weight, self.padding_idx)
        rows = _straight_through(rows, step_of(self.weight))
        return rows.view(*ids.shape, -1)  # (B*S, C) -> (B, S, C)


def _straight_through(weight: Tensor, step: Tensor) -> Tensor:
    return weight + (on_steps(weight, step) - weight).detach()


def compute_on_steps(network: SqueezeBertPreTrainedModel) -> None:
    """Let a network that is trained (prepare_for_training) compute with its weights on steps."""
    for path, module in list(network.named_modules()):
        if isinstance(module, PointwiseConv):
            network.set_submodule(path, SteppedProduct(module.weight, module.bias, module.groups))
        elif isinstance(module, nn.Linear):
            network.set_submodule(path, SteppedProduct(module.weight, module.bias, None))
        elif is_large_table(module):
            network.set_submodule(path, SteppedEmbedding(module))
