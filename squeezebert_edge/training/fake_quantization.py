"""Fake quantization: products compute in floats on what `int8-static` would leave of weights and activations.

As the exporters do it: weights in int8, symmetric, a scale for each output channel; what goes into a product
and what comes out in int8, asymmetric, a range for each tensor; embeddings in int8, symmetric, a scale for
each row, but for tables of a few rows. Gradients pass straight through the rounding (Bengio et al. 2013,
arXiv 1308.3432), and stop where a value was clipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.products import is_large_table
from exporters.spec import Ranges
from squeezebert_edge.checkpoint.ranges import products
from squeezebert_edge.forms.attention import query_key_scale
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.training.layers import pointwise_conv
from squeezebert_edge.training.processes import Processes

LEAST, GREATEST = -128, 127
SMALLEST_SCALE = torch.finfo(torch.float32).eps  # as torch's own observers have it


class ActivationRanges:
    """The ranges of every product's input and output, shared by all that quantize with them.

    A range holds zero, as int8 wants it.

    reach: (2, 2, P): how far below and above zero; of inputs and outputs; of each product.
    quantizing: whether activations are quantized, or only looked at.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names, self.quantizing = tuple(names), True
        self._mask: Tensor | None = None
        self.set(torch.zeros(2, 2, len(names), device=device))

    def set(self, reach: Tensor) -> None:
        """Quantize with these ranges from now on."""
        self.reach = reach
        self._seen = torch.zeros_like(reach)
        below, above = reach
        self._scale = ((below + above) / (GREATEST - LEAST)).clamp(min=SMALLEST_SCALE)
        self._zero_point = (LEAST + torch.round(below / self._scale)).clamp(LEAST, GREATEST).int()

    def observe(self, attention_mask: Tensor) -> None:
        """Look at what the next forward passes hold where the mask, (B, S), is not 0."""
        self._mask = attention_mask == 0

    def learn(self, processes: Processes, rate: float) -> None:
        """Move by `rate` towards what all processes saw since the last time, and stop looking."""
        self._mask = None
        self.set(torch.lerp(self.reach, processes.max_over_all(self._seen), rate))

    def quantize(self, x: Tensor, side: int, which: slice) -> Tensor:
        """Fake-quantize a tensor whose channels are some products' inputs (side 0) or outputs (side 1).

        Args:
            x: (B, C, S), or (B, C) of real tokens only.
        """
        # (B, G*C, ...) -> (B, G, C, ...)
        x = x.reshape(x.shape[0], which.stop - which.start, -1, *x.shape[2:])
        if self._mask is not None:
            self._look(x.detach(), self._mask, side, which)
        if self.quantizing:
            scale, zero_point = self._scale[side, which], self._zero_point[side, which]
            x = torch.fake_quantize_per_channel_affine(x, scale, zero_point, 1, LEAST, GREATEST)
        return x.flatten(1, 2)  # (B, G, C, ...) -> (B, G*C, ...)

    def _look(self, x: Tensor, padding: Tensor, side: int, which: slice) -> None:
        limits = torch.stack([-x.amin(2), x.amax(2)])  # (B, G, C, S) -> (2, B, G, S)
        if x.dim() == 4:
            limits = limits.masked_fill(padding[:, None], 0.0).amax(3)  # (2, B, G, S) -> (2, B, G)
        seen = self._seen[:, side, which]
        torch.maximum(seen, limits.amax(1), out=seen)

    def by_product(self) -> dict[str, Ranges]:
        """Least and greatest value of each product's input and output."""
        by_product = self.reach.permute(2, 1, 0).tolist()
        return {
            name: Ranges(*((0.0 - below, above) for below, above in sides))
            for name, sides in zip(self.names, by_product, strict=True)
        }


def fake_quantize_rows(weight: Tensor) -> Tensor:
    """int8, symmetric, a scale for each index of the first axis."""
    rows = weight.detach().flatten(1).abs().amax(1)
    scale = (rows / GREATEST).clamp(min=SMALLEST_SCALE)
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero_point, 0, -GREATEST, GREATEST)


class QuantizedProducts(nn.Module):
    """A grouped convolution of kernel size 1, or a linear layer, under its parameters' own names.

    scale: what the exported product's weights and bias are multiplied with.
    """

    def __init__(
        self, weight: nn.Parameter, bias: nn.Parameter, scale: float, ranges: ActivationRanges, which: slice
    ) -> None:
        super().__init__()
        self.weight, self.bias, self.scale = weight, bias, scale
        self.ranges, self.which = ranges, which

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, S) -> (B, C_out, S) for a convolution, (B, C_in) -> (B, C_out) for a linear layer."""
        x = self.ranges.quantize(x, 0, self.which)
        weight = fake_quantize_rows(self.weight)
        if weight.dim() == 2:
            y = F.linear(x, weight, self.bias)
        else:
            y = pointwise_conv(x, weight, self.bias, self.which.stop - self.which.start)
        return self.ranges.quantize(y * self.scale, 1, self.which) / self.scale


class QuantizedEmbedding(nn.Module):
    """An embedding whose rows are quantized as they are looked up."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.weight, self.padding_idx = embedding.weight, embedding.padding_idx

    def forward(self, ids: Tensor) -> Tensor:
        """(B, S) -> (B, S, C)."""
        rows = F.embedding(ids.flatten(), self.weight, self.padding_idx)
        return fake_quantize_rows(rows).view(*ids.shape, -1)  # (B*S, C) -> (B, S, C)


def fake_quantize(model: SqueezeBertPreTrainedModel) -> ActivationRanges:
    """Fake-quantize a classifier in place; its parameters and their names stay what they are.

    Returns:
        The ranges that it quantizes with, which are still to be learned.
    """
    base, modules = model.base_model, products(model.config)
    names = list(dict.fromkeys(name for group in modules.values() for name in group))
    ranges = ActivationRanges(names, base.embeddings.word_embeddings.weight.device)
    head_width = model.config.hidden_size // model.config.num_attention_heads
    for path, group in modules.items():
        weight, bias = (base.get_submodule(path).get_parameter(name) for name in ("weight", "bias"))
        scale = query_key_scale(head_width) if path.endswith(("query", "key")) else 1.0
        first = names.index(group[0])
        which = slice(first, first + len(group))
        base.set_submodule(path, QuantizedProducts(weight, bias, scale, ranges, which))
    for path, module in list(base.named_modules()):
        if is_large_table(module):
            base.set_submodule(path, QuantizedEmbedding(module))
    return ranges
