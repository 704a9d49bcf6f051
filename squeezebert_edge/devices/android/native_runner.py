"""An Android phone and the native runner: it, the bundle and rows pushed, run, pulled, and removed again."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporters.errors import GateError, InputError, UnavailableError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import Listing, native
from squeezebert_edge.devices.android.adb import Adb
from squeezebert_edge.devices.android.phone import Phone, Workspace, chosen, listed, workspace
from squeezebert_edge.devices.results import AGAIN, ANSWER_LIMIT, answers_of
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.plumbing.progress import Progress

if TYPE_CHECKING:
    from squeezebert_edge.devices import Inputs, Outputs


class Android(Phone):
    """A phone, and the kit of native runners that is here."""

    runner: record.Runner = "native"

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """The settings with what was left open decided.

        Raises:
            InputError: one that cannot be honoured.
            UnavailableError: a Core ML bundle, no runner for this format or this phone's processor.
        """
        settled = super().settle(bundle, settings)
        if settings.delegate != "cpu":
            raise InputError(
                f"--delegate {settings.delegate} with the native runner", allowed="cpu; or --runner app"
            )
        kit, abis = native.kit(), self.facts().abis
        if kit.abi not in abis:
            runs = ", ".join(abis) or "an unknown ABI"
            raise UnavailableError(
                f"{self.adb.serial} runs {runs}, the native runner is for {kit.abi}",
                hint=f"make one for it: {native.MAKE}, and name it in {native.DIRECTORY}",
            )
        if bundle.manifest.format not in kit.programs:
            raise UnavailableError(
                f"the kit in {native.directory()} runs no {bundle.manifest.format}", hint=f"{native.MAKE}"
            )
        return settled

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: Protocol,
        settings: record.Settings,
        progress: Progress,
    ) -> record.Run:
        """Run the rows by the protocol in a process of their own on the phone.

        Raises:
            UnavailableError: the phone is gone or full.
            GateError: the runner died, hung or wrote no measurement.
        """
        kit = native.kit()
        program = kit.programs[bundle.manifest.format]
        before = self.facts()
        job = native.job_of(bundle, rows, settings, protocol)
        with self._ran(bundle, job, protocol.time_limit, progress) as (result, _):
            after = self.facts()
        try:
            run = {name: result.pop(name) for name in ("cold_start", "memory", "warm_up", "samples")}
            allowed = {"allowed_cpus": result.pop("allowed_cpus")}
            unknown = {name: why for name, why in before.state().unknown.items() if name != "allowed_cpus"}
            return record.Run.model_validate(
                run
                | {
                    "device": before.device(),
                    "runtime": {
                        "name": program.runtime,
                        "version": program.version,
                        "runner": self.runner,
                        "libc": kit.libc,
                    },
                    "before": before.state().model_copy(update=allowed | {"unknown": unknown}),
                    "after": after.state(),
                    "emulated": before.emulated,
                }
            )
        except (ValidationError, KeyError, TypeError, AttributeError) as error:
            raise GateError(f"the runner wrote no measurement: {error}", hint=AGAIN) from None

    def answer(
        self, bundle: Bundle, rows: Sequence[Inputs], settings: record.Settings, progress: Progress
    ) -> list[Outputs]:
        """What the bundle answers to each row.

        Raises:
            UnavailableError, GateError: as for `measure`.
        """
        names = [output.name for output in bundle.manifest.outputs]
        limit = ANSWER_LIMIT + exactly(len(rows)).time_limit
        job = native.job_of(bundle, rows, settings, None)
        with self._ran(bundle, job, limit, progress) as (result, outputs):
            return answers_of(outputs, result, names, len(rows), writer="the runner")

    @contextlib.contextmanager
    def _ran(
        self, bundle: Bundle, job: str, limit: float, progress: Progress
    ) -> Iterator[tuple[dict[str, Any], Path]]:
        """A job run: its result, and the file of outputs; the phone is as before by then."""
        with tempfile.TemporaryDirectory(prefix="squeezebert-edge-") as directory:
            here = Path(directory)
            (here / native.JOB).write_text(job, encoding="ascii")
            with workspace(self.adb) as there:
                result = _result(bundle, here, there, limit, progress)
            yield result, here / native.OUTPUTS


def _result(bundle: Bundle, here: Path, there: Workspace, limit: float, progress: Progress) -> dict[str, Any]:
    """What a runner makes of the job that is here; its outputs are here afterwards, if answers were asked."""
    kit = native.kit()
    program = kit.programs[bundle.manifest.format]
    files = [native.directory() / name for name in (program.program, *program.files)]
    there.push([*files, bundle.artifact, here / native.JOB], progress)
    said = there.run(kit.command(bundle.manifest.format, there.path), limit, progress)
    there.pull(native.RESULT, here / native.RESULT, 50_000_000, progress)
    result = native.result_of(here / native.RESULT, said.status, said.text)
    if "shapes" in result:
        there.pull(native.OUTPUTS, here / native.OUTPUTS, 300_000_000, progress)
    return result


def opened(address: str | None) -> Android:
    """The phone of that serial, or the only one attached; for the errors see `android_phone.chosen`."""
    return Android(chosen(address))


def found() -> list[Listing]:
    """Every phone that adb knows; none where adb is missing."""
    try:
        kit = native.kit()
    except UnavailableError as error:
        needs = f"the native runner: {error.hint}"
        return listed(Android.runner, (), lambda _: needs)

    def needed(phone: Adb) -> str | None:
        abis = phone.shell("getprop ro.product.cpu.abilist").text
        return (
            None if kit.abi in abis.split(",") else f"a native runner for {abis or 'its ABI'}: {native.MAKE}"
        )

    return listed(Android.runner, tuple(kit.programs), needed)
