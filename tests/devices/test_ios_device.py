"""iPhones behind devicectl: a fake xcrun with every fault; no job and no app is left on a phone."""

from __future__ import annotations

import inspect
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.coreml.mil import program as mil
from exporters.errors import GateError, InputError, UnavailableError
from squeezebert_edge import devices
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import results
from squeezebert_edge.devices.ios import app as ios
from squeezebert_edge.devices.ios import coremltools_benchmark, devicectl
from squeezebert_edge.devices.ios.coremltools_benchmark import CoremltoolsBenchmark
from squeezebert_edge.devices.python import machine
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from tests.fakes import coremltools
from tests.fakes.iphone import UDID, Iphone, start_cli_on_mac, write_xcrun
from tests.kit.devices import ask, sample_rows
from tests.kit.processes import wait_for
from tests.kit.small import as_format

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(bundles: Mapping[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return as_format(bundles["tflite"], "coreml", tmp_path_factory.mktemp("out") / "coreml-fp32")


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Iphone]:
    """Makes this a Mac with Xcode; gives what connects a phone to it."""
    programs, phones, temporary = tmp_path / "programs", tmp_path / "phones", tmp_path / "temporary"
    for directory in (programs, phones, temporary):
        directory.mkdir()
    # Locks of phones are there, and another process may test a phone of the same name.
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    write_xcrun(programs / "xcrun")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_IPHONES", str(phones))
    monkeypatch.setattr(machine, "MAC", True)
    monkeypatch.setattr(ios, "POLL", 0.05)
    monkeypatch.setattr(ios, "TICK", 0.05)

    def connect(fault: str = "", udid: str = UDID, **facts: str) -> Iphone:
        return Iphone(phones, udid, fault, **facts)

    return connect


def test_a_measurement_is_a_record(bundle: Bundle, mac: Callable[..., Iphone], tmp_path: Path) -> None:
    phone = mac()
    records = tmp_path / "records"
    process = start_cli_on_mac(
        *("bench", bundle.directory, "--device", "ios", "--queries", 6, "--unit", "ane"),
        *("--records", records, "--json"),
    )
    said, failed = process.communicate(timeout=120)
    assert process.returncode == 0, failed
    (path,) = records.iterdir()
    assert json.loads(said)["records"][0]["record"] == str(path)
    found = record.read(path)
    assert (found.validity.valid, len(found.samples.latency_ns)) == (True, 6)
    assert (found.device.kind, found.runtime.runner, found.runtime.name) == ("ios", "app", "coreml")
    assert found.settings == Settings(unit="ane")
    assert found.bundle == record.Measured.of(bundle)
    assert found.before.temperatures_c is None
    assert found.before.unknown["temperatures_c"]
    assert phone.idle


def test_answers_are_those_that_the_app_wrote(bundle: Bundle, mac: Callable[..., Iphone]) -> None:
    phone = mac()
    device, rows = devices.open_device("ios"), sample_rows(bundle)
    found = device.answer(bundle, rows, device.settle(bundle, Settings()), silent)
    for row, answer in zip(rows, found, strict=True):
        total = sum(int(values.sum()) for values in row.values())
        np.testing.assert_array_equal(answer["logits"], [[total, row["input_ids"].shape[1]]])
    assert phone.idle


def test_phones_are_listed(mac: Callable[..., Iphone]) -> None:
    mac()
    mac(udid="AWAY", tunnelState="unavailable")
    mac(udid="NEW", pairingState="unpaired")
    mac(udid="SHUT", developerModeStatus="disabled")
    mac(udid="SIMULATED", reality="virtual")
    mac(udid="WATCH", platform="watchOS")
    listed = {
        listing.device: listing for listing in devices.list_devices() if listing.device.startswith("ios")
    }
    ready = listed.pop(f"ios:{UDID}")
    assert (ready.name, ready.runs, ready.needs) == ("iPhone 15", ("coreml", "executorch"), None)
    needs = {device: listing.needs or "" for device, listing in listed.items()}
    assert needs.keys() == {"ios:AWAY", "ios:NEW", "ios:SHUT"}
    assert "not reachable" in needs["ios:AWAY"]
    assert "trust this Mac" in needs["ios:NEW"]
    assert "Developer Mode" in needs["ios:SHUT"]
    assert not any(listing.runs for listing in listed.values())
    for device, said in needs.items():
        with pytest.raises(UnavailableError, match=said.split(":")[0]):
            devices.open_device(device)
    described = devices.open_device("ios").describe()
    assert (described.name, described.os, described.architecture) == ("iPhone 15", "iOS 18.1", "arm64e")
    assert described.unknown["cpus"]
    assert devices.open_device("ios").state().unknown["battery"]


def test_no_phone_can_be_reached(mac: Callable[..., Iphone]) -> None:
    with pytest.raises(UnavailableError, match="connect the iPhone by its cable"):
        devices.open_device("ios")
    mac(udid="AWAY", tunnelState="unavailable")
    with pytest.raises(UnavailableError, match=r"iPhone 15 \(AWAY\): it is not reachable"):
        devices.open_device("ios")
    with pytest.raises(UnavailableError, match="no iPhone ELSEWHERE"):
        devices.open_device("ios:ELSEWHERE")


def test_two_phones_and_none_named(mac: Callable[..., Iphone]) -> None:
    mac(udid="ONE")
    mac(udid="TWO")
    with pytest.raises(InputError, match="allowed: ONE, TWO"):
        devices.open_device("ios")
    assert devices.open_device("ios:TWO").describe().kind == "ios"


def test_without_a_mac_or_xcode_it_is_said_what_is_needed(
    mac: Callable[..., Iphone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xcrun = tmp_path / "programs" / "xcrun"
    xcrun.write_text(
        "#!/bin/sh\n"
        "echo 'xcrun: error: unable to find utility \"devicectl\", not a developer tool or in PATH' >&2\n"
        "exit 72\n"
    )
    with pytest.raises(UnavailableError, match="install Xcode 15"):
        devices.open_device("ios")
    xcrun.unlink()
    with pytest.raises(UnavailableError, match="a Mac with Xcode"):
        devices.open_device("ios")
    monkeypatch.setattr(machine, "MAC", False)
    with pytest.raises(UnavailableError, match="a Mac with Xcode"):
        devices.open_device("ios")
    (listed,) = [each for each in devices.list_devices() if each.device.startswith("ios")]
    assert listed.needs


@pytest.mark.parametrize("mode", ["measure", "answer"])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("not installed", "ios_demo"),
        ("locked", "the iPhone is locked"),
        ("unplugged", "The device was disconnected"),
        ("full", "no room"),
    ],
)
def test_a_phone_that_cannot_is_explained(
    bundle: Bundle, mac: Callable[..., Iphone], fault: str, says: str, mode: str
) -> None:
    phone = mac(fault)
    with pytest.raises(UnavailableError, match=says):
        ask(devices.open_device("ios"), bundle, mode)
    assert phone.idle


@pytest.mark.parametrize("mode", ["measure", "answer"])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("dies", "ended and left no result"),
        ("hangs", "hung: it gave no result within"),
        ("rubbish", "wrote no result"),
        ("truncated", "wrote no result"),
        ("list", "wrote a list"),
        ("nothing", "wrote no (measurement|answers)"),
        ("error", "the app failed: no engine for this bundle"),
    ],
)
def test_an_app_that_fails_is_explained_and_gone(
    bundle: Bundle,
    mac: Callable[..., Iphone],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    says: str,
    mode: str,
) -> None:
    phone = mac(fault)
    monkeypatch.setattr(Protocol, "time_limit", 1.0 if fault == "hangs" else 60.0)
    monkeypatch.setattr(results, "ANSWER_LIMIT", 0.0)
    start = time.monotonic()
    with pytest.raises(GateError, match=says):
        ask(devices.open_device("ios"), bundle, mode)
    assert time.monotonic() - start < 30
    assert phone.idle


def test_a_call_that_hangs_is_ended(mac: Callable[..., Iphone], tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "programs" / "xcrun").write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(devicectl.call, "__kwdefaults__", {"limit": 0.5, "progress": silent})
    with pytest.raises(GateError, match="devicectl list devices hung"):
        devices.open_device("ios")


def test_the_phone_is_left_alone_while_the_protocol_takes_its_time(
    bundle: Bundle, mac: Callable[..., Iphone], monkeypatch: pytest.MonkeyPatch
) -> None:
    mac()
    looks: list[float] = []
    runs = devicectl.InstalledApp.runs

    def looked(app: devicectl.InstalledApp, process: int) -> bool:
        looks.append(time.monotonic())
        return runs(app, process)

    monkeypatch.setattr(devicectl.InstalledApp, "runs", looked)
    protocol = Protocol("queries", 2, 1.0, None, cool_down=0.0, quoted=False)
    device, start = devices.open_device("ios"), time.monotonic()
    device.measure(bundle, sample_rows(bundle), protocol, device.settle(bundle, Settings()), silent)
    assert len(looks) == 1
    assert looks[0] - start >= 1.0


def test_what_an_earlier_run_left_is_removed(bundle: Bundle, mac: Callable[..., Iphone]) -> None:
    phone = mac()
    left = phone.container / "Documents" / "jobs" / "0123456789abcdef" / "bundle"
    left.mkdir(parents=True)
    (left / "model").write_text("of a run that was killed")
    others = phone.container / "Documents" / "mine"
    others.write_text("")
    list(benchmark_bundles([bundle], devices.open_device("ios"), Request(exactly(2))))
    assert phone.idle
    assert others.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_no_job_there(
    bundle: Bundle, mac: Callable[..., Iphone], tmp_path: Path, number: signal.Signals
) -> None:
    phone = mac("hangs")
    records = tmp_path / "records"
    process = start_cli_on_mac(
        "bench", bundle.directory, "--device", "ios", "--queries", 2, "--records", records
    )
    wait_for(phone.running.exists, 60, while_runs=process)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert phone.idle
    assert not records.exists()


@pytest.mark.parametrize(
    ("format_", "settings", "says"),
    [
        ("coreml", Settings(threads=2), "--threads"),
        ("coreml", Settings(unit="npu"), "--unit npu is none of Core ML's\nallowed: cpu, gpu or ane"),
        ("coreml", Settings(cpus=[0]), "--cpus is not possible on iOS"),
        ("coreml", Settings(runtime="tflite-runtime"), "--runtime"),
        ("executorch", Settings(unit="ane"), "--unit ane is not possible for a bundle of executorch on iOS"),
    ],
)
def test_what_an_iphone_cannot_honour_is_refused(
    bundle: Bundle, mac: Callable[..., Iphone], format_: str, settings: Settings, says: str
) -> None:
    mac()
    other = Bundle(bundle.directory, bundle.manifest.model_copy(update={"format": format_}))
    with pytest.raises(InputError, match=says):
        devices.open_device("ios").settle(other, settings)


def test_what_is_left_open_is_decided(bundle: Bundle, mac: Callable[..., Iphone]) -> None:
    mac()
    device = devices.open_device("ios")
    executorch = Bundle(bundle.directory, bundle.manifest.model_copy(update={"format": "executorch"}))
    tflite = Bundle(bundle.directory, bundle.manifest.model_copy(update={"format": "tflite"}))
    assert device.settle(bundle, Settings()) == Settings()  # Core ML decides
    assert device.settle(executorch, Settings()) == Settings(threads=1, unit="cpu")
    with pytest.raises(UnavailableError, match="does not run tflite"):
        device.settle(tflite, Settings())


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a fake coremltools with a fault before the real one."""

    def put(fault: str = "pass") -> None:
        coremltools.write_package(tmp_path / "tools", UDID, fault)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'tools'}{os.pathsep}{ROOT}")

    return put


def foreign(bundle: Bundle) -> list[record.Record]:
    settings = Settings(unit="ane", length=32)
    request = Request(exactly(2), settings, coremltools_team="ABCDE12345")
    return list(benchmark_bundles([bundle], devices.open_device("ios"), request))


def test_coremltools_number_is_kept_beside_ours(
    bundle: Bundle, mac: Callable[..., Iphone], tools: Callable[..., None]
) -> None:
    mac()
    tools()
    (found,) = foreign(bundle)
    (number,) = found.foreign
    assert (number.tool, number.mean_ns) == ("coremltools MLModelBenchmarker", 2.5e6)
    assert (
        "padding at 32 tokens; median 2.25 ms; operations planned: 1 on CPU, 2 on NeuralEngine" in number.note
    )
    assert found.latency.overall.mean_ns != number.mean_ns


def test_the_real_coremltools_is_called_so_too() -> None:
    mil.import_coremltools()
    from coremltools.models.ml_program.experimental import perf_utils, remote_device

    tool, phone = perf_utils.MLModelBenchmarker, remote_device.Device
    inspect.signature(tool).bind("model", "phone")
    inspect.signature(tool.benchmark_predict).bind(tool, {}, 20, warmup=True)
    inspect.signature(tool.benchmark_operation_execution).bind(tool, {})
    inspect.signature(phone.prepare_for_model_debugging).bind(phone, "credentials", "directory")
    inspect.signature(remote_device.AppSigningCredentials).bind(development_team="", bundle_identifier="")
    assert {"average", "median"} <= set(tool.Statistics.__dataclass_fields__)
    assert "compute_device_usage" in tool.OperationExecutionInfo.__dataclass_fields__
    assert callable(phone.get_devices)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raise ValueError('no signing certificate')", "ValueError: no signing certificate"),
        ("time.sleep(600)", "hung"),
        ("os._exit(0)", "it printed nothing"),
    ],
)
def test_what_coremltools_cannot_does_not_cost_the_record(
    bundle: Bundle,
    mac: Callable[..., Iphone],
    tools: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    says: str,
) -> None:
    mac()
    tools(fault)
    monkeypatch.setattr(coremltools_benchmark, "LIMIT", 5.0 if "sleep" in fault else 60.0)
    request = Request(exactly(2), Settings(unit="ane", length=32), coremltools_team="ABCDE12345")
    measured = benchmark_bundles([bundle], devices.open_device("ios"), request)
    assert next(measured).foreign == []
    with pytest.raises(GateError, match=f"{says}(.|\n)*an account of the team"):
        next(measured)


def test_coremltools_is_asked_on_iphones_and_for_its_own_format_only(
    bundle: Bundle, mac: Callable[..., Iphone]
) -> None:
    mac()
    phone = devices.open_device("ios")
    other = Bundle(bundle.directory, bundle.manifest.model_copy(update={"format": "executorch"}))
    for team, device, given, says in (
        ("ABCDE12345", devices.open_device("host"), bundle, "allowed: with --device ios"),
        ("me@example.org", phone, bundle, "names no team\nallowed: .* ten letters and digits"),
        ("ABCDE12345", phone, other, "a bundle of executorch\nallowed: coreml bundles"),
    ):
        with pytest.raises(InputError, match=says):
            CoremltoolsBenchmark(team, device, [given])
