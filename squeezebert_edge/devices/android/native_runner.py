"""An Android phone and the native runner: runner, bundle and rows are pushed, run, and removed again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.errors import InputError, UnavailableError
from squeezebert_edge.devices import OUTPUTS, RESULT, Listing, native
from squeezebert_edge.devices.android.phone import (
    AndroidPhone,
    Workspace,
    find_serial,
    list_phones,
    workspace,
)
from squeezebert_edge.devices.native import WRITER
from squeezebert_edge.devices.results import answer_limit, expecting, read_answers, read_result, read_run
from squeezebert_edge.plumbing.staging import scratch_directory

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Inputs, Outputs
    from squeezebert_edge.devices.android.adb import Adb
    from squeezebert_edge.latency.protocol import Protocol
    from squeezebert_edge.latency.record import Run, RunnerName, Settings
    from squeezebert_edge.plumbing.progress import Progress

LARGEST_RESULT, LARGEST_OUTPUTS = 50_000_000, 300_000_000  # bytes


class AndroidNative(AndroidPhone):
    """A phone, measured by the kit of native runners that is here."""

    runner: RunnerName = "native"

    def settle(self, bundle: Bundle, settings: Settings) -> Settings:
        """Decide the settings that were left open.

        Raises:
            InputError: the runner cannot honour a setting.
            UnavailableError: the bundle is for Core ML, or there is no runner for its format or for this
                phone's processor.
        """
        if settings.unit not in (None, "cpu", "cpu-fp16"):
            raise InputError(
                f"--unit {settings.unit} is not possible with the native runner, which has the CPU alone",
                allowed="--unit cpu or cpu-fp16, or --runner app",
            )
        settled = super().settle(bundle, settings)
        kit, abis = native.load_kit(), self.facts().abis
        if kit.abi not in abis:
            runs = ", ".join(abis) or "an unknown ABI"
            raise UnavailableError(
                f"{self.adb.serial} runs {runs}, the native runner is for {kit.abi}",
                hint=f"make one for it: {native.MAKE}, and name it in {native.VARIABLE}",
            )
        if bundle.manifest.format not in kit.programs:
            raise UnavailableError(
                f"the kit in {native.kit_directory()} runs no {bundle.manifest.format}", hint=native.MAKE
            )
        return settled

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: Protocol,
        settings: Settings,
        progress: Progress,
    ) -> Run:
        """Run the rows by the protocol in a process of their own on the phone.

        Raises:
            UnavailableError: the phone is gone or full.
            GateError: the runner died, hung or wrote no measurement.
        """
        kit = native.load_kit()
        program = kit.programs[bundle.manifest.format]
        before = self.facts()
        job = native.job_of(bundle, rows, settings, protocol)
        with self._run_job(bundle, job, protocol.time_limit, progress) as (result, _):
            after = self.facts()
        state = before.state()
        with expecting("measurement", WRITER):
            # Where the runner may run is not where the shell may, which was asked about the rest.
            allowed = {"allowed_cpus": result.pop("allowed_cpus")}
            unknown = {name: why for name, why in state.unknown.items() if name != "allowed_cpus"}
            measured = {name: result[name] for name in ("cold_start", "memory", "warm_up", "samples")}
        about = {
            "device": before.device(),
            "runtime": {
                "name": program.runtime,
                "version": program.version,
                "runner": self.runner,
                "libc": kit.libc,
            },
            "before": state.model_copy(update=allowed | {"unknown": unknown}),
            "after": after.state(),
            "emulated": before.emulated,
            "float16": before.float16,
        }
        return read_run(measured | about, WRITER)

    def answer(
        self, bundle: Bundle, rows: Sequence[Inputs], settings: Settings, progress: Progress
    ) -> list[Outputs]:
        """Compute the bundle's outputs for each row.

        Raises:
            UnavailableError, GateError: as for `measure`.
        """
        job = native.job_of(bundle, rows, settings, None)
        with self._run_job(bundle, job, answer_limit(len(rows)), progress) as (result, outputs):
            return read_answers(outputs, result, bundle, len(rows), WRITER)

    @contextlib.contextmanager
    def _run_job(
        self, bundle: Bundle, job: str, limit: float, progress: Progress
    ) -> Iterator[tuple[dict[str, Any], Path]]:
        """Do a job: its result, and the file of outputs. The phone is as before when the block begins."""
        with scratch_directory() as here:
            (here / native.JOB).write_text(job, encoding="ascii")
            with workspace(self.adb) as there:
                result = _run(bundle, here, there, limit, progress)
            yield result, here / OUTPUTS


def _run(bundle: Bundle, here: Path, there: Workspace, limit: float, progress: Progress) -> dict[str, Any]:
    """Do the job that is here; its outputs are here afterwards if answers were asked for."""
    kit = native.load_kit()
    program = kit.programs[bundle.manifest.format]
    files = [native.kit_directory() / name for name in (program.program, *program.files)]
    there.push([*files, bundle.artifact, here / native.JOB], progress)
    finished = there.run(kit.command(bundle.manifest.format, there.path), limit, progress)
    there.pull(RESULT, here / RESULT, LARGEST_RESULT, progress)
    result = read_result(here / RESULT, WRITER, finished)
    if "shapes" in result:
        there.pull(OUTPUTS, here / OUTPUTS, LARGEST_OUTPUTS, progress)
    return result


def open_device(address: str | None) -> AndroidNative:
    """Open the phone of that serial, or the only one attached; raises as `find_serial` does."""
    return AndroidNative(find_serial(address))


def list_devices() -> list[Listing]:
    """List every phone that adb knows; none without adb."""
    try:
        kit = native.load_kit()
    except UnavailableError as error:
        needs = f"the native runner: {error.hint}"
        return list_phones(AndroidNative.runner, (), lambda _: needs)

    def lacking(phone: Adb) -> str | None:
        abis = phone.shell("getprop ro.product.cpu.abilist").output
        if kit.abi in abis.split(","):
            return None
        return f"a native runner for {abis or 'its ABI'}: {native.MAKE}"

    return list_phones(AndroidNative.runner, tuple(kit.programs), lacking)
