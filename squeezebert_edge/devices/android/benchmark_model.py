"""Google's benchmark_model on a phone: a foreign number beside ours, for random inputs and only a mean.

Reads what tensorflow/lite/tools/benchmark prints (benchmark_model.cc). The program is the user's own, for the
phone's processor: https://ai.google.dev/edge/litert/models/measurement
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import GateError, InputError
from squeezebert_edge.devices.android.phone import AndroidPhone, workspace
from squeezebert_edge.latency.record import Foreign, Settings

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Device
    from squeezebert_edge.plumbing.progress import Progress

NAME = "benchmark_model"
LIMIT = 600.0  # seconds: it ends itself after 150, an emulated processor apart
MEAN = re.compile(r"Inference \(avg\): ([0-9.]+(?:e[+-]?[0-9]+)?)")
# A mask of ones and token types that every checkpoint has: by default it would ask for types that none has.
RANGES = {"attention_mask": (1, 1), "token_type_ids": (0, 0)}
ON_GPU = "; by another GPU code than ours, which leaves to the CPU what it does not take"


class BenchmarkModel:
    """The tool on one phone.

    Args:
        program: the user's own, for that phone. bundles: what it will be asked to measure.
        unit: what shall compute them, as record.Settings has it.

    Raises:
        InputError: the device is no Android phone, there is no such file, or it does not read a bundle or has
            no such unit.
    """

    name = NAME

    def __init__(self, program: Path, device: Device, bundles: Sequence[Bundle], unit: str | None) -> None:
        if not isinstance(device, AndroidPhone):
            raise InputError("--benchmark-model runs on Android only", allowed="--device android")
        if not program.is_file():
            raise InputError(
                f"--benchmark-model {program}: there is no such file", hint=f"download {NAME} for the phone"
            )
        if unit not in (None, "cpu", "gpu"):
            raise InputError(
                f"--benchmark-model cannot measure --unit {unit}: {NAME} is run for the CPU and the GPU",
                allowed="cpu or gpu",
            )
        for bundle in bundles:
            if bundle.manifest.format != "tflite":
                raise InputError(
                    f"--benchmark-model cannot run {bundle.directory}, a bundle of {bundle.manifest.format}",
                    allowed="tflite bundles",
                )
        self._program, self._phone = program, device.adb

    def measure(self, bundle: Bundle, settings: Settings, length: int, progress: Progress) -> Foreign:
        """Measure a bundle at one length, with the same threads, CPUs and unit.

        Raises:
            GateError: it gave no number; says what it printed.
            UnavailableError: the phone is gone or full.
        """
        with workspace(self._phone) as there:
            there.push([self._program, bundle.artifact], progress)
            named = shlex.quote(f"{there.path}/{self._program.name}")
            allowed = there.adb.shell(f"chmod 755 {named}")
            if allowed.status:
                raise GateError(f"{NAME} cannot be made a program: {allowed.output[-300:]}")
            command = _command(f"{there.path}/{self._program.name}", bundle, settings, length)
            finished = there.run(command, LIMIT, progress)
        mean = MEAN.search(finished.output)
        if finished.status or mean is None:
            raise GateError(
                f"{NAME} ended with status {finished.status} and gave no mean; "
                f"its last output: {finished.tail}"
            )
        return Foreign(
            tool=NAME,
            mean_ns=float(mean[1]) * 1000,
            note=f"random inputs, mean only; at {length} tokens" + (ON_GPU if settings.unit == "gpu" else ""),
        )


def _command(program: str, bundle: Bundle, settings: Settings, length: int) -> str:
    manifest = bundle.manifest
    signature = manifest.entry_points[length]
    layers = [f"{signature}_{tensor.name}" for tensor in manifest.inputs]
    ranges = [f"{signature}_{name},{low},{high}" for name, (low, high) in RANGES.items()]
    words = [
        program,
        f"--graph={Path(program).parent}/{manifest.artifact}",
        f"--signature_to_run_for={signature}",
        f"--input_layer={','.join(layers)}",
        f"--input_layer_shape={':'.join(f'1,{length}' for _ in layers)}",
        f"--input_layer_value_range={':'.join(ranges)}",
    ]
    if settings.threads is not None:
        words.append(f"--num_threads={settings.threads}")
    if settings.unit == "gpu":
        words.append("--use_gpu=true")
    if settings.cpus is not None:
        words[:0] = ["taskset", f"{sum(1 << cpu for cpu in settings.cpus):x}"]
    return shlex.join(words)
