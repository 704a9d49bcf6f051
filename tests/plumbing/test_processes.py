"""Calls side by side: results as they come, errors as they were raised, and nothing that goes on after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from exporters.errors import GateError, UnavailableError
from squeezebert_edge.plumbing.processes import Team, side_by_side
from squeezebert_edge.plumbing.progress import Progress
from squeezebert_edge.plumbing.reading import NotJsonError, parse_json
from tests.kit.processes import needs_proc, wait_for

SLEEP = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"


def add(a: int, b: int, *, progress: Progress) -> tuple[int, str]:
    progress("adding", 1, 2)
    print("this is not for stdout")
    return a + b, os.environ["OMP_NUM_THREADS"]


def refuse(*, progress: Progress) -> None:
    raise GateError("no", allowed="yes", hint="ask again")


def misread(*, progress: Progress) -> None:
    parse_json("{", "a text")


def fail(*, progress: Progress) -> None:
    raise ZeroDivisionError("a defect")


def fail_strangely(*, progress: Progress) -> None:
    raise type("Local", (Exception,), {})("of a class that nobody else knows")


def die(*, progress: Progress) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(started: str, *, progress: Progress) -> None:
    Path(started).write_text(str(os.getpid()))
    time.sleep(600)


def have_slept(started: str, *, progress: Progress) -> None:
    subprocess.run([sys.executable, "-c", SLEEP, started], check=False)


@pytest.fixture
def team() -> Iterator[Team]:
    made = Team(threads=3)
    yield made
    made.end()


def test_a_call_gives_its_result_and_tells_its_progress(
    team: Team, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, int, int]] = []
    assert team.call("adding", add, 2, 3, progress=lambda *news: told.append(news)) == (5, "3")
    assert told == [("adding", 1, 2)]
    assert capfd.readouterr().out == ""


def test_an_error_is_the_one_that_was_raised(team: Team) -> None:
    with pytest.raises(GateError) as refused:
        team.call("refusing", refuse)
    assert (refused.value.problem, refused.value.allowed, refused.value.hint) == ("no", "yes", "ask again")
    with pytest.raises(NotJsonError, match="a text is not JSON") as misread_text:
        team.call("reading", misread)
    assert misread_text.value.line == 1
    with pytest.raises(ZeroDivisionError, match="a defect") as defect:
        team.call("dividing", fail)
    assert "in fail" in defect.value.__notes__[0]  # where it was
    with pytest.raises(RuntimeError, match="of a class that nobody else knows"):
        team.call("failing", fail_strangely)


def test_a_process_that_dies_says_so(team: Team) -> None:
    with pytest.raises(UnavailableError, match="that was making tflite int8 was killed by SIGKILL") as died:
        team.call("making tflite int8", die)
    assert "--jobs 1" in str(died.value.hint)


def pid_in(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("function", [sleep, have_slept])
def test_ending_a_team_ends_its_processes_and_lets_none_begin(
    team: Team, tmp_path: Path, function: Callable[..., None]
) -> None:
    """What they began, too."""
    ended: list[BaseException] = []

    def call() -> None:
        try:
            team.call("sleeping", function, str(tmp_path / "pid"))
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    pid = pid_in(tmp_path / "pid")
    team.end()
    thread.join(60)
    assert [type(error) for error in ended] == [KeyboardInterrupt]
    wait_for(lambda: is_gone(pid))
    with pytest.raises(KeyboardInterrupt):
        team.call("adding", add, 2, 3)


@needs_proc
def test_a_process_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    code = (
        "from squeezebert_edge.plumbing.processes import Team\n"
        "from tests.plumbing.test_processes import sleep\n"
        f"Team(1).call('sleeping', sleep, {str(tmp_path / 'pid')!r})"
    )
    root = str(Path(__file__).parents[2])
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root})
    pid = pid_in(tmp_path / "pid")
    parent.kill()
    parent.wait()
    wait_for(lambda: is_gone(pid))


@needs_proc
def test_ctrl_c_ends_a_wait_whichever_thread_took_the_signal() -> None:
    """A thread that blocks nothing else may take it: the main one sleeps on, and must look for itself."""
    code = (
        "import signal, threading, time\n"
        "from queue import SimpleQueue\n"
        "from squeezebert_edge.plumbing.processes import take\n"
        "def signal_me():\n"
        "    time.sleep(0.5)\n"
        "    signal.pthread_kill(threading.get_ident(), signal.SIGINT)\n"
        "    time.sleep(600)\n"
        "threading.Thread(target=signal_me, daemon=True).start()\n"
        "try:\n"
        "    take(SimpleQueue())\n"
        "except KeyboardInterrupt:\n"
        "    print('ended', flush=True)\n"
    )
    root = str(Path(__file__).parents[2])
    command = [
        sys.executable,
        "-c",
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + code,
    ]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": root}, capture_output=True, timeout=60, check=False
    )
    assert ended.stdout == b"ended\n"


def test_results_come_as_they_are_done() -> None:
    second = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            assert second.wait(60)
        return 10 * item

    results = side_by_side(work, [1, 2, 3], 2, lambda: None)
    assert next(results) == 20
    second.set()
    assert sorted(results) == [10, 30]
    assert list(side_by_side(work, [], 2, lambda: None)) == []


def test_an_item_is_made_while_those_before_it_are_worked_on() -> None:
    begun = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert begun.wait(60)
        yield 2

    def work(item: int) -> int:
        begun.set()
        return item

    assert sorted(side_by_side(work, items(), 2, lambda: None)) == [1, 2]


def test_an_item_that_cannot_be_made_ends_the_rest() -> None:
    ended, before = threading.Event(), threading.active_count()

    def items() -> Iterator[int]:
        yield 1
        raise GateError("no second")

    def work(item: int) -> int:
        assert ended.wait(60)
        raise KeyboardInterrupt

    with pytest.raises(GateError, match="no second"):
        list(side_by_side(work, items(), 2, ended.set))
    assert threading.active_count() == before


@pytest.mark.parametrize("leave", ["by an error", "early"])
def test_the_first_error_and_who_leaves_early_end_the_rest(leave: str) -> None:
    ended, begun, before = threading.Event(), [], threading.active_count()

    def work(item: int) -> int:
        begun.append(item)
        if item == 0 and leave == "by an error":
            raise GateError("the first")
        if item > 0:
            assert ended.wait(60)
            raise KeyboardInterrupt
        return item

    results = side_by_side(work, range(5), 2, ended.set)
    if leave == "by an error":
        with pytest.raises(GateError, match="the first"):
            list(results)
    else:
        with closing(results):
            assert next(results) == 0
    assert ended.is_set()
    assert len(begun) < 5
    assert threading.active_count() == before
