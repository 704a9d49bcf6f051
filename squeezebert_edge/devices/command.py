"""A program of this computer, run to its end or for a limited time; nothing of it is left running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from squeezebert_edge.plumbing.progress import Progress

POLL = 0.5  # seconds: seldom, so that waiting takes nothing from what is measured


@dataclass(frozen=True)
class Finished:
    """How a program ended, and what it printed.

    status: a signal is a negative number, as Python has it, or one above 128, as a shell has it.
    """

    status: int
    output: str

    @property
    def ending(self) -> str:
        """The status in words: "by signal 9", "with status 1"."""
        number = -self.status if self.status < 0 else self.status - 128
        return f"by signal {number}" if number > 0 else f"with status {self.status}"

    @property
    def tail(self) -> str:
        """The last 800 characters that it printed, or that it printed nothing."""
        return self.output[-800:].strip() or "it printed nothing"

    @property
    def last_line(self) -> str:
        """The last 300 characters of the last line that it printed, or that it printed nothing."""
        lines = self.output.splitlines()
        return lines[-1][-300:] if lines else "it printed nothing"


class _OfThread(threading.local):
    """What may interrupt the thread that asks, until it has."""

    stopped: threading.Event | None = None


_of_thread = _OfThread()


@contextlib.contextmanager
def interruptible(stopped: threading.Event) -> Iterator[None]:
    """Let an event do to this thread what Ctrl-C does to the main one, for the time of a block.

    Once it is set, the program that the thread waits for is ended by a KeyboardInterrupt. It comes once:
    programs that are run afterwards, to tidy up, are left alone.
    """
    _of_thread.stopped = stopped
    try:
        yield
    finally:
        _of_thread.stopped = None


def _raise_interruption() -> None:
    if _of_thread.stopped is not None and _of_thread.stopped.is_set():
        _of_thread.stopped = None
        raise KeyboardInterrupt


def run_program(
    command: Sequence[str],
    limit: float,
    progress: Progress,
    *,
    environment: Mapping[str, str] | None = None,
) -> Finished | None:
    """Run a program; its two outputs become one.

    Args:
        limit: seconds after which it is ended.
        progress: told about twice a second how long it has run; what it raises ends the program, as what
            `interruptible` raises does.
        environment: the program's environment variables; by default those of this process.

    Returns:
        How it ended, or None if it was not done within the limit.

    Raises:
        FileNotFoundError: there is no such program.
    """
    # A file, not a pipe: a server that it starts inherits the end of a pipe and would keep it open for ever.
    with tempfile.TemporaryFile() as output:
        process = start(command, output, output, environment)
        try:
            status = wait(process, limit, progress)
        finally:
            end(process)
            if process.stdin:
                process.stdin.close()
        output.seek(0)
        text = output.read().decode("utf-8", "replace").strip()
    return None if status is None else Finished(status, text)


def start(
    command: Sequence[str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that `end` finds all of it, and Ctrl-C does not.

    Its standard input is a pipe, whose end tells it that this process is gone.
    """
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=environment, start_new_session=True
    )


def wait(process: subprocess.Popen[bytes], limit: float, progress: Progress) -> int | None:
    """Wait for so many seconds; returns the exit status, or None if the process still runs."""
    begin = time.monotonic()
    while (now := time.monotonic()) < begin + limit:
        _raise_interruption()
        progress("running, seconds", int(now - begin), 0)
        try:
            return process.wait(min(POLL, begin + limit - now))
        except subprocess.TimeoutExpired:
            continue
    return None


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that `start` gave, and everything that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
