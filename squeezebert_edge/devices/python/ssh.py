"""A machine that ssh reaches, such as an Arm board: its own Python measures, in a directory of its own.

Everything goes over one connection of the system's ssh, with the user's configuration, keys and known hosts.
`errand.py` runs there: files go in as a tar archive, results come back as one, and a sign of life is sent
every few seconds in between, so that each side knows soon when the other is gone. Host keys are checked
strictly, and the user is never asked for anything.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import squeezebert_edge
from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge.devices import JOB, OUTPUTS, RESULT, Listing
from squeezebert_edge.devices.command import Finished, end, start, wait
from squeezebert_edge.devices.python import errand, worker
from squeezebert_edge.devices.python.interpreter import WRITER, Interpreter, decide_settings
from squeezebert_edge.devices.results import AGAIN, read_result
from squeezebert_edge.latency import record
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.plumbing.staging import scratch_directory

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle

WRITTEN = "ssh:USER@HOST[:PORT]"
ADDRESS = re.compile(r"((?:[\w.][\w.-]*@)?(?:\[[\da-fA-F:.]+\]|\w[\w.-]*))(?::(\d{1,5}))?", re.ASCII)
OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "ControlPath": "none",  # a shared connection would outlive us
    "LogLevel": "ERROR",
}
SIGN_OF_LIFE = 10.0  # seconds between two of them
SILENCE = 60.0  # seconds without one after which the other side gives up
FAREWELL = 10.0  # seconds that the other side is given to clean up before the connection is cut
SLOWEST = 100_000  # bytes a second: files that go slower hang
INQUIRY_LIMIT = 120.0  # seconds: torch is imported in half a minute on a small board
LONGEST_GREETING = 65536  # bytes that login scripts may print
LOST, NOT_FOUND = 255, 127  # exit statuses: of ssh for its own errors, of a shell without the command

BARE = str.maketrans("", "", "[]")  # ssh takes an IPv6 address without its brackets

# What ssh prints, in lower case -> the problem, and what to do; {} is what a user types after `ssh`.
FAILURES = {
    "identification has changed": (
        "its host key is not the one that is known",
        "if it was installed anew, remove the old key with ssh-keygen -R and connect once with `ssh {}`",
    ),
    "host key verification failed": (
        "its host key is not known",
        "connect once with `ssh {}` and compare the fingerprint with the machine's",
    ),
    "permission denied": (
        "it does not let us in",
        "copy a key there with `ssh-copy-id {}`; a key with a passphrase goes into ssh-agent, since nothing "
        "is asked for while measuring",
    ),
    "could not resolve": ("there is no such host", "check the name with `ssh {}`"),
    "connection refused": ("no ssh server answers there", "start one, or name its port: " + WRITTEN),
    "timed out": ("it does not answer", "check that it is on and reachable: `ssh {}`"),
    "no route to host": ("it cannot be reached", "check that it is on and reachable: `ssh {}`"),
}


class Board(Interpreter):
    """A machine behind ssh.

    Args:
        destination: USER@HOST or HOST. port: None leaves it to ssh's configuration.
    """

    kind = "ssh"

    def __init__(self, destination: str, port: int | None = None) -> None:
        self.named = " ".join([*(["-p", str(port)] if port else []), destination])
        options = [part for name, value in OPTIONS.items() for part in ("-o", f"{name}={value}")]
        self._ssh = ["ssh", "-T", *options, *self.named.split()[:-1], "--", destination.translate(BARE)]
        self._where = f"ssh:{destination}{f':{port}' if port else ''}"

    def describe(self) -> record.Device:
        """Say what the machine is."""
        return self._inquire(None, None)[0]

    def state(self) -> record.State:
        """The state that it is in now."""
        return self._inquire(None, None)[1]

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """Decide the settings that were left open.

        Raises:
            InputError: the machine cannot honour a setting, or lacks the runtime.
            UnavailableError: the bundle is for Core ML and the machine is no Mac, or it is not reached.
        """
        device, state = self._inquire(bundle.manifest.format, settings.runtime)
        return decide_settings(
            bundle, settings, where=self._where, mac=device.os.startswith("macOS"), cpus=state.allowed_cpus
        )

    def run(
        self, directory: Path, job: Mapping[str, Any], limit: float, progress: Progress
    ) -> dict[str, Any]:
        """Have a worker there do a job.

        Raises:
            InputError: the runtime is not installed there, or does not read the artifact.
            GateError: the worker died, hung or gave no result.
            UnavailableError: the machine is not reached, not fit for it, or gone.
        """
        root = Path(squeezebert_edge.__file__).parents[1]
        files = {name: root / name for name in worker.FILES}
        if "artifact" in job:
            artifact = Path(job["artifact"])
            files[artifact.name] = artifact
            job = {**job, "artifact": artifact.name}
        (directory / JOB).write_text(json.dumps(job), encoding="utf-8")
        files[JOB] = directory / JOB
        arrived = directory / "arrived"
        arrived.mkdir()
        finished = self._send(files, arrived, limit, progress)
        if (arrived / OUTPUTS).exists():
            (arrived / OUTPUTS).replace(directory / OUTPUTS)
        try:
            return read_result(arrived / RESULT, WRITER, finished)
        except EdgeError as error:
            raise self._localize(error) from None

    def _inquire(self, format_: str | None, runtime: str | None) -> tuple[record.Device, record.State]:
        with scratch_directory() as directory:
            found = self.run(directory, worker.inquiry_of(format_, runtime), INQUIRY_LIMIT, silent)
        try:
            return (
                record.Device.model_validate({"kind": self.kind, **found["device"]}),
                record.State.model_validate(found["state"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise GateError(f"{self._where} did not say what it is: {error}", hint=AGAIN) from None

    def _send(self, files: Mapping[str, Path], arrived: Path, limit: float, progress: Progress) -> Finished:
        """Run an errand with files, and put what the worker wrote into a directory.

        The connection is closed when this returns or raises, after which nothing of ours is there.

        Returns:
            How the worker ended.
        """
        paths = [path for given in files.values() for path in (given, *given.rglob("*"))]
        limit += sum(path.stat().st_size for path in paths) / SLOWEST
        source = Path(errand.__file__).read_text(encoding="utf-8")
        arguments = [str(SILENCE), "-m", worker.__name__, "."]
        command = shlex.join(["python3", "-c", source, *arguments])
        with tempfile.TemporaryFile() as sent, tempfile.TemporaryFile() as printed:
            try:
                process = start([*self._ssh, command], sent, printed)
            except FileNotFoundError:
                raise UnavailableError("ssh is not installed here", hint="install OpenSSH's client") from None
            status = _attend(process, files, limit, progress)
            sent.seek(0)
            printed.seek(0)
            if status is None:
                raise GateError(f"{self._where} hung: it gave no result within {limit:.0f} s", hint=AGAIN)
            if status:
                raise self._failure(Finished(status, printed.read().decode("utf-8", "replace").strip()))
            return _unpack(sent, arrived, self._where)

    def _failure(self, finished: Finished) -> EdgeError:
        """The reason why a connection ended before results came."""
        status = finished.status
        if status == errand.UNFIT:
            return UnavailableError(f"{self._where}: {finished.last_line}")
        if status == NOT_FOUND:
            return UnavailableError(
                f"{self._where} has no python3",
                hint=f"install Python, and try `ssh {self.named} python3 --version`",
            )
        for sign, (problem, hint) in FAILURES.items():
            if status == LOST and sign in finished.output.lower():
                return UnavailableError(
                    f"{self._where}: {problem} ({finished.last_line})", hint=hint.format(self.named)
                )
        last = f": {finished.tail}" if finished.output else ""
        if status in (LOST, errand.ABANDONED):
            return UnavailableError(f"{self._where}: the connection was lost{last}", hint="run it again")
        return GateError(f"{self._where} ended with status {status} and gave no result{last}", hint=AGAIN)

    def _localize(self, error: EdgeError) -> EdgeError:
        """A worker's error, said to be over there; what is to be installed is installed there."""
        hint = error.hint
        if hint and hint.startswith("pip install "):
            hint = f"ssh {self.named} python3 -m {hint}"
        return type(error)(f"{self._where}: {error.problem}", allowed=error.allowed, hint=hint)


def open_device(address: str | None) -> Board:
    """Open the machine of an address; whether it is there is seen when it is used.

    Raises:
        InputError: there is no address, or it cannot be one.
    """
    found = ADDRESS.fullmatch(address or "")
    port = int(found[2]) if found and found[2] else None
    if not found or (port is not None and not 0 < port < 65536):
        raise InputError(f"--device ssh:{address or ''} names no machine", allowed=WRITTEN)
    return Board(found[1], port)


def list_devices() -> list[Listing]:
    """List nothing: ssh reaches what it is told to, and keeps no list."""
    return []


def _attend(
    process: subprocess.Popen[bytes], files: Mapping[str, Path], limit: float, progress: Progress
) -> int | None:
    """Give an ssh files and signs of life; returns its exit status, or None if it has none by then."""
    gone = threading.Event()
    assert process.stdin is not None
    feeding = threading.Thread(target=_feed, args=(process.stdin, files, gone), daemon=True)
    feeding.start()
    try:
        return wait(process, limit, progress)
    finally:
        gone.set()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(FAREWELL)
        finally:
            end(process)
            feeding.join()


def _feed(pipe: IO[bytes], files: Mapping[str, Path], gone: threading.Event) -> None:
    """Write files, then signs of life until we are gone; an ssh that has ended says itself why."""
    with contextlib.suppress(BrokenPipeError), pipe:
        with tarfile.open(fileobj=_Interruptible(pipe, gone), mode="w|") as archive:  # type: ignore[call-overload]
            for name, path in files.items():
                archive.add(path, name)
        pipe.flush()
        while not gone.wait(SIGN_OF_LIFE):
            pipe.write(b"\n")
            pipe.flush()


class _Interruptible:
    """A pipe that takes nothing more once we are gone."""

    def __init__(self, pipe: IO[bytes], gone: threading.Event) -> None:
        self._pipe, self._gone = pipe, gone

    def write(self, data: bytes) -> int:
        if self._gone.is_set():
            raise BrokenPipeError
        return self._pipe.write(data)


def _unpack(sent: IO[bytes], arrived: Path, where: str) -> Finished:
    """Put what the worker wrote into a directory; returns how it ended."""
    begin = sent.read(LONGEST_GREETING).find(errand.MARK)
    try:
        if begin < 0:
            raise ValueError("there are none")
        sent.seek(begin + len(errand.MARK))
        with tarfile.open(fileobj=sent, mode="r:") as archive:
            there = {RESULT, OUTPUTS} & set(archive.getnames())
            for name in (errand.PRINTED, errand.STATUS, *there):
                archive.extract(name, arrived, filter="data")
        status = int((arrived / errand.STATUS).read_text(encoding="ascii"))
    except (tarfile.TarError, ValueError, KeyError) as error:
        raise GateError(f"{where} sent something else than results: {error}", hint=AGAIN) from None
    printed = (arrived / errand.PRINTED).read_text(encoding="utf-8", errors="replace")
    return Finished(status, printed.strip())
