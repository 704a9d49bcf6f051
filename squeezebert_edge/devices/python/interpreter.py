"""A device whose Python runs the worker: what a job is, which settings it takes, how its result is read."""

from __future__ import annotations

import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporters.errors import GateError, InputError, UnavailableError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices.python import worker
from squeezebert_edge.devices.python.runtimes import PACKAGES
from squeezebert_edge.devices.results import AGAIN, ANSWER_LIMIT, answers_of
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.plumbing.progress import Progress

if TYPE_CHECKING:
    from squeezebert_edge.devices import Inputs, Outputs

TOLD = 800  # characters of what a worker that failed has said


class Interpreter(ABC):
    """A device that runs the worker with its Python, wherever that is."""

    kind: record.Kind
    runner: record.Runner = "python"

    @abstractmethod
    def run(
        self, directory: Path, job: Mapping[str, Any], limit: float, progress: Progress
    ) -> dict[str, Any]:
        """What a worker makes of a job; it is gone when this returns or raises.

        Args:
            directory: an empty one here; worker.OUTPUTS is there afterwards, if answers were asked.
            job: as worker.job_of gives it, the artifact where it is here.
            limit: seconds after which it hangs.

        Raises:
            GateError: no result, or rubbish.
        """

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: Protocol,
        settings: record.Settings,
        progress: Progress,
    ) -> record.Run:
        """Run the rows by the protocol in a process of their own, which is gone when this returns or raises.

        Raises:
            InputError: a runtime that is not installed, or does not read the artifact.
            GateError: the process died, hung or wrote no measurement.
        """
        job = _job(bundle, rows, settings, protocol)
        with tempfile.TemporaryDirectory(prefix="squeezebert-edge-") as directory:
            result = self.run(Path(directory), job, protocol.time_limit, progress)
        try:
            return record.Run.model_validate(result | {"device": {"kind": self.kind, **result["device"]}})
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
            limit = ANSWER_LIMIT + exactly(len(rows)).time_limit
            result = self.run(Path(directory), _job(bundle, rows, settings, None), limit, progress)
            return answers_of(
                Path(directory) / worker.OUTPUTS, result, names, len(rows), writer="the measuring process"
            )


def settled(
    bundle: Bundle, settings: record.Settings, *, where: str, mac: bool, cpus: Collection[int] | None
) -> record.Settings:
    """The settings with what was left open decided, as the Device protocol has it.

    Args:
        where: the device, in words. mac: whether it has Core ML.
        cpus: where processes may run; null if that cannot be chosen.

    Raises:
        InputError: a setting that Python's runtimes cannot honour there.
        UnavailableError: a Core ML bundle, and it is no Mac.
    """
    core_ml = bundle.manifest.format == "coreml"
    if core_ml and not mac:
        raise UnavailableError(
            f"{bundle.directory}: Core ML runs on macOS and iOS only",
            hint="measure it on a Mac or an iPhone; its answers are proven here by `verify`",
        )
    if settings.delegate != "cpu":
        raise InputError(
            f"--delegate {settings.delegate} on {where}", allowed="cpu; Core ML has --compute-units"
        )
    if settings.compute_units and not core_ml:
        raise InputError(
            f"--compute-units for a bundle of {bundle.manifest.format}", allowed="for coreml bundles"
        )
    if settings.threads and core_ml:
        raise InputError("--threads for a Core ML bundle", allowed="for executorch and tflite bundles")
    if settings.runtime and bundle.manifest.format != "tflite":
        raise InputError(f"--runtime for a bundle of {bundle.manifest.format}", allowed="for tflite bundles")
    if settings.runtime not in (None, *PACKAGES):
        raise InputError(f"unknown runtime '{settings.runtime}'", allowed=", ".join(PACKAGES))
    _refuse_cpus(settings.cpus, where, cpus)
    decided = (
        {"compute_units": settings.compute_units or "all"} if core_ml else {"threads": settings.threads or 1}
    )
    return settings.model_copy(update=decided)


def _job(
    bundle: Bundle, rows: Sequence[Inputs], settings: record.Settings, protocol: Protocol | None
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


def _refuse_cpus(asked: Sequence[int] | None, where: str, there: Collection[int] | None) -> None:
    if asked is None:
        return
    if there is None:
        raise InputError(
            f"--cpus on {where}", allowed="on Linux: Apple's systems do not bind processes to CPUs"
        )
    if not asked or not set(asked) <= set(there):
        raise InputError(
            f"--cpus {','.join(map(str, asked))} on {where}",
            allowed=f"some of {','.join(map(str, sorted(there)))}",
        )


def told(said: bytes) -> str:
    """The last of what a process said."""
    return said.decode("utf-8", "replace")[-TOLD:].strip()


def result_of(directory: Path, status: int, words: str) -> dict[str, Any]:
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
        failure = result["error"]
        explained = kinds[failure["exit_code"]](
            failure["problem"], allowed=failure["allowed"], hint=failure["hint"]
        )
    except (KeyError, TypeError) as missing:
        raise GateError(f"the measuring process wrote no result: {missing!r}{last}", hint=AGAIN) from None
    raise explained
