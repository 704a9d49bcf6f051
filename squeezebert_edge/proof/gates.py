"""The limits that an artifact must meet, for each precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from exporters.errors import InputError


@dataclass(frozen=True)
class Gates:
    """What an artifact must meet; null gates nothing.

    Each holds for every output of the network by itself:

    max_error: largest difference, relative to max(1, largest reference output).
    min_sqnr_db: signal to quantization noise over all inputs together, in dB.
    max_padding_error: largest change by padding, relative to max(1, largest reference output).
    min_padding_sqnr_db: signal to the noise that padding makes, in dB; no decision may change either.
    """

    max_error: float | None = None
    min_sqnr_db: float | None = None
    max_padding_error: float | None = None
    min_padding_sqnr_db: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not math.isfinite(value):
                raise InputError(f"{name} {value}", allowed="a finite number")


# The floors of every precision, here and nowhere else.
GATES: Mapping[str, Gates] = {
    "fp32": Gates(max_error=1e-4, max_padding_error=1e-5),
    "fp16": Gates(min_sqnr_db=60.0, max_padding_error=1e-3),
    "int8-dynamic": Gates(min_sqnr_db=45.0, min_padding_sqnr_db=60.0),
    "int8-weights": Gates(min_sqnr_db=45.0, min_padding_sqnr_db=60.0),
    "int8-static": Gates(min_sqnr_db=30.0, min_padding_sqnr_db=60.0),
    "int4": Gates(min_sqnr_db=25.0, min_padding_sqnr_db=60.0),
    "int4-weights": Gates(min_sqnr_db=25.0, min_padding_sqnr_db=60.0),
}


def gates_of(precision: str, wished: Gates) -> Gates:
    """A precision's gates, with those that a user wishes otherwise."""
    return replace(GATES[precision], **{k: v for k, v in asdict(wished).items() if v is not None})


OWN_GATES = Gates()  # wishes for nothing, so that each precision keeps its own
