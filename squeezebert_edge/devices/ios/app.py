"""An iPhone behind devicectl: the demo app measures a bundle there, by the contract of docs/app_job.md."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import Listing
from squeezebert_edge.devices import demo_app as app_job
from squeezebert_edge.devices.exclusive import exclusive
from squeezebert_edge.devices.ios import devicectl
from squeezebert_edge.devices.ios.devicectl import App, Phone
from squeezebert_edge.devices.python import interpreter
from squeezebert_edge.devices.results import AGAIN, ANSWER_LIMIT
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.plumbing.progress import Progress, silent

if TYPE_CHECKING:
    from squeezebert_edge.devices import Inputs, Outputs

FORMATS = ("coreml", "executorch")
JOBS = "Documents/jobs"
POLL = 5.0  # seconds between two looks at the phone, each of which wakes it for a moment
TICK = 0.5
LARGEST_RESULT, LARGEST_OUTPUTS = 50_000_000, 300_000_000  # bytes
UNTOLD = "devicectl does not say; the app does, in each record"


class Ios:
    """An iPhone or iPad.

    Args:
        phone: as devicectl lists it.
    """

    runner: record.Runner = "app"

    def __init__(self, phone: Phone) -> None:
        self.udid = phone.udid
        self._phone, self._app = phone, App(phone.udid)

    def describe(self) -> record.Device:
        """What it is, as far as this Mac knows."""
        phone = self._phone
        known = {"name": phone.name, "os": phone.system, "architecture": phone.architecture}
        return record.Device.model_validate(_unknown(record.Device, kind="ios", **known))

    def state(self) -> record.State:
        """The time: how it is, only the app can tell."""
        return record.State.model_validate(_unknown(record.State, time=record.now()))

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """The settings with what was left open decided.

        Raises:
            InputError: one that cannot be honoured.
            UnavailableError: the app has no runtime for this format.
        """
        if bundle.manifest.format not in FORMATS:
            raise UnavailableError(
                f"{bundle.directory}: the iOS app does not run {bundle.manifest.format}",
                allowed=", ".join(FORMATS),
                hint="export it as coreml",
            )
        return interpreter.settled(bundle, settings, where="iOS", mac=True, cpus=None)

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        protocol: Protocol,
        settings: record.Settings,
        progress: Progress,
    ) -> record.Run:
        """Have the app run the rows by the protocol.

        The phone is left alone for the time that the protocol takes at least.

        Raises:
            UnavailableError: the phone is gone, locked or full, or the app is not on it.
            GateError: the app died, hung or wrote no measurement.
        """
        with self._ran(bundle, rows, settings, protocol, protocol.time_limit, progress) as here:
            return app_job.run_of(_text(here / app_job.RESULT), "ios", rows)

    def answer(
        self, bundle: Bundle, rows: Sequence[Inputs], settings: record.Settings, progress: Progress
    ) -> list[Outputs]:
        """What the bundle answers to each row.

        Raises:
            UnavailableError, GateError: as for `measure`.
        """
        limit = ANSWER_LIMIT + exactly(len(rows)).time_limit
        with self._ran(bundle, rows, settings, None, limit, progress) as here:
            return app_job.answers(_text(here / app_job.RESULT), here / app_job.OUTPUTS, bundle, len(rows))

    @contextlib.contextmanager
    def _ran(
        self,
        bundle: Bundle,
        rows: Sequence[Inputs],
        settings: record.Settings,
        protocol: Protocol | None,
        limit: float,
        progress: Progress,
    ) -> Iterator[Path]:
        """A job done: a directory with what the app wrote; no job is on the phone any more."""
        name = record.new_id()
        there = f"{JOBS}/{name}"
        launching, process = False, None
        with (
            exclusive(f"iPhone {self.udid}"),
            tempfile.TemporaryDirectory(prefix="squeezebert-edge-") as directory,
        ):
            here = Path(directory)
            job = here / app_job.JOB
            job.write_text(app_job.job_of(rows, settings, protocol), encoding="ascii")
            try:
                self._clear(here)
                progress("copying", 0, 0)
                bundle_there = f"{there}/{app_job.BUNDLE}"
                self._app.put(bundle.directory.resolve(), bundle_there, alone=False, progress=progress)
                self._app.put(job, f"{there}/{app_job.JOB}", alone=False, progress=progress)
                launching = True
                process = self._app.launch("--job", name)
                least = protocol.seconds if protocol else 0.0
                self._wait(process, f"{there}/{app_job.RESULT}", here, least, limit, progress)
                if protocol is None:
                    outputs = here / app_job.OUTPUTS
                    self._app.get(f"{there}/{app_job.OUTPUTS}", outputs, LARGEST_OUTPUTS, progress)
            finally:
                # A phone that is gone cannot be tidied; the next job there does it.
                with contextlib.suppress(EdgeError):
                    if launching:  # whose launch was interrupted is found by launching it anew, without a job
                        self._app.end(self._app.launch() if process is None else process)
                with contextlib.suppress(EdgeError):
                    self._clear(here)
            yield here

    def _wait(
        self, process: int, result: str, here: Path, least: float, limit: float, progress: Progress
    ) -> None:
        """Until the result is here; not looked for in the first seconds, when there cannot be one."""
        begin = time.monotonic()
        look = begin + least
        while (now := time.monotonic()) < begin + limit:
            progress("running, seconds", int(now - begin), 0)
            if now < look:
                time.sleep(TICK)
                continue
            running = self._app.runs(process)  # asked first: it may end just after it wrote
            if self._app.get(result, here / app_job.RESULT, LARGEST_RESULT, progress):
                return
            if not running:
                raise GateError(
                    "the app ended without a result", hint=f"{AGAIN}; its crash report is in Xcode"
                )
            look = time.monotonic() + POLL
        raise GateError(f"the app hung: no result after {limit:.0f} s", hint=AGAIN)

    def _clear(self, here: Path) -> None:
        """Remove every job there, a dead run's too: one app does one job at a time.

        devicectl removes nothing by itself, and copies no empty directory: a file of a few bytes stays.
        """
        empty = here / "empty"
        empty.mkdir(exist_ok=True)
        (empty / "no-job").write_text("no job\n", encoding="ascii")
        self._app.put(empty, JOBS, alone=True, progress=silent)


def opened(address: str | None) -> Ios:
    """The iPhone of that UDID, or the only one that can be reached.

    Raises:
        InputError: several can be reached and none is named.
        UnavailableError: no Mac, no Xcode, no such iPhone, or it is not ready; says what to do.
    """
    known = devicectl.phones()
    # A Mac remembers every phone that it has met, and lists it for ever.
    chosen = [phone for phone in known if phone.udid == address or (address is None and not phone.needs)]
    if not chosen:
        seen = "; ".join(f"{phone.name} ({phone.udid}): {phone.needs or 'ready'}" for phone in known)
        problem = f"no iPhone {address} is known to this Mac" if address else "no iPhone can be reached"
        raise UnavailableError(problem, allowed=seen or None, hint=devicectl.PLUG_IN)
    if len(chosen) > 1:
        raise InputError(
            f"{len(chosen)} iPhones can be reached",
            allowed=", ".join(phone.udid for phone in chosen),
            hint="--device ios:UDID",
        )
    if chosen[0].needs:
        raise UnavailableError(f"{chosen[0].name} cannot be reached", hint=chosen[0].needs)
    return Ios(chosen[0])


def found() -> list[Listing]:
    """Every iPhone that this Mac has met; none where there is no Xcode."""
    try:
        known = devicectl.phones()
    except EdgeError:
        return []
    return [
        Listing(f"ios:{phone.udid}", phone.name, () if phone.needs else FORMATS, phone.needs, Ios.runner)
        for phone in known
    ]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _unknown(model: type[record.Device | record.State], **known: object) -> dict[str, object]:
    """The fields of a model of which so much is known; every other is null, with the reason."""
    others = [name for name in model.model_fields if name not in (*known, "unknown")]
    return known | dict.fromkeys(others) | {"unknown": dict.fromkeys(others, UNTOLD)}
