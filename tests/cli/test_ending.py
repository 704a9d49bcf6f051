"""However a command ends, by a signal or for want of a place to print to, no traceback is seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kit.processes import ROOT, needs_proc

COMMAND = [sys.executable, "-m", "squeezebert_edge"]
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to /dev/full")


def run(*arguments: str, stdout: int | Path = subprocess.PIPE, **environment: str) -> tuple[int, str, bytes]:
    """The exit code of a command, and what it printed on stderr and stdout."""
    with open(stdout if isinstance(stdout, Path) else os.devnull, "wb") as file:
        ended = subprocess.run(
            [*COMMAND, *arguments],
            stdout=file if isinstance(stdout, Path) else stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            check=False,
        )
    return ended.returncode, ended.stderr.decode(), ended.stdout or b""


@needs_full
@pytest.mark.parametrize("words", ["--version", "inspect default", "inspect default --json"])
def test_a_full_disk_is_a_clear_error(words: str) -> None:
    code, errors, _ = run(*words.split(), stdout=Path("/dev/full"))
    assert code == 2
    assert "error: stdout cannot be written: No space left" in errors
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


def test_the_end_of_a_pipe_needs_no_words() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code, errors, _ = run("inspect", "default", stdout=writing)
    os.close(writing)
    assert code == 141
    assert errors == "loading default\n"


def test_ascii_shows_other_characters_by_their_numbers(tmp_path: Path) -> None:
    name = str(tmp_path / "Köln")
    code, errors, _ = run("inspect", name, PYTHONIOENCODING="ascii")
    assert code == 2
    assert "K\\xf6ln" in errors
    code, errors, printed = run("inspect", "default", PYTHONIOENCODING="ascii")
    assert (code, errors) == (0, "loading default\n")
    assert printed.isascii()


@needs_full
def test_without_a_place_for_errors_the_exit_code_remains() -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*COMMAND, "inspect", "nowhere"], stdout=full, stderr=full, check=False)
    assert ended.returncode == 2


def test_without_stdout_a_command_still_works() -> None:
    command = f'"{sys.executable}" -m squeezebert_edge inspect default >&-'
    ended = subprocess.run(command, shell=True, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"loading default\n")


def test_little_is_imported_before_signals_are_caught() -> None:
    """Until then Ctrl-C is Python's, with a traceback; typing would take half of that time."""
    code = "import sys, squeezebert_edge.cli; print('typing' in sys.modules, 're' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "False False\n"


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["starting", "loading torch"])
def test_an_interruption_at_any_moment_ends_with_130(number: signal.Signals, moment: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, "inspect", "default"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if moment == "loading torch":
        assert process.stderr is not None
        assert process.stderr.readline() == "loading default\n"
        time.sleep(0.02)
    else:
        wait_until_caught(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.removeprefix("loading default\n") == "interrupted; no half-written output was left\n"


def wait_until_caught(pid: int) -> None:
    """Wait until a process has handlers of its own; Python's start is not ours to change."""
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        (caught,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
        if caught >> (signal.SIGALRM - 1) & 1:
            return
        time.sleep(0.001)
