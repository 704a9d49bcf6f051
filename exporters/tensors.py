"""What goes into an artifact and comes out of it: described when it is made, checked when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from exporters.errors import InputError
from exporters.spec import ExportRequest, TensorSpec

if TYPE_CHECKING:
    import torch

    from exporters.arrays import Array


def describe(request: ExportRequest) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The inputs and outputs of the request's module.

    A dimension is the sequence length if it changes with it: a width of 32 is no length of 32.
    """
    import torch  # here, for whoever only runs artifacts may have none

    longest = request.examples[request.lengths[-1]]
    shorter = {name: tensor[:, : max(1, tensor.shape[1] // 2)] for name, tensor in longest.items()}
    with torch.inference_mode():
        outputs = zip(
            request.outputs, request.module(*longest.values()), request.module(*shorter.values()), strict=True
        )
        inputs = zip(longest, longest.values(), shorter.values(), strict=True)
        return tuple(_spec(*tensors) for tensors in inputs), tuple(_spec(*tensors) for tensors in outputs)


def _spec(name: str, longer: torch.Tensor, shorter: torch.Tensor) -> TensorSpec:
    sizes = zip(longer.shape, shorter.shape, strict=True)
    shape = tuple(size if size == other else None for size, other in sizes)
    return TensorSpec(name, str(longer.dtype).removeprefix("torch."), shape)


def length_of(inputs: Mapping[str, Array], names: Sequence[str], lengths: Sequence[int]) -> int:
    """The sequence length that the inputs of a call have in common.

    Raises:
        InputError: other names than `names`, not int32, not (1, length), or a length that is not there.
    """
    if set(inputs) != set(names):
        raise InputError(f"inputs: {', '.join(inputs) or 'none'}", allowed=", ".join(names))
    shapes = [(1, length) for length in lengths]
    first = inputs[names[0]].shape
    for name in names:
        array = inputs[name]
        if array.dtype != np.int32 or array.shape not in shapes or array.shape != first:
            raise InputError(
                f"{name}: {array.dtype} of shape {array.shape}",
                allowed=f"int32 of shape (1, length), length one of {', '.join(map(str, lengths))}, "
                "the same for every input",
            )
    return first[1]
