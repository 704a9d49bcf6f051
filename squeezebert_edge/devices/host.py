"""This computer: every measurement in a child process of its own, which leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

import exporters
import squeezebert_edge
from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge import latency, record
from squeezebert_edge.bundle import Bundle
from squeezebert_edge.devices import Listing, machine, worker
from squeezebert_edge.progress import Progress

if TYPE_CHECKING:
    from squeezebert_edge.devices import Inputs, Outputs

WORKER = (sys.executable, "-m", worker.__name__)
POLL = 0.5  # seconds: seldom, so that waiting takes nothing from what is measured
ANSWER_LIMIT = 600.0  # seconds a worker may take to start, and as many again for its rows
TOLD = 800  # characters of what a worker that failed has said


class Host:
    """This computer.

    Args:
        command: starts a worker; its directory and the time are added.
    """

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
        core_ml = bundle.manifest.format == "coreml"
        if core_ml and not machine.MAC:
            raise UnavailableError(
                f"{bundle.directory}: Core ML runs on macOS and iOS only",
                hint="measure it on a Mac or an iPhone; its answers are proven here by `verify`",
            )
        if settings.delegate != "cpu":
            raise InputError(
                f"--delegate {settings.delegate} on the host", allowed="cpu; Core ML has --compute-units"
            )
        if settings.compute_units and not core_ml:
            raise InputError(
                f"--compute-units for a bundle of {bundle.manifest.format}", allowed="for coreml bundles"
            )
        if settings.threads and core_ml:
            raise InputError("--threads for a Core ML bundle", allowed="for executorch and tflite bundles")
        if settings.runtime and bundle.manifest.format != "tflite":
            raise InputError(
                f"--runtime for a bundle of {bundle.manifest.format}", allowed="for tflite bundles"
            )
        _refuse_cpus(settings.cpus)
        decided = (
            {"compute_units": settings.compute_units or "all"}
            if core_ml
            else {"threads": settings.threads or 1}
        )
        return settings.model_copy(update=decided)

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: latency.Protocol,
        settings: record.Settings,
        progress: Progress,
    ) -> record.Run:
        """Run the rows by the protocol in a process of their own.

        Raises:
            InputError: a runtime that is not installed, or does not read the artifact.
            GateError: the process died, hung or wrote no measurement.
        """
        job = _job(bundle, rows, settings, protocol)
        with tempfile.TemporaryDirectory(prefix="squeezebert-edge-") as directory:
            result = self._run(Path(directory), job, protocol.time_limit, progress)
        try:
            return record.Run.model_validate(result | {"device": {"kind": "host", **result["device"]}})
        except (ValidationError, KeyError, TypeError) as error:
            raise GateError(f"the measuring process wrote no measurement: {error}", hint=AGAIN) from None

    def answer(
        self, bundle: Bundle, rows: Sequence[Inputs], settings: record.Settings, progress: Progress
    ) -> list[Outputs]:
        """What the bundle answers to each row.

        Raises:
            InputError, GateError: as for `measure`.
        """
        names = [output.name for output in bundle.manifest.outputs]
        with tempfile.TemporaryDirectory(prefix="squeezebert-edge-") as directory:
            limit = ANSWER_LIMIT + latency.exactly(len(rows)).time_limit
            result = self._run(Path(directory), _job(bundle, rows, settings, None), limit, progress)
            try:
                values = np.fromfile(Path(directory) / worker.OUTPUTS, "<f4")
                shapes = [[tuple(map(int, shape)) for shape in of_row] for of_row in result["shapes"]]
                sizes = [int(np.prod(shape)) for of_row in shapes for shape in of_row]
                if len(shapes) != len(rows) or sum(sizes) != len(values):
                    raise ValueError(f"{len(values)} values for {len(shapes)} of {len(rows)} rows")
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise GateError(f"the measuring process wrote no answers: {error}", hint=AGAIN) from None
        parts = iter(np.split(values, np.cumsum(sizes)[:-1]))
        return [
            {name: next(parts).reshape(shape) for name, shape in zip(names, of_row, strict=True)}
            for of_row in shapes
        ]

    def _run(
        self, directory: Path, job: Mapping[str, Any], limit: float, progress: Progress
    ) -> dict[str, Any]:
        """What a worker makes of a job; it is gone when this returns or raises."""
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
                status = _wait(process, begin / 1e9 + limit, progress)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if process.stdin:
                    process.stdin.close()
            said.seek(0)
            words = said.read().decode("utf-8", "replace")[-TOLD:].strip()
        if status is None:
            raise GateError(f"the measuring process hung: no result after {limit:.0f} s", hint=AGAIN)
        return _result(directory, status, words)


AGAIN = "run it again; if it stays so, `squeezebert-edge verify` says whether the bundle works at all"


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
    for name in exporters.FORMATS:
        try:
            exporters.get(name)
        except EdgeError:
            continue
        if name != "coreml" or machine.MAC:
            runs.append(name)
    return [Listing("host", Host().describe().name, tuple(runs), None)]


def _job(
    bundle: Bundle, rows: Sequence[Inputs], settings: record.Settings, protocol: latency.Protocol | None
) -> dict[str, Any]:
    manifest = bundle.manifest
    return worker.job_of(
        bundle.artifact.resolve(),
        manifest.format,
        manifest.entry_points,
        [output.name for output in manifest.outputs],
        rows,
        settings.model_dump(),
        None if protocol is None else asdict(protocol),
    )


def _refuse_cpus(cpus: Sequence[int] | None) -> None:
    if cpus is None:
        return
    if sys.platform == "darwin":
        raise InputError("--cpus on macOS", allowed="on Linux: macOS does not bind processes to CPUs")
    there = os.sched_getaffinity(0)
    if not cpus or not set(cpus) <= there:
        raise InputError(
            f"--cpus {','.join(map(str, cpus))}", allowed=f"some of {','.join(map(str, sorted(there)))}"
        )


def _wait(process: subprocess.Popen[bytes], end: float, progress: Progress) -> int | None:
    """The exit status of a process, or null if it has none by then (seconds of the monotonic clock)."""
    begin = time.monotonic()
    while (now := time.monotonic()) < end:
        progress("running, seconds", int(now - begin), 0)
        try:
            return process.wait(min(POLL, end - now))
        except subprocess.TimeoutExpired:
            continue
    return None


def _result(directory: Path, status: int, words: str) -> dict[str, Any]:
    """What a worker that has ended wrote."""
    last = f"; the last it said: {words}" if words else ""
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    path = directory / worker.RESULT
    if status or not path.exists():
        raise GateError(f"the measuring process ended {how} and without a result{last}", hint=AGAIN)
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GateError(f"the measuring process wrote no result: {error}{last}", hint=AGAIN) from None
    if not isinstance(result, dict):
        raise GateError(f"the measuring process wrote {type(result).__name__}, no result{last}", hint=AGAIN)
    if "error" not in result:
        return result
    kinds = {kind.exit_code: kind for kind in (InputError, GateError, UnavailableError)}
    try:
        told = result["error"]
        explained = kinds[told["exit_code"]](told["problem"], allowed=told["allowed"], hint=told["hint"])
    except (KeyError, TypeError) as error:
        raise GateError(f"the measuring process wrote no result: {error!r}{last}", hint=AGAIN) from None
    raise explained
