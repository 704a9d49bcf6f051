"""The demo app as a runner: a fake app on a fake phone; every fault is explained, and nothing left there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge import devices
from squeezebert_edge.bundle.manifest import write_manifest
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.devices import demo_app
from squeezebert_edge.devices.android import app as android_app
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from tests.fakes import app as fake_app
from tests.fakes.adbd import AWAKE, FakePhone, Plug, needs_adb
from tests.kit.devices import ask, sample_rows
from tests.kit.evaluated import DATA, answered, bundle_of, call
from tests.kit.processes import gone, needs_proc, running, start_cli, wait_for
from tests.kit.units import unit_record

ROOT = Path(__file__).parents[2]
LENGTHS = (16, 32)

pytestmark = [needs_adb, pytest.mark.usefixtures("adb_server", "impatient")]


@pytest.mark.parametrize("name", ["tflite", "executorch"])
def test_the_app_measures_and_answers_as_the_host_does(
    bundles: Mapping[str, Bundle], plug: Plug, name: str
) -> None:
    bundle, phone = bundles[name], plug()
    fake_app.install(phone)
    device = devices.open_device("android", "app")
    (found,) = benchmark_bundles([bundle], device, Request(exactly(5)))
    assert found.validity.valid
    assert (found.device.kind, found.runtime.runner) == ("android", "app")
    assert found.settings.threads == 1
    settings = device.settle(bundle, Settings())
    answers = device.answer(bundle, sample_rows(bundle), settings, silent)
    expected = devices.open_device("host").answer(bundle, sample_rows(bundle), settings, silent)
    for here, there in zip(expected, answers, strict=True):
        assert here["logits"].tolist() == there["logits"].tolist()
    assert fake_app.left(phone) == []
    assert gone(str(phone.root))


def test_evaluate_with_the_app_says_what_the_host_says(plug: Plug, tmp_path: Path) -> None:
    fake_app.install(plug())
    bundle, data = bundle_of(tmp_path, id2label={0: "bad", 1: "good"}), tmp_path / "dev.tsv"
    data.write_text(DATA)
    there = answered(bundle, "--data", data, "--device", "android", "--runner", "app")
    assert there["bundles"] == answered(bundle, "--data", data, "--device", "host")["bundles"]
    assert isinstance(call(bundle, "--data", data, "--runner", "app").exception, InputError)


def test_phones_are_listed_with_whether_they_have_the_app(plug: Plug) -> None:
    with_app, without = plug(), plug()
    fake_app.install(with_app)
    listed = {each.device: each for each in devices.list_devices() if each.runner == "app"}
    one, other = listed[f"android:{with_app.serial}"], listed[f"android:{without.serial}"]
    assert (one.name, one.runs, one.needs) == ("Phone 1", ("executorch", "tflite"), None)
    assert other.runs == ()
    assert "android_demo/README.md" in (other.needs or "")


def test_a_phone_without_the_app(bundles: Mapping[str, Bundle], plug: Plug) -> None:
    plug()
    with pytest.raises(
        UnavailableError, match=f"{demo_app.APP_ID} is not installed(.|\n)*android_demo/README.md"
    ):
        ask(devices.open_device("android", "app"), bundles["tflite"], "measure")


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ("mWakefulness=Asleep", "is off"),
        ("mWakefulness=Dozing\n mDreamingLockscreen=true", "is off"),
        ("mWakefulness=Awake\n mDreamingLockscreen=true", "is locked"),
        ("mWakefulness=Awake\n KeyguardStateMonitor\n   mIsShowing=true", "is locked"),
    ],
)
def test_a_phone_that_sleeps_or_is_locked(
    bundles: Mapping[str, Bundle], plug: Plug, says: str, found: str
) -> None:
    phone = plug()
    fake_app.install(phone, "")
    device = devices.open_device("android", "app")
    phone.says("dumpsys", says)
    with pytest.raises(UnavailableError, match=f"{found}(.|\n)*wake and unlock it"):
        ask(device, bundles["tflite"], "measure")
    phone.says("dumpsys", AWAKE)
    ask(device, bundles["tflite"], "measure")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(unit="gpu"), "--unit gpu is not possible for a bundle of executorch"),
        (Settings(unit="npu"), "--unit npu is not possible for a bundle of executorch"),
        (Settings(unit="ane"), "--unit ane is not possible on Android"),
        (Settings(runtime="tflite-runtime"), "--runtime"),
        (Settings(cpus=[0]), "--cpus"),
    ],
)
def test_what_no_app_can_honour_is_refused(
    bundles: Mapping[str, Bundle], plug: Plug, settings: Settings, says: str
) -> None:
    fake_app.install(plug(), "")
    with pytest.raises(InputError, match=says):
        devices.open_device("android", "app").settle(bundles["executorch"], settings)


# What the app is asked for becomes its error, where it would say that it has no GPU.
SETTINGS_BACK = """
import json
settings = json.loads((directory / "job.json").read_text())["settings"]
text = json.dumps({"error": "no {unit} with threads {threads}".format_map(settings)})
"""


def test_the_app_is_asked_for_a_gpu_and_says_if_it_has_none(
    bundles: Mapping[str, Bundle], plug: Plug
) -> None:
    phone = plug()
    fake_app.install(phone, SETTINGS_BACK)
    request = Request(exactly(2), Settings(unit="gpu"))
    with pytest.raises(GateError, match="the app failed: no gpu with threads None"):
        list(benchmark_bundles([bundles["tflite"]], devices.open_device("android", "app"), request))


def test_a_gpu_has_no_threads(bundles: Mapping[str, Bundle], plug: Plug) -> None:
    fake_app.install(plug(), "")
    with pytest.raises(InputError, match="--threads means nothing to --unit gpu"):
        devices.open_device("android", "app").settle(bundles["tflite"], Settings(unit="gpu", threads=2))


def for_chips(bundle: Bundle, directory: Path, *chips: str) -> Bundle:
    """The bundle with a file for the NPU of each chip."""
    copy = directory / "for-chips"
    shutil.copytree(bundle.directory, copy)
    lengths = bundle.manifest.lengths
    units = {}
    for chip in chips:
        files = {length: f"model.{chip}.{length}.tflite" for length in lengths}
        for name in files.values():
            (copy / name).write_bytes(b"compiled")
        units[f"npu:{chip}"] = unit_record(files, "qualcomm-emulator")
    write_manifest(copy, bundle.manifest.model_dump(exclude={"files", "schema_version"}) | {"units": units})
    return open_bundle(copy)


def phone_with(plug: Plug, chip: str) -> FakePhone:
    phone = plug()
    phone.says("getprop", f"[ro.soc.model]: [{chip}]\n[ro.serialno]: [{phone.serial}]")
    fake_app.install(phone, SETTINGS_BACK)
    return phone


@pytest.mark.parametrize("asked", ["npu", "npu:SM8650", "npu:sm8650"])
def test_the_npu_of_a_phone_runs_the_file_of_its_chip(
    bundles: Mapping[str, Bundle], plug: Plug, tmp_path: Path, asked: str
) -> None:
    phone = phone_with(plug, "SM8650")
    bundle = for_chips(bundles["tflite"], tmp_path, "SM8650", "SM8750")
    device = devices.open_device("android", "app")
    assert device.settle(bundle, Settings(unit=asked)) == Settings(unit="npu:SM8650")
    with pytest.raises(GateError, match="the app failed: no npu:SM8650 with threads None"):
        list(benchmark_bundles([bundle], device, Request(exactly(2), Settings(unit=asked))))
    assert fake_app.left(phone) == []


@pytest.mark.parametrize(
    ("chip", "asked", "error", "says"),
    [
        (
            "SM8750",
            "npu:SM8650",
            InputError,
            "names another chip than that of .*\nallowed: npu, or npu:SM8750",
        ),
        (
            "SM8550",
            "npu",
            InputError,
            "holds no files for npu:SM8550\nallowed: cpu, cpu-fp16, gpu, npu:SM8650",
        ),
        ("", "npu", UnavailableError, "does not say which chip it has"),
    ],
)
def test_a_phone_that_no_file_is_for(
    bundles: Mapping[str, Bundle], plug: Plug, tmp_path: Path,
    chip: str, asked: str, error: type[EdgeError], says: str,
) -> None:  # fmt: skip
    phone_with(plug, chip)
    bundle = for_chips(bundles["tflite"], tmp_path, "SM8650")
    with pytest.raises(error, match=says):
        devices.open_device("android", "app").settle(bundle, Settings(unit=asked))


def test_evaluate_asks_for_the_unit_too(plug: Plug, tmp_path: Path) -> None:
    phone_with(plug, "SM8650")
    data = tmp_path / "dev.tsv"
    data.write_text(DATA)
    bundle = for_chips(open_bundle(bundle_of(tmp_path, id2label={0: "bad", 1: "good"})), tmp_path, "SM8650")
    options = ("--data", data, "--device", "android", "--runner", "app", "--unit", "npu")
    assert "no npu:SM8650 with threads None" in str(call(bundle.directory, *options).exception)


@pytest.mark.parametrize("runner", ["app", "native", "python"])
def test_a_runner_that_a_device_does_not_have(runner: str) -> None:
    for device in ("host", "ssh:me@board", "android"):
        if runner not in devices.KINDS[device.partition(":")[0]].runners:
            with pytest.raises(InputError, match=f"has no --runner {runner}"):
                devices.open_device(device, runner)


FAULTS = {
    "dies": ("os.kill(os.getpid(), 9)", "the app died and left no result"),
    "hangs": ("time.sleep(600)", "the app hung"),
    "hangs deaf": ("os.kill(os.getpid(), signal.SIGSTOP)", "the app hung"),
    "writes rubbish": ("text = 'rubbish'", "wrote no result"),
    "is cut short": ("text = text[:20]", "wrote no result"),
    "writes a list": ("text = '[]'", "wrote a list"),
    "writes nothing of use": ("text = '{}'", "wrote no measurement"),
    "explains itself": ('text = \'{"error": "a reason"}\'', "a reason"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_app_that_fails_is_explained_and_gone(
    bundles: Mapping[str, Bundle],
    plug: Plug,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    program, says = FAULTS[fault]
    phone = plug()
    fake_app.install(phone, program)
    device = devices.open_device("android", "app")
    monkeypatch.setattr(Protocol, "time_limit", 5.0 if fault.startswith("hangs") else 60.0)
    start = time.monotonic()
    with pytest.raises(GateError, match=says):
        ask(device, bundles["tflite"], "measure")
    assert time.monotonic() - start < 40
    assert gone(str(phone.root))
    assert fake_app.left(phone) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("text = text.replace('\"app\"', '\"native\"')", "by the runner native"),
        ("text = text.replace('\"android\"', '\"host\"')", "it is of the kind host"),
        ("text = text.replace('\"row\": [0, 1]', '\"row\": [1, 0]')", "not the rows in turn"),
    ],
)
def test_a_measurement_of_something_else_is_refused(
    bundles: Mapping[str, Bundle], plug: Plug, change: str, says: str
) -> None:
    fake_app.install(plug(), change)
    with pytest.raises(GateError, match=says):
        ask(devices.open_device("android", "app"), bundles["tflite"], "measure")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("push", "the phone is gone"),
        ("wait", "the phone is gone"),
        ("pull", "the phone is gone"),
        ("full", "no room"),
    ],
)
def test_a_phone_that_fails_is_explained_in_time(
    bundles: Mapping[str, Bundle], plug: Plug, fault: str, says: str
) -> None:
    phone = plug(fault)
    fake_app.install(phone, "time.sleep(600)" if fault == "wait" else "")
    device = devices.open_device("android", "app")
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=says):
        ask(device, bundles["tflite"], "measure")
    assert time.monotonic() - start < 30
    assert gone(str(phone.root))
    jobs = [path for path in fake_app.left(phone) if path.parent.name == android_app.JOBS]
    assert jobs == [] or fault == "pull"  # a cable pulled later leaves what the next run removes


def test_a_phone_whose_app_is_full(bundles: Mapping[str, Bundle], plug: Plug) -> None:
    phone = plug()
    fake_app.install(phone, "")
    phone.script("cp", 'echo "cp: model.tflite: No space left on device" >&2; exit 1')
    with pytest.raises(UnavailableError, match="no room"):
        ask(devices.open_device("android", "app"), bundles["tflite"], "measure")
    assert fake_app.left(phone) == []


@pytest.mark.parametrize("mode", ["measure", "answer"])
def test_where_the_shell_may_not_write_the_app_s_own_files_are_used(
    bundles: Mapping[str, Bundle], plug: Plug, mode: str
) -> None:
    phone = plug()
    fake_app.install(phone, "assert 'data/data' in str(directory)", open_to_shell=False)
    ask(devices.open_device("android", "app"), bundles["tflite"], mode)
    assert list(phone.temporary.iterdir()) == []
    assert list((phone.root / fake_app.STORAGES[1] / android_app.JOBS).iterdir()) == []


def test_an_app_that_nobody_may_reach(bundles: Mapping[str, Bundle], plug: Plug) -> None:
    phone = plug()
    fake_app.install(phone, "", open_to_shell=False)
    phone.script("run-as", 'echo "run-as: package not debuggable" >&2; exit 1')
    with pytest.raises(UnavailableError, match="not debuggable(.|\n)*install a debuggable build"):
        ask(devices.open_device("android", "app"), bundles["tflite"], "measure")
    assert list(phone.temporary.iterdir()) == []


def test_an_app_that_does_not_start(bundles: Mapping[str, Bundle], plug: Plug) -> None:
    phone = plug()
    fake_app.install(phone, "")
    phone.says("am", "Error: Activity class {.JobActivity} does not exist.")
    with pytest.raises(UnavailableError, match="does not start: Error: Activity class"):
        ask(devices.open_device("android", "app"), bundles["tflite"], "measure")
    assert fake_app.left(phone) == []


def test_what_an_earlier_run_left_is_removed_and_nothing_else(
    bundles: Mapping[str, Bundle], plug: Plug
) -> None:
    phone = plug()
    fake_app.install(phone, "")
    jobs = phone.root / fake_app.STORAGES[0] / android_app.JOBS
    dead = subprocess.Popen(["true"])
    dead.wait()
    left, used, other = (
        jobs / name
        for name in (
            f"{android_app.COMPUTER}{dead.pid:06x}00aa", f"{android_app.COMPUTER}{os.getpid():06x}00bb",
            "0123456789abcdef",
        )
    )  # fmt: skip
    for directory in (left, used, other):
        directory.mkdir(parents=True)
    ask(devices.open_device("android", "app"), bundles["tflite"], "measure")
    assert set(jobs.iterdir()) == {used, other}


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_nothing(
    bundles: Mapping[str, Bundle], plug: Plug, tmp_path: Path, number: signal.Signals
) -> None:
    phone = plug()
    fake_app.install(phone, "time.sleep(600)")
    options = ("--device", "android", "--runner", "app", "--queries", 2, "--records", tmp_path / "records")
    process = start_cli("bench", bundles["tflite"].directory, *options)
    wait_for(lambda: running(f"{fake_app.__name__} {phone.root}"), 60, while_runs=process)
    time.sleep(1.0)  # by now it waits
    process.send_signal(number)
    assert process.wait(30) == (-9 if number == signal.SIGKILL else 130)
    assert gone(f"{fake_app.__name__} {phone.root}")
    assert not (tmp_path / "records").exists()

    def remains() -> list[Path]:
        """Killed, it leaves what was pushed, which the next run removes; the phone itself ends the job."""
        found = fake_app.left(phone)
        return [path for path in found if number != signal.SIGKILL or path.parent.name == android_app.JOBS]

    wait_for(lambda: not remains())
