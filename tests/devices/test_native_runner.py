"""The native runner, compiled for this machine against the installed wheels, does what Python does."""

from __future__ import annotations

import importlib.util
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.errors import GateError
from exporters.units import CPU_FP16
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import OUTPUTS, RESULT, native
from squeezebert_edge.devices.command import Finished
from squeezebert_edge.devices.results import read_answers, read_result
from squeezebert_edge.latency.protocol import TOO_SLOW, Protocol, Samples, broken_rule, exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.devices import sample_rows
from tests.kit.small import small_checkpoint

LENGTHS = (16, 32)
PROGRAMS = {"tflite": "runner_litert", "executorch": "runner_executorch"}

pytestmark = [
    pytest.mark.skipif(
        shutil.which("cmake") is None or shutil.which("g++") is None,
        reason="needs CMake and a compiler (Debian: apt-get install cmake g++)",
    ),
    pytest.mark.skipif(platform.system() != "Linux", reason="links the wheels' libraries for Linux"),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("build")
    places = {}
    for package in ("executorch", "ai_edge_litert"):
        found = importlib.util.find_spec(package)
        assert found
        assert found.submodule_search_locations
        places[package] = found.submodule_search_locations[0]
    for command in (
        ["cmake", "-S", str(Path(native.__file__).parent), "-B", str(build), "-DCMAKE_CXX_FLAGS=-Werror",
         f"-DEXECUTORCH={places['executorch']}", f"-DLITERT={places['ai_edge_litert']}"],
        ["cmake", "--build", str(build)],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return build


def ran(
    program: Path,
    bundle: Bundle,
    directory: Path,
    rows: Sequence[Any],
    protocol: Protocol | None,
    unit: str = "cpu",
) -> dict[str, Any]:
    job = native.job_of(bundle, rows, Settings(threads=1, unit=unit), protocol)
    (directory / native.JOB).write_text(job)
    shutil.copy(bundle.artifact, directory)
    with subprocess.Popen(
        [program, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        said = process.stdout.read()
        status = process.wait(60)
    return read_result(directory / RESULT, native.WRITER, Finished(status, said))


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_answers_as_python_does(
    programs: Path, bundles: Mapping[str, Bundle], tmp_path: Path, name: str
) -> None:
    bundle = bundles[name]
    rows = sample_rows(bundle, 6)
    result = ran(programs / PROGRAMS[name], bundle, tmp_path, rows, None)
    answers = read_answers(tmp_path / OUTPUTS, result, bundle, len(rows), native.WRITER)
    runner = bundle.load_runner()
    for row, answer in zip(rows, answers, strict=True):
        for output, expected in runner(row).items():
            np.testing.assert_allclose(answer[output], expected, rtol=0, atol=1e-6)


def test_it_answers_in_float16_as_python_does(programs: Path, tmp_path: Path) -> None:
    plan = Plan([("tflite", "fp32")], LENGTHS, units=[CPU_FP16])
    (bundle,) = export_bundles(small_checkpoint(num_hidden_layers=1), plan, tmp_path / "out")
    rows = sample_rows(bundle, 4)
    result = ran(programs / PROGRAMS["tflite"], bundle, tmp_path, rows, None, "cpu-fp16")
    runner = bundle.load_runner(unit=CPU_FP16)
    for row, answer in zip(
        rows, read_answers(tmp_path / OUTPUTS, result, bundle, len(rows), native.WRITER), strict=True
    ):
        for output, expected in runner(row).items():
            np.testing.assert_array_equal(answer[output], expected)


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_not_computed_in_float16_is_an_explained_error(
    programs: Path, bundles: Mapping[str, Bundle], tmp_path: Path, name: str
) -> None:
    rows = sample_rows(bundles[name], 2)
    with pytest.raises(GateError, match="LiteRT status|computes in the file's own types alone"):
        ran(programs / PROGRAMS[name], bundles[name], tmp_path, rows, None, "cpu-fp16")


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_measures_by_the_protocol(
    programs: Path, bundles: Mapping[str, Bundle], tmp_path: Path, name: str
) -> None:
    bundle = bundles[name]
    rows = sample_rows(bundle, 6)
    lengths = [row["input_ids"].shape[1] for row in rows]
    protocol = Protocol("short", 30, 0.2, 5.0, cool_down=0.0, quoted=False)
    result = ran(programs / PROGRAMS[name], bundle, tmp_path, rows, protocol)
    samples = Samples(**{name: tuple(values) for name, values in result["samples"].items()})
    assert broken_rule(protocol, samples) is None
    assert len(samples.row) >= 30
    assert list(samples.row) == [index % len(rows) for index in range(len(samples.row))]
    assert list(samples.length) == [lengths[row] for row in samples.row]
    assert [warm["length"] for warm in result["warm_up"]] == sorted(set(lengths))
    assert all(warm["queries"] <= 30 for warm in result["warm_up"])
    assert set(result["cold_start"]["first_ns"]) == {str(length) for length in lengths}
    assert result["memory"]["peak_bytes"] > result["memory"]["baseline_bytes"]


def test_a_device_too_slow_stops_in_time(
    programs: Path, bundles: Mapping[str, Bundle], tmp_path: Path
) -> None:
    rows = sample_rows(bundles["tflite"], 2)
    protocol = Protocol("short", 10**9, 0.1, 0.3, cool_down=0.0, quoted=False)
    result = ran(programs / "runner_litert", bundles["tflite"], tmp_path, rows, protocol)
    samples = Samples(**{name: tuple(values) for name, values in result["samples"].items()})
    assert broken_rule(protocol, samples) == TOO_SLOW


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_damaged_artifact_is_an_explained_error(
    programs: Path, bundles: Mapping[str, Bundle], tmp_path: Path, name: str
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundles[name].directory, damaged)
    bundle = Bundle(damaged, bundles[name].manifest)
    bundle.artifact.write_bytes(b"no model")
    rows = sample_rows(bundles[name], 1)
    with pytest.raises(GateError, match="the runner failed: .*(LiteRT status|ExecuTorch error)"):
        ran(programs / PROGRAMS[name], bundle, tmp_path, rows, None)
    assert "error" in json.loads((tmp_path / RESULT).read_text())


def test_it_ends_with_the_computer_that_started_it(
    programs: Path, bundles: Mapping[str, Bundle], tmp_path: Path
) -> None:
    rows = sample_rows(bundles["tflite"], 2)
    job = native.job_of(bundles["tflite"], rows, Settings(threads=1), exactly(10**9))
    (tmp_path / native.JOB).write_text(job)
    shutil.copy(bundles["tflite"].artifact, tmp_path)
    with subprocess.Popen([programs / "runner_litert", tmp_path], stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 75
    assert not (tmp_path / RESULT).exists()
