"""Compute units of a phone, as users name them: cpu, gpu, ane (Apple's Neural Engine), npu:CHIP.

cpu-fp16 is the CPU too, computing in float16 what the file has in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporters.errors import InputError

KINDS = ("cpu", "cpu-fp16", "gpu", "ane", "npu")
EVERY_CHIP = "all"


@dataclass(frozen=True)
class Unit:
    """A compute unit. An NPU is known by its chip, since a file is compiled for one; nothing else has one.

    An NPU without a chip is that of the phone where something runs, whichever that is.
    """

    kind: str
    chip: str | None = None

    @property
    def is_cpu(self) -> bool:
        """Whether it is the CPU, in whichever arithmetic: it has threads, and takes no seconds a row here."""
        return self.kind in ("cpu", "cpu-fp16")

    def __str__(self) -> str:
        return self.kind if self.chip is None else f"{self.kind}:{self.chip}"


CPU, CPU_FP16, GPU, ANE = Unit("cpu"), Unit("cpu-fp16"), Unit("gpu"), Unit("ane")
ARITHMETICS = {"fp16": CPU_FP16}  # what a CPU may compute in, other than the file says


def parse_unit(text: str, *, on_phone: bool = False) -> Unit:
    """A unit from its name; whether a format has such a unit, and such a chip, is for the format to say.

    Args:
        on_phone: it names what shall compute on a phone that is there, whose chip needs no name.

    Raises:
        InputError: no such kind of unit, an NPU without a chip, or another unit with one.
    """
    kind, colon, chip = text.partition(":")
    allowed = f"cpu, cpu-fp16, gpu, ane, npu:CHIP (such as npu:SM8650) or {'npu' if on_phone else 'npu:all'}"
    if kind not in KINDS:
        raise InputError(f"there is no compute unit '{text}'", allowed=allowed)
    if kind == "npu" and not chip and (colon or not on_phone):
        raise InputError("an NPU is named without its chip", allowed=allowed)
    if kind != "npu" and colon:
        raise InputError(f"'{text}' names a chip, but only an NPU's file is made for one", allowed=allowed)
    return Unit(kind, chip or None)


def with_arithmetic(unit: str | None, arithmetic: str | None) -> str | None:
    """The unit's name once an arithmetic is asked for, by the name that users give it.

    Raises:
        InputError: there is no such arithmetic, or the unit is none of the CPU's.
    """
    if arithmetic is None:
        return unit
    if arithmetic not in ARITHMETICS:
        raise InputError(f"there is no arithmetic '{arithmetic}'", allowed=", ".join(ARITHMETICS))
    asked = ARITHMETICS[arithmetic]
    if unit not in (None, str(CPU), str(asked)):
        raise InputError(
            f"the arithmetic {arithmetic} is asked for with the unit {unit}",
            allowed=f"{arithmetic} on the CPU: other units compute in their own",
        )
    return str(asked)
