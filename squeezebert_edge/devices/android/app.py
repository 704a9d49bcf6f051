"""An Android phone and the demo app: a job is pushed, the app started, its result pulled, the job removed."""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge.devices import JOB, OUTPUTS, RESULT, Listing
from squeezebert_edge.devices.android.adb import CALL, MISSING, NO_ROOM, SLOWEST, TIDY, Adb
from squeezebert_edge.devices.android.phone import (
    AndroidPhone,
    Workspace,
    find_serial,
    is_alive,
    list_phones,
    workspace,
)
from squeezebert_edge.devices.demo_app import APP_ID, BUNDLE, DemoApp
from squeezebert_edge.devices.results import AGAIN
from squeezebert_edge.plumbing.staging import scratch_directory

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Inputs
    from squeezebert_edge.latency.protocol import Protocol
    from squeezebert_edge.latency.record import KindName, Run, Settings
    from squeezebert_edge.plumbing.progress import Progress

FORMATS = ("executorch", "tflite")
POLL = 5.0  # seconds between two looks for a result: seldom, so that they take nothing from what is measured
JOBS, PUSHED = "jobs", "job"
LARGEST = 300_000_000  # bytes of a file that the app writes
COMPUTER = f"{uuid.getnode() & 0xFFFFFF:06x}"
INSTALL = "build and install it: android_demo/README.md"
LOGGED = "squeezebert-edge AndroidRuntime DEBUG"  # the tags of the app, of what it threw, of a native crash
DEAD, HUNG = "the app died", "the app hung"

# As appium-adb reads them (lib/tools/lockmgmt.ts); what a phone does not say is taken as good.
ASLEEP = re.compile(r"akefulness(?:Locked\(\))?=(?:Asleep|Dozing|Dreaming)\b")
LOCKED = re.compile(
    r"mShowingLockscreen=true|mDreamingLockscreen=true|KeyguardStateMonitor\s+mIsShowing=true"
)


@dataclass(frozen=True)
class Storage:
    """A place of the app's for jobs.

    jobs: the directory. prefix: begins a command that may use it. looks: tests whether a file is there.
    """

    jobs: str
    prefix: str
    looks: str


STORAGES = (
    Storage(f"/sdcard/Android/data/{APP_ID}/files/{JOBS}", "", "[ -e {} ]"),
    # For phones whose shell may not use that one: a debuggable app's own.
    Storage(f"files/{JOBS}", f"run-as {APP_ID} ", f"run-as {APP_ID} ls {{}} >/dev/null 2>&1"),
)


class AndroidApp(AndroidPhone, DemoApp):
    """A phone with the demo app."""

    kind: KindName = "android"

    def settle(self, bundle: Bundle, settings: Settings) -> Settings:
        """Decide the settings that were left open.

        Raises:
            InputError: the app cannot honour a setting; it may refuse more by itself.
            UnavailableError: the bundle is for Core ML, or the app is not installed.
        """
        if settings.cpus is not None:
            raise InputError("--cpus is not possible with the demo app", allowed="with --runner native")
        settled = super().settle(bundle, settings)
        if not is_installed(self.adb):
            raise UnavailableError(f"{APP_ID} is not installed on {self.adb.serial}", hint=INSTALL)
        return settled

    @contextlib.contextmanager
    def run_job(
        self, bundle: Bundle, job: str, protocol: Protocol | None, limit: float, progress: Progress
    ) -> Iterator[Path]:
        """Have the app do a job; see `DemoApp.run_job`."""
        self._refuse_asleep()
        with scratch_directory() as here:
            (here / JOB).write_text(job, encoding="utf-8")
            with workspace(self.adb) as between:
                self._push(bundle, here, between, progress)
                with self._place(bundle, between, progress) as placed:
                    placed.run(limit, progress)
                    for name in (RESULT,) if protocol else (RESULT, OUTPUTS):
                        placed.pull(name, here, progress)
            yield here

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: Protocol,
        settings: Settings,
        progress: Progress,
    ) -> Run:
        """Run the rows by the protocol; what the processor computes in, its shell says."""
        float16 = self.facts().float16
        run = super().measure(bundle, rows, protocol, settings, progress)
        return run.model_copy(update={"float16": float16})

    def _refuse_asleep(self) -> None:
        state = self.adb.shell("dumpsys power; dumpsys window").output
        asleep = ASLEEP.search(state)
        if asleep or LOCKED.search(state):
            raise UnavailableError(
                f"the screen of {self.adb.serial} is {'off' if asleep else 'locked'}",
                hint="wake and unlock it; 'Stay awake' in its developer options keeps it so",
            )

    @staticmethod
    def _push(bundle: Bundle, here: Path, between: Workspace, progress: Progress) -> None:
        """Copy bundle and job to where the shell may write and everyone may read."""
        between.adb.shell(f"mkdir -p {between.path}/{PUSHED}/{BUNDLE}")
        between.push(sorted(bundle.directory.iterdir()), progress, f"{PUSHED}/{BUNDLE}/")
        between.push([here / JOB], progress, f"{PUSHED}/")
        between.adb.shell(f"chmod -R a+rX {between.path}")

    @contextlib.contextmanager
    def _place(self, bundle: Bundle, between: Workspace, progress: Progress) -> Iterator[PlacedJob]:
        """Put what was pushed where the app finds it; the app is ended and the job gone when the block ends.

        Raises:
            UnavailableError: there is no room, or the app's directories are closed to us.
        """
        name, problems = f"{COMPUTER}{os.getpid():06x}{secrets.token_hex(2)}", []
        for storage in STORAGES:
            self._remove_leftovers(storage)
            job = PlacedJob(between, storage, name)
            try:
                size = sum(file.stat().st_size for file in bundle.directory.iterdir())
                copied = self.adb.shell(job.copy, CALL + size / SLOWEST, progress)
                if copied.status == 0:
                    yield job
                    return
                problems.append(copied.output[-200:])
            finally:
                # A phone that is gone cannot be tidied; it does so itself, or the next run there.
                with contextlib.suppress(EdgeError):
                    self.adb.shell(job.end, TIDY)
        both = "; ".join(problems)
        if NO_ROOM.search(both):
            raise UnavailableError(f"{self.adb.serial} has no room", hint="free some under /sdcard")
        raise UnavailableError(
            f"{self.adb.serial}: the app's directories are closed to its shell: {both}",
            hint="install a debuggable build of the app, which lets run-as in",
        )

    def _remove_leftovers(self, storage: Storage) -> None:
        """Remove what processes of this computer left that were killed."""
        listed = self.adb.shell(f"{storage.prefix}ls {storage.jobs} 2>/dev/null").output
        for name in listed.split():
            ours = re.fullmatch(rf"{COMPUTER}([0-9a-f]{{6}})[0-9a-f]{{4}}", name)
            if ours and not is_alive(int(ours[1], 16)):
                self.adb.shell(f"{storage.prefix}rm -rf {storage.jobs}/{name}")


class PlacedJob:
    """A job in a directory of the app's.

    Args:
        between: where the job was pushed to, and where its results are fetched from.

    copy, end: scripts for the phone's shell that make the directory and that remove it.
    """

    def __init__(self, between: Workspace, storage: Storage, name: str) -> None:
        self._between, self._adb, self._storage, self._name = between, between.adb, storage, name
        self._path, prefix = f"{storage.jobs}/{name}", storage.prefix
        self.copy = (
            f"{prefix}mkdir -p {storage.jobs} && {prefix}cp -r {between.path}/{PUSHED} {self._path} && "
            f"rm -rf {between.path}/{PUSHED}"
        )
        self.end = f"am force-stop {APP_ID}; {prefix}rm -rf {self._path}"

    def run(self, limit: float, progress: Progress) -> None:
        """Start the app in a fresh process and wait until it has a result.

        Raises:
            UnavailableError: the app does not start, or the phone is gone.
            GateError: the app died, or has no result after so many seconds.
        """
        started = self._adb.shell(
            f"am force-stop {APP_ID}; am start -W -n {APP_ID}/.JobActivity --es job {self._name}"
        )
        if started.status or re.search(r"^Error|Exception", started.output, re.MULTILINE):
            raise UnavailableError(f"the app does not start: {started.output[-300:]}", hint=INSTALL)
        ended = self._adb.shell(self._waiting(limit), limit + CALL, progress).output
        if HUNG in ended:
            raise GateError(f"{HUNG}: it gave no result within {limit:.0f} s", hint=AGAIN)
        if DEAD in ended:
            raise GateError(
                f"{DEAD} and left no result", hint=f"adb -s {self._adb.serial} logcat -d -s {LOGGED} says why"
            )

    def _waiting(self, limit: float) -> str:
        """A script that waits for a result or the end of the app, and ends the app when we are gone.

        It starts no process, except one for each look where `run-as` must look.
        """
        there = self._storage.looks.format(f"{self._path}/{RESULT}")
        return (
            f"p=$(pidof -s {APP_ID}); n=0; while ! {there}; do "
            f'[ -d "/proc/${{p:-none}}" ] || {{ {there} && break; echo {DEAD}; exit; }}; '
            f"[ $n -lt {math.ceil(limit / POLL)} ] || {{ echo {HUNG}; exit; }}; n=$((n + 1)); "
            # The status of a read that timed out is that of a signal, at the end of input it is 1.
            f"read -t {POLL:g} word; [ $? -gt 128 ] || {{ {self.end}; exit; }}; done"
        )

    def pull(self, name: str, here: Path, progress: Progress) -> None:
        """Copy one of its files from the phone, if it is there."""
        command = f"{self._storage.prefix}cat {self._path}/{name} >{self._between.path}/{name}"
        fetched = self._adb.shell(command, CALL + LARGEST / SLOWEST, progress)
        if fetched.status == 0:
            self._between.pull(name, here / name, LARGEST, progress)
        elif NO_ROOM.search(fetched.output):
            raise UnavailableError(f"{self._adb.serial} has no room", hint="free some under /data")
        elif not MISSING.search(fetched.output):
            raise GateError(f"{name} cannot be fetched from the app: {fetched.output[-300:]}", hint=AGAIN)


def is_installed(phone: Adb) -> bool:
    """Whether a phone has the app."""
    return "package:" in phone.shell(f"pm path {APP_ID}").output


def open_device(address: str | None) -> AndroidApp:
    """Open the phone of that serial, or the only one attached; raises as `find_serial` does."""
    return AndroidApp(find_serial(address))


def list_devices() -> list[Listing]:
    """List every phone that adb knows; none without adb."""

    def lacking(phone: Adb) -> str | None:
        return None if is_installed(phone) else f"{APP_ID} on it: {INSTALL}"

    return list_phones(AndroidApp.runner, FORMATS, lacking)
