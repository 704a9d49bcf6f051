"""The chips whose NPU LiteRT compiles for, by the names that `Build.SOC_MODEL` gives them."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.errors import InputError


@dataclass(frozen=True)
class Chip:
    """A chip with an NPU.

    vendor: as LiteRT names its backends (ai_edge_litert.aot.vendors).
    float16: whether its NPU computes with float16; every other takes integers only. None is not known.
    soc: Qualcomm's number of the chip, by which the emulator knows it.
    """

    name: str
    vendor: str
    float16: bool | None = None
    soc: int | None = None


def _qualcomm(float16: bool, **socs: int) -> list[Chip]:
    return [Chip(name, "qualcomm", float16, soc) for name, soc in socs.items()]


# Qualcomm's own compiler said of each chip here what it takes: QAIRT 2.50, every operator of a network in
# float16, or only integers. SM8350 is left out: the compiler fails for it.
CHIPS = {
    chip.name: chip
    for chip in [
        *_qualcomm(True, SM8850=87, SM8845=97, SM8750=69, SM8650=57, SM8550=43, SM8475=42, SM8450=36),
        *_qualcomm(True, SM7450=41, SA8255=52, SA8295=39),
        *_qualcomm(False, SM8735=85, SM8635=68, SM7750=86, SM7675=70, SM7635=73, SM7550=64, SM7475=54),
        *_qualcomm(False, SM7435=61),
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
