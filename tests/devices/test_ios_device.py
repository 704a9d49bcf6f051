"""iPhones behind devicectl: a fake xcrun with every fault; no job and no app is left on a phone."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
from squeezebert_edge.latency import record, workload
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.small import as_format, small_checkpoint

ROOT = Path(__file__).parents[2]
UDID = "00008120-0011223344556677"
ON_A_MAC = (
    "from squeezebert_edge.devices.ios import app; from squeezebert_edge.devices.python import machine; "
    "machine.MAC = True; app.POLL = app.TICK = 0.05; "
    "from squeezebert_edge import cli; cli.main()"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("out")
    plan = Plan([("tflite", "fp32")], (16, 32))
    (made,) = export_bundles(small_checkpoint(num_hidden_layers=1), plan, out)
    return as_format(made, "coreml", out / "coreml-fp32")


class Iphone:
    """A phone that the fake xcrun knows. Its facts are named as in devicectl's JSON."""

    def __init__(self, phones: Path, udid: str, fault: str, **facts: str) -> None:
        hardware = {
            "udid": udid,
            "platform": "iOS",
            "reality": "physical",
            "marketingName": "iPhone 15",
            "productType": "iPhone15,4",
            "cpuType": {"name": "arm64e"},
        }
        listed = {
            "hardwareProperties": hardware,
            "deviceProperties": {"name": "Mine", "osVersionNumber": "18.1", "developerModeStatus": "enabled"},
            "connectionProperties": {"pairingState": "paired", "tunnelState": "disconnected"},
        }
        for name, value in facts.items():
            (part,) = [part for part in listed.values() if name in part]
            part[name] = value
        (phones / f"{udid}.json").write_text(json.dumps(listed))
        self.container = phones / udid / "container"
        self.running = phones / udid / "running"
        self.container.mkdir(parents=True)
        (phones / udid / "fault").write_text(fault)

    @property
    def idle(self) -> bool:
        """Whether neither a job nor the app is there."""
        jobs = self.container / "Documents" / "jobs"
        return not self.running.exists() and {path.name for path in jobs.rglob("*")} <= {"no-job"}


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Iphone]:
    """Makes this a Mac with Xcode; gives what connects a phone to it."""
    programs, phones = tmp_path / "programs", tmp_path / "phones"
    programs.mkdir()
    phones.mkdir()
    xcrun = programs / "xcrun"
    xcrun.write_text(f'#!/bin/sh\nexec {sys.executable} -S {ROOT}/tests/fakes/xcrun.py "$@"\n')
    xcrun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_IPHONES", str(phones))
    monkeypatch.setattr(machine, "MAC", True)
    monkeypatch.setattr(ios, "POLL", 0.05)
    monkeypatch.setattr(ios, "TICK", 0.05)

    def connect(fault: str = "", udid: str = UDID, **facts: str) -> Iphone:
        return Iphone(phones, udid, fault, **facts)

    return connect


def rows_of(bundle: Bundle) -> Sequence[Mapping[str, Any]]:
    return workload.of_bundle(bundle, None, None).rows[:3]


def asked(device: devices.Device, bundle: Bundle, mode: str) -> None:
    settings = device.settle(bundle, Settings())
    if mode == "measure":
        device.measure(bundle, rows_of(bundle), exactly(2), settings, silent)
    else:
        device.answer(bundle, rows_of(bundle), settings, silent)


def on_a_mac(*arguments: object) -> subprocess.Popen[str]:
    """The command line, as on a Mac."""
    return subprocess.Popen(
        [sys.executable, "-c", ON_A_MAC, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_measurement_is_a_record(bundle: Bundle, mac: Callable[..., Iphone], tmp_path: Path) -> None:
    phone = mac()
    records = tmp_path / "records"
    process = on_a_mac(
        *("bench", bundle.directory, "--device", "ios", "--queries", 6, "--compute-units", "cpu_and_ne"),
        *("--records", records, "--json"),
    )
    said, failed = process.communicate(timeout=120)
    assert process.returncode == 0, failed
    (path,) = records.iterdir()
    assert json.loads(said)["records"][0]["record"] == str(path)
    found = record.read(path)
    assert (found.validity.valid, len(found.samples.latency_ns)) == (True, 6)
    assert (found.device.kind, found.runtime.runner, found.runtime.name) == ("ios", "app", "coreml")
    assert found.settings == Settings(compute_units="cpu_and_ne")
    assert found.bundle == record.Measured.of(bundle)
    assert found.before.temperatures_c is None
    assert found.before.unknown["temperatures_c"]
    assert phone.idle


def test_answers_are_those_that_the_app_wrote(bundle: Bundle, mac: Callable[..., Iphone]) -> None:
    phone = mac()
    device, rows = devices.open_device("ios"), rows_of(bundle)
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
        asked(devices.open_device("ios"), bundle, mode)
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
        asked(devices.open_device("ios"), bundle, mode)
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
    device.measure(bundle, rows_of(bundle), protocol, device.settle(bundle, Settings()), silent)
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
    process = on_a_mac("bench", bundle.directory, "--device", "ios", "--queries", 2, "--records", records)
    deadline = time.monotonic() + 60
    while not phone.running.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert phone.idle
    assert not records.exists()


@pytest.mark.parametrize(
    ("format_", "settings", "says"),
    [
        ("coreml", Settings(threads=2), "--threads"),
        ("coreml", Settings(delegate="gpu"), "--delegate gpu is not possible on iOS"),
        ("coreml", Settings(cpus=[0]), "--cpus is not possible on iOS"),
        ("coreml", Settings(runtime="tflite-runtime"), "--runtime"),
        ("executorch", Settings(compute_units="all"), "--compute-units"),
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
    assert device.settle(bundle, Settings()).compute_units == "all"
    assert device.settle(executorch, Settings()).threads == 1
    with pytest.raises(UnavailableError, match="does not run tflite"):
        device.settle(tflite, Settings())


# Stands for coremltools, as far as it is called; what it is told is in its answer.
COREMLTOOLS = """
import enum
from . import models
ComputeUnit = enum.Enum("ComputeUnit", "ALL CPU_ONLY CPU_AND_GPU CPU_AND_NE")
"""
MODELS = """
import os
class MLModel:
    def __init__(self, package, compute_units, skip_model_load):
        assert skip_model_load and os.path.isdir(package)
        assert compute_units.name == "CPU_AND_NE"
"""
EXPERIMENTAL = {
    "perf_utils": """
import numpy as np
from types import SimpleNamespace as Of
class MLCPUComputeDevice: pass
class MLNeuralEngineComputeDevice: pass
class MLModelBenchmarker:
    def __init__(self, model, device):
        assert device.ready
    async def benchmark_predict(self, inputs, iterations, warmup):
        ((name, packed),) = inputs.items()
        assert (packed.dtype, packed.shape[-1], warmup) == (np.int32, 32, True)
        return Of(statistics=Of(average=2.5, median=2.25))
    async def benchmark_operation_execution(self, inputs):
        devices = (MLCPUComputeDevice, MLNeuralEngineComputeDevice, MLNeuralEngineComputeDevice)
        return [Of(compute_device_usage=None)] + [
            Of(compute_device_usage=Of(preferred_compute_device=device())) for device in devices
        ]
""",
    "remote_device": """
import os, time
class AppSigningCredentials:
    def __init__(self, development_team, bundle_identifier):
        assert development_team.lower() in bundle_identifier
class Device:
    ready = False
    def __init__(self, udid):
        self.udid = udid
    @staticmethod
    def get_devices():
        assert "Xcode.app" in os.environ["PATH"]
        return [Device("ANOTHER"), Device("UDID")]
    async def prepare_for_model_debugging(self, credentials, directory):
        assert directory.is_dir()
        #FAULT
        self.ready, self.session = True, self
        return self
    def stop(self):
        pass
""",
}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a fake coremltools with a fault before the real one."""

    def put(fault: str = "pass") -> None:
        package = tmp_path / "tools" / "coremltools"
        experimental = package / "models" / "ml_program" / "experimental"
        experimental.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(COREMLTOOLS)
        (package / "models" / "__init__.py").write_text(MODELS)
        for directory in (experimental.parent, experimental):
            (directory / "__init__.py").write_text("")
        for name, text in EXPERIMENTAL.items():
            (experimental / f"{name}.py").write_text(text.replace("UDID", UDID).replace("#FAULT", fault))
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'tools'}{os.pathsep}{ROOT}")

    return put


def foreign(bundle: Bundle) -> list[record.Record]:
    settings = Settings(compute_units="cpu_and_ne", length=32)
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
    request = Request(
        exactly(2), Settings(compute_units="cpu_and_ne", length=32), coremltools_team="ABCDE12345"
    )
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
