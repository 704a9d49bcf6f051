"""This computer: every measurement in a child process of its own, which leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import exporters
import squeezebert_edge
from exporters.errors import EdgeError, GateError, InputError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import Listing
from squeezebert_edge.devices.command import wait
from squeezebert_edge.devices.python import machine, worker
from squeezebert_edge.devices.python.interpreter import Interpreter, result_of, settled, told
from squeezebert_edge.devices.results import AGAIN
from squeezebert_edge.latency import record
from squeezebert_edge.plumbing.progress import Progress

WORKER = (sys.executable, "-m", worker.__name__)


class Host(Interpreter):
    """This computer.

    Args:
        command: starts a worker; its directory and the time are added.
    """

    kind = "host"

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self.command = command

    def describe(self) -> record.Device:
        """What it is."""
        return record.Device.model_validate({"kind": "host", **machine.described()})

    def state(self) -> record.State:
        """How it is now."""
        return record.State.model_validate(machine.state())

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """The settings with what was left open decided.

        Raises:
            InputError: one that cannot be honoured here.
            UnavailableError: a Core ML bundle, and this is no Mac.
        """
        return settled(
            bundle,
            settings,
            where="the host",
            mac=machine.MAC,
            cpus=None if sys.platform == "darwin" else os.sched_getaffinity(0),
        )

    def run(
        self, directory: Path, job: Mapping[str, Any], limit: float, progress: Progress
    ) -> dict[str, Any]:
        """What a worker in a process of its own makes of a job."""
        (directory / worker.JOB).write_text(json.dumps(job), encoding="utf-8")
        root = str(Path(squeezebert_edge.__file__).parents[1])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        with (directory / "said").open("w+b") as said:
            begin = time.monotonic_ns()
            process = subprocess.Popen(
                [*self.command, str(directory), str(begin)],
                stdin=subprocess.PIPE,  # its end tells the worker that we are gone
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,
            )
            try:
                status = wait(process, begin / 1e9 + limit, progress)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if process.stdin:
                    process.stdin.close()
            said.seek(0)
            words = told(said.read())
        if status is None:
            raise GateError(f"the measuring process hung: no result after {limit:.0f} s", hint=AGAIN)
        return result_of(directory, status, words)


def opened(address: str | None) -> Host:
    """This computer.

    Raises:
        InputError: an address.
    """
    if address is not None:
        raise InputError(f"--device host:{address}", allowed="host")
    return Host()


def found() -> list[Listing]:
    """This computer and the formats whose runtime is installed."""
    runs = []
    for name in exporters.names():
        try:
            exporters.get(name)
        except EdgeError:
            continue
        if name != "coreml" or machine.MAC:
            runs.append(name)
    return [Listing("host", Host().describe().name, tuple(runs), None, Host.runner)]
