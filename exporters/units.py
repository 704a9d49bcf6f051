"""Compute units of a phone, as users name them: cpu, gpu, ane (Apple's Neural Engine), npu:CHIP."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.errors import InputError

KINDS = ("cpu", "gpu", "ane", "npu")
EVERY_CHIP = "all"


@dataclass(frozen=True)
class Unit:
    """A compute unit. An NPU is known by its chip, since a file is compiled for one; nothing else has one.

    An NPU without a chip is that of the phone where something runs, whichever that is.
    """

    kind: str
    chip: str | None = None

    def __str__(self) -> str:
        return self.kind if self.chip is None else f"{self.kind}:{self.chip}"


CPU, GPU, ANE = Unit("cpu"), Unit("gpu"), Unit("ane")


def parse_unit(text: str, *, on_phone: bool = False) -> Unit:
    """A unit from its name; whether a format has such a unit, and such a chip, is for the format to say.

    Args:
        on_phone: it names what shall compute on a phone that is there, whose chip needs no name.

    Raises:
        InputError: no such kind of unit, an NPU without a chip, or another unit with one.
    """
    kind, colon, chip = text.partition(":")
    allowed = f"cpu, gpu, ane, npu:CHIP (such as npu:SM8650) or {'npu' if on_phone else 'npu:all'}"
    if kind not in KINDS:
        raise InputError(f"there is no compute unit '{text}'", allowed=allowed)
    if kind == "npu" and not chip and (colon or not on_phone):
        raise InputError("an NPU is named without its chip", allowed=allowed)
    if kind != "npu" and colon:
        raise InputError(f"'{text}' names a chip, but only an NPU's file is made for one", allowed=allowed)
    return Unit(kind, chip or None)
