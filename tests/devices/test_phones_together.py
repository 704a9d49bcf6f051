"""Several phones measured at once, and Google's tool beside ours: records as they come, failures said."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exporters.errors import GateError, InputError
from squeezebert_edge import devices
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.cli.commands import app
from squeezebert_edge.latency import record
from tests.fakes import app as fake_app
from tests.fakes.adbd import Plug, needs_adb
from tests.kit.processes import gone, needs_proc, running, start_cli, wait_for

ROOT = Path(__file__).parents[2]

pytestmark = [needs_adb, pytest.mark.usefixtures("adb_server", "impatient")]


def bench(bundle: Bundle, records: Path, *options: object) -> Result:
    words = ["bench", str(bundle.directory), "--runner", "app", "--queries", "4", "--records", str(records)]
    return CliRunner().invoke(app, [*words, *map(str, options)])


def written(records: Path) -> list[record.Record]:
    return [record.read(path) for path in sorted(records.glob(f"*{record.SUFFIX}"))]


def after_the_other(directory: Path, mine: str, other: str) -> str:
    """A fault: nothing is answered before the other phone is at it too."""
    return f"""
open("{directory}/{mine}", "w").close()
while not os.path.exists("{directory}/{other}"):
    time.sleep(0.05)
"""


def test_phones_are_measured_at_once_and_one_that_dies_costs_the_others_nothing(
    bundles: Mapping[str, Bundle], plug: Plug, tmp_path: Path
) -> None:
    first, second, third = plug(), plug(), plug("unauthorized")
    fake_app.install(first, after_the_other(tmp_path, "first", "second"))
    fake_app.install(second, after_the_other(tmp_path, "second", "first") + "os.kill(os.getpid(), 9)")
    result = bench(bundles["tflite"], tmp_path / "records", "--device", "android:all", "--json")
    assert result.exit_code == 3, result.output
    said = json.loads(result.stdout)
    (one,) = written(tmp_path / "records")
    assert [each["id"] for each in said["records"]] == [one.id]
    failures = {failure["device"]: failure["error"] for failure in said["failures"]}
    assert failures.keys() == {f"android:{second.serial}", f"android:{third.serial}"}
    assert "the app died" in failures[f"android:{second.serial}"]
    assert "allow this computer" in failures[f"android:{third.serial}"]
    for serial in (second.serial, third.serial):
        assert f"android:{serial}:" in result.stderr
    assert f"android:{first.serial}: tflite-fp32: pushing" in result.stderr
    assert fake_app.left(first) == fake_app.left(second) == []


def test_the_worst_of_several_decides(bundles: Mapping[str, Bundle], plug: Plug, tmp_path: Path) -> None:
    first, second = plug(), plug()
    fake_app.install(first, "")
    fake_app.install(second, "")
    result = bench(bundles["tflite"], tmp_path / "good", "--device", "android:all")
    assert result.exit_code == 0, result.output
    assert len(written(tmp_path / "good")) == 2
    fake_app.break_(second, "text = 'rubbish'")
    result = bench(bundles["tflite"], tmp_path / "bad", "--device", "android:all")
    assert (result.exit_code, len(written(tmp_path / "bad"))) == (1, 1)


def test_one_phone_is_wanted_where_answers_are(plug: Plug) -> None:
    phone = plug()
    with pytest.raises(InputError, match=f"android:all(.|\\n)*{phone.serial}"):
        devices.open_device("android:all", "app")


@needs_proc
def test_an_interruption_leaves_nothing_on_any_phone(
    bundles: Mapping[str, Bundle], plug: Plug, tmp_path: Path
) -> None:
    phones = [plug(), plug()]
    for phone in phones:
        fake_app.install(phone, "time.sleep(600)")
    options = ("--runner", "app", "--queries", 2, "--records", tmp_path / "records")
    process = start_cli("bench", bundles["tflite"].directory, "--device", "android:all", *options)
    markers = [f"{fake_app.__name__} {phone.root}" for phone in phones]
    wait_for(lambda: all(running(marker) for marker in markers), 60, while_runs=process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    for phone in phones:
        assert gone(str(phone.root))
        assert fake_app.left(phone) == []


TOOL = """#!/bin/sh
echo "$@" >"$0.asked"; cp "$0.asked" {asked}
{does}
"""
SAYS = "echo 'Inference timings in us: Init: 9, First inference: 8, Warmup (avg): 7, Inference (avg): {}'"


@pytest.fixture
def tool(tmp_path: Path) -> Callable[[str], Path]:
    def made(does: str) -> Path:
        path = tmp_path / "android_aarch64_benchmark_model"
        path.write_text(TOOL.format(asked=tmp_path / "asked", does=does))
        return path

    return made


@pytest.mark.parametrize(("number", "mean"), [("1234.5", 1_234_500.0), ("1.24027e+06", 1_240_270_000.0)])
def test_google_s_tool_is_kept_beside(
    bundles: Mapping[str, Bundle], plug: Plug, tool: Callable[[str], Path],
    tmp_path: Path, number: str, mean: float,
) -> None:  # fmt: skip
    phone = plug()
    fake_app.install(phone, "")
    program = tool(SAYS.format(number))
    options = ("--device", "android", "--threads", 3, "--benchmark-model", program)
    result = bench(bundles["tflite"], tmp_path / "records", *options)
    assert result.exit_code == 0, result.output
    (found,) = written(tmp_path / "records")
    (foreign,) = found.foreign
    assert (foreign.tool, foreign.mean_ns) == ("benchmark_model", mean)
    length = max(found.samples.length)
    assert foreign.note == f"random inputs, mean only; at {length} tokens"
    assert f"benchmark_model: {mean / 1e6:.3g} ms (random inputs, mean only" in result.stderr
    asked = (tmp_path / "asked").read_text().split()
    signature = bundles["tflite"].manifest.entry_points[length]
    assert {"--num_threads=3", f"--signature_to_run_for={signature}"} <= set(asked)
    assert list(phone.temporary.iterdir()) == []


def test_google_s_tool_is_asked_for_a_gpu_without_threads(
    bundles: Mapping[str, Bundle], plug: Plug, tool: Callable[[str], Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    fake_app.install(plug(), "")
    options = ("--device", "android", "--unit", "gpu", "--benchmark-model", tool(SAYS.format("7")))
    result = bench(bundles["tflite"], tmp_path / "records", *options)
    assert result.exit_code == 0, result.output
    (found,) = written(tmp_path / "records")
    assert (found.settings.unit, found.settings.threads) == ("gpu", None)
    assert "leaves to the CPU what it does not take" in found.foreign[0].note
    asked = (tmp_path / "asked").read_text()
    assert "--use_gpu=true" in asked
    assert "--num_threads" not in asked


def test_google_s_tool_is_asked_for_what_the_artifact_takes(
    bundles: Mapping[str, Bundle], plug: Plug, tool: Callable[[str], Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    from ai_edge_litert.interpreter import Interpreter

    fake_app.install(plug(), "")
    options = ("--device", "android", "--benchmark-model", tool(SAYS.format("7")))
    assert bench(bundles["tflite"], tmp_path / "records", *options).exit_code == 0
    flags = dict(word.split("=", 1) for word in (tmp_path / "asked").read_text().split())
    interpreter = Interpreter(str(bundles["tflite"].artifact))
    signature = flags["--signature_to_run_for"]
    inputs = interpreter.get_signature_runner(signature).get_input_details().values()
    ordered = sorted(inputs, key=lambda detail: detail["index"])
    assert flags["--input_layer"] == ",".join(detail["name"] for detail in ordered)
    assert flags["--input_layer_shape"] == ":".join(f"1,{detail['shape'][1]}" for detail in ordered)
    ranges = {
        item.split(",")[0]: item.split(",")[1:] for item in flags["--input_layer_value_range"].split(":")
    }
    assert ranges == {f"{signature}_attention_mask": ["1", "1"], f"{signature}_token_type_ids": ["0", "0"]}


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (
            "echo 'ERROR: Failed to load the model'; exit 1",
            "status 1 and gave no mean; its last output: ERROR: Failed",
        ),
        ("echo nothing of use", "status 0 and gave no mean; its last output: nothing of use"),
        ("kill -9 $$", "status 137"),
    ],
)
def test_our_record_is_kept_where_google_s_tool_fails(
    bundles: Mapping[str, Bundle], plug: Plug, tool: Callable[[str], Path],
    tmp_path: Path, does: str, says: str,
) -> None:  # fmt: skip
    phone = plug()
    fake_app.install(phone, "")
    options = ("--device", "android", "--benchmark-model", tool(does))
    result = bench(bundles["tflite"], tmp_path / "records", *options)
    assert result.exit_code == GateError.exit_code
    assert says in " ".join(result.stderr.split())
    (found,) = written(tmp_path / "records")
    assert found.bundle.name in result.stdout  # shown all the same
    assert found.validity.valid
    assert found.foreign == []
    assert list(phone.temporary.iterdir()) == []


def test_google_s_tool_where_it_cannot_be(
    bundles: Mapping[str, Bundle], plug: Plug, tool: Callable[[str], Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    fake_app.install(plug(), "")
    program = tool("exit 0")
    for format_, file, options, says in (
        ("executorch", program, ("--device", "android"), "a bundle of executorch"),
        ("tflite", tmp_path / "absent", ("--device", "android"), "there is no such file"),
        ("tflite", program, ("--device", "host", "--runner", "python"), "runs on Android only"),
    ):
        result = bench(bundles[format_], tmp_path / "records", *options, "--benchmark-model", file)
        assert isinstance(result.exception, InputError)
        assert says in str(result.exception)
    assert not (tmp_path / "records").exists()
