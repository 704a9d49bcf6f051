"""An Android phone and the demo app: a job pushed, the app started, its result pulled, the job removed."""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import Listing
from squeezebert_edge.devices import demo_app as app_job
from squeezebert_edge.devices.android.adb import CALL, MISSING, NO_ROOM, SLOWEST, Adb
from squeezebert_edge.devices.android.phone import Phone, Workspace, alive, chosen, listed, workspace
from squeezebert_edge.devices.demo_app import APP
from squeezebert_edge.devices.results import AGAIN, ANSWER_LIMIT
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.plumbing.progress import Progress

if TYPE_CHECKING:
    from squeezebert_edge.devices import Inputs, Outputs

RUNS = ("executorch", "tflite")
POLL = 5.0  # seconds between two looks for a result: seldom, so that they take nothing from what is measured
JOBS, PUSHED = "jobs", "job"
LARGEST = 300_000_000  # bytes of a file that it writes
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
    """A directory of the app's. prefix: heads a command that may use it. looks: whether a file is there."""

    jobs: str
    prefix: str
    looks: str


STORAGES = (
    Storage(f"/sdcard/Android/data/{APP}/files/{JOBS}", "", "[ -e {} ]"),
    # For phones whose shell may not use that one: a debuggable app's own.
    Storage(f"files/{JOBS}", f"run-as {APP} ", f"run-as {APP} ls {{}} >/dev/null 2>&1"),
)


class App(Phone):
    """A phone with the demo app."""

    runner: record.Runner = "app"

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """The settings with what was left open decided.

        Raises:
            InputError: one that cannot be honoured; the app itself may refuse more.
            UnavailableError: a Core ML bundle, or the app is not installed.
        """
        if settings.cpus is not None:
            raise InputError("--cpus with the demo app", allowed="with --runner native")
        settled = super().settle(bundle, settings)
        gpu, made_for = settings.delegate == "gpu", bundle.manifest.format
        if gpu and made_for != "tflite":
            raise InputError(f"--delegate gpu for a bundle of {made_for}", allowed="for tflite")
        if gpu and settings.threads is not None:
            raise InputError("--threads with --delegate gpu", allowed="--threads for the CPU")
        if not installed(self.adb):
            raise UnavailableError(f"{APP} is not installed on {self.adb.serial}", hint=INSTALL)
        return settled.model_copy(update={"threads": None}) if gpu else settled

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: Protocol,
        settings: record.Settings,
        progress: Progress,
    ) -> record.Run:
        """Run the rows by the protocol in a fresh process of the app.

        Raises:
            UnavailableError: the phone is gone, full, asleep or locked.
            GateError: the app refused, died, hung or wrote no measurement.
        """
        job = app_job.job_of(rows, settings, protocol)
        with self._ran(bundle, job, [app_job.RESULT], protocol.time_limit, progress) as here:
            return app_job.run_of(_text(here), "android", rows)

    def answer(
        self, bundle: Bundle, rows: Sequence[Inputs], settings: record.Settings, progress: Progress
    ) -> list[Outputs]:
        """What the bundle answers to each row.

        Raises:
            UnavailableError, GateError: as for `measure`.
        """
        limit = ANSWER_LIMIT + exactly(len(rows)).time_limit
        job = app_job.job_of(rows, settings, None)
        with self._ran(bundle, job, [app_job.RESULT, app_job.OUTPUTS], limit, progress) as here:
            return app_job.answers(_text(here), here / app_job.OUTPUTS, bundle, len(rows))

    @contextlib.contextmanager
    def _ran(
        self, bundle: Bundle, asked: str, files: Sequence[str], limit: float, progress: Progress
    ) -> Iterator[Path]:
        """A job run: a directory with those of its files that it has; the phone is as before by then."""
        self._refuse_asleep()
        with tempfile.TemporaryDirectory(prefix="squeezebert-edge-") as directory:
            here = Path(directory)
            (here / app_job.JOB).write_text(asked, encoding="utf-8")
            with workspace(self.adb) as between:
                self._push(bundle, here, between, progress)
                with self._placed(bundle, between, progress) as job:
                    job.run(limit, progress)
                    for name in files:
                        job.pull(name, here, progress)
            yield here

    def _refuse_asleep(self) -> None:
        said = self.adb.shell("dumpsys power; dumpsys window").text
        asleep = ASLEEP.search(said)
        if asleep or LOCKED.search(said):
            raise UnavailableError(
                f"the screen of {self.adb.serial} is {'off' if asleep else 'locked'}",
                hint="wake and unlock it; 'Stay awake' in its developer options keeps it so",
            )

    @staticmethod
    def _push(bundle: Bundle, here: Path, between: Workspace, progress: Progress) -> None:
        """Copy bundle and job to where the shell may write, and everyone may read."""
        between.adb.shell(f"mkdir -p {between.path}/{PUSHED}/{app_job.BUNDLE}")
        between.push(sorted(bundle.directory.iterdir()), progress, f"{PUSHED}/{app_job.BUNDLE}/")
        between.push([here / app_job.JOB], progress, f"{PUSHED}/")
        between.adb.shell(f"chmod -R a+rX {between.path}")

    @contextlib.contextmanager
    def _placed(self, bundle: Bundle, between: Workspace, progress: Progress) -> Iterator[Job]:
        """What was pushed, where the app finds it; the app is ended and the job gone when this ends.

        Raises:
            UnavailableError: there is no room, or the app's directories are closed to us.
        """
        name, problems = f"{COMPUTER}{os.getpid():06x}{secrets.token_hex(2)}", []
        for storage in STORAGES:
            self._remove_leftovers(storage)
            job = Job(between, storage, name)
            try:
                size = sum(file.stat().st_size for file in bundle.directory.iterdir())
                said = self.adb.shell(job.copied, CALL + size / SLOWEST, progress)
                if said.status == 0:
                    yield job
                    return
                problems.append(said.text[-200:])
            finally:
                # A phone that is gone cannot be tidied; it does so itself, or the next run there.
                with contextlib.suppress(EdgeError):
                    self.adb.shell(job.end)
        said_of_both = "; ".join(problems)
        if NO_ROOM.search(said_of_both):
            raise UnavailableError(f"{self.adb.serial} has no room", hint="free some under /sdcard")
        raise UnavailableError(
            f"{self.adb.serial}: the app's directories are closed to its shell: {said_of_both}",
            hint="install a debuggable build of the app, which lets run-as in",
        )

    def _remove_leftovers(self, storage: Storage) -> None:
        """What processes of this computer left that were killed."""
        listed = self.adb.shell(f"{storage.prefix}ls {storage.jobs} 2>/dev/null").text
        for name in listed.split():
            ours = re.fullmatch(rf"{COMPUTER}([0-9a-f]{{6}})[0-9a-f]{{4}}", name)
            if ours and not alive(int(ours[1], 16)):
                self.adb.shell(f"{storage.prefix}rm -rf {storage.jobs}/{name}")


class Job:
    """A job in a directory of the app's.

    Args:
        between: where it was pushed to, and what comes of it is fetched from.
    """

    def __init__(self, between: Workspace, storage: Storage, name: str) -> None:
        self._between, self._adb, self._storage, self._name = between, between.adb, storage, name
        self._path, prefix = f"{storage.jobs}/{name}", storage.prefix
        self.copied = (
            f"{prefix}mkdir -p {storage.jobs} && {prefix}cp -r {between.path}/{PUSHED} {self._path} && "
            f"rm -rf {between.path}/{PUSHED}"
        )
        self.end = f"am force-stop {APP}; {prefix}rm -rf {self._path}"

    def run(self, limit: float, progress: Progress) -> None:
        """Start the app in a fresh process and wait until it has a result.

        Raises:
            UnavailableError: it does not start, or the phone is gone.
            GateError: it died, or has none after so many seconds.
        """
        said = self._adb.shell(
            f"am force-stop {APP}; am start -W -n {APP}/.JobActivity --es job {self._name}"
        )
        if said.status or re.search(r"^Error|Exception", said.text, re.MULTILINE):
            raise UnavailableError(f"the app does not start: {said.text[-300:]}", hint=INSTALL)
        said = self._adb.shell(self._waiting(limit), limit + CALL, progress)
        if HUNG in said.text:
            raise GateError(f"{HUNG}: no result after {limit:.0f} s", hint=AGAIN)
        if DEAD in said.text:
            raise GateError(
                f"{DEAD} and left no result", hint=f"adb -s {self._adb.serial} logcat -d -s {LOGGED} says why"
            )

    def _waiting(self, limit: float) -> str:
        """Waits for a result or the end of the app, and ends the app when we are gone.

        It starts no process, but for one a look where `run-as` must look.
        """
        there = self._storage.looks.format(f"{self._path}/{app_job.RESULT}")
        return (
            f"p=$(pidof -s {APP}); n=0; while ! {there}; do "
            f'[ -d "/proc/${{p:-none}}" ] || {{ {there} && break; echo {DEAD}; exit; }}; '
            f"[ $n -lt {math.ceil(limit / POLL)} ] || {{ echo {HUNG}; exit; }}; n=$((n + 1)); "
            # The status of a read that timed out is that of a signal, at the end of input it is 1.
            f"read -t {POLL:g} word; [ $? -gt 128 ] || {{ {self.end}; exit; }}; done"
        )

    def pull(self, name: str, here: Path, progress: Progress) -> None:
        """Copy one of its files from the phone, if it is there."""
        command = f"{self._storage.prefix}cat {self._path}/{name} >{self._between.path}/{name}"
        said = self._adb.shell(command, CALL + LARGEST / SLOWEST, progress)
        if said.status == 0:
            self._between.pull(name, here / name, LARGEST, progress)
        elif NO_ROOM.search(said.text):
            raise UnavailableError(f"{self._adb.serial} has no room", hint="free some under /data")
        elif not MISSING.search(said.text):
            raise GateError(f"{name} cannot be fetched from the app: {said.text[-300:]}", hint=AGAIN)


def _text(here: Path) -> str:
    try:
        return (here / app_job.RESULT).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def installed(phone: Adb) -> bool:
    """Whether a phone has the app."""
    return "package:" in phone.shell(f"pm path {APP}").text


def opened(address: str | None) -> App:
    """The phone of that serial, or the only one attached; for the errors see `android_phone.chosen`."""
    return App(chosen(address))


def found() -> list[Listing]:
    """Every phone that adb knows; none where adb is missing."""
    return listed(App.runner, RUNS, lambda phone: None if installed(phone) else f"{APP} on it: {INSTALL}")
