"""The products of a module, which quantization is about: its linear layers, single or batched, and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn

from exporters.errors import InputError
from exporters.spec import ExportRequest, Ranges

FEWEST_ROWS = 16  # of a table that is quantized


class BatchedLinear(nn.Module):
    """Linear layers of one shape side by side, computed as one batched product.

    Args:
        linears: nn.Linear of the same shape, each with a bias.
    """

    def __init__(self, linears: nn.ModuleList) -> None:
        super().__init__()
        weights = [cast("Tensor", linear.weight).detach().T for linear in linears]  # (out, in) -> (in, out)
        biases = [cast("Tensor", linear.bias).detach() for linear in linears]
        self.weight = nn.Parameter(torch.stack(weights))  # (G, in, out)
        self.bias = nn.Parameter(torch.stack(biases)[:, None])  # (G, 1, out)

    def forward(self, x: Tensor) -> Tensor:
        """(G, S, in) -> (G, S, out)."""
        return torch.matmul(x, self.weight) + self.bias


def is_large_table(module: nn.Module) -> TypeGuard[nn.Embedding]:
    """Whether a module is an embedding table that is quantized.

    One of a few rows, such as that of token types, is small as it is, and its error is in every token.
    """
    return isinstance(module, nn.Embedding) and module.num_embeddings >= FEWEST_ROWS


def quantized_parts(
    request: ExportRequest, products: tuple[type[nn.Module], ...] = (nn.Linear,)
) -> tuple[dict[str, nn.Module], dict[str, nn.Embedding]]:
    """The products and the embedding tables that are to be quantized, by dotted name.

    Args:
        products: the kinds that the caller knows how to quantize.

    Raises:
        InputError: none is left to quantize, or there is a product of another kind. (Of convolutions,
            run-time quantization would give one scale to a whole row of tokens, so that padding changes the
            answer.)
    """
    found: dict[str, nn.Module] = {}
    tables: dict[str, nn.Embedding] = {}
    for name, submodule in request.module.named_modules():
        if request.stays_float(name):
            continue
        if isinstance(submodule, products):
            found[name] = submodule
        elif is_large_table(submodule):
            tables[name] = submodule
        elif isinstance(submodule, nn.Conv1d | nn.Conv2d | BatchedLinear):
            kind = "batched products" if isinstance(submodule, BatchedLinear) else "convolutions"
            raise InputError(
                f"{request.precision} of a module with {kind} ({name})",
                allowed="linear layers and embeddings",
                hint="a form made of linear layers: --form group-resident",
            )
    if not found:
        raise InputError(f"{request.precision} of a module without a product to quantize")
    return found, tables


def names_by_weights(parts: Mapping[str, nn.Module]) -> dict[bytes, Iterator[str]]:
    """The names of parts by the bytes of their weights, for an artifact whose names of tensors do not tell.

    Parts of the same weights, as of layers that were copied, come in the network's order, the last for good.
    """
    found: dict[bytes, list[str]] = {}
    for name, part in parts.items():
        found.setdefault(part.get_parameter("weight").detach().numpy().tobytes(), []).append(name)
    return {weights: chain(names, repeat(names[-1])) for weights, names in found.items()}


def ranges_of(
    request: ExportRequest, products: Mapping[str, nn.Module], *, outputs: bool = True
) -> tuple[dict[str, Ranges], list[str]]:
    """What goes into each product and comes out of it, and the products for which it had to be calibrated.

    The rows of `request.calibration` have no padding, so that no scale depends on it.

    Args:
        products: submodules that compute one product each, by dotted name; what no row reaches has no range.
        outputs: whether the ranges of what comes out are needed.

    Raises:
        InputError: ranges are missing and there are no rows to find them in.
    """
    known = {name: request.ranges.get(name, Ranges()) for name in products}
    open_ = [
        name for name, ranges in known.items() if ranges.input is None or (outputs and ranges.output is None)
    ]
    if open_ and not request.calibration:
        raise InputError(
            f"{request.precision} without calibration data: no ranges for {open_[0]}",
            allowed="rows of real text, or a range for every product",
        )
    if open_:
        found = _observed(request, {name: products[name] for name in open_})
        open_ = [name for name in open_ if name in found]
        for name in open_:
            known[name] = Ranges(
                known[name].input or found[name].input, known[name].output or found[name].output
            )
    return known, open_


def _observed(request: ExportRequest, products: Mapping[str, nn.Module]) -> dict[str, Ranges]:
    """Least and greatest values over the calibration rows."""
    found: dict[str, Ranges] = {}

    def watch(name: str, product: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            before = found.get(name, Ranges())
            found[name] = Ranges(_widened(before.input, inputs[0]), _widened(before.output, output))

        return product.register_forward_hook(note)

    hooks = [watch(name, product) for name, product in products.items()]
    try:
        with torch.inference_mode():
            for row in request.calibration:
                request.module(*(torch.from_numpy(row[name]) for name in request.inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _widened(range_: tuple[float, float] | None, values: Tensor) -> tuple[float, float]:
    low, high = (value.item() for value in torch.aminmax(values))
    return (low, high) if range_ is None else (min(low, range_[0]), max(high, range_[1]))
