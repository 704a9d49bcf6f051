"""The native runner, a small C++ program for each runtime: what it is asked, and what it answers.

A kit is a directory that `python -m squeezebert_edge.devices.native` makes: the programs, the libraries they
need, and kit.json. Build `glibc` brings a loader and C library along; build `bionic` uses Android's own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from exporters.errors import GateError, UnavailableError
from squeezebert_edge.devices.results import AGAIN

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Inputs
    from squeezebert_edge.latency import record
    from squeezebert_edge.latency.protocol import Protocol

KIT, JOB, RESULT, OUTPUTS = "kit.json", "job.txt", "result.json", "outputs.bin"
DIRECTORY = "SQUEEZEBERT_EDGE_KIT"  # the environment variable that names a kit
MAKE = "python -m squeezebert_edge.devices.native"
NO_LIMIT = -1


class Program(BaseModel):
    """A runner of one runtime. files: of the kit, that it needs beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runtime: Literal["executorch", "litert"]
    version: str
    program: str
    files: list[str]


class Kit(BaseModel):
    """kit.json. abi: as Android names it. loader: the program that starts the others, null for Android's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    abi: str
    libc: Literal["glibc", "bionic"]
    loader: str | None
    programs: dict[str, Program]  # by format

    def command(self, format_: str, directory: str) -> str:
        """What starts the runner of a format from a directory of a phone, for its shell."""
        program = f"{directory}/{self.programs[format_].program}"
        if self.loader:
            return f"{directory}/{self.loader} --library-path {directory} {program} {directory}"
        return f"env LD_LIBRARY_PATH={directory} {program} {directory}"


def directory() -> Path:
    """Where the kit is: SQUEEZEBERT_EDGE_KIT, or the user's cache."""
    named = os.environ.get(DIRECTORY)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "squeezebert-edge" / "kit"


def kit() -> Kit:
    """The kit that is there.

    Raises:
        UnavailableError: none is; says how to make one.
    """
    path = directory() / KIT
    try:
        return Kit.model_validate_json(path.read_bytes())
    except OSError:
        raise UnavailableError(
            f"no native runner in {path.parent}", hint=f"{MAKE}, which makes it there"
        ) from None
    except ValidationError as error:
        raise UnavailableError(f"{path}: {error.errors()[0]['msg']}", hint=f"make it again: {MAKE}") from None


def job_of(
    bundle: Bundle, rows: Sequence[Inputs], settings: record.Settings, protocol: Protocol | None
) -> str:
    """What a runner is asked, as words between spaces, which C++ reads without a library."""
    manifest = bundle.manifest
    limits = [0, 0, NO_LIMIT]
    if protocol:
        most = NO_LIMIT if protocol.most_seconds is None else int(protocol.most_seconds * 1e9)
        limits = [protocol.queries, int(protocol.seconds * 1e9), most]
    cpus = settings.cpus or []
    names = list(rows[0])
    lines: list[list[object]] = [
        ["artifact", bundle.artifact.name],
        ["threads", settings.threads or 1],
        ["cpus", len(cpus), *cpus],
        ["protocol", *limits],
        [
            "entry_points",
            len(manifest.entry_points),
            *(w for pair in manifest.entry_points.items() for w in pair),
        ],
        ["inputs", len(names), *names],
        ["outputs", len(manifest.outputs), *(output.name for output in manifest.outputs)],
        ["rows", len(rows)],
    ]
    for row in rows:
        values = np.concatenate([row[name][0] for name in names])
        lines.append([row[names[0]].shape[1], *values.tolist()])
    return "\n".join(" ".join(map(str, line)) for line in lines) + "\n"


def result_of(path: Path, status: int, words: str) -> dict[str, Any]:
    """What a runner that has ended left in a file.

    Args:
        status: that it ended with. words: the last it said.

    Raises:
        GateError: not a result.
    """
    last = f"; the last it said: {words[-800:]}" if words else ""
    if status or not path.exists():
        how = f"by signal {status - 128}" if status > 128 else f"with status {status}"
        raise GateError(f"the runner ended {how} and without a result{last}", hint=AGAIN)
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GateError(f"the runner wrote no result: {error}{last}", hint=AGAIN) from None
    if not isinstance(result, dict):
        raise GateError(f"the runner wrote {type(result).__name__}, no result{last}", hint=AGAIN)
    if "error" in result:
        raise GateError(f"the runner: {result['error']}", hint=AGAIN)
    return result
