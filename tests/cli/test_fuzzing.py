"""Broken files and kills, a fresh seed each time; the programs in tests/kit take many more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.kit.processes import ROOT

CASES, PARTS = 2000, 2
KILLS = 12


def run(program: str, *words: str) -> None:
    command = [sys.executable, "-m", f"tests.kit.{program}", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout[-6000:]}\n{ended.stderr[-3000:]}"


@pytest.mark.parametrize("part", range(PARTS))
def test_broken_files_are_refused_in_sentences(part: int) -> None:
    run("fuzzing", "--cases", str(CASES // PARTS))


def test_killed_commands_leave_nothing() -> None:
    run("kills", "--kills", str(KILLS), "--command", "report")
