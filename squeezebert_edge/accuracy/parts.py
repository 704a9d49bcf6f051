"""What a ranking of a network's parts says of each; reports read it without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartCost:
    """What is lost when one part alone is quantized.

    sqnr_db: of the worst output, over all examples.
    drop: of the first metric, in percentage points.
    """

    part: str
    sqnr_db: float
    drop: float
