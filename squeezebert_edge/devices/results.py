"""What a process that measured or answered has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.errors import GateError

if TYPE_CHECKING:
    from squeezebert_edge.devices import Outputs


ANSWER_LIMIT = 600.0  # seconds a worker may take to start, and as many again for its rows


AGAIN = "run it again; if it stays so, `squeezebert-edge verify` says whether the bundle works at all"


def answers_of(
    path: Path, result: Mapping[str, Any], names: Sequence[str], rows: int, *, writer: str
) -> list[Outputs]:
    """The outputs of so many rows, by name, from a file of float32.

    Args:
        result: has each output's shape. writer: of the file, in words.

    Raises:
        GateError: not as many as announced.
    """
    try:
        values = np.fromfile(path, "<f4")
        shapes = [[tuple(map(int, shape)) for shape in of_row] for of_row in result["shapes"]]
        sizes = [int(np.prod(shape)) for of_row in shapes for shape in of_row]
        if len(shapes) != rows or sum(sizes) != len(values):
            raise ValueError(f"{len(values)} values for {len(shapes)} of {rows} rows")
        parts = iter(np.split(values, np.cumsum(sizes)[:-1]))
        return [
            {name: next(parts).reshape(shape) for name, shape in zip(names, of_row, strict=True)}
            for of_row in shapes
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GateError(f"{writer} wrote no answers: {error}", hint=AGAIN) from None
