"""Runs on a machine that ssh reaches: takes files, runs Python on them, and sends back what that wrote.

    python3 -c "$(cat errand.py)" SILENCE ARGUMENT... < files.tar > results.tar

When it ends, its directory is gone and so is the process that it started, whether that was done, this was
told to end, or the other side went away: standard input was closed, or silent for SILENCE seconds. It is one
file that needs the standard library alone, and says so itself where Python is too old for the worker.
"""

from __future__ import annotations

import io
import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

OLDEST = (3, 11)  # what the worker is written for
MARK = b"--- squeezebert-edge ---\n"  # begins what is sent: login scripts may have printed something before
PRINTED, STATUS = "printed", "status"  # files of the archive: what the process printed, its exit status
# Exit statuses: the machine cannot do it, and standard error says why; nobody is there any more.
UNFIT, ABANDONED = 70, 75
ENDINGS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
POLL = 0.5  # seconds: seldom, so that waiting takes nothing from what is measured


class Line:
    """Standard input: files, and then signs of life."""

    def __init__(self, silence: float) -> None:
        self.silence, self.heard = silence, time.monotonic()

    def read(self, size: int) -> bytes:
        """Read what has come, at least one byte; tarfile reads from here."""
        if not select.select([0], [], [], self.silence)[0]:
            sys.exit(ABANDONED)
        return self._receive(size)

    def listen(self, seconds: float) -> None:
        """Wait for so long, or for a sign of life."""
        if select.select([0], [], [], seconds)[0]:
            self._receive(4096)
        elif time.monotonic() - self.heard > self.silence:
            sys.exit(ABANDONED)

    def _receive(self, size: int) -> bytes:
        received = os.read(0, size)
        if not received:
            sys.exit(ABANDONED)
        self.heard = time.monotonic()
        return received


def run(directory: str, arguments: list[str], line: Line) -> int:
    """Run Python in a directory, with these arguments and the time after them; returns its exit status."""
    with open(os.path.join(directory, PRINTED), "wb") as printed:
        process = subprocess.Popen(
            [sys.executable, *arguments, str(time.monotonic_ns())],
            cwd=directory,
            env={**os.environ, "TMPDIR": directory},  # torch leaves a cache there
            stdin=subprocess.PIPE,  # its end tells the worker that we are gone
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                line.listen(POLL)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode


def main(silence: float, arguments: list[str]) -> None:
    """Take files, run, and send files back."""
    for number in ENDINGS:
        signal.signal(number, lambda *_: sys.exit(ABANDONED))
    if sys.version_info < OLDEST:
        there, wanted = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST))
        unfit(f"its python3 is {there}, which is too old: {wanted} or later is needed")
    line = Line(silence)
    directory = None
    try:
        directory = tempfile.mkdtemp(prefix="squeezebert-edge-")
        with tarfile.open(fileobj=line, mode="r|") as archive:  # type: ignore[call-overload]
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # which older releases lack
            archive.extractall(directory)
            before = set(archive.getnames())
        status = run(directory, arguments, line)
        sys.stdout.buffer.write(MARK)
        with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
            entry = tarfile.TarInfo(STATUS)
            entry.size = len(str(status))
            archive.addfile(entry, io.BytesIO(str(status).encode()))
            for name in sorted(set(os.listdir(directory)) - before):
                if os.path.isfile(os.path.join(directory, name)):
                    archive.add(os.path.join(directory, name), name)
        sys.stdout.buffer.flush()
    except OSError as error:
        unfit(f"{directory or tempfile.gettempdir()} cannot be used: {error.strerror or error}")
    finally:
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        if directory:
            shutil.rmtree(directory, ignore_errors=True)


def unfit(reason: str) -> None:
    """End with a line that says why it cannot be done here."""
    sys.stderr.write(reason + "\n")
    sys.exit(UNFIT)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
