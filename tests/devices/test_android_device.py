"""Phones behind adb: a fake daemon with every fault, the real client; a run leaves no file and no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.errors import GateError, InputError, UnavailableError
from squeezebert_edge import devices
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import native, results
from squeezebert_edge.devices.android import adb
from squeezebert_edge.devices.android import phone as android_phone
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent
from squeezebert_edge.verbs.bench import Request, benchmark_bundles, expand_device
from tests.fakes.adbd import Plug, needs_adb
from tests.kit.devices import ask, sample_rows
from tests.kit.processes import gone, needs_proc, running, start_cli, wait_for

ROOT = Path(__file__).parents[2]
LENGTHS = (16, 32)

pytestmark = [needs_adb, pytest.mark.usefixtures("adb_server")]

# Stands for the native runner: ends with its input, as that does, and answers without computing.
STUB = f"""#!{sys.executable}
import json, os, pathlib, sys, threading, time
def end():
    os.read(0, 1)
    os._exit(75)
threading.Thread(target=end, daemon=True).start()
d = pathlib.Path(sys.argv[1])
job = (d / "job.txt").read_text().split()
queries = int(job[job.index("protocol") + 1])
rows = int(job[job.index("rows") + 1])
column = list(range(queries))
result = {{
    "cold_start": {{"process_ns": 1, "load_ns": 2, "first_ns": {{"16": 3}}}},
    "memory": {{"baseline_bytes": 1, "peak_bytes": 2}},
    "warm_up": [], "allowed_cpus": [0],
    "samples": {{"row": [0] * queries, "length": [16] * queries, "start_ns": [10 * n for n in column],
                 "latency_ns": [5] * queries}},
}}
if not queries:
    result = {{"shapes": [[[1, 2]]] * rows}}
    (d / "outputs.bin").write_bytes(bytes(8 * rows))
text = json.dumps(result)
#FAULT
(d / "result.json").write_text(text)
"""


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a stub with a fault in it where the kit is looked for."""

    def made(fault: str = "") -> None:
        directory = tmp_path / "kit"
        directory.mkdir(exist_ok=True)
        (directory / "runner").write_text(STUB.replace("#FAULT", fault))
        (directory / "runner").chmod(0o755)
        program = native.Program(runtime="litert", version="1", program="runner", files=[])
        described = native.Kit(abi="arm64-v8a", libc="bionic", loader=None, programs={"tflite": program})
        (directory / native.KIT).write_text(described.model_dump_json())
        monkeypatch.setenv(native.VARIABLE, str(directory))

    made()
    return made


@pytest.mark.usefixtures("kit")
def test_a_phone_measures_and_answers(bundle: Bundle, plug: Plug) -> None:
    phone = plug()
    device = devices.open_device("android")
    (found,) = benchmark_bundles([bundle], device, Request(exactly(5)))
    assert found.validity.valid
    assert (found.device.kind, found.device.name, found.device.soc) == ("android", "Fake Phone 1", "FK1")
    assert found.device.os.startswith("Android 14, API level 34, Linux ")
    assert (found.runtime.runner, found.runtime.libc) == ("native", "bionic")
    assert (found.before.battery, found.before.charging, found.before.low_power_mode) == (0.8, True, False)
    assert (found.before.thermal_status, found.before.allowed_cpus) == ("light", [0])
    assert found.cold_start.process_ns == 1
    rows = sample_rows(bundle)
    answers = device.answer(bundle, rows, device.settle(bundle, Settings()), silent)
    assert [answer["logits"].shape for answer in answers] == [(1, 2)] * len(rows)
    assert list(phone.temporary.iterdir()) == []


def test_phones_are_listed(plug: Plug, kit: Callable[[str], None]) -> None:
    ready, silent_one = plug(), plug("unauthorized")
    listed = {(listing.device, listing.runner): listing for listing in devices.list_devices()}
    one = listed[f"android:{ready.serial}", "native"]
    assert (one.name, one.runs, one.needs) == ("Phone 1", ("tflite",), None)
    for runner in ("native", "app"):
        assert "allow" in (listed[f"android:{silent_one.serial}", runner].needs or "")


@pytest.mark.usefixtures("kit")
def test_a_phone_of_another_processor_is_listed_with_what_it_needs(plug: Plug) -> None:
    plug(abi="armeabi-v7a")
    (listed,) = [each for each in devices.list_devices() if each.runner == "native"]
    assert listed.runs == ()
    assert listed.needs == f"a native runner for armeabi-v7a: {native.MAKE}"


def test_nothing_attached() -> None:
    with pytest.raises(UnavailableError, match="plug in a phone with USB debugging"):
        devices.open_device("android")
    (listed,) = [each for each in devices.list_devices() if each.device.startswith("android")]
    assert listed.needs
    with pytest.raises(UnavailableError, match="plug in a phone with USB debugging"):
        expand_device("android:all")


@pytest.mark.parametrize(("fault", "says"), [("unauthorized", "allow this computer"), ("offline", "offline")])
def test_a_phone_that_is_not_ready(plug: Plug, fault: str, says: str) -> None:
    if fault == "offline":
        threading.Thread(target=plug, args=(fault,), daemon=True).start()
        while not adb.list_attached():
            time.sleep(0.1)
    else:
        plug(fault)
    with pytest.raises(UnavailableError, match=says):
        devices.open_device("android")


def test_several_phones_and_no_serial(plug: Plug) -> None:
    first, second = plug(), plug()
    with pytest.raises(InputError, match=f"{first.serial}.*{second.serial}|{second.serial}.*{first.serial}"):
        devices.open_device("android")
    assert devices.open_device(f"android:{second.serial}").describe().name == "Fake Phone 1"
    with pytest.raises(UnavailableError, match="no phone elsewhere"):
        devices.open_device("android:elsewhere")


@pytest.mark.usefixtures("kit")
def test_another_processor(bundle: Bundle, plug: Plug) -> None:
    plug(abi="armeabi-v7a")
    with pytest.raises(UnavailableError, match="runs armeabi-v7a, .* arm64-v8a"):
        devices.open_device("android").settle(bundle, Settings())


def test_without_a_kit_it_is_said_how_to_make_one(
    bundle: Bundle, plug: Plug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug()
    monkeypatch.setenv(native.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UnavailableError, match=native.MAKE):
        devices.open_device("android").settle(bundle, Settings())


@pytest.mark.usefixtures("kit")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(unit="gpu"), "--unit gpu is not possible with the native runner(.|\n)*--runner app"),
        (Settings(unit="npu"), "--unit npu is not possible with the native runner"),
        (Settings(unit="ane"), "--unit ane"),
        (Settings(cpus=[4096]), "--cpus 4096"),
        (Settings(runtime="tflite-runtime"), "--runtime"),
    ],
)
def test_what_a_phone_cannot_honour_is_refused(
    bundle: Bundle, plug: Plug, settings: Settings, says: str
) -> None:
    plug()
    with pytest.raises(InputError, match=says):
        devices.open_device("android").settle(bundle, settings)


@pytest.mark.usefixtures("kit")
@pytest.mark.parametrize("mode", ["measure", "answer"])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("push", "the phone is gone"),
        ("run", "the phone is gone"),
        ("pull", "the phone is gone"),
        ("full", "no room"),
    ],
)
def test_a_phone_that_fails_is_explained_in_time(
    bundle: Bundle, plug: Plug, fault: str, says: str, mode: str
) -> None:
    phone = plug(fault)
    device = devices.open_device("android")
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=says):
        ask(device, bundle, mode, Settings(threads=1))
    assert time.monotonic() - start < 30
    assert gone(str(phone.temporary))
    assert fault != "full" or list(phone.temporary.iterdir()) == []


FAULTS = {
    "is killed": ("os.kill(os.getpid(), 9)", "by signal 9"),
    "fails": ("sys.exit('a reason')", "with status 1 .*a reason"),
    "prints rubbish": ("print('rubbish'); os._exit(0)", "left no result; its last output: rubbish"),
    "is cut short": ("text = text[:20]", "wrote no result"),
    "writes a list": ("text = '[]'", "wrote a list"),
    "writes nothing of use": ("text = '{}'", "wrote no (measurement|answers)"),
    "explains itself": ('text = \'{"error": "a reason"}\'', "a reason"),
    "hangs": ("time.sleep(600)", "hung"),
    "hangs deaf": ("import signal; os.kill(os.getpid(), signal.SIGSTOP)", "hung"),
}


@pytest.mark.parametrize("mode", ["measure", "answer"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_runner_that_fails_is_explained_and_gone(
    bundle: Bundle,
    plug: Plug,
    kit: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    mode: str,
) -> None:
    program, says = FAULTS[fault]
    kit(program)
    phone = plug()
    device = devices.open_device("android")
    monkeypatch.setattr(Protocol, "time_limit", 3.0 if fault.startswith("hangs") else 60.0)
    monkeypatch.setattr(results, "ANSWER_LIMIT", 0.0)
    start = time.monotonic()
    with pytest.raises(GateError, match=says):
        ask(device, bundle, mode, Settings(threads=1))
    assert time.monotonic() - start < 30
    assert gone(str(phone.temporary))
    assert list(phone.temporary.iterdir()) == []


@pytest.mark.usefixtures("kit")
def test_what_an_earlier_run_left_is_removed_and_nothing_else(bundle: Bundle, plug: Plug) -> None:
    phone = plug()
    dead = subprocess.Popen(["true"])
    dead.wait()
    left, used, other = (
        phone.temporary / name
        for name in (
            f"{android_phone.OURS}-{dead.pid}-0a",
            f"{android_phone.OURS}-{os.getpid()}-0b",
            "somebody's",
        )
    )
    for directory in (left, used, other):
        directory.mkdir()
    list(benchmark_bundles([bundle], devices.open_device("android"), Request(exactly(2))))
    assert set(phone.temporary.iterdir()) == {used, other}


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_nothing(
    bundle: Bundle,
    plug: Plug,
    kit: Callable[[str], None],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    kit("time.sleep(600)")
    phone = plug()
    options = ("--device", "android", "--queries", 2, "--records", tmp_path / "records")
    process = start_cli("bench", bundle.directory, *options)
    wait_for(lambda: running(f"{phone.temporary}/{android_phone.OURS}"), 60, while_runs=process)
    process.send_signal(number)
    assert process.wait(30) == (-9 if number == signal.SIGKILL else 130)
    assert gone(str(phone.temporary)) or number == signal.SIGKILL
    assert not (tmp_path / "records").exists()
    assert number == signal.SIGKILL or list(phone.temporary.iterdir()) == []
