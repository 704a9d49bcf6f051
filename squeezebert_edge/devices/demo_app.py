"""A demo app's job, as docs/app_job.md has it: what is asked, and how what came of it is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporters.errors import GateError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices.results import AGAIN, answers_of
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Protocol

if TYPE_CHECKING:
    from squeezebert_edge.devices import Inputs, Outputs

VERSION = 1
APP = "io.squeezebert.edge.demo"  # Android's package, and iOS's bundle identifier
BUNDLE, JOB, RESULT, OUTPUTS = "bundle", "job.json", "result.json", "outputs.bin"


def job_of(rows: Sequence[Inputs], settings: record.Settings, protocol: Protocol | None) -> str:
    """job.json: measure by the protocol, or answer where that is null.

    Args:
        rows: at least one; name -> (1, length) int32 each.
    """
    names = list(rows[0])  # not the manifest's: a Core ML program packs all of them into one
    return json.dumps(
        {
            "job_version": VERSION,
            "work": "answer" if protocol is None else "measure",
            "settings": settings.model_dump(),
            "protocol": None if protocol is None else asdict(protocol),
            "inputs": names,
            "rows": [
                {"length": row[names[0]].shape[1], "values": [row[name][0].tolist() for name in names]}
                for row in rows
            ],
        }
    )


def run_of(text: str, kind: record.Kind, rows: Sequence[Inputs]) -> record.Run:
    """What result.json says was measured.

    Raises:
        GateError: the app's error, no measurement, or one of something else than these rows in turn.
    """
    result = _result(text)
    try:
        run = record.Run.model_validate(result.get("run"))
    except ValidationError as error:
        raise GateError(f"the app wrote no measurement: {error}", hint=AGAIN) from None
    samples = run.samples
    turns = tuple(index % len(rows) for index in range(len(samples.latency_ns)))
    lengths = [next(iter(row.values())).shape[1] for row in rows]
    problems = {
        f"it is of {run.device.kind}, by the runner {run.runtime.runner}": (
            (run.device.kind, run.runtime.runner) != (kind, "app")
        ),
        "it has no samples, or some that took no time": min(samples.latency_ns, default=0) <= 0,
        "its samples are not the rows in turn": (
            (samples.row, samples.length) != (turns, tuple(lengths[row] for row in turns))
            or len(samples.start_ns) != len(turns)
        ),
    }
    for problem, there in problems.items():
        if there:
            raise GateError(f"the app wrote no measurement of what was asked: {problem}", hint=AGAIN)
    return run


def answers(text: str, outputs: Path, bundle: Bundle, rows: int) -> list[Outputs]:
    """What result.json and outputs.bin say was answered to so many rows.

    Raises:
        GateError: the app's error, or no answers.
    """
    names = [output.name for output in bundle.manifest.outputs]
    return answers_of(outputs, _result(text), names, rows, writer="the app")


def _result(text: str) -> dict[str, Any]:
    try:
        result = json.loads(text)
    except ValueError as error:
        raise GateError(f"the app wrote no result: {error}", hint=AGAIN) from None
    if not isinstance(result, dict):
        raise GateError(f"the app wrote {type(result).__name__}, no result", hint=AGAIN)
    if "error" in result:
        raise GateError(f"the app: {result['error']}", hint=AGAIN)
    return result
