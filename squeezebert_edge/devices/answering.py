"""A bundle on a device, called as if it were here; many rows are computed at once, ahead of the calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from exporters.units import parse_unit

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Device, Inputs, Outputs
    from squeezebert_edge.latency.record import Settings
    from squeezebert_edge.plumbing.progress import Progress

MOST_ROWS, MOST_BYTES = 1024, 256_000_000  # of one errand: its answers are held in memory


class BundleOnDevice:
    """A bundle on a device.

    Args:
        rows: every row that will be asked for, in that order.
        progress: told of each errand.

    Raises:
        InputError, UnavailableError: the device does not take these settings or this bundle.
        GateError: what the unit runs failed its proof.
    """

    def __init__(
        self, device: Device, bundle: Bundle, settings: Settings, rows: Iterator[Inputs], progress: Progress
    ) -> None:
        self._device, self._bundle, self._progress = device, bundle, progress
        self._settings = device.settle(bundle, settings)
        bundle.require_proof(parse_unit(self._settings.unit or "cpu"))
        longest = bundle.manifest.lengths[-1]
        numbers = sum(prod(size or longest for size in output.shape) for output in bundle.manifest.outputs)
        self._most = max(1, min(MOST_ROWS, MOST_BYTES // (4 * numbers)))
        self._rows = rows
        self._ready: deque[tuple[Inputs, Outputs]] = deque()

    def __call__(self, inputs: Inputs) -> Outputs:
        """Compute the outputs for one row: name -> (1, length) int32 in, name -> float32 out.

        Raises:
            GateError: the device gave none.
            ValueError: it is the turn of another row.
        """
        if not self._ready:
            rows = list(islice(self._rows, self._most))
            answers = self._device.answer(self._bundle, rows, self._settings, self._progress)
            self._ready.extend(zip(rows, answers, strict=True))
        asked, outputs = self._ready.popleft()
        if not all(np.array_equal(asked[name], value) for name, value in inputs.items()):
            raise ValueError("rows are asked for in another order than they were announced")
        return outputs
