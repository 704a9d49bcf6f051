"""A process that begins with everything imported does what a fresh Python does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.kit.processes import wait_for
from tests.kit.warm import warm_python

SAYS = (
    "import os, sys; print(ascii([sys.argv, os.getcwd(), os.environ['SAID'], sys.stdin.read(), sys.path[0]]))"
)
pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's pidfd")


def both(*words: str, **options: Any) -> list[tuple[int, str, list[str]]]:
    """How a warm process and a fresh one end, and what they print."""
    ended = [
        subprocess.run([python, *words], capture_output=True, text=True, check=False, **options)
        for python in (warm_python(), sys.executable)
    ]
    return [(each.returncode, each.stdout, each.stderr.splitlines()[-1:]) for each in ended]


def test_it_has_its_arguments_its_input_its_directory_and_its_environment(tmp_path: Path) -> None:
    environment = {**os.environ, "SAID": "schön \udcff"}
    warm, fresh = both("-c", SAYS, "a", "b ç", input="given\n", cwd=tmp_path, env=environment)
    assert warm == fresh
    assert "given" in warm[1]


def test_it_runs_modules_from_where_pythonpath_says(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("NAME = __name__\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code = "import elsewhere, sys; print(elsewhere.__file__, sys.path[1])"
    warm, fresh = both("-c", code, env=environment)
    assert warm == fresh
    assert str(tmp_path) in warm[1]


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit",
        "raise SystemExit(3)",
        "raise SystemExit('why')",
        "1 / 0",
        "import os; os._exit(7)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import atexit; atexit.register(print, 'at last'); print('first', end=' ')",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(.1), print('late'))).start()",
    ],
)
def test_it_ends_as_a_fresh_one_does(code: str) -> None:
    warm, fresh = both("-c", code)
    assert warm == fresh


def test_the_command_line_says_the_same() -> None:
    for words in (["--version"], ["predict", "nowhere", "text"], ["report"]):
        warm, fresh = both("-m", "squeezebert_edge", *words)
        assert warm == fresh


def test_its_files_have_their_numbers() -> None:
    reading, writing = os.pipe()
    try:
        code = f"import os; os.write({writing}, b'through')"
        done = subprocess.run([warm_python(), "-c", code], check=True, pass_fds=[writing])
        assert done.returncode == 0
        assert os.read(reading, 7) == b"through"
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_it(number: signal.Signals) -> None:
    code = (
        "import signal, sys, time\n"
        "def leave(number, frame): sys.exit(40 + number)\n"
        "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, leave)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([warm_python(), "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(30) == 40 + number


def test_one_that_is_killed_is_gone(tmp_path: Path) -> None:
    code = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    with subprocess.Popen([warm_python(), "-c", code], cwd=tmp_path) as process:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), while_runs=process)
        pid = int((tmp_path / "pid").read_text())
        process.kill()
        assert process.wait(30) == -signal.SIGKILL

    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(is_gone)


def test_several_at_the_same_time_have_nothing_in_common() -> None:
    code = "import sys, time; kept = sys.stdin.read(); time.sleep(0.2); print(kept)"
    started = [
        subprocess.Popen(
            [warm_python(), "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for number, process in reversed(list(enumerate(started))):
        assert process.communicate(str(number))[0] == f"{number}\n"


def test_what_a_python_reads_when_it_starts_is_read() -> None:
    code = "import sys, os; print(sys.stdout.encoding, sys.executable)"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    warm, fresh = both("-c", code, env=environment)
    assert warm == fresh
    assert warm[1].startswith("ascii")


def test_it_begins_at_once() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([warm_python(), "-c", "import executorch.exir, coremltools, litert_torch"], check=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 2  # seconds, of which imports alone take ten
