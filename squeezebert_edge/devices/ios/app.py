"""An iPhone behind devicectl, with the demo app."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge.devices import JOB, OUTPUTS, RESULT, Listing
from squeezebert_edge.devices.demo_app import BUNDLE, DemoApp
from squeezebert_edge.devices.exclusive import exclusive
from squeezebert_edge.devices.ios import devicectl
from squeezebert_edge.devices.ios.devicectl import InstalledApp
from squeezebert_edge.devices.python.interpreter import decide_settings
from squeezebert_edge.devices.results import AGAIN
from squeezebert_edge.latency import record
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.plumbing.staging import scratch_directory

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices.ios.devicectl import IosPhone
    from squeezebert_edge.latency.protocol import Protocol

FORMATS = ("coreml", "executorch")
JOBS = "Documents/jobs"
POLL = 5.0  # seconds between two looks at the phone, each of which wakes it for a moment
TICK = 0.5
LARGEST_RESULT, LARGEST_OUTPUTS = 50_000_000, 300_000_000  # bytes
UNTOLD = "devicectl does not say; the app does, in each record"


class IosApp(DemoApp):
    """An iPhone or iPad with the demo app.

    Args:
        phone: as devicectl lists it.
    """

    kind = "ios"

    def __init__(self, phone: IosPhone) -> None:
        self.udid = phone.udid
        self._phone, self._app = phone, InstalledApp(phone.udid)

    def describe(self) -> record.Device:
        """Say what the phone is, as far as this Mac knows."""
        phone = self._phone
        known = {"name": phone.name, "os": phone.system, "architecture": phone.architecture}
        return record.Device.model_validate(_unknown(record.Device, kind="ios", **known))

    def state(self) -> record.State:
        """The time: only the app can tell more."""
        return record.State.model_validate(_unknown(record.State, time=record.now()))

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        """Decide the settings that were left open.

        Raises:
            InputError: the app cannot honour a setting.
            UnavailableError: the app has no runtime for this format.
        """
        if bundle.manifest.format not in FORMATS:
            raise UnavailableError(
                f"{bundle.directory}: the iOS app does not run {bundle.manifest.format}",
                allowed=", ".join(FORMATS),
                hint="export it as coreml",
            )
        return decide_settings(bundle, settings, where="iOS", mac=True, cpus=None)

    @contextlib.contextmanager
    def run_job(
        self, bundle: Bundle, job: str, protocol: Protocol | None, limit: float, progress: Progress
    ) -> Iterator[Path]:
        """Have the app do a job; see `DemoApp.run_job`.

        The phone is left alone for the time that the protocol takes at least.
        """
        name = record.new_id()
        there = f"{JOBS}/{name}"
        launching, process = False, None
        with (
            exclusive(f"iPhone {self.udid}"),
            scratch_directory() as here,
        ):
            (here / JOB).write_text(job, encoding="ascii")
            try:
                self._clear(here)
                progress("copying", 0, 0)
                bundle_there = f"{there}/{BUNDLE}"
                self._app.put(bundle.directory.resolve(), bundle_there, alone=False, progress=progress)
                self._app.put(here / JOB, f"{there}/{JOB}", alone=False, progress=progress)
                launching = True
                process = self._app.launch("--job", name)
                least = protocol.seconds if protocol else 0.0
                self._wait(process, f"{there}/{RESULT}", here, least, limit, progress)
                if protocol is None:
                    self._app.get(f"{there}/{OUTPUTS}", here / OUTPUTS, LARGEST_OUTPUTS, progress)
            finally:
                # A phone that is gone cannot be tidied; the next job there does it.
                with contextlib.suppress(EdgeError):
                    if (
                        launching
                    ):  # an app whose launch was interrupted is found by launching it without a job
                        self._app.end(self._app.launch() if process is None else process)
                with contextlib.suppress(EdgeError):
                    self._clear(here)
            yield here

    def _wait(
        self, process: int, result: str, here: Path, least: float, limit: float, progress: Progress
    ) -> None:
        """Wait until the result is here; for the least time there can be none, and nobody looks."""
        begin = time.monotonic()
        look = begin + least
        while (now := time.monotonic()) < begin + limit:
            progress("running, seconds", int(now - begin), 0)
            if now < look:
                time.sleep(TICK)
                continue
            running = self._app.runs(process)  # asked first: it may end just after it wrote
            if self._app.get(result, here / RESULT, LARGEST_RESULT, progress):
                return
            if not running:
                raise GateError(
                    "the app ended and left no result", hint=f"{AGAIN}; its crash report is in Xcode"
                )
            look = time.monotonic() + POLL
        raise GateError(f"the app hung: it gave no result within {limit:.0f} s", hint=AGAIN)

    def _clear(self, here: Path) -> None:
        """Remove every job there, a dead run's too: one app does one job at a time.

        devicectl removes nothing by itself, and copies no empty directory: a file of a few bytes stays.
        """
        empty = here / "empty"
        empty.mkdir(exist_ok=True)
        (empty / "no-job").write_text("no job\n", encoding="ascii")
        self._app.put(empty, JOBS, alone=True, progress=silent)


def open_device(address: str | None) -> IosApp:
    """Open the iPhone of that UDID, or the only one that can be reached.

    Raises:
        InputError: several can be reached and none is named.
        UnavailableError: there is no Mac, no Xcode or no such iPhone, or it is not ready; says what to do.
    """
    known = devicectl.list_phones()
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
    return IosApp(chosen[0])


def list_devices() -> list[Listing]:
    """List every iPhone that this Mac has met; none without Xcode."""
    try:
        known = devicectl.list_phones()
    except EdgeError:
        return []
    return [
        Listing(f"ios:{phone.udid}", phone.name, () if phone.needs else FORMATS, phone.needs, IosApp.runner)
        for phone in known
    ]


def _unknown(model: type[record.Device | record.State], **known: object) -> dict[str, object]:
    """The fields of a model of which so much is known; every other is None, with the reason."""
    others = [name for name in model.model_fields if name not in (*known, "unknown")]
    return known | dict.fromkeys(others) | {"unknown": dict.fromkeys(others, UNTOLD)}
