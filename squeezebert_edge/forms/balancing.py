"""Balancing: evens out the products that follow one another, so that no channel ruins a tensor's scale.

A value channel can be multiplied by s and the matching column of post_attention divided by s: the network
stays as it was, since attention mixes positions and not channels. So can a query channel and the key channel.
This is cross-layer equalization (Nagel et al. 2019, arXiv 1906.04721, section 4.1) where attention allows it.
Every s is a power of two, so that the float outputs keep their bits unless they overflow.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from exporters.precision import Precision
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.forms.steps import is_on_steps
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.layers import EncoderLayer


def balance(model: SqueezeBertPreTrainedModel) -> None:
    """Balance every layer in place; the outputs stay as they were."""
    with torch.no_grad():
        for layer in model.base_model.encoder.layers:
            assert isinstance(layer, EncoderLayer)
            attention, projection = layer.attention, layer.post_attention.conv1d
            columns = _columns(projection)
            scale = _even(_rows(attention.value), columns)
            _scale_rows(attention.value, scale)
            # (C,) of all groups' inputs -> (C_out, C_in/G), each output's own group
            outputs = projection.out_channels // projection.groups
            of_group = scale.view(projection.groups, -1).repeat_interleave(outputs, dim=0)
            projection.weight.div_(of_group[..., None])
            scale = _even(_rows(attention.query), _rows(attention.key))
            _scale_rows(attention.query, scale)
            _scale_rows(attention.key, 1 / scale)


def _rows(conv: nn.Conv1d) -> Tensor:
    """How large each output channel can get for inputs of one size, (C_out,)."""
    assert conv.bias is not None
    size: Tensor = torch.linalg.vector_norm(conv.weight[..., 0], dim=1) + conv.bias.abs()
    return size


def _columns(conv: nn.Conv1d) -> Tensor:
    """How much each input channel counts, (C_in,)."""
    weight = conv.weight[..., 0].view(conv.groups, -1, conv.weight.shape[1])  # (G, C_out/G, C_in/G)
    size: Tensor = torch.linalg.vector_norm(weight, dim=1)
    return size.flatten()


def _scale_rows(conv: nn.Conv1d, scale: Tensor) -> None:
    assert conv.bias is not None
    conv.weight.mul_(scale[:, None, None])
    conv.bias.mul_(scale)


def _even(first: Tensor, second: Tensor) -> Tensor:
    """The powers of two s that bring first * s nearest to second / s; 1 where either is zero."""
    exponents = torch.log2(second / first) / 2
    return torch.where((first > 0) & (second > 0), torch.exp2(exponents.round()), 1.0)


def quantizable(checkpoint: Checkpoint, precision: Precision) -> SqueezeBertPreTrainedModel:
    """The network to lay out for a precision: a balanced copy.

    It is the checkpoint's own where floats are enough, where its learned ranges fit it as it is, or where its
    weights were trained to lie on steps (steps.py), which balancing would take them off. Where float16 is
    added up in pieces floats are not: XNNPACK on Arm takes for zero what is below 2^-14.
    """
    even = precision.rounding is None and precision.piece is None
    if even or (precision.calibrated and checkpoint.ranges) or is_on_steps(checkpoint.model):
        return checkpoint.model
    model = copy.deepcopy(checkpoint.model)
    balance(model)
    return model
