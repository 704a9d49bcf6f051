"""The chips whose NPU LiteRT compiles for, by the names that `Build.SOC_MODEL` gives them."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.errors import InputError
from exporters.precision import Precision

OLDEST_WITH_INT16 = 73  # of Hexagon: before, 16-bit products of two computed values are left to the CPU


@dataclass(frozen=True)
class Chip:
    """A chip with an NPU; None is not known.

    vendor: as LiteRT names its backends (ai_edge_litert.aot.vendors).
    float16: whether its NPU computes with float16; every one computes with integers.
    soc: Qualcomm's number of the chip, by which the emulator knows it. hexagon: the version of its NPU.
    """

    name: str
    vendor: str
    float16: bool | None = None
    soc: int | None = None
    hexagon: int | None = None

    def takes(self, precision: Precision) -> bool:
        """Whether the NPU computes every operator of a precision, as far as that is known."""
        if precision.rounding is None:
            return self.float16 is not False
        return precision.activations != "int16" or self.hexagon is None or self.hexagon >= OLDEST_WITH_INT16


def _qualcomm(hexagon: int, *, float16: bool = True, **socs: int) -> list[Chip]:
    return [Chip(name, "qualcomm", float16, soc, hexagon) for name, soc in socs.items()]


# Qualcomm's own compiler (QAIRT 2.50) said of each chip here what it takes whole. SM8350 is left out: the
# compiler fails for it.
CHIPS = {
    chip.name: chip
    for chip in [
        *_qualcomm(81, SM8850=87, SM8845=97),
        *_qualcomm(79, SM8750=69),
        *_qualcomm(75, SM8650=57),
        *_qualcomm(73, SM8550=43, SA8255=52),
        *_qualcomm(73, float16=False, SM8735=85, SM8635=68, SM7750=86, SM7675=70, SM7635=73, SM7550=64),
        *_qualcomm(73, float16=False, SM7435=61),
        *_qualcomm(69, SM8475=42, SM8450=36, SM7450=41),
        *_qualcomm(69, float16=False, SM7475=54),
        *_qualcomm(68, SA8295=39),
        *(Chip(f"MT{number}", "mediatek") for number in (6993, 6991, 6989, 6985, 6983, 6897, 6895, 6893)),
        *(Chip(f"MT{number}", "mediatek") for number in (6886, 6879, 6878, 6877, 6853)),
        *(Chip(f"Tensor_G{number}", "google_tensor") for number in (3, 4, 5, 6)),
        Chip("E9965", "samsung"),
        *(Chip(name, "intel_openvino") for name in ("LNL", "PTL")),
    ]
}


def chip_named(name: str) -> Chip:
    """The chip of a name, in capitals or not.

    Raises:
        InputError: LiteRT does not compile for it.
    """
    for chip in CHIPS.values():
        if chip.name.lower() == name.lower():
            return chip
    raise InputError(
        f"LiteRT does not compile for a chip '{name}'",
        allowed=f"{', '.join(CHIPS)}, or all for every one of Qualcomm's that takes the precision",
    )
