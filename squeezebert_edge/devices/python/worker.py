"""The process that measures: reads a job, runs it, writes a result; the same for latency and for accuracy.

    python -m squeezebert_edge.devices.python.worker DIRECTORY [SPAWNED_NS]

DIRECTORY holds job.json; result.json appears there whole, and before it outputs.bin if answers are asked for.
SPAWNED_NS is the parent's monotonic clock just before it started this process. The worker needs FILES and a
runtime and nothing else, so that it can be copied to a board. It ends when its standard input does: with its
parent.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from squeezebert_edge.devices import JOB, OUTPUTS, RESULT

FILES = (
    "exporters/__init__.py",
    "exporters/errors.py",
    "exporters/imports.py",
    "exporters/processor.py",
    "squeezebert_edge/__init__.py",
    "squeezebert_edge/latency/__init__.py",
    "squeezebert_edge/latency/protocol.py",
    "squeezebert_edge/devices/__init__.py",
    "squeezebert_edge/devices/python/__init__.py",
    "squeezebert_edge/devices/python/machine.py",
    "squeezebert_edge/devices/python/runtimes.py",
    "squeezebert_edge/devices/python/worker.py",
)
ABANDONED = 75  # the exit status of a worker whose parent went away


def inquiry_of(format_: str | None, runtime: str | None) -> dict[str, Any]:
    """The job of a worker that shall say what machine it is on, and whether a runtime is installed there.

    Args:
        format_: None asks for no runtime. runtime: which of several, as record.Settings has it.
    """
    return {"inquiry": {"format": format_, "runtime": runtime}}


def job_of(
    artifact: Path,
    format_: str,
    entry_points: Mapping[int, str],
    outputs: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    protocol: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The job of a worker: to measure by a protocol, or without one to answer.

    Args:
        rows: each row's inputs by name, (1, length) int32 arrays.
        settings: the fields of record.Settings.
        protocol: the fields of Protocol.
    """
    return {
        "artifact": str(artifact),
        "format": format_,
        "entry_points": {str(length): name for length, name in entry_points.items()},
        "outputs": list(outputs),
        "rows": [{name: value[0].tolist() for name, value in row.items()} for row in rows],
        "settings": dict(settings),
        "protocol": protocol if protocol is None else dict(protocol),
    }


class Session:
    """An opened artifact with the rows of a job, and how long it took to open it.

    Args:
        spawned_ns: when the process was started; None if that is not known.
    """

    def __init__(self, job: Mapping[str, Any], spawned_ns: int | None) -> None:
        from squeezebert_edge.devices.python import machine

        settings = job["settings"]
        interpreter_ns = None if spawned_ns is None else time.monotonic_ns() - spawned_ns
        if settings["cpus"] is not None:
            os.sched_setaffinity(0, settings["cpus"])  # type: ignore[attr-defined,unused-ignore]
        self.before = machine.state()
        start = time.monotonic_ns()
        from squeezebert_edge.devices.python.runtimes import find_runtime

        self.runtime = find_runtime(job["format"], settings["runtime"])
        imported = time.monotonic_ns()
        self.baseline = machine.resident()["now"]
        loading = time.monotonic_ns()
        with _explaining(job["artifact"], self.runtime.name):
            self.runtime.open(Path(job["artifact"]), settings["threads"], settings["unit"])
        self.load_ns = time.monotonic_ns() - loading
        self.process_ns = None if interpreter_ns is None else interpreter_ns + imported - start
        self.artifact, self.outputs = job["artifact"], job["outputs"]
        self.lengths = [len(next(iter(row.values()))) for row in job["rows"]]
        self._rows, self._entry_points = job["rows"], job["entry_points"]

    def queries(self) -> list[Any]:
        """A function for each row, which computes the row's outputs."""
        import numpy as np

        return [
            self.runtime.query(
                self._entry_points[str(length)],
                {name: np.array([values], np.int32) for name, values in row.items()},
                self.outputs,
            )
            for length, row in zip(self.lengths, self._rows, strict=True)
        ]


def describe_machine(inquiry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of record.Device and of record.State.

    Raises:
        InputError, UnavailableError: the runtime that is asked for is not there.
    """
    from squeezebert_edge.devices.python import machine

    if inquiry["format"] is not None:
        from squeezebert_edge.devices.python.runtimes import find_runtime

        find_runtime(inquiry["format"], inquiry["runtime"])
    return {"device": machine.describe(), "state": machine.state()}


def measure_latency(session: Session, protocol_fields: Mapping[str, Any]) -> dict[str, Any]:
    """Run the session's rows by a protocol; returns the fields of record.Run."""
    from exporters.processor import has_float16
    from squeezebert_edge.devices.python import machine
    from squeezebert_edge.latency.protocol import Protocol, measure, warm_up

    protocol = Protocol(**protocol_fields)
    first = {}
    with _explaining(session.artifact, session.runtime.name):
        queries = session.queries()
        for length in sorted(set(session.lengths)):
            start = time.monotonic_ns()
            queries[session.lengths.index(length)]()
            first[length] = time.monotonic_ns() - start
        peak = machine.resident()["most"]

        def run(row: int) -> None:
            queries[row]()

        warm = warm_up(run, session.lengths, protocol)
        samples = measure(run, session.lengths, protocol)
    cold = {"process_ns": session.process_ns, "load_ns": session.load_ns, "first_ns": first}
    memory = {"baseline_bytes": session.baseline, "peak_bytes": peak}
    return {
        "device": machine.describe(),
        "runtime": {
            "name": session.runtime.name,
            "version": session.runtime.version,
            "runner": "python",
            "libc": machine.libc(),
        },
        "before": session.before,
        "after": machine.state(),
        "cold_start": cold | {"unknown": _unknown(cold, "the clocks of parent and child are not the same")},
        "memory": memory | {"unknown": _unknown(memory, "the system does not say what is resident")},
        "warm_up": [asdict(warmed) for warmed in warm],
        "samples": asdict(samples),
        "emulated": machine.is_emulated(),
        "float16": has_float16(),
    }


def write_answers(session: Session, path: Path) -> dict[str, Any]:
    """Write every output of every row to a file, as little-endian float32; returns their shapes, in order."""
    shapes = []
    with _explaining(session.artifact, session.runtime.name), path.open("wb") as file:
        for query in session.queries():
            outputs = query()
            shapes.append([list(output.shape) for output in outputs])
            for output in outputs:
                file.write(output.astype("<f4").tobytes())
    return {"shapes": shapes}


def main(directory: Path, spawned_ns: int | None) -> None:
    """Do the job of a directory; what goes wrong is a result too."""
    from exporters.errors import EdgeError

    job = json.loads((directory / JOB).read_text(encoding="utf-8"))
    result: dict[str, Any]
    try:
        with _naming_packages():
            result = _do(job, directory, spawned_ns)
    except EdgeError as error:
        fields = {"problem": error.problem, "allowed": error.allowed, "hint": error.hint}
        result = {"error": fields | {"exit_code": error.exit_code}}
    partial = directory / f"{RESULT}.partial"
    partial.write_text(json.dumps(result), encoding="utf-8")
    partial.replace(directory / RESULT)


def _do(job: Mapping[str, Any], directory: Path, spawned_ns: int | None) -> dict[str, Any]:
    if "inquiry" in job:
        return describe_machine(job["inquiry"])
    session = Session(job, spawned_ns)
    if job["protocol"] is None:
        return write_answers(session, directory / OUTPUTS)
    return measure_latency(session, job["protocol"])


@contextmanager
def _naming_packages() -> Iterator[None]:
    """Tell the user to install a package that is missing."""
    from exporters.errors import InputError

    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed", hint=f"pip install {error.name}") from error


@contextmanager
def _explaining(artifact: str, runtime: str) -> Iterator[None]:
    """Tell the user that a runtime cannot run a file."""
    from exporters.errors import InputError

    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{artifact}: {runtime} cannot run it ({error})",
            hint="export it again, with the version of the runtime that is installed where it runs",
        ) from error


def _unknown(facts: Mapping[str, object], reason: str) -> dict[str, str]:
    return {name: reason for name, value in facts.items() if value is None}


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written: it returns when the other end is gone
    os._exit(ABANDONED)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
