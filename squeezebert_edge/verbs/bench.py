"""Measures bundles on a device, one after the other, and makes a record of each run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from exporters.errors import EdgeError, InputError
from exporters.units import parse_unit
from squeezebert_edge import __version__
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import Device, open_device
from squeezebert_edge.devices.android.benchmark_model import BenchmarkModel
from squeezebert_edge.devices.command import interruptible
from squeezebert_edge.devices.ios.coremltools_benchmark import CoremltoolsBenchmark
from squeezebert_edge.latency import record, workload
from squeezebert_edge.latency.protocol import Protocol, broken_rule
from squeezebert_edge.latency.workload import Workload
from squeezebert_edge.plumbing.processes import take
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix

ALL_PHONES = "android:all"
LEAVE = 30.0  # seconds in which phones are tidied after an interruption; longer is not awaited


@dataclass(frozen=True)
class Request:
    """How bundles are measured.

    protocol: of each run.
    settings: of the runtime; the device decides those that are left open.
    data: texts of a form that the bundles' task reads; by default the built-in sample.
    repeat: runs of each bundle, whose medians must agree.
    benchmark_model: Google's tool for the phone, which is then run after them; for tflite bundles on Android.
    coremltools_team: a development team that signs coremltools' own benchmark, which is then run after
        them; for coreml bundles on an iPhone.
    """

    protocol: Protocol
    settings: record.Settings = field(default_factory=record.Settings)
    data: Path | None = None
    repeat: int = 1
    benchmark_model: Path | None = None
    coremltools_team: str | None = None


@dataclass(frozen=True)
class Failure:
    """The reason why one of several devices gave no more records. device: as --device names it."""

    device: str
    error: EdgeError


def benchmark_bundles(
    bundles: Sequence[Bundle],
    device: Device,
    request: Request,
    *,
    progress: Progress = silent,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[record.Record]:
    """Measure each bundle; a bundle's records come when its last run is done.

    An invalid run is a record too, which names the rule that it broke.

    Args:
        sleep: rests for so many seconds between two runs.

    Raises:
        InputError: before anything is measured: the device cannot honour a setting, or the data is wrong.
        UnavailableError: the device does not run such bundles, or is gone.
        GateError: what the unit runs failed its proof; a run gave no measurement; or, after all records, a
            foreign tool gave none.
    """
    work = _load_workloads(bundles, request)
    yield from _measure(bundles, work, device, request, progress, sleep)


def benchmark_devices(
    bundles: Sequence[Bundle],
    names: Sequence[str],
    request: Request,
    *,
    runner: str | None = None,
    progress: Progress = silent,
) -> Iterator[record.Record | Failure]:
    """Measure each bundle on several devices at the same time; records come as for each of them alone.

    Args:
        names: of the devices, for --device. runner: for all of them, as `open_device` takes it.

    Raises:
        InputError: the data is wrong; what is wrong with a device is its Failure.
    """
    work = _load_workloads(bundles, request)  # once, and not while another thread takes time from tokenizing
    found: SimpleQueue[record.Record | Failure | BaseException | None] = SimpleQueue()
    stopped = threading.Event()

    def measure(name: str) -> None:
        def tell(stage: str, done: int, total: int) -> None:
            if stopped.is_set():
                raise KeyboardInterrupt
            progress(f"{name}: {stage}", done, total)

        try:
            with interruptible(stopped):
                for made in _measure(bundles, work, open_device(name, runner), request, tell, time.sleep):
                    found.put(made)
        except EdgeError as error:
            found.put(Failure(name, error))
        except BaseException as error:
            found.put(error)
        finally:
            found.put(None)

    threads = [threading.Thread(target=measure, args=(name,), daemon=True) for name in names]
    try:
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            match take(found):
                case None:
                    running -= 1
                case BaseException() as error:
                    raise error
                case made:
                    yield made
    finally:
        stopped.set()
        left_at = time.monotonic() + LEAVE
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, left_at - time.monotonic()))


def expand_device(text: str) -> list[str]:
    """List the devices that --device names: `android:all` is every phone attached, ready or not.

    Raises:
        UnavailableError: no phone is attached.
    """
    if text != ALL_PHONES:
        return [text]
    from squeezebert_edge.devices.android.phone import list_serials

    return [f"android:{serial}" for serial in list_serials()]


def make_records(
    bundle: Bundle,
    texts: Workload,
    protocol: Protocol,
    settings: record.Settings,
    runs: Sequence[record.Run],
    foreign: Sequence[record.Foreign] = (),
) -> list[record.Record]:
    """Make the records of a bundle's repeated runs, with their statistics and whether they are valid."""
    numbers = [record.Latency.of(run.samples) for run in runs]
    medians = [number.overall.p50_ns for number in numbers]
    found = []
    for turn, (run, number) in enumerate(zip(runs, numbers, strict=True), start=1):
        rule = broken_rule(protocol, run.samples, medians)
        found.append(
            record.Record(
                **{name: getattr(run, name) for name in record.Run.model_fields},
                record_version=record.VERSION,
                id=record.new_id(),
                time=record.now(),
                generator=f"squeezebert-edge {__version__}",
                bundle=record.Measured.of(bundle),
                settings=settings,
                protocol=protocol,
                repeat=record.Repeat(index=turn, of=len(runs), medians_ns=medians),
                texts=record.Texts(source=texts.source, texts=texts.texts, rows=len(texts.rows)),
                tokenization=texts.tokenization,
                latency=number,
                foreign=list(foreign),
                validity=record.Validity(valid=rule is None, rule=rule),
                quotable=rule is None and protocol.quoted and not run.emulated,
            )
        )
    return found


def _load_workloads(bundles: Sequence[Bundle], request: Request) -> list[Workload]:
    if request.repeat < 1:
        raise InputError(f"--repeat {request.repeat} measures nothing", allowed="1 or more")
    return [workload.of_bundle(bundle, request.data, request.settings.length) for bundle in bundles]


def _measure(
    bundles: Sequence[Bundle],
    work: Sequence[Workload],
    device: Device,
    request: Request,
    progress: Progress,
    sleep: Callable[[float], object],
) -> Iterator[record.Record]:
    settled = [device.settle(bundle, request.settings) for bundle in bundles]
    for bundle, settings in zip(bundles, settled, strict=True):
        bundle.require_proof(parse_unit(settings.unit or "cpu"))
    tools = _foreign_tools(request, device, bundles)
    rested = True
    failure = None
    for bundle, settings, texts in zip(bundles, settled, work, strict=True):
        runs: list[record.Run] = []
        foreign: list[record.Foreign] = []
        for turn in range(request.repeat):
            name = f"{bundle.directory.name}{f', run {turn + 1}' if request.repeat > 1 else ''}"
            told = with_prefix(name, progress)
            if not rested:
                cool_down(request.protocol.cool_down, told, sleep)
            runs.append(device.measure(bundle, texts.rows, request.protocol, settings, told))
            rested = False
        for tool in tools:
            told = with_prefix(f"{bundle.directory.name}, {tool.name}", progress)
            cool_down(request.protocol.cool_down, told, sleep)
            try:
                foreign.append(tool.measure(bundle, settings, max(runs[0].samples.length), told))
            except EdgeError as error:
                failure = failure or error
        yield from make_records(bundle, texts, request.protocol, settings, runs, foreign)
    if failure:
        raise failure


def _foreign_tools(
    request: Request, device: Device, bundles: Sequence[Bundle]
) -> list[BenchmarkModel | CoremltoolsBenchmark]:
    tools: list[BenchmarkModel | CoremltoolsBenchmark] = []
    if request.benchmark_model is not None:
        tools.append(BenchmarkModel(request.benchmark_model, device, bundles, request.settings.unit))
    if request.coremltools_team is not None:
        tools.append(CoremltoolsBenchmark(request.coremltools_team, device, bundles))
    return tools


def cool_down(seconds: float, progress: Progress, sleep: Callable[[float], object]) -> None:
    """Rest before a run; the progress is told of every second."""
    whole = int(seconds)
    for second in range(whole):
        progress("cool-down, seconds", second, whole)
        sleep(1.0)
    if seconds > whole:
        sleep(seconds - whole)
