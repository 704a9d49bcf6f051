"""A student begun from its teacher: grouped convolutions that take over what dense layers know.

The teacher is a BERT as checkpoint/bert.py reads it: a SqueezeBERT with one group everywhere. The student has
its width C, its heads and its inner width I, but G groups in each convolution except post_attention's: the
outputs of a group read C/G (or I/G) channels only.

1. `order_channels`: which channel stands where means nothing in a BERT, as long as all weights agree on it:
   one order of the C hidden channels for all layers, and in each layer one of its heads and of its I inner
   channels. Taken is an order in which the G blocks on the diagonals hold most of the dense weights' energy
   (sum of squares). The ordered network computes what the teacher computes.
2. `take_over`: a block alone lacks what its outputs had of the other groups' inputs. Hidden channels are
   correlated, so part of that can be predicted from the group's own. Layer after layer, every convolution is
   fitted on texts. With X (N, C/G) a group's inputs in the student at N tokens, Y (N, O/G) what the teacher's
   layer gives in that group's outputs, both less their means, and B (O/G, C/G) the block, the weight is
   B + (Y - XB')'X (X'X + r I)^-1: ridge regression around the block. Where a residual is added, Y is what the
   student's residual lacks of the teacher's sum.

MiniLM on SST-2 (6 layers, 384 wide, 89.2% of the dev set right) in 4 groups, before any step of training: the
blocks alone are no better than chance (50.9%), fitted 79.8%, ordered and fitted 80.5%.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.model.layers import EncoderLayer
from squeezebert_edge.training.data import Batch
from squeezebert_edge.training.objective import pair_layers

ROUNDS = 5  # of ordering the hidden channels and the layers' own in turn
RIDGE = 1e-2  # r, as a share of the mean of X'X's diagonal


def keep_words(network: SqueezeBertPreTrainedModel, rows: Sequence[int]) -> SqueezeBertPreTrainedModel:
    """A copy of a classifier whose word i is the network's word rows[i]."""
    fewer = copy.deepcopy(network)
    embeddings, config = fewer.get_input_embeddings(), network.config
    embeddings.weight = nn.Parameter(embeddings.weight.detach()[list(rows)])
    pad = None if config.pad_token_id is None else list(rows).index(config.pad_token_id)
    embeddings.num_embeddings, embeddings.padding_idx = len(rows), pad
    fewer.config = replace(config, vocab_size=len(rows), pad_token_id=pad)
    return fewer


def order_channels(teacher: SqueezeBertPreTrainedModel, groups: int) -> SqueezeBertPreTrainedModel:
    """An equal classifier whose channels are ordered so that the diagonal blocks hold most energy.

    Args:
        teacher: a dense network. groups: divide its width, its heads and its inner width.
    """
    config, layers = teacher.config, _layers(teacher)
    width, heads, inner = config.hidden_size, config.num_attention_heads, config.intermediate_size
    by_head = [_energy_of_heads(layer, heads) for layer in layers]
    by_inner = [_energy_of_inner(layer) for layer in layers]
    hidden = torch.arange(width) * groups // width  # the group of each hidden channel, (C,)
    for _ in range(ROUNDS):
        places = F.one_hot(hidden, groups).double()  # (C, G)
        of_heads = [_assign(energy @ places, heads // groups) for energy in by_head]
        of_inner = [_assign(energy @ places, inner // groups) for energy in by_inner]
        gain = torch.zeros_like(places)
        for energy, assigned in zip([*by_head, *by_inner], [*of_heads, *of_inner], strict=True):
            gain += energy.T @ F.one_hot(assigned, groups).double()
        hidden = _assign(gain, width // groups)
    return _reorder(teacher, _by_group(hidden), [*map(_by_group, of_heads)], [*map(_by_group, of_inner)])


def _energy_of_heads(layer: EncoderLayer, heads: int) -> Tensor:
    """The energy between a layer's heads and the hidden channels that they read, (H, C)."""
    dense = [layer.attention.query, layer.attention.key, layer.attention.value]
    weights = torch.stack([conv.weight.detach().squeeze(2).double() for conv in dense])  # (3, H*d, C)
    return weights.square().sum(0).view(heads, -1, weights.shape[2]).sum(1)  # (H*d, C) -> (H, C)


def _energy_of_inner(layer: EncoderLayer) -> Tensor:
    """The energy between a layer's inner channels and the hidden ones that they read and write, (I, C)."""
    widening = layer.intermediate.conv1d.weight.detach().squeeze(2).double()  # (I, C)
    narrowing = layer.output.conv1d.weight.detach().squeeze(2).double()  # (C, I)
    return widening.square() + narrowing.square().T


def _by_group(groups: Tensor) -> Tensor:
    """The members of group 0, then those of group 1 and so on, each in their order."""
    return groups.argsort(stable=True)


def _assign(gain: Tensor, size: int) -> Tensor:
    """A group for each row of `gain`, (rows, groups), `size` rows in each, the clearest preferences first."""
    gain = gain - gain.mean(1, keepdim=True)
    room = [size] * gain.shape[1]
    groups = torch.full((len(gain),), -1)
    for flat in gain.flatten().argsort(descending=True).tolist():
        row, group = divmod(flat, gain.shape[1])
        if groups[row] < 0 and room[group]:
            groups[row] = group
            room[group] -= 1
    return groups


def _reorder(
    network: SqueezeBertPreTrainedModel,
    hidden: Tensor,
    heads: Sequence[Tensor],
    inner: Sequence[Tensor],
) -> SqueezeBertPreTrainedModel:
    """A copy whose hidden channel i is the network's hidden[i]; likewise every layer's heads and inner."""
    ordered = copy.deepcopy(network)
    base = ordered.base_model

    def permute(module: nn.Module, outputs: Tensor | None, inputs: Tensor | None = None) -> None:
        for parameter in module.parameters(recurse=False):
            if outputs is not None:
                parameter.data = parameter.data[outputs]
            if inputs is not None and parameter.dim() > 1:
                parameter.data = parameter.data[:, inputs]

    embeddings = base.embeddings
    for table in (
        embeddings.word_embeddings,
        embeddings.position_embeddings,
        embeddings.token_type_embeddings,
    ):
        permute(table, None, hidden)
    permute(embeddings.LayerNorm, hidden)
    within = torch.arange(network.config.hidden_size // network.config.num_attention_heads)
    for layer, own_heads, own_inner in zip(_layers(ordered), heads, inner, strict=True):
        channels = (own_heads[:, None] * len(within) + within).flatten()  # (H,) -> (H, d) -> (C,)
        for conv in (layer.attention.query, layer.attention.key, layer.attention.value):
            permute(conv, channels, hidden)
        permute(layer.post_attention.conv1d, hidden, channels)
        permute(layer.intermediate.conv1d, own_inner, hidden)
        permute(layer.output.conv1d, hidden, own_inner)
        permute(layer.post_attention.layernorm, hidden)
        permute(layer.output.layernorm, hidden)
    permute(base.pooler.dense, None, hidden)
    return ordered


@dataclass
class _Texts:
    """A batch on its way through teacher and student, before or after a layer.

    states: of the teacher before its first layer and after each, (B, S, C).
    own: the student's hidden states, (B, C, S).
    mask: added to the scores, (B, 1, 1, S). real: whether a position is no padding, (B, S).
    """

    states: tuple[Tensor, ...]
    own: Tensor
    mask: Tensor
    real: Tensor


@torch.no_grad()
def take_over(
    teacher: SqueezeBertPreTrainedModel, groups: int, layers: int | None, batches: Sequence[Batch]
) -> SqueezeBertPreTrainedModel:
    """A student with the teacher's embeddings, norms and head, its convolutions fitted to the dense layers.

    Args:
        teacher: a dense classifier, ordered by `order_channels`.
        groups: of every convolution but post_attention's.
        layers: of the student, taken evenly from the teacher's; None keeps all.
        batches: texts to fit on; without any the convolutions are the blocks.
    """
    depth = teacher.config.num_hidden_layers
    config = replace(
        teacher.config,
        num_hidden_layers=layers or depth,
        q_groups=groups,
        k_groups=groups,
        v_groups=groups,
        intermediate_groups=groups,
        output_groups=groups,
    )
    student = ARCHITECTURES[type(teacher).__name__](config).eval()
    held = {name: value for name, value in teacher.state_dict().items() if ".layers." not in name}
    student.load_state_dict(held, strict=False)
    texts = [_begin(teacher, batch) for batch in batches]
    pairs = pair_layers(config.num_hidden_layers, depth)[1:]
    dense = _layers(teacher)
    for (_, source), own in zip(pairs, _layers(student), strict=True):
        _fit_layer(own, dense[source - 1], texts, source)
    return student


def _layers(network: SqueezeBertPreTrainedModel) -> list[EncoderLayer]:
    return [cast("EncoderLayer", layer) for layer in network.base_model.encoder.layers]


def _begin(teacher: SqueezeBertPreTrainedModel, batch: Batch) -> _Texts:
    states = teacher.base_model(
        batch.input_ids,
        batch.attention_mask,
        batch.token_type_ids,
        output_hidden_states=True,
        return_dict=True,
    ).hidden_states
    real = batch.attention_mask != 0
    mask = torch.where(real, 0.0, torch.finfo(torch.float32).min)[:, None, None]  # (B, S) -> (B, 1, 1, S)
    return _Texts(states, states[0].permute(0, 2, 1), mask, real)  # (B, S, C) -> (B, C, S)


def _fit_layer(own: EncoderLayer, dense: EncoderLayer, texts: Sequence[_Texts], number: int) -> None:
    """Fit a student's layer to the teacher's layer of that number, and take the texts through it."""
    own.post_attention.layernorm.load_state_dict(dense.post_attention.layernorm.state_dict())
    own.output.layernorm.load_state_dict(dense.output.layernorm.state_dict())
    before = [text.states[number - 1].permute(0, 2, 1) for text in texts]  # (B, S, C) -> (B, C, S)
    held = [text.own for text in texts]
    reals = [text.real for text in texts]
    for name in ("query", "key", "value"):
        whole = getattr(dense.attention, name)
        _fit(getattr(own.attention, name), whole, held, [whole(x) for x in before], reals)
    contexts = [own.attention(text.own, text.mask)[0] for text in texts]
    wanted = [
        dense.post_attention.conv1d(dense.attention(x, text.mask)[0]) + x
        for x, text in zip(before, texts, strict=True)
    ]
    lacking = [sum_ - x for sum_, x in zip(wanted, held, strict=True)]
    _fit(own.post_attention.conv1d, dense.post_attention.conv1d, contexts, lacking, reals)
    held = [own.post_attention(context, x) for context, x in zip(contexts, held, strict=True)]
    before = [dense.post_attention.layernorm(sum_) for sum_ in wanted]
    whole = dense.intermediate.conv1d
    _fit(own.intermediate.conv1d, whole, held, [whole(x) for x in before], reals)
    inner = [own.intermediate(x) for x in held]
    lacking = [dense.output.conv1d(dense.intermediate(x)) + x - y for x, y in zip(before, held, strict=True)]
    _fit(own.output.conv1d, dense.output.conv1d, inner, lacking, reals)
    for text, x, y in zip(texts, inner, held, strict=True):
        text.own = own.output(x, y)


def _fit(
    conv: nn.Conv1d,
    dense: nn.Conv1d,
    inputs: Sequence[Tensor],
    wanted: Sequence[Tensor],
    reals: Sequence[Tensor],
) -> None:
    """Fit a grouped convolution by ridge regression around the blocks of a dense one.

    Args:
        inputs: of each batch, (B, C, S). wanted: what it is to give, (B, O, S).
        reals: which positions count, (B, S).
    """
    groups = conv.groups
    assert conv.bias is not None
    assert dense.bias is not None
    rows = dense.weight.squeeze(2).double().chunk(groups)  # (O, C, 1) -> (O/G, C) of each group
    blocks = torch.stack([row.chunk(groups, 1)[group] for group, row in enumerate(rows)])  # (G, O/G, C/G)
    if not inputs:
        conv.weight.copy_(blocks.flatten(0, 1).unsqueeze(2))
        conv.bias.copy_(dense.bias)
        return
    x, x_mean = _by_tokens(inputs, reals, groups)
    y, y_mean = _by_tokens(wanted, reals, groups)
    lacking = y - x @ blocks.transpose(1, 2)  # (G, N, O/G)
    gram = x.transpose(1, 2) @ x  # (G, C/G, C/G)
    ridge = RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1)  # (G,)
    gram += ridge[:, None, None] * torch.eye(gram.shape[1], dtype=gram.dtype)
    weights = blocks + torch.linalg.solve(gram, x.transpose(1, 2) @ lacking).transpose(1, 2)
    conv.weight.copy_(weights.flatten(0, 1).unsqueeze(2))
    conv.bias.copy_((y_mean - x_mean @ weights.transpose(1, 2)).flatten())


def _by_tokens(batches: Sequence[Tensor], reals: Sequence[Tensor], groups: int) -> tuple[Tensor, Tensor]:
    """The real tokens' channels by group, less their means, (G, N, C/G), and the means, (G, 1, C/G)."""
    tokens = [x.permute(0, 2, 1)[real] for x, real in zip(batches, reals, strict=True)]  # (B, C, S) -> (N, C)
    together = torch.cat(tokens).double()
    x = together.view(len(together), groups, -1).transpose(0, 1)  # (N, C) -> (G, N, C/G)
    mean = x.mean(1, keepdim=True)
    return x - mean, mean
