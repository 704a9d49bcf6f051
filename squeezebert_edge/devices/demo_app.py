"""A phone with a demo app, which is asked and answers as docs/app_job.md says."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import GateError
from squeezebert_edge.devices import OUTPUTS, RESULT
from squeezebert_edge.devices.results import AGAIN, answer_limit, read_answers, read_result, read_run

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Inputs, Outputs
    from squeezebert_edge.latency.protocol import Protocol
    from squeezebert_edge.latency.record import KindName, Run, RunnerName, Settings
    from squeezebert_edge.plumbing.progress import Progress

JOB_VERSION = 2
APP_ID = "io.squeezebert.edge.demo"  # Android's package, and iOS's bundle identifier
BUNDLE = "bundle"  # the directory of a job that holds the bundle
WRITER = "the app"


class DemoApp(ABC):
    """A phone with the app, however it is reached."""

    kind: KindName
    runner: RunnerName = "app"

    @abstractmethod
    def run_job(
        self, bundle: Bundle, job: str, protocol: Protocol | None, limit: float, progress: Progress
    ) -> AbstractContextManager[Path]:
        """Have the app do a job, in a fresh process.

        Args:
            job: the text of job.json.
            protocol: of a measurement; None if answers are asked for.
            limit: seconds after which the app hangs.

        Returns:
            A directory here, for the time of a block: with RESULT, and with OUTPUTS if answers were asked
            for, as far as the app wrote them. The phone is as it was before when the block begins.

        Raises:
            UnavailableError: the phone is gone, full, locked or asleep, or the app does not start.
            GateError: the app died or hung.
        """

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: Protocol,
        settings: Settings,
        progress: Progress,
    ) -> Run:
        """Run the rows by the protocol.

        Raises:
            UnavailableError: as for `run_job`.
            GateError: the app refused, died, hung or wrote no measurement.
        """
        job = job_of(rows, settings, protocol)
        with self.run_job(bundle, job, protocol, protocol.time_limit, progress) as here:
            return read_measurement(here / RESULT, self.kind, rows)

    def answer(
        self, bundle: Bundle, rows: Sequence[Inputs], settings: Settings, progress: Progress
    ) -> list[Outputs]:
        """Compute the bundle's outputs for each row.

        Raises:
            UnavailableError, GateError: as for `measure`.
        """
        job = job_of(rows, settings, None)
        with self.run_job(bundle, job, None, answer_limit(len(rows)), progress) as here:
            result = read_result(here / RESULT, WRITER)
            return read_answers(here / OUTPUTS, result, bundle, len(rows), WRITER)


def job_of(rows: Sequence[Inputs], settings: Settings, protocol: Protocol | None) -> str:
    """The text of job.json, which asks for a measurement by the protocol, or without one for answers.

    Args:
        rows: at least one; name -> (1, length) int32 each.
    """
    names = list(rows[0])  # not the manifest's: a Core ML program packs all of them into one
    return json.dumps(
        {
            "job_version": JOB_VERSION,
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


def read_measurement(path: Path, kind: KindName, rows: Sequence[Inputs]) -> Run:
    """Read what the app says that it measured.

    Args:
        path: of result.json. kind: of the phone. rows: what was asked for.

    Raises:
        GateError: the app failed, or wrote no measurement of these rows in turn on such a phone.
    """
    run = read_run(read_result(path, WRITER).get("run"), WRITER)
    samples = run.samples
    turns = tuple(index % len(rows) for index in range(len(samples.latency_ns)))
    lengths = [next(iter(row.values())).shape[1] for row in rows]
    problems = {
        f"it is of the kind {run.device.kind}, by the runner {run.runtime.runner}": (
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
