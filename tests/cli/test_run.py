"""`run` from the command line: what it refuses, and that an interruption ends everything that it began."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from squeezebert_edge.plumbing.processes import MODULE
from tests.kit.processes import list_processes, needs_proc, wait_for
from tests.kit.small import save_small
from tests.kit.warm import warm_python

COMMAND = [sys.executable, "-m", "squeezebert_edge"]


@needs_proc
@pytest.mark.parametrize("verb", ["run", "export"])
def test_an_interruption_ends_all_that_is_made_side_by_side(tmp_path: Path, verb: str) -> None:
    source, out = save_small(tmp_path / "checkpoint", num_hidden_layers=1), tmp_path / "out"
    words = [verb, str(source), "--to", "tflite", "--precision", "fp32", "--precision", "int8-dynamic"]
    process = subprocess.Popen(
        [*COMMAND, *words, "--jobs", "2", "--lengths", "16", "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip

    def makers() -> list[int]:
        return [pid for pid, said, where in list_processes() if MODULE in said and where == str(tmp_path)]

    wait_for(lambda: len(makers()) == 2, 300, while_runs=process)
    assert len(list(out.glob(".*.partial"))) == 2
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "")
    assert errors.endswith("interrupted; no half-written output was left\n")
    assert "Traceback" not in errors
    assert not makers()
    assert list(out.iterdir()) == []


def test_all_precisions_and_some_are_two_wishes() -> None:
    words = ["run", "default", "--all", "--precision", "fp32"]
    ended = subprocess.run([warm_python(), *COMMAND[1:], *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--all and --precision are both given" in ended.stderr
