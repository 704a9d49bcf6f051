"""Where a bundle is measured: one small interface, chosen by `--device`.

A kind of device is a line of KINDS and, for each runner, a module with two functions:

    open_device(address: str | None) -> Device   # address: what follows the colon of --device, if anything
    list_devices() -> list[Listing]              # the devices of this kind that can be reached from here
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
    from squeezebert_edge.latency import record
    from squeezebert_edge.latency.protocol import Protocol as LatencyProtocol
    from squeezebert_edge.plumbing.progress import Progress

    Inputs = Mapping[str, Array]  # name -> (1, length) int32, as `pad` gives them
    Outputs = dict[str, Array]  # name -> float32

# Files of the directory that a job is run in: what is asked, what came of it, and the values of answers.
JOB, RESULT, OUTPUTS = "job.json", "result.json", "outputs.bin"


class Device(Protocol):
    """Something that runs bundles. Every method raises UnavailableError if the device is gone.

    runner: what calls the runtime there, as --runner names it.
    """

    runner: record.RunnerName

    def describe(self) -> record.Device:
        """Say what the device is."""
        ...

    def state(self) -> record.State:
        """The state that the device is in now."""
        ...

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """Decide the settings that were left open; the result is what records will have.

        Raises:
            InputError: the device cannot honour a setting with this bundle; none is ever ignored.
            UnavailableError: the device does not run such bundles at all.
        """
        ...

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: LatencyProtocol,
        settings: record.Settings,
        progress: Progress,
    ) -> record.Run:
        """Run the rows by the protocol, cold start first.

        Args:
            settings: as `settle` gave them.

        Raises:
            GateError: what measures died, hung or gave no measurement.
        """
        ...

    def answer(
        self, bundle: Bundle, rows: Sequence[Inputs], settings: record.Settings, progress: Progress
    ) -> list[Outputs]:
        """Compute the bundle's outputs for each row, by the code that `measure` times.

        Raises:
            GateError: as for `measure`.
        """
        ...


@dataclass(frozen=True)
class Listing:
    """A device that can be named, or the reason why it cannot.

    device: its name for --device. runs: the formats that it runs.
    needs: what is missing here, None if nothing is.
    runner: its name for --runner; None for a kind of device that cannot be reached from here.
    """

    device: str
    name: str | None
    runs: tuple[str, ...]
    needs: str | None
    runner: record.RunnerName | None = None


@dataclass(frozen=True)
class DeviceKind:
    """A kind of device.

    runners: the module for each --runner; the first is the default.
    written: how --device names such a device.
    needs: what it takes to reach one.
    """

    runners: Mapping[str, str]
    written: str
    needs: str


KINDS = {
    "host": DeviceKind({"python": "squeezebert_edge.devices.python.host"}, "host", "nothing"),
    "ssh": DeviceKind(
        {"python": "squeezebert_edge.devices.python.ssh"},
        "ssh:USER@HOST[:PORT]",
        "a machine that ssh reaches, with Python and the runtime's wheel",
    ),
    "android": DeviceKind(
        {
            "native": "squeezebert_edge.devices.android.native_runner",
            "app": "squeezebert_edge.devices.android.app",
        },
        "android[:SERIAL]",
        "adb, and a phone with USB debugging switched on",
    ),
    "ios": DeviceKind(
        {"app": "squeezebert_edge.devices.ios.app"},
        "ios[:UDID]",
        "a Mac with Xcode 15 or later, and an iPhone that trusts it",
    ),
}


def open_device(text: str, runner: str | None = None) -> Device:
    """Open the device that --device names.

    Args:
        runner: what shall call the runtime there, as --runner names it; by default the kind's first.

    Raises:
        InputError: there is no such kind of device, or it has no such runner.
        UnavailableError: no device of this kind can be reached from here; the hint says what to plug in.
    """
    name, _, address = text.partition(":")
    if name not in KINDS:
        raise InputError(
            f"--device {text} names no kind of device",
            allowed=", ".join(kind.written for kind in KINDS.values()),
        )
    kind = KINDS[name]
    chosen = runner or next(iter(kind.runners))
    if chosen not in kind.runners:
        raise InputError(f"--device {name} has no --runner {chosen}", allowed=", ".join(kind.runners))
    device: Device = importlib.import_module(kind.runners[chosen]).open_device(address or None)
    return device


def list_devices() -> list[Listing]:
    """List the devices that can be reached from here, once for each runner; of other kinds their needs."""
    found: list[Listing] = []
    for kind in KINDS.values():
        modules = [importlib.import_module(name) for name in kind.runners.values()]
        listed = [listing for module in modules for listing in module.list_devices()]
        found += listed or [Listing(kind.written, None, (), kind.needs)]
    return found
