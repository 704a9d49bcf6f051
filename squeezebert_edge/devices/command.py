"""A program of this computer run to its end, or to the end of a time; nothing of it is left running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from squeezebert_edge.plumbing.progress import Progress


@dataclass(frozen=True)
class Said:
    """How a program ended, and what it said on both its outputs."""

    status: int
    text: str


def said(command: Sequence[str], limit: float, progress: Progress) -> Said | None:
    """Run a program; null if it was not done within so many seconds.

    Args:
        progress: told about twice a second how long it runs; what it raises ends the program.
    """
    # A file, not a pipe: a server that it starts inherits the end of a pipe and would keep it open for ever.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # its end tells the other side that we are gone
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            status = wait(process, time.monotonic() + limit, progress)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin:
                process.stdin.close()
        output.seek(0)
        text = output.read().decode("utf-8", "replace").strip()
    return None if status is None else Said(status, text)


POLL = 0.5  # seconds: seldom, so that waiting takes nothing from what is measured


def wait(process: subprocess.Popen[bytes], end: float, progress: Progress) -> int | None:
    """The exit status of a process, or null if it has none by then (seconds of the monotonic clock)."""
    begin = time.monotonic()
    while (now := time.monotonic()) < end:
        progress("running, seconds", int(now - begin), 0)
        try:
            return process.wait(min(POLL, end - now))
        except subprocess.TimeoutExpired:
            continue
    return None
