"""How far one output is from another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from exporters.arrays import Array

EXACT_DB = 200.0  # what an error of zero is reported as, JSON having no infinity


@dataclass
class Comparison:
    """Running sums of one output over all inputs; nothing of the outputs is kept."""

    count: int = 0
    total: float = 0.0
    total_square: float = 0.0
    total_error_square: float = 0.0
    max_error: float = 0.0
    max_reference: float = 0.0

    def add(self, reference: Array, found: Array) -> None:
        """Take in a row. An output that is not finite counts as infinitely wrong."""
        reference = reference.astype(np.float64)
        error = _difference(reference, found)
        self.count += reference.size
        self.total += float(reference.sum())
        self.total_square += float((reference**2).sum())
        self.total_error_square += float((error**2).sum())
        self.max_error = max(self.max_error, float(error.max(initial=0.0)))
        self.max_reference = max(self.max_reference, float(np.abs(reference).max(initial=0.0)))

    def merge(self, other: Comparison) -> None:
        """Take in the sums of other rows."""
        self.count += other.count
        self.total += other.total
        self.total_square += other.total_square
        self.total_error_square += other.total_error_square
        self.max_error = max(self.max_error, other.max_error)
        self.max_reference = max(self.max_reference, other.max_reference)

    @property
    def sqnr_db(self) -> float:
        """Variance of the reference over the mean squared error, in dB, at most EXACT_DB."""
        variance = self.total_square / self.count - (self.total / self.count) ** 2
        noise = self.total_error_square / self.count
        if not math.isfinite(noise):
            return -EXACT_DB
        if noise <= variance * 10 ** (-EXACT_DB / 10):
            return EXACT_DB
        return max(10 * math.log10(variance / noise), -EXACT_DB) if variance > 0 else -EXACT_DB


def _difference(reference: Array, found: Array) -> Array:
    """Absolute differences in float64; what is not finite is infinitely wrong."""
    found = found.astype(np.float64)
    return np.where(np.isfinite(found) & np.isfinite(reference), np.abs(found - reference), np.inf)
