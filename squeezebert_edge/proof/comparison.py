"""How far an output is from the reference's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from exporters.arrays import Array

EXACT_DB = 200.0  # the SQNR that stands for no error at all, since JSON has no infinity


@dataclass
class Comparison:
    """One output compared over many rows. Only these sums are kept, never the outputs themselves."""

    count: int = 0
    total: float = 0.0
    total_square: float = 0.0
    total_error_square: float = 0.0
    max_error: float = 0.0
    max_reference: float = 0.0

    def add(self, reference: Array, output: Array) -> None:
        """Add an output of the reference's shape; where either is not finite, the error is infinite."""
        reference, output = reference.astype(np.float64), output.astype(np.float64)
        finite = np.isfinite(output) & np.isfinite(reference)
        error = np.where(finite, np.abs(output - reference), np.inf)
        self.count += reference.size
        self.total += float(reference.sum())
        self.total_square += float((reference**2).sum())
        self.total_error_square += float((error**2).sum())
        self.max_error = max(self.max_error, float(error.max(initial=0.0)))
        self.max_reference = max(self.max_reference, float(np.abs(reference).max(initial=0.0)))

    def merge(self, other: Comparison) -> None:
        """Add the sums over other rows."""
        self.count += other.count
        self.total += other.total
        self.total_square += other.total_square
        self.total_error_square += other.total_error_square
        self.max_error = max(self.max_error, other.max_error)
        self.max_reference = max(self.max_reference, other.max_reference)

    @property
    def sqnr_db(self) -> float:
        """Signal to quantization noise: the reference's variance over the mean squared error.

        In dB, from -EXACT_DB (an error that is not finite, or a reference that never varies) to EXACT_DB.
        """
        return self.sqnr_db_below(self)

    def sqnr_db_below(self, signal: Comparison) -> float:
        """The same with the noise of these rows, and the reference's variance over those of `signal`."""
        variance = signal.total_square / signal.count - (signal.total / signal.count) ** 2
        noise = self.total_error_square / self.count
        if not math.isfinite(noise):
            return -EXACT_DB
        if noise <= variance * 10 ** (-EXACT_DB / 10):
            return EXACT_DB
        return max(10 * math.log10(variance / noise), -EXACT_DB) if variance > 0 else -EXACT_DB
