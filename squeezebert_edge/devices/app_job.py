"""The job of a demo app, on Android and iOS alike: what it is asked and what it answers (docs/app_job.md)."""

from __future__ import annotations

import json
import os
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporters.errors import GateError
from squeezebert_edge import record
from squeezebert_edge.devices.interpreter import AGAIN

if TYPE_CHECKING:
    from squeezebert_edge import latency
    from squeezebert_edge.devices import Inputs

APP = "io.squeezebert.edge.demo"  # Android's package and iOS' bundle identifier
JOBS, BUNDLE, JOB, RESULT, OUTPUTS = "jobs", "bundle", "job.json", "result.json", "outputs.bin"
VERSION = 1
COMPUTER = f"{uuid.getnode() & 0xFFFFFF:06x}"


def new_id() -> str:
    """Of a job: this computer, this process, and a random end; 16 hexadecimal digits."""
    return f"{COMPUTER}{os.getpid():06x}{secrets.token_hex(2)}"


def process_of(name: str) -> int | None:
    """The process of this computer that a job is of; null if it is none of this computer's."""
    found = re.fullmatch(rf"{COMPUTER}([0-9a-f]{{6}})[0-9a-f]{{4}}", name)
    return int(found[1], 16) if found else None


def job_of(
    rows: Sequence[Inputs], settings: record.Settings, protocol: latency.Protocol | None
) -> dict[str, Any]:
    """What an app is asked: to measure by a protocol, or without one to answer.

    Args:
        rows: of each the inputs by name, (1, length) int32, all in the same order.
    """
    names = list(rows[0])
    return {
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


def result_of(path: Path) -> dict[str, Any]:
    """What an app wrote.

    Raises:
        GateError: rubbish, or why it could not be done.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GateError(f"the app wrote no result: {error}", hint=AGAIN) from None
    if not isinstance(result, dict):
        raise GateError(f"the app wrote {type(result).__name__}, no result", hint=AGAIN)
    if "error" in result:
        raise GateError(f"the app could not do it: {result['error']}", hint=AGAIN)
    return result


def run_of(result: Mapping[str, Any], kind: record.Kind, rows: Sequence[Inputs]) -> record.Run:
    """What an app measured.

    Raises:
        GateError: no measurement, or one of something else than these rows in turn.
    """
    try:
        run = record.Run.model_validate(result["run"])
    except (ValidationError, KeyError, TypeError) as error:
        raise GateError(f"the app wrote no measurement: {error}", hint=AGAIN) from None
    lengths = [next(iter(row.values())).shape[1] for row in rows]
    turns = [index % len(rows) for index in range(len(run.samples.row))]
    problem = {
        f"it is of {run.device.kind}, by the runner {run.runtime.runner}": (
            (run.device.kind, run.runtime.runner) != (kind, "app")
        ),
        "it has no samples": not turns,
        "its samples are not the rows in turn": (
            list(run.samples.row) != turns or list(run.samples.length) != [lengths[row] for row in turns]
        ),
    }
    for said, wrong in problem.items():
        if wrong:
            raise GateError(f"the app wrote another measurement than was asked: {said}", hint=AGAIN)
    return run
