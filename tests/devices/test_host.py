"""Measuring on this computer: bundles give whole records; a process that fails is explained and gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.errors import GateError, InputError, UnavailableError
from squeezebert_edge import devices
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import JOB, RESULT, results
from squeezebert_edge.devices.python import machine, worker
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import QUICK, Protocol, exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from tests.kit.devices import sample_rows
from tests.kit.processes import needs_proc, running, start_cli, wait_for
from tests.kit.records import run, samples

ROOT = Path(__file__).parents[2]
LENGTHS = (16, 32)
FORMATS = ("tflite", "executorch")


@pytest.mark.parametrize("name", FORMATS)
def test_the_host_measures_a_bundle_whole(bundles: Mapping[str, Bundle], name: str) -> None:
    settings = Settings(threads=1, cpus=[min(os.sched_getaffinity(0))])
    request = Request(exactly(24), settings, repeat=1)
    (found,) = benchmark_bundles([bundles[name]], devices.open_device("host"), request)
    assert (found.validity.valid, found.quotable, found.emulated) == (True, False, False)
    assert len(found.samples.latency_ns) == 24
    assert set(found.samples.length) <= set(LENGTHS)
    assert found.device.kind == "host"
    assert found.runtime.name in ("litert", "executorch")
    assert found.before.allowed_cpus == found.settings.cpus == settings.cpus
    assert found.cold_start.unknown == {}
    assert min(found.cold_start.process_ns, found.cold_start.load_ns) > 0  # type: ignore[type-var]
    assert set(found.cold_start.first_ns or ()) == set(found.samples.length)
    assert [warmed.length for warmed in found.warm_up] == sorted(set(found.samples.length))
    assert found.memory.growth_bytes is None or found.memory.growth_bytes > 0
    assert found.tokenization.statistics.count == found.texts.texts
    assert (found.settings.threads, found.bundle.format) == (1, name)


@pytest.mark.parametrize("name", FORMATS)
def test_the_host_answers_what_the_bundle_does(bundles: Mapping[str, Bundle], name: str) -> None:
    rows = sample_rows(bundles[name], 6)
    device = Host()
    answers = device.answer(bundles[name], rows, device.settle(bundles[name], Settings()), silent)
    runner = bundles[name].load_runner()
    for row, answer in zip(rows, answers, strict=True):
        for output, expected in runner(row).items():
            np.testing.assert_array_equal(answer[output], expected)


def test_a_length_is_for_every_text(bundle: Bundle) -> None:
    request = Request(exactly(4), Settings(length=32))
    (found,) = benchmark_bundles([bundle], Host(), request)
    assert set(found.samples.length) == {32}
    with pytest.raises(InputError, match="allowed: 16, 32"):
        list(benchmark_bundles([bundle], Host(), Request(exactly(4), Settings(length=24))))


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("tflite", Settings(unit="gpu"), "--unit gpu is not possible for a bundle of tflite on the host"),
        ("tflite", Settings(unit="npu:SM8650"), "--unit npu:SM8650(.|\n)*`verify --unit` proves them here"),
        ("executorch", Settings(unit="ane"), "--unit ane"),
        ("tflite", Settings(cpus=[4096]), "--cpus 4096"),
        ("executorch", Settings(runtime="tflite-runtime"), "--runtime"),
        ("tflite", Settings(runtime="onnx"), "--runtime onnx is not known"),
    ],
)
def test_what_the_host_cannot_honour_is_refused(
    bundles: Mapping[str, Bundle], name: str, settings: Settings, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        Host().settle(bundles[name], settings)


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML is here")
def test_core_ml_is_not_measured_off_the_mac(bundle: Bundle) -> None:
    manifest = bundle.manifest.model_copy(update={"format": "coreml"})
    with pytest.raises(UnavailableError, match="macOS"):
        Host().settle(Bundle(bundle.directory, manifest), Settings())


FAULTS = {
    "dies": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "by signal 9"),
    "fails": ("raise SystemExit('a reason')", "with status 1 .*a reason"),
    "says nothing": ("print('rubbish')", "left no result; its last output: rubbish"),
    "writes rubbish": ("(d / 'result.json').write_bytes(b'\\xff{')", "wrote no result"),
    "writes a list": ("(d / 'result.json').write_text('[]')", "wrote a list"),
    "is cut short": ("(d / 'result.json').write_text('{\"device\": {')", "wrote no result"),
    "measures nothing": ("(d / 'result.json').write_text('{}')", "wrote no (measurement|answers)"),
    "says a strange error": ("(d / 'result.json').write_text('{\"error\": {}}')", "wrote no result"),
    "hangs": ("import time; time.sleep(600)", "hung"),
}


@pytest.mark.parametrize("mode", ["measure", "answer"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_process_that_fails_is_explained_and_gone(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, mode: str
) -> None:
    program, says = FAULTS[fault]
    note = tmp_path / "pid"
    code = (
        "import os, sys, pathlib; d = pathlib.Path(sys.argv[1]); "
        f"pathlib.Path({str(note)!r}).write_text(f'{{os.getpid()}} {{d}}'); {program}"
    )
    monkeypatch.setattr(Protocol, "time_limit", 2.0 if fault == "hangs" else 60.0)
    monkeypatch.setattr(results, "ANSWER_LIMIT", 0.0)
    device = Host([sys.executable, "-c", code])
    start = time.monotonic()
    with pytest.raises(GateError, match=says):
        if mode == "measure":
            device.measure(bundle, sample_rows(bundle, 6), exactly(2), Settings(threads=1), silent)
        else:
            device.answer(bundle, sample_rows(bundle, 6), Settings(threads=1), silent)
    assert time.monotonic() - start < 30
    pid, directory = note.read_text().split()
    assert not Path(directory).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_damaged_artifact_is_the_user_s_to_know(bundle: Bundle, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle.directory, damaged)
    (damaged / "model.tflite").write_bytes(b"no model")
    with pytest.raises(InputError, match="cannot run it"):
        Host().measure(
            Bundle(damaged, bundle.manifest), sample_rows(bundle, 6), exactly(2), Settings(threads=1), silent
        )


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_no_process_and_no_record(
    bundle: Bundle, tmp_path: Path, number: signal.Signals
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    options = ("--queries", 10**7, "--records", tmp_path / "records")
    process = start_cli("bench", bundle.directory, *options, TMPDIR=str(temporary))
    wait_for(lambda: running(f"{worker.__name__} {temporary}"), 60, while_runs=process)
    process.send_signal(number)
    assert process.wait(30) == (-9 if number == signal.SIGKILL else 130)
    wait_for(lambda: not running(str(temporary)))
    assert not (tmp_path / "records").exists()
    assert number == signal.SIGKILL or list(temporary.iterdir()) == []


def test_the_worker_needs_its_files_and_the_runtime_only(bundle: Bundle, tmp_path: Path) -> None:
    """So that it can be copied to a board: no torch, no pydantic, none of our other files."""
    for name in worker.FILES:
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "copy" / name)
    manifest = bundle.manifest
    outputs = [output.name for output in manifest.outputs]
    settings = Settings(threads=1).model_dump()
    protocol = {"name": "queries", "queries": 3, "seconds": 0, "most_seconds": None}
    job = worker.job_of(
        bundle.artifact, manifest.format, manifest.entry_points, outputs, sample_rows(bundle, 6), settings,
        protocol | {"cool_down": 0, "quoted": False},
    )  # fmt: skip
    (tmp_path / JOB).write_text(json.dumps(job))
    code = (
        f"import sys, runpy; sys.path[0] = {str(tmp_path / 'copy')!r}; sys.argv = ['', {str(tmp_path)!r}]\n"
        f"runpy.run_module({worker.__name__!r}, run_name='__main__')\n"
        "print(*{'torch', 'pydantic', 'typer', 'tokenizers', 'scipy'} & set(sys.modules))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.read()
    assert said.splitlines() == [""], said
    result = json.loads((tmp_path / RESULT).read_text())
    assert len(result["samples"]["latency_ns"]) == 3
    assert result["cold_start"]["process_ns"] is None
    assert result["cold_start"]["unknown"]["process_ns"]


def test_without_a_device_it_is_said_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MAC", False)
    for named in ("ios", "ios:some"):
        with pytest.raises(UnavailableError, match="needs"):
            devices.open_device(named)
    with pytest.raises(InputError, match=r"allowed: host, ssh:USER@HOST\[:PORT\], android\[:SERIAL\]"):
        devices.open_device("toaster")
    with pytest.raises(InputError, match="host:there"):
        devices.open_device("host:there")
    listed = {listing.device: listing for listing in devices.list_devices()}
    assert listed["host"].needs is None
    assert set(FORMATS) <= set(listed["host"].runs)
    assert listed["android[:SERIAL]"].needs


class Slow(Host):
    """Runs whose medians are as told, in milliseconds, without measuring."""

    def __init__(self, *medians: int) -> None:
        super().__init__()
        self.medians = list(medians)

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Any],
        protocol: Protocol,
        settings: Settings,
        progress: Any,
    ) -> record.Run:
        return run(samples([1_000_000 * self.medians.pop(0)] * 4))


def test_repeated_runs_rest_between_them_and_must_agree(bundle: Bundle) -> None:
    rested: list[float] = []
    protocol = Protocol("queries", 4, 0.0, None, cool_down=2.5, quoted=False)
    request = Request(protocol, repeat=3)
    found = list(benchmark_bundles([bundle], Slow(100, 104, 105), request, sleep=rested.append))
    assert [each.repeat.index for each in found] == [1, 2, 3]
    assert all(each.validity.valid for each in found)
    assert rested == [1.0, 1.0, 0.5] * 2
    found = list(benchmark_bundles([bundle], Slow(100, 104, 106), request, sleep=rested.append))
    assert {each.validity.rule for each in found} == {
        "repeat: medians differ by 6.0%, more than 5%",
    }
    assert len({each.id for each in found}) == 3


def test_two_bundles_rest_between_them(bundle: Bundle) -> None:
    rested: list[float] = []
    protocol = Protocol("queries", 4, 0.0, None, cool_down=1.0, quoted=False)
    found = list(benchmark_bundles([bundle, bundle], Slow(9, 20), Request(protocol), sleep=rested.append))
    assert [each.validity.valid for each in found] == [True, True]
    assert rested == [1.0]


def test_too_slow_is_invalid(bundle: Bundle) -> None:
    (found,) = benchmark_bundles([bundle], Slow(9), Request(QUICK))
    assert found.standing == "invalid: too slow"


def test_facts_that_are_not_there_have_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MAC", False)
    monkeypatch.setattr(machine, "SYSTEM", tmp_path / "sys")
    monkeypatch.setattr(machine, "PROCESSES", tmp_path / "proc")
    found = record.State.model_validate(machine.state())
    assert found.battery is found.temperatures_c is found.governors is None
    assert all(found.unknown.values())
    described = record.Device.model_validate({"kind": "host", **machine.describe()})
    assert described.memory_bytes is None
    assert machine.resident() == {"now": None, "most": None}


def test_a_board_s_facts_are_read_where_linux_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "48500",
        "sys/class/power_supply/BAT0/type": "Battery",
        "sys/class/power_supply/BAT0/capacity": "81",
        "sys/class/power_supply/BAT0/status": "Discharging",
        "sys/firmware/acpi/platform_profile": "low-power",
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
        "proc/cpuinfo": "processor : 0\nCPU part : 0xd0b\n",
        "proc/meminfo": "MemTotal:        8000000 kB\n",
    }
    for cpu, capacity in enumerate((446, 446, 1024)):
        directory = f"sys/devices/system/cpu/cpu{cpu}"
        files |= {
            f"{directory}/cpu_capacity": str(capacity),
            f"{directory}/cpufreq/scaling_governor": "schedutil",
            f"{directory}/cpufreq/scaling_cur_freq": "1800000",
        }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    monkeypatch.setattr(machine, "MAC", False)
    monkeypatch.setattr(machine, "SYSTEM", tmp_path / "sys")
    monkeypatch.setattr(machine, "PROCESSES", tmp_path / "proc")
    found = record.State.model_validate(machine.state())
    assert found.temperatures_c == {"cpu-thermal (0)": 48.5}
    assert (found.battery, found.charging, found.low_power_mode) == (0.81, False, True)
    assert (found.governors, found.frequencies_mhz) == (["schedutil"] * 3, [1800.0] * 3)
    described = machine.describe()
    assert described["clusters"] == [[2], [0, 1]]
    assert (described["name"], described["soc"]) == ("Raspberry Pi 5 Model B Rev 1.0", "brcm,bcm2712")
    assert described["memory_bytes"] == 8_192_000_000
