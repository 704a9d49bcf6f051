"""Where a bundle is measured: one small interface, chosen by `--device`.

A device is a module of this package with two functions, entered in KINDS by one line:

    opened(address: str | None) -> Device     # what stands behind the colon of --device, or null
    found() -> list[Listing]                  # what of its kind is reachable from here
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from exporters.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from squeezebert_edge import latency, record
    from squeezebert_edge.bundle import Bundle
    from squeezebert_edge.progress import Progress

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
    Inputs = Mapping[str, Array]  # name -> (1, length) int32, as text.pad gives them
    Outputs = dict[str, Array]  # name -> float32


class Device(Protocol):
    """Something that runs bundles. Every method may raise UnavailableError if it is gone."""

    def describe(self) -> record.Device:
        """What it is."""
        ...

    def state(self) -> record.State:
        """How it is now."""
        ...

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """The settings with what was left open decided, as records will have them.

        Raises:
            InputError: one that this device cannot honour with this bundle; nothing is ever ignored.
            UnavailableError: it does not run such bundles at all.
        """
        ...

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: latency.Protocol,
        settings: record.Settings,
        progress: Progress,
    ) -> record.Run:
        """Run the rows by the protocol, cold start first.

        Args:
            settings: as `settle` gave them.

        Raises:
            GateError: it died, hung or gave something else than a measurement.
        """
        ...

    def answer(
        self, bundle: Bundle, rows: Sequence[Inputs], settings: record.Settings, progress: Progress
    ) -> list[Outputs]:
        """What the bundle answers to each row, by the same code that `measure` times.

        Raises:
            GateError: as for `measure`.
        """
        ...


@dataclass(frozen=True)
class Listing:
    """A device that can be named, or why it cannot.

    device: for --device. runs: formats. needs: what is missing here, null if nothing is.
    """

    device: str
    name: str | None
    runs: tuple[str, ...]
    needs: str | None


@dataclass(frozen=True)
class Kind:
    """A kind of device. module: what opens it. written: how --device names one."""

    module: str
    written: str
    needs: str


KINDS = {
    "host": Kind("squeezebert_edge.devices.host", "host", "nothing"),
    "ssh": Kind(
        "squeezebert_edge.devices.ssh",
        "ssh:USER@HOST[:PORT]",
        "a machine that ssh reaches, with Python and the runtime's wheel",
    ),
    "android": Kind(
        "squeezebert_edge.devices.android",
        "android[:SERIAL]",
        "adb, and a phone with USB debugging switched on",
    ),
    "ios": Kind(
        "squeezebert_edge.devices.ios",
        "ios[:UDID]",
        "a Mac with Xcode 15 or later, and an iPhone that trusts it",
    ),
}


def opened(text: str) -> Device:
    """The device that --device names.

    Raises:
        InputError: no such kind of device.
        UnavailableError: none of its kind is reachable from here; says what to plug in.
    """
    name, _, address = text.partition(":")
    if name not in KINDS:
        raise InputError(
            f"unknown device '{text}'", allowed=", ".join(kind.written for kind in KINDS.values())
        )
    device: Device = importlib.import_module(KINDS[name].module).opened(address or None)
    return device


def listings() -> list[Listing]:
    """Every device reachable from here, and of the other kinds what they need."""
    found: list[Listing] = []
    for kind in KINDS.values():
        listed = importlib.import_module(kind.module).found()
        found += listed or [Listing(kind.written, None, (), kind.needs)]
    return found
