"""The products of a module that quantization is about: its linear layers, alone or in batches, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from exporters.errors import InputError
from exporters.spec import ExportRequest, Ranges


class BatchedLinear(nn.Module):
    """Linear layers of one shape side by side, computed as one batched product.

    Args:
        linears: of the same shape, each with a bias.
    """

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        super().__init__()
        weights = [linear.weight.detach().T for linear in linears]  # (out, in) -> (in, out)
        self.weight = nn.Parameter(torch.stack(weights).contiguous())  # (G, in, out)
        self.bias = nn.Parameter(torch.stack([linear.bias.detach() for linear in linears])[:, None])  # (G, 1, out)

    def forward(self, x: Tensor) -> Tensor:
        """(G, S, in) -> (G, S, out)."""
        return torch.matmul(x, self.weight) + self.bias


Product = nn.Linear | BatchedLinear


def quantized_parts(request: ExportRequest) -> tuple[dict[str, Product], dict[str, nn.Embedding]]:
    """The linear layers and the embedding tables that are to be quantized, by dotted name.

    Raises:
        InputError: none is left to quantize, or there are convolutions, which run-time quantization would
            give one scale for a whole row of tokens, so that padding changes the answer.
    """
    linears: dict[str, Product] = {}
    tables: dict[str, nn.Embedding] = {}
    for name, submodule in request.module.named_modules():
        if isinstance(submodule, nn.Conv1d | nn.Conv2d) and not request.stays_float(name):
            raise InputError(
                f"{request.precision} of a module with convolutions ({name})",
                allowed="linear layers and embeddings",
                hint="a form made of linear layers: --form group-resident",
            )
        if isinstance(submodule, Product) and not request.stays_float(name):
            linears[name] = submodule
        elif isinstance(submodule, nn.Embedding) and not request.stays_float(name):
            tables[name] = submodule
    if not linears:
        raise InputError(f"{request.precision} of a module without a linear layer to quantize")
    return linears, tables


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
