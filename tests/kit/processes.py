"""Processes of a test: the command line started in one, and which ones are there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks at /proc")


def start_cli(*arguments: object, **environment: str) -> subprocess.Popen[bytes]:
    """Start the command line in a process of its own, which prints nothing."""
    return subprocess.Popen(
        [sys.executable, "-m", "squeezebert_edge", *map(str, arguments)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def wait_for(
    condition: Callable[[], object], seconds: float = 30, *, while_runs: subprocess.Popen[Any] | None = None
) -> None:
    """Wait until something is so; fails after so many seconds, or if a process ends before."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert while_runs is None or while_runs.poll() is None, "the process ended"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def list_processes() -> Iterator[tuple[int, str, str]]:
    """The number, the command line and the working directory of each process."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            yield int(path.name), words, os.readlink(path / "cwd")


def running(marker: str) -> list[str]:
    """The command lines that name the marker."""
    return [words for _, words, _ in list_processes() if marker in words]


def gone(marker: str) -> bool:
    """Whether no process names the marker, soon."""
    deadline = time.monotonic() + 10
    while running(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(marker)
