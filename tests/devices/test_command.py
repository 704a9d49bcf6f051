"""Programs of this computer: they end by themselves, within their time, or when their thread is to stop."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from squeezebert_edge.devices.android import adb, phone
from squeezebert_edge.devices.android.adb import Adb
from squeezebert_edge.devices.command import interruptible, run_program
from squeezebert_edge.plumbing.progress import silent
from tests.fakes.adb import put_adb
from tests.kit.processes import gone, needs_proc


@needs_proc
def test_an_event_ends_what_a_thread_waits_for_once(tmp_path: Path) -> None:
    stopped, told = threading.Event(), []
    marker = f"{tmp_path}/marker"

    def measure() -> None:
        with interruptible(stopped):
            try:
                run_program(["sh", "-c", f"sleep 600 # {marker}"], 600, silent)
            except KeyboardInterrupt:
                told.append("interrupted")
            tidied = run_program(["echo", "tidied"], 60, silent)
            assert tidied is not None
            told.append(tidied.output)
        told.append("left")

    thread = threading.Thread(target=measure)
    thread.start()
    stopped.set()
    thread.join(60)
    assert told == ["interrupted", "tidied", "left"]
    assert gone(marker)
    assert run_program(["echo", "here"], 60, silent) is not None  # other threads are not asked


def test_an_event_that_nobody_sets_changes_nothing() -> None:
    with interruptible(threading.Event()):
        done = run_program(["echo", "done"], 60, silent)
    assert done is not None
    assert done.output == "done"


def test_a_phone_that_hangs_is_not_tidied_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_adb(tmp_path, monkeypatch)
    program = tmp_path / "programs" / "adb"
    program.write_text('#!/bin/sh\ncase "$*" in *"rm -rf"*) sleep 600 ;; esac\n')
    monkeypatch.setattr(phone, "TIDY", 0.2)
    assert adb.TIDY < 30
    begin = time.monotonic()
    with phone.workspace(Adb("ONE")) as made:
        assert made.path.startswith(phone.TEMPORARY)
    assert time.monotonic() - begin < 60
