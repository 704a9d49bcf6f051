"""This computer: each measurement runs in a child process of its own, which leaves nothing behind."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import exporters
import squeezebert_edge
from exporters.errors import EdgeError, GateError, InputError
from squeezebert_edge.devices import JOB, RESULT, Listing
from squeezebert_edge.devices.command import run_program
from squeezebert_edge.devices.python import machine, worker
from squeezebert_edge.devices.python.interpreter import WRITER, Interpreter, decide_settings
from squeezebert_edge.devices.python.runtimes import RUNTIMES
from squeezebert_edge.devices.results import AGAIN, read_result
from squeezebert_edge.latency import record

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
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
        """Say what this computer is."""
        return record.Device.model_validate({"kind": "host", **machine.describe()})

    def state(self) -> record.State:
        """The state that it is in now."""
        return record.State.model_validate(machine.state())

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """Decide the settings that were left open.

        Raises:
            InputError: this computer cannot honour a setting.
            UnavailableError: the bundle is for Core ML, and this is no Mac.
        """
        return decide_settings(
            bundle,
            settings,
            where="the host",
            mac=machine.MAC,
            cpus=None if sys.platform == "darwin" else os.sched_getaffinity(0),
        )

    def run(
        self, directory: Path, job: Mapping[str, Any], limit: float, progress: Progress
    ) -> dict[str, Any]:
        """Have a worker in a process of its own do a job."""
        (directory / JOB).write_text(json.dumps(job), encoding="utf-8")
        root = str(Path(squeezebert_edge.__file__).parents[1])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        command = [*self.command, str(directory), str(time.monotonic_ns())]
        finished = run_program(command, limit, progress, environment={**os.environ, "PYTHONPATH": paths})
        if finished is None:
            raise GateError(f"{WRITER} hung: it gave no result within {limit:.0f} s", hint=AGAIN)
        return read_result(directory / RESULT, WRITER, finished)


def open_device(address: str | None) -> Host:
    """Open this computer.

    Raises:
        InputError: an address was given.
    """
    if address is not None:
        raise InputError(f"--device host:{address} names an address, but the host has none", allowed="host")
    return Host()


def list_devices() -> list[Listing]:
    """List this computer, with the formats whose runtime is installed."""
    runs = []
    for name in exporters.names():
        try:
            exporters.get(name)
        except EdgeError:
            continue
        timed = name in RUNTIMES or exporters.format_named(name).runtime
        if timed and (name != "coreml" or machine.MAC):
            runs.append(name)
    return [Listing("host", Host().describe().name, tuple(runs), None, Host.runner)]
