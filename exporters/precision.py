"""What a precision means: its types, how it rounds, and the limits that its artifacts must keep.

Each exporter lists its precisions with these; nothing else needs to know a precision by its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from exporters.errors import InputError


@dataclass(frozen=True)
class Gates:
    """The limits that an artifact must keep; None sets no limit.

    Each holds for every output of the network by itself:

    max_error: largest difference, relative to max(1, largest reference output).
    min_sqnr_db: signal to quantization noise over all inputs together, in dB.
    max_padding_error: largest change by padding, relative to max(1, largest reference output).
    min_padding_sqnr_db: signal to the noise that padding makes, in dB; no decision may change either.

    Raises:
        InputError: a limit that is not finite.
    """

    max_error: float | None = None
    min_sqnr_db: float | None = None
    max_padding_error: float | None = None
    min_padding_sqnr_db: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not math.isfinite(value):
                raise InputError(f"{name} is {value}", allowed="a finite number")

    def replaced_by(self, wished: Gates) -> Gates:
        """These limits, with those that a user wishes otherwise."""
        return replace(self, **{name: value for name, value in asdict(wished).items() if value is not None})


NO_WISHES = Gates()


@dataclass(frozen=True)
class Rounding:
    """How a precision rounds.

    bits: of weights. group: inputs that share a weight's scale; None is the whole channel.
    activations: "row" sets their scales at run time, "tensor" beforehand; None leaves them float.
    """

    bits: int
    group: int | None
    activations: Literal["row", "tensor"] | None


@dataclass(frozen=True)
class Precision:
    """What a precision's name means in one format.

    weights, activations: their types, in words. granularity: over what one quantization scale reaches.
    gates: what its artifacts must keep.
    rounding: None where nothing is quantized.
    for_npus: made only when it is asked for; a CPU computes it, but slowly.
    piece: the most products that are added up one after the other, where that is done in float16; weights are
        stored in pieces of so many inputs. None is all of them.
    palette_targets: targets for which 16 values serve a whole weight, instead of steps of even size.
    unit_gates: what must hold on a compute unit other than the CPU, by its kind; a kind without gates does
        not compute in this precision.
    """

    weights: str
    activations: str
    granularity: str | None = None
    gates: Gates = Gates()
    rounding: Rounding | None = None
    for_npus: bool = False
    piece: int | None = None
    palette_targets: tuple[str, ...] = ()
    unit_gates: Mapping[str, Gates] = field(default_factory=dict, hash=False)

    @property
    def calibrated(self) -> bool:
        """Whether the scales of activations are set beforehand, from real text."""
        return self.rounding is not None and self.rounding.activations == "tensor"


# The floors of the proof, here and nowhere else.
FLOAT32_GATES = Gates(max_error=1e-4, max_padding_error=1e-5)
FLOAT16_GATES = Gates(min_sqnr_db=60.0, max_padding_error=1e-3)
INT8_GATES = Gates(min_sqnr_db=45.0, min_padding_sqnr_db=60.0)
CALIBRATED_GATES = Gates(min_sqnr_db=30.0, min_padding_sqnr_db=60.0)
INT4_GATES = Gates(min_sqnr_db=25.0, min_padding_sqnr_db=60.0)
# Float on a GPU or an NPU is float16, not IEEE's everywhere. On 69 texts of SST-2, Qualcomm's emulator:
# 54.1 dB of the weakest head's output, 57.7 of hidden states, 60.7 of a trained classifier's logits.
GPU_FLOAT_GATES = Gates(min_sqnr_db=50.0, min_padding_sqnr_db=60.0)
NPU_FLOAT_GATES = Gates(min_sqnr_db=51.5, min_padding_sqnr_db=60.0)
# On 200 texts of SST-2, Qualcomm's emulator: 45.3 dB with int8 activations, 50.9 with int16.
NPU_INT8_GATES = Gates(min_sqnr_db=42.3, min_padding_sqnr_db=60.0)
NPU_INT16_GATES = Gates(min_sqnr_db=47.9, min_padding_sqnr_db=60.0)

# Precisions that mean the same in several formats.
FLOAT32 = Precision("float32", "float32", gates=FLOAT32_GATES)
INT8_DYNAMIC = Precision(
    "int8",
    "int8 at run time",
    "weights per channel, activations per row",
    gates=INT8_GATES,
    rounding=Rounding(8, None, "row"),
)
INT8_STATIC = Precision(
    "int8",
    "int8",
    "weights per channel, activations per tensor",
    gates=CALIBRATED_GATES,
    rounding=Rounding(8, None, "tensor"),
)
