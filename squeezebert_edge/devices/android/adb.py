"""Android's adb client: every call ends within a time, and what goes wrong is said in the user's words.

Calls the `adb` that PATH finds (https://developer.android.com/tools/adb); its server is left running, as
adb does.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from exporters.errors import GateError, UnavailableError
from squeezebert_edge.devices.command import Finished, run_program
from squeezebert_edge.plumbing.progress import Progress, silent

CALL = 30.0  # seconds that a call which moves no data may take
TIDY = 10.0  # seconds that one which tidies up may take: it is done after an interruption, too
SLOWEST = 500_000  # bytes a second: of a cable that is only just worth waiting for
PLUG_IN = (
    "plug in a phone with USB debugging switched on (Settings > Developer options), or `adb connect` one"
)
GONE = re.compile(
    r"device '?[^']*'? ?not found|no devices|device offline|device still (connecting|authorizing)|"
    r"error: closed|protocol fault|connection reset|broken pipe|device unauthorized|"
    r"couldn't read from device|read failed|unexpected end|failed to read copy response|transport",
    re.IGNORECASE,
)
MISSING = re.compile(r"no such file|does not exist", re.IGNORECASE)
NO_ROOM = re.compile(r"no space left on device|disk full|quota exceeded", re.IGNORECASE)

WHY_NOT = {
    "unauthorized": "unlock it and allow this computer to debug",
    "authorizing": "unlock it and allow this computer to debug",
    "offline": "unplug it and plug it in again, or `adb reconnect offline`",
    "no permissions": "give yourself access to the USB device: udev rules, or the group plugdev",
}


@dataclass(frozen=True)
class AdbDevice:
    """A line of `adb devices -l`.

    state: `device` is one that can be used. model: as adb gives it.
    """

    serial: str
    state: str
    model: str | None

    @property
    def needs(self) -> str | None:
        """What its owner has to do before it can be used; None if nothing."""
        if self.state == "device":
            return None
        return WHY_NOT.get(self.state, f"it is in the state '{self.state}': start Android on it")


def list_attached() -> list[AdbDevice]:
    """List every device that adb's server knows.

    Raises:
        UnavailableError: adb is not installed, or its server does not start.
    """
    call("start-server")
    found = []
    for line in call("devices", "-l").output.splitlines():
        line_of = re.match(r"(\S+)\s+(no permissions|\w+)\b(.*)", line)
        if line_of and not line.startswith(("List of", "*")):
            model = re.search(r"model:(\S+)", line_of[3])
            found.append(AdbDevice(line_of[1], line_of[2], model[1].replace("_", " ") if model else None))
    return found


def call(
    *words: str, serial: str | None = None, limit: float = CALL, progress: Progress = silent
) -> Finished:
    """Run adb to its end.

    Args:
        serial: of the device that the call is for. limit: seconds.
        progress: told about twice a second how long it runs; what it raises ends the call.

    Raises:
        UnavailableError: adb is not installed, or the device is not there any more.
        GateError: the call was not done within the limit.
    """
    program = shutil.which("adb")
    if program is None:
        raise UnavailableError("adb is not installed", hint="install Android's platform tools (Debian: adb)")
    command = [program, *(("-s", serial) if serial else ()), *words]
    finished = run_program(command, limit, progress)
    if finished is None:
        raise GateError(
            f"adb {words[0]} hung: it was not done after {limit:.0f} s",
            hint="unplug the phone and try again",
        )
    if finished.status and GONE.search(finished.output) and not NO_ROOM.search(finished.output):
        raise UnavailableError(f"the phone is gone: adb {words[0]} says: {finished.last_line}", hint=PLUG_IN)
    return finished


class Adb:
    """One device behind adb.

    Args:
        serial: as `adb devices` lists it.
    """

    def __init__(self, serial: str) -> None:
        self.serial = serial

    def shell(self, script: str, limit: float = CALL, progress: Progress = silent) -> Finished:
        """Run a script in a shell of the device; the exit status is the script's."""
        return call("shell", "-T", script, serial=self.serial, limit=limit, progress=progress)

    def push(self, files: Sequence[os.PathLike[str]], directory: str, progress: Progress) -> None:
        """Copy files into a directory of the device; they keep their names and times.

        Raises:
            UnavailableError: the device is gone, or has no room.
        """
        size = sum(os.stat(file).st_size for file in files)
        pushed = self._copy("push", [*map(os.fspath, files), directory], size, progress)
        if pushed.status:
            if NO_ROOM.search(pushed.output):
                raise UnavailableError(
                    f"{self.serial} has no room",
                    hint=f"free {size / 1e6:.0f} MB under {directory.rpartition('/')[0]}",
                )
            raise UnavailableError(f"{self.serial} takes no files: {pushed.last_line}", hint=PLUG_IN)

    def pull(self, file: str, to: os.PathLike[str], size: int, progress: Progress) -> bool:
        """Copy a file of at most so many bytes from the device; returns whether the device has it.

        Raises:
            UnavailableError: the device is gone.
        """
        pulled = self._copy("pull", [file, os.fspath(to)], size, progress)
        if pulled.status and not MISSING.search(pulled.output):
            raise UnavailableError(f"the phone is gone: adb pull says: {pulled.last_line}", hint=PLUG_IN)
        return pulled.status == 0

    def _copy(self, verb: str, words: Sequence[str], size: int, progress: Progress) -> Finished:
        return call(verb, *words, serial=self.serial, limit=CALL + size / SLOWEST, progress=progress)
