"""An Android phone behind adb: runner, bundle and rows pushed, run, pulled, and removed again."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge import latency, record
from squeezebert_edge.bundle import Bundle
from squeezebert_edge.devices import Listing, adb, native
from squeezebert_edge.devices.adb import Adb
from squeezebert_edge.devices.android_facts import ASKED, Facts
from squeezebert_edge.devices.interpreter import AGAIN, answers_of
from squeezebert_edge.progress import Progress

if TYPE_CHECKING:
    from squeezebert_edge.devices import Inputs, Outputs

TEMPORARY = "/data/local/tmp"
# Ours, by this computer and the process: what a dead process left can be told from what is in use.
OURS = f"squeezebert-edge-{uuid.getnode():012x}"
ANSWER_LIMIT = 600.0  # seconds a runner may take to start, and as many again for its rows


class Android:
    """A phone.

    Args:
        serial: as `adb devices` lists it.
    """

    def __init__(self, serial: str) -> None:
        self._adb = Adb(serial)

    def describe(self) -> record.Device:
        """What it is."""
        return self._facts().device()

    def state(self) -> record.State:
        """How it is now."""
        return self._facts().state()

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """The settings with what was left open decided.

        Raises:
            InputError: one that cannot be honoured.
            UnavailableError: a Core ML bundle, no runner for this format or this phone's processor.
        """
        format_ = bundle.manifest.format
        if format_ == "coreml":
            raise UnavailableError(
                f"{bundle.directory}: Core ML is not on Android", hint="measure it on an iPhone"
            )
        if settings.delegate != "cpu":
            raise InputError(f"--delegate {settings.delegate} with the native runner", allowed="cpu")
        if settings.compute_units:
            raise InputError("--compute-units on Android", allowed="for Core ML bundles")
        if settings.runtime:
            raise InputError(
                "--runtime on Android", allowed="on the host: the kit has one runtime of each format"
            )
        kit, facts = native.kit(), self._facts()
        if kit.abi not in facts.abis:
            runs = ", ".join(facts.abis) or "an unknown ABI"
            raise UnavailableError(
                f"{self._adb.serial} runs {runs}, the native runner is for {kit.abi}",
                hint=f"make one for it: {native.MAKE}, and name it in {native.DIRECTORY}",
            )
        if format_ not in kit.programs:
            raise UnavailableError(
                f"the kit in {native.directory()} runs no {format_}", hint=f"{native.MAKE}"
            )
        cpus = facts.device().cpus or 0
        if settings.cpus is not None and not set(settings.cpus) <= set(range(cpus)):
            raise InputError(
                f"--cpus {','.join(map(str, settings.cpus))}", allowed=f"some of 0 to {cpus - 1}"
            )
        return settings.model_copy(update={"threads": settings.threads or 1})

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: latency.Protocol,
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
        before = self._facts()
        job = native.job_of(bundle, rows, settings, protocol)
        with self._ran(bundle, job, protocol.time_limit, progress) as (result, _):
            after = self._facts()
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
                        "runner": "native",
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
        limit = ANSWER_LIMIT + latency.exactly(len(rows)).time_limit
        job = native.job_of(bundle, rows, settings, None)
        with self._ran(bundle, job, limit, progress) as (result, outputs):
            return answers_of(outputs, result, names, len(rows), writer="the runner")

    def _facts(self) -> Facts:
        facts = Facts(self._adb.shell(ASKED).text)
        if "end" not in facts.sections:
            raise GateError(f"{self._adb.serial}: its shell answered nothing of use", hint="reboot the phone")
        return facts

    @contextlib.contextmanager
    def _ran(
        self, bundle: Bundle, job: str, limit: float, progress: Progress
    ) -> Iterator[tuple[dict[str, Any], Path]]:
        """A job run: its result, and the file of outputs; the phone is as before when this ends."""
        self._remove_leftovers()
        there = f"{TEMPORARY}/{OURS}-{os.getpid()}-{secrets.token_hex(4)}"
        with tempfile.TemporaryDirectory(prefix="squeezebert-edge-") as directory:
            here = Path(directory)
            try:
                self._push(bundle, job, here, there, progress)
                status, words = self._run(bundle.manifest.format, there, limit, progress)
                self._adb.pull(f"{there}/{native.RESULT}", here / native.RESULT, 50_000_000, progress)
                result = native.result_of(here / native.RESULT, status, words)
                if "shapes" in result:
                    self._adb.pull(f"{there}/{native.OUTPUTS}", here / native.OUTPUTS, 300_000_000, progress)
            finally:
                # A phone that is gone cannot be tidied; the next run there does it.
                with contextlib.suppress(EdgeError):
                    self._remove(there)
            yield result, here / native.OUTPUTS

    def _push(self, bundle: Bundle, job: str, here: Path, there: str, progress: Progress) -> None:
        program = native.kit().programs[bundle.manifest.format]
        (here / native.JOB).write_text(job, encoding="ascii")
        files = [native.directory() / name for name in (program.program, *program.files)]
        made = self._adb.shell(f"mkdir -p {there}")
        if made.status:
            raise UnavailableError(
                f"{self._adb.serial}: {made.text}", hint=f"free some room under {TEMPORARY}"
            )
        progress("pushing", 0, 0)
        self._adb.push([*files, bundle.artifact, here / native.JOB], f"{there}/", progress)

    def _run(self, format_: str, there: str, limit: float, progress: Progress) -> tuple[int, str]:
        command = native.kit().command(format_, there)
        said = self._adb.shell(f"cd {there} && echo $$ > pid && exec {command}", limit, progress)
        return said.status, said.text

    def _remove(self, there: str) -> None:
        """End what runs there, whatever it does, and remove it."""
        self._adb.shell(
            f"if [ -f {there}/pid ]; then p=$(cat {there}/pid); "
            f'grep -q {there} "/proc/$p/cmdline" 2>/dev/null && kill -9 "$p"; fi; rm -rf {there}'
        )

    def _remove_leftovers(self) -> None:
        """What processes of this computer left that were killed, or whose cable was pulled."""
        for name in self._adb.shell(f"ls {TEMPORARY}").text.split():
            found = re.fullmatch(rf"{OURS}-(\d+)-[0-9a-f]+", name)
            if found and not _alive(int(found[1])):
                self._remove(f"{TEMPORARY}/{name}")


def opened(address: str | None) -> Android:
    """The phone of that serial, or the only one attached.

    Raises:
        InputError: several are attached and none is named, or another is.
        UnavailableError: none is attached, or it is not ready; says what to do.
    """
    attached = adb.attached()
    if not attached:
        raise UnavailableError("no Android phone is attached", hint=adb.PLUG_IN)
    serials = ", ".join(each.serial for each in attached)
    chosen = [each for each in attached if address in (None, each.serial)]
    if not chosen:
        raise UnavailableError(f"no phone {address} is attached", allowed=serials, hint=adb.PLUG_IN)
    if len(chosen) > 1:
        raise InputError(
            f"{len(chosen)} phones are attached",
            allowed=serials,
            hint="--device android:SERIAL",
        )
    if chosen[0].needs:
        raise UnavailableError(f"{chosen[0].serial} is {chosen[0].state}", hint=chosen[0].needs)
    return Android(chosen[0].serial)


def found() -> list[Listing]:
    """Every phone that adb knows; none where adb is missing."""
    try:
        attached = adb.attached()
    except EdgeError:
        return []
    try:
        runs = tuple(native.kit().programs)
        needs = None
    except UnavailableError as error:
        runs, needs = (), f"the native runner: {error.hint}"
    return [
        Listing(f"android:{each.serial}", each.model, runs if each.needs is None else (), each.needs or needs)
        for each in attached
    ]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
