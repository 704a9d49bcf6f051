"""A phone behind adb, whichever runner measures: which it is, what it says of itself, our files on it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import uuid
from collections.abc import Callable, Iterator, Sequence

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import Listing
from squeezebert_edge.devices.android import adb
from squeezebert_edge.devices.android.adb import Adb
from squeezebert_edge.devices.android.facts import ASKED, Facts
from squeezebert_edge.devices.command import Said
from squeezebert_edge.devices.exclusive import exclusive
from squeezebert_edge.latency import record
from squeezebert_edge.plumbing.progress import Progress

TEMPORARY = "/data/local/tmp"
# Ours, by this computer and the process: what a dead process left can be told from what is in use.
OURS = f"squeezebert-edge-{uuid.getnode():012x}"


class Phone:
    """A phone.

    Args:
        serial: as `adb devices` lists it.
    """

    def __init__(self, serial: str) -> None:
        self.adb = Adb(serial)

    def describe(self) -> record.Device:
        """What it is."""
        return self.facts().device()

    def state(self) -> record.State:
        """How it is now."""
        return self.facts().state()

    def facts(self) -> Facts:
        """What it says of itself now."""
        facts = Facts(self.adb.shell(ASKED).text)
        if "end" not in facts.sections:
            raise GateError(f"{self.adb.serial}: its shell answered nothing of use", hint="reboot the phone")
        return facts

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """The settings with what was left open decided, as far as that is the same for every runner.

        Raises:
            InputError: one that no runner here can honour.
            UnavailableError: a Core ML bundle.
        """
        if bundle.manifest.format == "coreml":
            raise UnavailableError(
                f"{bundle.directory}: Core ML is not on Android", hint="measure it on an iPhone"
            )
        if settings.compute_units:
            raise InputError("--compute-units on Android", allowed="for Core ML bundles")
        if settings.runtime:
            raise InputError(
                "--runtime on Android", allowed="on the host: a runner has one runtime of each format"
            )
        if settings.cpus is not None:
            cpus = self.facts().device().cpus or 0
            if not settings.cpus or not set(settings.cpus) <= set(range(cpus)):
                raise InputError(
                    f"--cpus {','.join(map(str, settings.cpus))}", allowed=f"some of 0 to {cpus - 1}"
                )
        return settings.model_copy(update={"threads": settings.threads or 1})


class Workspace:
    """A directory of ours on a phone."""

    def __init__(self, phone: Adb, path: str) -> None:
        self.adb, self.path = phone, path

    def push(self, files: Sequence[os.PathLike[str]], progress: Progress, below: str = "") -> None:
        """Copy files into it, or into a directory of it."""
        progress("pushing", 0, 0)
        self.adb.push(files, f"{self.path}/{below}", progress)

    def run(self, command: str, limit: float, progress: Progress) -> Said:
        """What a command says; one that names this directory is ended with it.

        Raises:
            GateError: not done within the limit, in seconds.
        """
        return self.adb.shell(f"cd {self.path} && echo $$ > pid && exec {command}", limit, progress)

    def pull(self, name: str, to: os.PathLike[str], size: int, progress: Progress) -> bool:
        """Copy a file of at most so many bytes from it; false if it is not there."""
        return self.adb.pull(f"{self.path}/{name}", to, size, progress)


@contextlib.contextmanager
def workspace(phone: Adb) -> Iterator[Workspace]:
    """An empty directory; it, and what runs in it, are gone when this ends, as is what earlier runs left.

    Raises:
        UnavailableError: the phone is gone or full, or another measurement runs on it.
    """
    with exclusive(_hardware(phone)):
        yield from _workspace(phone)


def _hardware(phone: Adb) -> str:
    """A phone's own number, since one may be attached twice, by its cable and over the network."""
    found = re.search(r"^\[ro\.serialno\]: \[(.+?)\]", phone.shell("getprop").text, re.MULTILINE)
    return f"phone {found[1] if found else phone.serial}"


def _workspace(phone: Adb) -> Iterator[Workspace]:
    for name in phone.shell(f"ls {TEMPORARY}").text.split():
        found = re.fullmatch(rf"{OURS}-(\d+)-[0-9a-f]+", name)
        if found and not alive(int(found[1])):
            _remove(phone, f"{TEMPORARY}/{name}")
    there = f"{TEMPORARY}/{OURS}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        made = phone.shell(f"mkdir -p {there}")
        if made.status:
            raise UnavailableError(f"{phone.serial}: {made.text}", hint=f"free some room under {TEMPORARY}")
        yield Workspace(phone, there)
    finally:
        # A phone that is gone cannot be tidied; the next run there does it.
        with contextlib.suppress(EdgeError):
            _remove(phone, there)


def chosen(address: str | None) -> str:
    """The serial of the phone that --device names, or of the only one attached.

    Raises:
        InputError: several are attached and none is named.
        UnavailableError: none is attached, another is, or it is not ready; says what to do.
    """
    attached = adb.attached()
    if not attached:
        raise UnavailableError("no Android phone is attached", hint=adb.PLUG_IN)
    serials = ", ".join(each.serial for each in attached)
    if address == "all":
        raise InputError("--device android:all where one is wanted", allowed=f"bench, or one of {serials}")
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


def everyone() -> list[str]:
    """The serial of every phone attached, ready or not.

    Raises:
        UnavailableError: none is.
    """
    serials = [each.serial for each in adb.attached()]
    if not serials:
        raise UnavailableError("no Android phone is attached", hint=adb.PLUG_IN)
    return serials


def listed(
    runner: record.Runner, runs: tuple[str, ...], needed: Callable[[Adb], str | None]
) -> list[Listing]:
    """Every phone that adb knows, with what a runner runs there; none where adb is missing.

    Args:
        needed: what a phone that is ready lacks for the runner, null if nothing.
    """
    try:
        attached = adb.attached()
    except EdgeError:
        return []
    found = []
    for each in attached:
        needs = each.needs
        if needs is None:
            try:
                needs = needed(Adb(each.serial))
            except EdgeError as error:
                needs = error.problem
        found.append(Listing(f"android:{each.serial}", each.model, () if needs else runs, needs, runner))
    return found


def alive(pid: int) -> bool:
    """Whether a process of this computer is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(phone: Adb, there: str) -> None:
    """End what runs there, whatever it does, and remove it."""
    phone.shell(
        f"if [ -f {there}/pid ]; then p=$(cat {there}/pid); "
        f'grep -q {there} "/proc/$p/cmdline" 2>/dev/null && kill -9 "$p"; fi; rm -rf {there}'
    )
