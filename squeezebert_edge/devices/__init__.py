"""Where a bundle is measured: one small interface, chosen by `--device`.

A device is a module of this package with two functions, entered in KINDS by one line:

    opened(address: str | None) -> Device     # what stands behind the colon of --device, or null
    found() -> list[Listing]                  # what of its kind is reachable from here
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from exporters.errors import InputError

if TYPE_CHECKING:
    from exporters.arrays import Array
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.latency import protocol as latency
    from squeezebert_edge.latency import record
    from squeezebert_edge.plumbing.progress import Progress

    Inputs = Mapping[str, Array]  # name -> (1, length) int32, as text.pad gives them
    Outputs = dict[str, Array]  # name -> float32


class Device(Protocol):
    """Something that runs bundles. Every method may raise UnavailableError if it is gone.

    runner: what calls the runtime there.
    """

    runner: record.Runner

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
    runner: for --runner, null of a kind of device that is not reachable from here.
    """

    device: str
    name: str | None
    runs: tuple[str, ...]
    needs: str | None
    runner: record.Runner | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of device.

    runners: the module that opens it for each --runner, the default's first.
    written: how --device names one.
    """

    runners: Mapping[str, str]
    written: str
    needs: str


KINDS = {
    "host": Kind({"python": "squeezebert_edge.devices.python.host"}, "host", "nothing"),
    "ssh": Kind(
        {"python": "squeezebert_edge.devices.python.ssh"},
        "ssh:USER@HOST[:PORT]",
        "a machine that ssh reaches, with Python and the runtime's wheel",
    ),
    "android": Kind(
        {
            "native": "squeezebert_edge.devices.android.native_runner",
            "app": "squeezebert_edge.devices.android.app",
        },
        "android[:SERIAL]",
        "adb, and a phone with USB debugging switched on",
    ),
    "ios": Kind(
        {"app": "squeezebert_edge.devices.ios.app"},
        "ios[:UDID]",
        "a Mac with Xcode 15 or later, and an iPhone that trusts it",
    ),
}


def opened(text: str, runner: str | None = None) -> Device:
    """The device that --device names.

    Args:
        runner: what is to call the runtime there, as --runner names it; by default the kind's first.

    Raises:
        InputError: no such kind of device, or no such runner on it.
        UnavailableError: none of its kind is reachable from here; says what to plug in.
    """
    name, _, address = text.partition(":")
    if name not in KINDS:
        raise InputError(
            f"unknown device '{text}'", allowed=", ".join(kind.written for kind in KINDS.values())
        )
    kind = KINDS[name]
    chosen = runner or next(iter(kind.runners))
    if chosen not in kind.runners:
        raise InputError(f"--runner {chosen} on {name}", allowed=", ".join(kind.runners))
    device: Device = importlib.import_module(kind.runners[chosen]).opened(address or None)
    return device


def listings() -> list[Listing]:
    """Every device reachable from here by each runner, and of the other kinds what they need."""
    found: list[Listing] = []
    for kind in KINDS.values():
        listed = [one for module in kind.runners.values() for one in importlib.import_module(module).found()]
        found += listed or [Listing(kind.written, None, (), kind.needs)]
    return found
