"""LayerNorm for ExecuTorch's XNNPACK, which has none: made of operators that it takes.

Left as it is, each LayerNorm is computed on one thread between two delegates, with copies in and out.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DelegatedLayerNorm(nn.Module):
    """A LayerNorm over the last axis, its means taken as products: XNNPACK reduces 4-D tensors only.

    Args:
        norm: normalizes over one axis; its weights are shared, not copied.
    """

    averaging: Tensor
    eps: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        (width,) = norm.normalized_shape
        self.weight, self.bias = norm.weight, norm.bias
        self.register_buffer("averaging", torch.full((1, width), 1 / width))
        self.register_buffer("eps", torch.tensor([norm.eps]))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        x = x - F.linear(x, self.averaging)
        x = x * torch.rsqrt(F.linear(x * x, self.averaging, self.eps))
        if self.weight is not None:
            x = x * self.weight
        return x if self.bias is None else x + self.bias


def with_delegated_norms(module: nn.Module) -> nn.Module:
    """The same module, sharing its weights, with every LayerNorm over one axis in this form."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    module = copy.deepcopy(module, shared)
    for name, part in list(module.named_modules()):
        if type(part) is nn.LayerNorm and len(part.normalized_shape) == 1:
            module.set_submodule(name, DelegatedLayerNorm(part))
    return module
