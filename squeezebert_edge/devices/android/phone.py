"""A phone behind adb, whichever runner measures: which one it is, what it says of itself, our files on it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from exporters.units import parse_unit
from squeezebert_edge.devices import Listing
from squeezebert_edge.devices.android import adb
from squeezebert_edge.devices.android.adb import TIDY, Adb
from squeezebert_edge.devices.android.facts import SCRIPT, Facts
from squeezebert_edge.devices.exclusive import exclusive

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices.command import Finished
    from squeezebert_edge.latency.record import Device, RunnerName, Settings, State
    from squeezebert_edge.plumbing.progress import Progress

TEMPORARY = "/data/local/tmp"
# Has this computer's number and the process's: what a dead process left is told from what is in use.
OURS = f"squeezebert-edge-{uuid.getnode():012x}"


class AndroidPhone:
    """A phone.

    Args:
        serial: as `adb devices` lists it.
    """

    def __init__(self, serial: str) -> None:
        self.adb = Adb(serial)

    def describe(self) -> Device:
        """Say what the phone is."""
        return self.facts().device()

    def state(self) -> State:
        """The state that it is in now."""
        return self.facts().state()

    def facts(self) -> Facts:
        """Ask the phone about itself.

        Raises:
            GateError: its shell does not answer.
        """
        facts = Facts(self.adb.shell(SCRIPT).output)
        if "end" not in facts.sections:
            raise GateError(
                f"{self.adb.serial}: its shell does not say what the phone is", hint="reboot the phone"
            )
        return facts

    def settle(self, bundle: Bundle, settings: Settings) -> Settings:
        """Decide the settings that were left open, as far as that is the same for every runner.

        Raises:
            InputError: no runner here can honour a setting, or the bundle has no file for the phone's NPU.
            UnavailableError: the bundle is for Core ML, or the phone does not say which chip it has.
        """
        if bundle.manifest.format == "coreml":
            raise UnavailableError(
                f"{bundle.directory}: Core ML is not on Android", hint="measure it on an iPhone"
            )
        if settings.unit == "ane":
            raise InputError("--unit ane is not possible on Android", allowed="cpu, gpu or npu")
        if settings.runtime:
            raise InputError(
                "--runtime is not possible on Android",
                allowed="on the host: a runner has one runtime of each format",
            )
        if settings.cpus is not None:
            cpus = self.facts().device().cpus or 0
            if not settings.cpus or not set(settings.cpus) <= set(range(cpus)):
                raise InputError(
                    f"--cpus {','.join(map(str, settings.cpus))} names CPUs that the phone does not have",
                    allowed=f"some of 0 to {cpus - 1}",
                )
        if settings.unit == "cpu-fp16" and bundle.manifest.format != "tflite":
            raise InputError(
                f"--unit cpu-fp16 is not possible for a bundle of {bundle.manifest.format}",
                allowed="for tflite bundles",
                hint="export it with --precision fp16",
            )
        if settings.unit not in (None, "cpu", "cpu-fp16"):
            return self._settle_beside_cpu(bundle, settings)
        return settings.model_copy(update={"unit": settings.unit or "cpu", "threads": settings.threads or 1})

    def _settle_beside_cpu(self, bundle: Bundle, settings: Settings) -> Settings:
        """Decide the settings of a GPU or an NPU: of this phone's, that is, and without threads."""
        if bundle.manifest.format != "tflite":
            raise InputError(
                f"--unit {settings.unit} is not possible for a bundle of {bundle.manifest.format}",
                allowed="for tflite bundles",
            )
        if settings.threads is not None:
            raise InputError(
                f"--threads means nothing to --unit {settings.unit}", allowed="--threads for the CPU"
            )
        return settings.model_copy(update={"unit": self._unit_here(bundle, settings.unit)})

    def _unit_here(self, bundle: Bundle, asked: str | None) -> str | None:
        """A GPU, or an NPU with the name of the phone's chip, if the bundle has a file for it."""
        if asked == "gpu":
            return asked
        chip, named = self.facts().chip, (asked or "").partition(":")[2]
        if not chip:
            raise UnavailableError(
                f"{self.adb.serial} does not say which chip it has", hint="Android says it since version 12"
            )
        if named and named.lower() != chip.lower():
            raise InputError(
                f"--unit {asked} names another chip than that of {self.adb.serial}",
                allowed=f"npu, or npu:{chip}",
            )
        unit = next(
            (name for name in bundle.manifest.units if name.lower() == f"npu:{chip}".lower()), f"npu:{chip}"
        )
        bundle.files_of(parse_unit(unit))
        return unit


class Workspace:
    """A directory of ours on a phone."""

    def __init__(self, phone: Adb, path: str) -> None:
        self.adb, self.path = phone, path

    def push(self, files: Sequence[os.PathLike[str]], progress: Progress, below: str = "") -> None:
        """Copy files into it, or into a directory of it."""
        progress("pushing", 0, 0)
        self.adb.push(files, f"{self.path}/{below}", progress)

    def run(self, command: str, limit: float, progress: Progress) -> Finished:
        """Run a command in it; if the command names the directory, it is ended when the directory is removed.

        Raises:
            GateError: the command was not done within the limit, in seconds.
        """
        return self.adb.shell(f"cd {self.path} && echo $$ > pid && exec {command}", limit, progress)

    def pull(self, name: str, to: os.PathLike[str], size: int, progress: Progress) -> bool:
        """Copy a file of at most so many bytes from it; returns whether the file is there."""
        return self.adb.pull(f"{self.path}/{name}", to, size, progress)


@contextlib.contextmanager
def workspace(phone: Adb) -> Iterator[Workspace]:
    """Make an empty directory on a phone, for the time of a block.

    When the block ends, the directory and what runs in it are gone, as is what earlier runs left.

    Raises:
        UnavailableError: the phone is gone or full, or another measurement runs on it.
    """
    with exclusive(_hardware(phone)):
        yield from _workspace(phone)


def _hardware(phone: Adb) -> str:
    """A phone's own number, since it may be attached twice, by its cable and over the network."""
    found = re.search(r"^\[ro\.serialno\]: \[(.+?)\]", phone.shell("getprop").output, re.MULTILINE)
    return f"phone {found[1] if found else phone.serial}"


def _workspace(phone: Adb) -> Iterator[Workspace]:
    for name in phone.shell(f"ls {TEMPORARY}").output.split():
        found = re.fullmatch(rf"{OURS}-(\d+)-[0-9a-f]+", name)
        if found and not is_alive(int(found[1])):
            _remove(phone, f"{TEMPORARY}/{name}")
    there = f"{TEMPORARY}/{OURS}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        made = phone.shell(f"mkdir -p {there}")
        if made.status:
            raise UnavailableError(
                f"{phone.serial} cannot make a directory: {made.output}",
                hint=f"free some room under {TEMPORARY}",
            )
        yield Workspace(phone, there)
    finally:
        # A phone that is gone cannot be tidied; the next run there does it.
        with contextlib.suppress(EdgeError):
            _remove(phone, there)


def find_serial(address: str | None) -> str:
    """Find the phone that --device names, or the only one attached; returns its serial.

    Raises:
        InputError: several are attached and none is named.
        UnavailableError: none is attached, another is, or it is not ready; says what to do.
    """
    attached = adb.list_attached()
    if not attached:
        raise UnavailableError("no Android phone is attached", hint=adb.PLUG_IN)
    serials = ", ".join(each.serial for each in attached)
    if address == "all":
        raise InputError(
            "--device android:all names several phones, and one is wanted",
            allowed=f"bench, or one of {serials}",
        )
    found = [each for each in attached if address in (None, each.serial)]
    if not found:
        raise UnavailableError(f"no phone {address} is attached", allowed=serials, hint=adb.PLUG_IN)
    if len(found) > 1:
        raise InputError(
            f"{len(found)} phones are attached",
            allowed=serials,
            hint="--device android:SERIAL, or with bench android:all",
        )
    if found[0].needs:
        raise UnavailableError(f"{found[0].serial} is {found[0].state}", hint=found[0].needs)
    return found[0].serial


def list_serials() -> list[str]:
    """List the serial of every phone attached, ready or not.

    Raises:
        UnavailableError: none is attached.
    """
    serials = [each.serial for each in adb.list_attached()]
    if not serials:
        raise UnavailableError("no Android phone is attached", hint=adb.PLUG_IN)
    return serials


def list_phones(
    runner: RunnerName, runs: tuple[str, ...], lacking: Callable[[Adb], str | None]
) -> list[Listing]:
    """List every phone that adb knows, with the formats that a runner runs there; none without adb.

    Args:
        lacking: what a phone that is ready lacks for the runner, None if nothing.
    """
    try:
        attached = adb.list_attached()
    except EdgeError:
        return []
    found = []
    for each in attached:
        needs = each.needs
        if needs is None:
            try:
                needs = lacking(Adb(each.serial))
            except EdgeError as error:
                needs = error.problem
        found.append(Listing(f"android:{each.serial}", each.model, () if needs else runs, needs, runner))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process of this computer is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(phone: Adb, there: str) -> None:
    """End what runs in a directory, whatever it does, and remove the directory."""
    phone.shell(
        f"if [ -f {there}/pid ]; then p=$(cat {there}/pid); "
        f'grep -q {there} "/proc/$p/cmdline" 2>/dev/null && kill -9 "$p"; fi; rm -rf {there}',
        TIDY,
    )
