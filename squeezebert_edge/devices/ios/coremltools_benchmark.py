"""coremltools' own benchmark on an iPhone: a foreign number beside ours, and where operations are planned.

Calls coremltools.models.ml_program.experimental (coremltools 9), which has Xcode build and sign an app of its
own, keeps it on the phone, and hands each query over as files: queries are seconds apart, on a phone that
goes to rest in between. This runs in a process of its own, since it waits for Xcode and the phone for ever.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.errors import GateError, InputError
from squeezebert_edge.devices import RESULT
from squeezebert_edge.devices.command import run_program
from squeezebert_edge.devices.ios.app import IosApp
from squeezebert_edge.devices.python.runtimes import COMPUTE_UNITS
from squeezebert_edge.latency.record import Foreign, Settings
from squeezebert_edge.plumbing.reading import read_json
from squeezebert_edge.plumbing.staging import scratch_directory

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Device
    from squeezebert_edge.plumbing.progress import Progress

NAME = "coremltools MLModelBenchmarker"
QUERIES = 20
LIMIT = 1200.0  # seconds: Xcode builds an app first
NEEDS = (
    "it needs coremltools with its modelrunner project, Xcode with an account of the team, and the iPhone "
    "unlocked and registered with that team"
)


class CoremltoolsBenchmark:
    """The tool on one phone.

    Args:
        team: whose certificate signs its app, ten letters and digits.
        bundles: what it will be asked to measure.

    Raises:
        InputError: that is no team, the device is no iPhone, or a bundle is not for Core ML.
    """

    name = NAME

    def __init__(self, team: str, device: Device, bundles: Sequence[Bundle]) -> None:
        if not isinstance(device, IosApp):
            raise InputError("--coremltools-benchmark runs on iPhones only", allowed="with --device ios")
        if not re.fullmatch("[A-Z0-9]{10}", team):
            raise InputError(
                f"--coremltools-benchmark {team} names no team",
                allowed="a development team's ID, ten letters and digits: Xcode > Settings > Accounts",
            )
        for bundle in bundles:
            if bundle.manifest.format != "coreml":
                raise InputError(
                    f"--coremltools-benchmark cannot run {bundle.directory}, "
                    f"a bundle of {bundle.manifest.format}",
                    allowed="coreml bundles",
                )
        self._team, self._udid = team, device.udid

    def measure(self, bundle: Bundle, settings: Settings, length: int, progress: Progress) -> Foreign:
        """Measure a bundle at one length, with the same compute unit.

        Raises:
            GateError: it gave no number; says what it printed.
        """
        (packed,) = bundle.manifest.inputs
        job = {
            "package": str(bundle.artifact.resolve()),
            "units": COMPUTE_UNITS[settings.unit],
            "udid": self._udid,
            "team": self._team,
            "input": packed.name,
            "shape": [length if size is None else size for size in packed.shape],
        }
        with scratch_directory() as directory:
            result = directory / RESULT
            command = [sys.executable, "-m", __name__, json.dumps(job), str(directory), str(result)]
            finished = run_program(command, LIMIT, progress)
            if finished is None:
                raise GateError(f"{NAME} hung: it was not done after {LIMIT:.0f} s", hint=NEEDS)
            if finished.status or not result.exists():
                raise GateError(f"{NAME} failed: {finished.tail}", hint=NEEDS)
            found = read_json(result)
        planned = ", ".join(f"{count} on {name}" for name, count in sorted(found["planned"].items()))
        return Foreign(
            tool=NAME,
            mean_ns=found["mean_ms"] * 1e6,
            note=f"its own app and clock, {QUERIES} queries seconds apart, of padding at {length} tokens; "
            f"median {found['median_ms']:.3g} ms; operations planned: {planned or 'unknown'}",
        )


def main(job: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Do a job in this process; returns milliseconds, and how many operations are planned where."""
    found = subprocess.run(
        ["xcrun", "--find", "devicectl"], capture_output=True, text=True, check=True, timeout=60
    )
    # coremltools calls `devicectl` itself, which is on nobody's path.
    os.environ["PATH"] += os.pathsep + os.path.dirname(found.stdout.strip())
    return asyncio.run(_benchmark(job, directory))


async def _benchmark(job: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    import coremltools
    import numpy as np
    from coremltools.models.ml_program.experimental import perf_utils, remote_device

    phones = [phone for phone in remote_device.Device.get_devices() if phone.udid == job["udid"]]
    if not phones:
        raise RuntimeError(f"it does not find the iPhone {job['udid']}")
    # An app's identifier belongs to one team, and that of coremltools to somebody else's.
    credentials = remote_device.AppSigningCredentials(
        development_team=job["team"],
        bundle_identifier=f"io.squeezebert.edge.coremltools.{job['team'].lower()}",
    )
    phone = await phones[0].prepare_for_model_debugging(credentials, directory)
    try:
        model = coremltools.models.MLModel(
            job["package"], compute_units=coremltools.ComputeUnit[job["units"]], skip_model_load=True
        )
        benchmarker = perf_utils.MLModelBenchmarker(model, phone)
        inputs = {job["input"]: np.zeros(job["shape"], np.int32)}
        times = (await benchmarker.benchmark_predict(inputs, QUERIES, warmup=True)).statistics
        operations = await benchmarker.benchmark_operation_execution(inputs)
    finally:
        phone.session.stop()
    planned = Counter(
        type(operation.compute_device_usage.preferred_compute_device).__name__
        for operation in operations
        if operation.compute_device_usage is not None  # a constant
    )
    short = {name.removeprefix("ML").removesuffix("ComputeDevice"): count for name, count in planned.items()}
    return {"mean_ms": times.average, "median_ms": times.median, "planned": short}


if __name__ == "__main__":
    try:
        Path(sys.argv[3]).write_text(
            json.dumps(main(json.loads(sys.argv[1]), Path(sys.argv[2]))), encoding="utf-8"
        )
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
