"""Noise in the place of rounding: that of a few bits, so that a network learns to bear that of eight.

What int8 rounds off is too little for a step to see. What three bits would round off is not. It grows with
the weights that it is multiplied with, so weights that are large only to cancel each other out become small.
Noise of a step's size in the place of rounding is Baskin et al. 2018's ("UNIQ", arXiv 1804.10969).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from squeezebert_edge.checkpoint.ranges import products
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.training.layers import BatchNoise


def add_rounding_noise(network: SqueezeBertPreTrainedModel, noise: BatchNoise, bits: int) -> None:
    """While it is trained, add to each row that goes into a product what so many bits would round off."""

    last: list[tuple[Tensor, int, Tensor]] = []  # queries, keys and values read the same

    def disturb(groups: int) -> Callable[[nn.Module, tuple[Tensor]], Tensor | None]:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> Tensor | None:
            if not module.training:
                return None
            whole = inputs[0]
            if last and last[0][0] is whole and last[0][1] == groups:
                return last[0][2]
            x = whole.view(len(whole), groups, -1, *whole.shape[2:])  # (B, G*C, ...) -> (B, G, C, ...)
            held = x.detach()
            step = (held.amax(2, keepdim=True) - held.amin(2, keepdim=True)) / (2**bits - 1)
            disturbed: Tensor = (x + step * noise.uniform(x)).flatten(1, 2)
            last[:] = [(whole, groups, disturbed)]
            return disturbed

        return hook

    for path, names in products(network.config).items():
        network.base_model.get_submodule(path).register_forward_pre_hook(disturb(len(names)))
