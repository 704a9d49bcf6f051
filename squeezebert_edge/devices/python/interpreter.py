"""A device whose Python runs the worker: its jobs, and the settings that it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.errors import InputError, UnavailableError
from squeezebert_edge.devices import OUTPUTS
from squeezebert_edge.devices.python import worker
from squeezebert_edge.devices.python.runtimes import COMPUTE_UNITS, PACKAGES
from squeezebert_edge.devices.results import answer_limit, expecting, read_answers, read_run
from squeezebert_edge.plumbing.staging import scratch_directory

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Inputs, Outputs
    from squeezebert_edge.latency.protocol import Protocol
    from squeezebert_edge.latency.record import KindName, Run, RunnerName, Settings
    from squeezebert_edge.plumbing.progress import Progress

WRITER = "the measuring process"


class Interpreter(ABC):
    """A device that runs the worker with its Python, wherever that is."""

    kind: KindName
    runner: RunnerName = "python"

    @abstractmethod
    def run(
        self, directory: Path, job: Mapping[str, Any], limit: float, progress: Progress
    ) -> dict[str, Any]:
        """Have a worker do a job; the worker is gone when this returns or raises.

        Args:
            directory: an empty one here; OUTPUTS is there afterwards if answers were asked for.
            job: as worker.job_of gives it, with the artifact's path on this computer.
            limit: seconds after which the worker hangs.

        Returns:
            The worker's result.

        Raises:
            EdgeError: the worker says what is wrong.
            GateError: the worker died, hung or wrote no result.
        """

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: Protocol,
        settings: Settings,
        progress: Progress,
    ) -> Run:
        """Run the rows by the protocol in a process of their own, which is gone when this returns or raises.

        Raises:
            InputError: the runtime is not installed, or does not read the artifact.
            GateError: the process died, hung or wrote no measurement.
        """
        job = _job(bundle, rows, settings, protocol)
        with scratch_directory() as directory:
            result = self.run(directory, job, protocol.time_limit, progress)
        with expecting("measurement", WRITER):
            device = {"kind": self.kind, **result["device"]}
        return read_run(result | {"device": device}, WRITER)

    def answer(
        self, bundle: Bundle, rows: Sequence[Inputs], settings: Settings, progress: Progress
    ) -> list[Outputs]:
        """Compute the bundle's outputs for each row.

        Raises:
            InputError, GateError: as for `measure`.
        """
        job = _job(bundle, rows, settings, None)
        with scratch_directory() as directory:
            result = self.run(directory, job, answer_limit(len(rows)), progress)
            return read_answers(directory / OUTPUTS, result, bundle, len(rows), WRITER)


def decide_settings(
    bundle: Bundle, settings: Settings, *, where: str, mac: bool, cpus: Collection[int] | None
) -> Settings:
    """Decide the settings that were left open, as `Device.settle` does.

    Args:
        where: the device, in words. mac: whether it has Core ML.
        cpus: where its processes may run; None if that cannot be chosen.

    Raises:
        InputError: Python's runtimes cannot honour a setting there.
        UnavailableError: the bundle is for Core ML, and the device has none.
    """
    made_for = bundle.manifest.format
    core_ml = made_for == "coreml"
    if core_ml and not mac:
        raise UnavailableError(
            f"{bundle.directory}: Core ML runs on macOS and iOS only",
            hint="measure it on a Mac or an iPhone; its answers are proven here by `verify`",
        )
    if core_ml and settings.unit not in COMPUTE_UNITS:
        raise InputError(
            f"--unit {settings.unit} is none of Core ML's",
            allowed="cpu, gpu or ane, its Neural Engine; without --unit Core ML decides",
        )
    own = ("cpu", "cpu-fp16") if made_for == "tflite" and settings.runtime != "tflite-runtime" else ("cpu",)
    if not core_ml and settings.unit not in (None, *own):
        raise InputError(
            f"--unit {settings.unit} is not possible for a bundle of {made_for} on {where}",
            allowed=" or ".join(own),
            hint="--device android --runner app measures the others; `verify --unit` proves them here"
            if made_for == "tflite"
            else None,
        )
    if settings.threads and core_ml:
        raise InputError(
            "--threads means nothing to a bundle of coreml", allowed="for executorch and tflite bundles"
        )
    if settings.runtime and made_for != "tflite":
        raise InputError(f"--runtime means nothing to a bundle of {made_for}", allowed="for tflite bundles")
    if settings.runtime not in (None, *PACKAGES):
        raise InputError(f"--runtime {settings.runtime} is not known", allowed=", ".join(PACKAGES))
    _refuse_cpus(settings.cpus, where, cpus)
    return (
        settings
        if core_ml
        else settings.model_copy(update={"unit": settings.unit or "cpu", "threads": settings.threads or 1})
    )


def _job(
    bundle: Bundle, rows: Sequence[Inputs], settings: Settings, protocol: Protocol | None
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
            f"--cpus is not possible on {where}",
            allowed="on Linux: Apple's systems do not bind processes to CPUs",
        )
    if not asked or not set(asked) <= set(there):
        raise InputError(
            f"--cpus {','.join(map(str, asked))} on {where} names CPUs that it does not have",
            allowed=f"some of {','.join(map(str, sorted(there)))}",
        )
