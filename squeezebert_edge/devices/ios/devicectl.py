"""Xcode's devicectl: every call ends within a time, and what goes wrong is said in the user's words.

Calls `xcrun devicectl` of Xcode 15 or later. What its JSON has, and what it prints about a locked phone, a
missing app or a missing file, is from its help and from what other projects print and parse; none of it was
run here.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.errors import GateError, InputError, UnavailableError
from squeezebert_edge.devices.command import Finished, run_program
from squeezebert_edge.devices.demo_app import APP_ID
from squeezebert_edge.devices.python import machine
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.plumbing.reading import read_json
from squeezebert_edge.plumbing.staging import scratch_directory

CALL = 60.0  # seconds that a call which moves no data may take; the first one to a phone opens a tunnel
SLOWEST = 500_000  # bytes a second: of a connection that is only just worth waiting for
NEEDS = "a Mac with Xcode 15 or later, and an iPhone that trusts it"
PLUG_IN = "connect the iPhone by its cable, unlock it, and trust this Mac on it"
INSTALL = "run the app of ios_demo on it from Xcode, once: see ios_demo/README.md"
MISSING = re.compile(r"failed to retrieve the file node|CoreDeviceError error 7000", re.IGNORECASE)

# What devicectl prints, what that means, and what helps.
REASONS = (
    (
        r"unable to find utility|not a developer tool|requires Xcode",
        "Xcode's devicectl is not here",
        "install Xcode 15 or later and select it: sudo xcode-select -s /Applications/Xcode.app",
    ),
    (
        r"could not be, unlocked|= Locked|reason: Locked|passcode",
        "the iPhone is locked",
        "unlock it, and leave it unlocked until the measurement is over",
    ),
    (
        r"ContainerLookupErrorDomain|is not installed|application could not be found|-10814",
        f"{APP_ID} is not on the iPhone, or was not put there by Xcode",
        INSTALL,
    ),
    (
        r"explicitly trusted|invalid code signature|inadequate entitlements",
        "the iPhone does not trust the app's developer",
        "trust it in Settings > General > VPN & Device Management, or run the app from Xcode again",
    ),
    (
        r"developer mode",
        "Developer Mode is switched off on the iPhone",
        "Settings > Privacy & Security > Developer Mode",
    ),
    (r"no space left|disk full", "the iPhone has no room", "free some on it"),
)


@dataclass(frozen=True)
class IosPhone:
    """An iPhone or iPad that this Mac knows. needs: what its owner has to do first; None if nothing."""

    udid: str
    name: str
    system: str
    architecture: str
    needs: str | None

    @classmethod
    def of(cls, device: dict[str, Any]) -> IosPhone:
        """Read one of the list's `devices`."""
        hardware, properties = _part(device, "hardwareProperties"), _part(device, "deviceProperties")
        name = hardware.get("marketingName") or hardware.get("productType") or hardware.get("deviceType")
        return cls(
            udid=str(hardware["udid"]),
            name=str(name or "an iPhone"),
            system=f"iOS {properties.get('osVersionNumber', 'of an unknown version')}",
            architecture=str(_part(hardware, "cpuType").get("name", "arm64")),
            needs=_needs(_part(device, "connectionProperties"), properties),
        )


def list_phones() -> list[IosPhone]:
    """List every iPhone and iPad that this Mac has met, without simulators.

    Raises:
        UnavailableError: this is no Mac, or has no Xcode.
    """
    devices = call("list", "devices").get("devices", [])
    return [
        IosPhone.of(device)
        for device in devices
        if _part(device, "hardwareProperties").get("platform") == "iOS"
        and _part(device, "hardwareProperties").get("reality", "physical") == "physical"
        and "udid" in _part(device, "hardwareProperties")
    ]


def call(*words: str, limit: float = CALL, progress: Progress = silent) -> dict[str, Any]:
    """Run devicectl to its end; returns the `result` of its JSON.

    Args:
        limit: seconds. progress: told about twice a second how long it runs; what it raises ends the call.

    Raises:
        UnavailableError: this is no Mac, it has no Xcode, or what REASONS has; says what to do.
        GateError: the call was not done within the limit, or gave no JSON.
    """
    finished, result = _call(*words, limit=limit, progress=progress)
    if finished.status:
        raise _failure(words, finished.output)
    return result


class InstalledApp:
    """The demo app on one phone, and the files in its data container.

    Args:
        udid: as the list of devices has it.
    """

    def __init__(self, udid: str) -> None:
        self._udid = udid

    def put(self, source: Path, there: str, *, alone: bool, progress: Progress) -> None:
        """Copy a file to the phone, or a directory with what is in it.

        Args:
            there: its path there, from the container's root.
            alone: whether to remove what else is in that directory; devicectl has no call that removes.

        Raises:
            UnavailableError: the phone is gone or full, or the app is not on it.
        """
        files = [source] if source.is_file() else [file for file in source.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        call(
            *self._copy("to", os.fspath(source), there),
            *("--remove-existing-content", str(alone).lower()),
            limit=CALL + size / SLOWEST,
            progress=progress,
        )

    def get(self, there: str, to: Path, size: int, progress: Progress) -> bool:
        """Copy a file of at most so many bytes from the phone; returns whether the phone has it.

        Raises:
            UnavailableError: the phone is gone.
        """
        words = self._copy("from", there, os.fspath(to))
        finished, _ = _call(*words, limit=CALL + size / SLOWEST, progress=progress)
        if finished.status and not MISSING.search(finished.output):
            raise _failure(words, finished.output)
        return finished.status == 0 and to.exists()

    def launch(self, *arguments: str) -> int:
        """Start the app in the foreground, in place of one that runs; returns its process.

        Raises:
            UnavailableError: the phone is locked, or does not start the app; says what to do.
        """
        # Without `--` devicectl may take the app's arguments for its own.
        words = ("device", "process", "launch", "--device", self._udid, "--terminate-existing", APP_ID, "--")
        process = _part(call(*words, *arguments), "process").get("processIdentifier")
        if not isinstance(process, int):
            raise GateError("devicectl does not say which process it launched", hint="update Xcode")
        return process

    def runs(self, process: int) -> bool:
        """Whether a process is running."""
        processes = call("device", "info", "processes", "--device", self._udid).get("runningProcesses", [])
        return any(each.get("processIdentifier") == process for each in processes)

    def end(self, process: int) -> None:
        """End a process, whatever it does."""
        call("device", "process", "terminate", "--device", self._udid, "--pid", str(process), "--kill")

    def _copy(self, direction: str, source: str, destination: str) -> tuple[str, ...]:
        # Without `mobile`, files are root's and the app may neither write beside them nor remove them.
        return (
            *("device", "copy", direction, "--device", self._udid, "--user", "mobile"),
            *("--domain-type", "appDataContainer", "--domain-identifier", APP_ID),
            *("--source", source, "--destination", destination),
        )


def _call(*words: str, limit: float, progress: Progress) -> tuple[Finished, dict[str, Any]]:
    program = shutil.which("xcrun")
    if not machine.MAC or program is None:
        raise UnavailableError("iPhones are reached from a Mac only", hint=f"needs {NEEDS}")
    with scratch_directory() as directory:
        output = directory / "output.json"
        # Options before the words: what follows an app's name is the app's.
        command = [program, "devicectl", *words[:3], "--quiet", "--json-output", str(output), *words[3:]]
        finished = run_program(command, limit, progress)
        if finished is None:
            raise GateError(
                f"devicectl {' '.join(words[:3])} hung: it was not done after {limit:.0f} s",
                hint="unplug the iPhone and try again",
            )
        if finished.status:
            return finished, {}
        try:
            return finished, _part(read_json(output), "result")
        except InputError as error:
            raise GateError(
                f"devicectl {' '.join(words[:3])} gave no JSON: {error.problem}", hint="update Xcode"
            ) from None


def _failure(words: tuple[str, ...], text: str) -> UnavailableError:
    for pattern, problem, hint in REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            return UnavailableError(problem, hint=hint)
    error = " ".join(text[max(text.find("ERROR:"), 0) :].split())[:400] or "it printed nothing"
    return UnavailableError(f"devicectl {' '.join(words[:3])} failed: {error}", hint=PLUG_IN)


def _needs(connection: dict[str, Any], properties: dict[str, Any]) -> str | None:
    if connection.get("pairingState", "paired") != "paired":
        return PLUG_IN
    if connection.get("tunnelState") == "unavailable":
        return "it is not reachable: connect it by its cable and unlock it"
    if properties.get("developerModeStatus") == "disabled":
        return "switch on Developer Mode: Settings > Privacy & Security"
    return None


def _part(of: object, name: str) -> dict[str, Any]:
    part = of.get(name) if isinstance(of, dict) else None
    return part if isinstance(part, dict) else {}
