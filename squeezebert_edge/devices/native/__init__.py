"""The native runner, a small C++ program for each runtime: how it is asked.

A kit is a directory that `python -m squeezebert_edge.devices.native` makes: the programs, the libraries that
they need, and kit.json. The build `glibc` brings a loader and C library along; `bionic` uses Android's own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from exporters.errors import InputError, UnavailableError
from squeezebert_edge.plumbing.reading import read_record

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Inputs
    from squeezebert_edge.latency.protocol import Protocol
    from squeezebert_edge.latency.record import Settings

KIT = "kit.json"
JOB = "job.txt"  # not the job.json of other devices: C++ reads words without a library
VARIABLE = "SQUEEZEBERT_EDGE_KIT"  # the environment variable that names a kit
MAKE = "python -m squeezebert_edge.devices.native"
NO_LIMIT = -1
WRITER = "the runner"


class Program(BaseModel):
    """A runner of one runtime. files: those of the kit that it needs beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runtime: Literal["executorch", "litert"]
    version: str
    program: str
    files: list[str]


class Kit(BaseModel):
    """kit.json.

    abi: as Android names it. loader: the program that starts the others; None if Android's does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    abi: str
    libc: Literal["glibc", "bionic"]
    loader: str | None
    programs: dict[str, Program]  # by format

    def command(self, format_: str, directory: str) -> str:
        """The command of a phone's shell that starts the runner of a format from a directory there."""
        program = f"{directory}/{self.programs[format_].program}"
        if self.loader:
            return f"{directory}/{self.loader} --library-path {directory} {program} {directory}"
        return f"env LD_LIBRARY_PATH={directory} {program} {directory}"


def kit_directory() -> Path:
    """The directory where a kit is looked for: SQUEEZEBERT_EDGE_KIT, or one in the user's cache."""
    named = os.environ.get(VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "squeezebert-edge" / "kit"


def load_kit() -> Kit:
    """Read the kit that is there.

    Raises:
        UnavailableError: there is none; the hint says how to make one.
    """
    path = kit_directory() / KIT
    if not os.path.lexists(path):
        raise UnavailableError(
            f"there is no native runner in {path.parent}", hint=f"{MAKE}, which makes it there"
        )
    try:
        return read_record(path, TypeAdapter(Kit), allowed="a kit")
    except InputError as error:
        raise UnavailableError(error.problem, hint=f"make it again: {MAKE}") from None


def job_of(bundle: Bundle, rows: Sequence[Inputs], settings: Settings, protocol: Protocol | None) -> str:
    """The text of JOB: to measure by a protocol, or without one to answer.

    Returns:
        Words between spaces, each line beginning with what it is.
    """
    manifest = bundle.manifest
    limits = [0, 0, NO_LIMIT]
    if protocol:
        most = NO_LIMIT if protocol.most_seconds is None else int(protocol.most_seconds * 1e9)
        limits = [protocol.queries, int(protocol.seconds * 1e9), most]
    cpus = settings.cpus or []
    names = list(rows[0])
    half: list[list[object]] = [["float16"]] if settings.unit == "cpu-fp16" else []
    lines: list[list[object]] = [
        ["artifact", bundle.artifact.name],
        *half,  # where runners of before expect another word, and give up
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
