"""coremltools' own benchmark on an iPhone: a foreign number beside ours, and where operations are planned.

Calls coremltools.models.ml_program.experimental (coremltools 9), which builds and signs an app of its own by
Xcode, keeps it on the phone, and hands each query over as files: queries are seconds apart, on a phone that
went to rest in between. A process of its own, since it waits for Xcode and the phone without a limit.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exporters.errors import GateError, InputError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import Device
from squeezebert_edge.devices.command import said
from squeezebert_edge.devices.ios.app import Ios
from squeezebert_edge.devices.python.runtimes import COMPUTE_UNITS
from squeezebert_edge.latency import record
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
        team: whose certificate signs its app, ten letters and digits. bundles: what it will be asked for.

    Raises:
        InputError: no such team, no iPhone, or bundles that are not Core ML's.
    """

    name = NAME

    def __init__(self, team: str, device: Device, bundles: Sequence[Bundle]) -> None:
        if not isinstance(device, Ios):
            raise InputError(
                "--coremltools-benchmark elsewhere than on an iPhone", allowed="with --device ios"
            )
        if not re.fullmatch("[A-Z0-9]{10}", team):
            raise InputError(
                f"--coremltools-benchmark {team}",
                allowed="a development team's ID, ten letters and digits: Xcode > Settings > Accounts",
            )
        for bundle in bundles:
            if bundle.manifest.format != "coreml":
                raise InputError(
                    f"--coremltools-benchmark for {bundle.directory}, of {bundle.manifest.format}",
                    allowed="for coreml bundles",
                )
        self._team, self._udid = team, device.udid

    def measure(
        self, bundle: Bundle, settings: record.Settings, length: int, progress: Progress
    ) -> record.Foreign:
        """What it says of a bundle at one length, with the same compute units.

        Raises:
            GateError: it gave no number; with what it said.
        """
        (packed,) = bundle.manifest.inputs
        job = {
            "package": str(bundle.artifact.resolve()),
            "units": COMPUTE_UNITS[settings.compute_units or "all"],
            "udid": self._udid,
            "team": self._team,
            "input": packed.name,
            "shape": [length if size is None else size for size in packed.shape],
        }
        with tempfile.TemporaryDirectory(prefix="squeezebert-edge-") as directory:
            result = Path(directory) / "result.json"
            command = [sys.executable, "-m", __name__, json.dumps(job), directory, str(result)]
            ended = said(command, LIMIT, progress)
            if ended is None:
                raise GateError(f"{NAME} hung: not done after {LIMIT:.0f} s", hint=NEEDS)
            if ended.status or not result.exists():
                raise GateError(f"{NAME}: {ended.text[-800:] or 'it said nothing'}", hint=NEEDS)
            found = json.loads(result.read_text(encoding="utf-8"))
        planned = ", ".join(f"{count} on {name}" for name, count in sorted(found["planned"].items()))
        return record.Foreign(
            tool=NAME,
            mean_ns=found["mean_ms"] * 1e6,
            note=f"its own app and clock, {QUERIES} queries seconds apart, of padding at {length} tokens; "
            f"median {found['median_ms']:.3g} ms; operations planned: {planned or 'unknown'}",
        )


def main(job: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """What a job comes to, in its own process: milliseconds, and how many operations are planned where."""
    found = subprocess.run(
        ["xcrun", "--find", "devicectl"], capture_output=True, text=True, check=True, timeout=60
    )
    # coremltools calls `devicectl` itself, which is on nobody's path.
    os.environ["PATH"] += os.pathsep + os.path.dirname(found.stdout.strip())
    return asyncio.run(_benchmarked(job, directory))


async def _benchmarked(job: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    import coremltools
    import numpy as np
    from coremltools.models.ml_program.experimental import perf_utils, remote_device

    phones = [phone for phone in remote_device.Device.get_devices() if phone.udid == job["udid"]]
    if not phones:
        raise RuntimeError(f"it does not find the iPhone {job['udid']}")
    # An app's identifier is one team's: that of coremltools is somebody else's.
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
