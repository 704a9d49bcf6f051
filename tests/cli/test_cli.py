"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import hashlib
import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.kit.small import save_small
from tests.kit.warm import warm_python

VERBS = (
    *("run", "export", "verify", "evaluate", "bench", "tune", "devices", "demo"),
    *("sensitivity", "report", "predict", "inspect", "train"),
)


def call(
    *arguments: object, stdin: str | None = None, python: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python or warm_python(), "-m", "squeezebert_edge", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def answered(*arguments: object, stdin: str | None = None) -> Any:
    result = call(*arguments, "--json", stdin=stdin)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    return save_small(tmp_path_factory.mktemp("checkpoints") / "small", **labels)


@pytest.fixture(scope="module")
def bundle(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    result = call("export", saved, "--to", "executorch", "--lengths", "16,32", "--out", out)
    assert result.returncode == 0, result.stderr
    assert "verified" in result.stdout
    return out / "executorch-fp32"


def used_by_processes() -> float:
    """Seconds of processor time, which other work beside the tests leaves alone."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_answers_in_under_a_second() -> None:
    times = []
    for _ in range(3):
        start = used_by_processes()
        result = call("--help", python=sys.executable)
        times.append(used_by_processes() - start)
    assert result.returncode == 0
    assert all(verb in result.stdout for verb in VERBS)
    assert min(times) < 1.0


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    result = call(verb, "--help", python=sys.executable)
    assert result.returncode == 0
    assert "--json" in result.stdout


def test_importing_the_package_loads_no_runtime() -> None:
    code = "import sys, squeezebert_edge, squeezebert_edge.cli, exporters; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {
        "torch",
        "executorch",
        "coremltools",
        "litert_torch",
        "ai_edge_litert",
        "transformers",
        "sklearn",
        "scipy",
        "seqeval",
        "torchmetrics",
    }
    assert not heavy & set(loaded)


@pytest.mark.parametrize("words", [("inspect",), ("report",), ("bench", "--unit", "tpu"), ("devices",)])
def test_what_computes_nothing_loads_no_torch(bundle: Path, words: tuple[str, ...]) -> None:
    verb, *others = words
    arguments = [verb, *([] if verb == "devices" else [str(bundle)]), *others]
    code = (
        "import sys\n"
        "from squeezebert_edge.cli.commands import app\n"
        "from exporters.errors import InputError\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "except InputError as error: assert 'tpu' in str(error)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_verify_speaks_json(bundle: Path) -> None:
    (found,) = answered("verify", bundle)
    assert found["status"] == "verified"
    assert found["by"] == "runtime"
    assert found["inputs"] >= 64
    assert found["max_abs_error"] <= 1e-4 * max(1, found["max_abs_reference"])
    assert found["sqnr_db"] > 60
    assert found["agreement"] == 1.0


def test_a_gate_that_fails_exits_with_1(bundle: Path) -> None:
    result = call("verify", bundle, "--min-sqnr", 199)
    assert result.returncode == 1
    assert "below 199" in result.stderr


def test_predict_reads_arguments_files_and_stdin(bundle: Path, tmp_path: Path) -> None:
    (alone,) = answered("predict", bundle, "good film")
    assert alone["label"] in ("bad", "good")
    assert sum(alone["scores"].values()) == pytest.approx(1)
    (tmp_path / "texts").write_text("good film\nbad food\tgood\n")
    from_file = answered("predict", bundle, "--file", tmp_path / "texts")
    assert from_file[0] == alone
    assert answered("predict", bundle, stdin="good film\nbad food\tgood\n") == from_file
    assert answered("predict", bundle, "bad food", "--pair", "good") == [from_file[1]]
    assert "label" in call("predict", bundle, "good film").stdout


def test_predict_shows_what_was_asked_as_it_was_written(bundle: Path) -> None:
    asked = "a [/b] film [red]"
    assert asked in call("predict", bundle, asked).stdout
    assert answered("predict", bundle, asked)[0]["text"] == asked


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (["good", "--choice", "bad"], None, "a text-classification bundle takes no --choice"),
        (
            ["--question", "what", "--context", "good"],
            None,
            "a text-classification bundle takes no --question",
        ),
        (["good", "--doc-stride", "4"], None, "a text-classification bundle takes no --doc-stride"),
        (["--file", "absent"], None, "absent cannot be read"),
        (["--threads", "100000", "good"], None, "--threads"),
        ([], "good\na\tb\tc\n", "stdin:2: 3 texts were given"),
    ],
)
def test_predict_refuses_what_the_bundle_cannot_answer(
    bundle: Path, arguments: list[str], stdin: str | None, says: str
) -> None:
    result = call("predict", bundle, *arguments, stdin=stdin)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_run_measures_both_sides(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\ngood film\tgood\nbad\tbad\nfood\tbad\n")
    out = tmp_path / "out"
    words = (
        *("run", saved, "--data", tmp_path / "dev.tsv", "--to", "tflite", "--precision", "fp32"),
        *("--latency", "none", "--out", out),
    )
    (found,) = answered(*words)
    (row,) = found["bundles"]
    (metric,) = row["accuracy"]["metrics"]
    assert row["accuracy"]["examples"] == 3
    assert metric["artifact"] == metric["reference"]
    assert metric["low"] < metric["difference"] == 0 < metric["high"]
    assert row["verification"]["status"] == "verified"
    assert Path(row["bundle"]) == out / "tflite-fp32"
    assert row["latency"] == {}
    assert found["report"] == str(out / "report.html")
    assert json.loads((out / "report.json").read_text())["rows"][0]["accuracy"]["examples"] == 3
    again = call(*words, "--json")
    assert again.returncode == 0, again.stderr
    assert "there already: LiteRT fp32" in again.stderr
    assert "exporting" not in again.stderr
    assert json.loads(again.stdout) == found
    result = call("report", out, "--out", tmp_path / "again.md")
    assert result.returncode == 0
    assert "LiteRT fp32" in result.stdout
    assert "examples are few" in result.stderr
    assert "LiteRT fp32" in (tmp_path / "again.md").read_text()


def test_bench_leaves_records_that_report_shows(bundle: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    (found,) = answered("bench", bundle, "--queries", 12, "--length", 32, "--records", records)
    (row,) = found["records"]
    assert (row["standing"], row["queries"], row["length"]) == ("unquoted (queries)", 12, 32)
    assert row["p50 ms"] is None
    assert row["device"].startswith("host: ")
    assert [str(path) for path in records.iterdir()] == [row["record"]]
    shown = call("bench", bundle, "--queries", 3, "--records", records)
    assert shown.returncode == 0
    assert "no latency to quote: unquoted (queries)" in shown.stderr
    page = tmp_path / "report.html"
    result = call("report", records, "--format", "html", "--out", page)
    assert result.returncode == 0, result.stderr
    assert page.read_text().count("unquoted (queries)") >= 2
    (listed,) = answered("report", records)
    assert len(listed["records"]) == 2


def test_a_measurement_that_breaks_a_rule_exits_with_1(bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from squeezebert_edge.cli import main; "
        "from squeezebert_edge.latency import protocol as latency; "
        "latency.RAPID = latency.Protocol('rapid', 10**6, 0.0, 0.2, cool_down=0.0, quoted=False); "
        "sys.argv[0] = 'squeezebert-edge'; main()"
    )
    words = ["bench", bundle, "--rapid", "--records", tmp_path / "records", "--json"]
    result = subprocess.run(
        [warm_python(), "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1, result.stderr
    (row,) = json.loads(result.stdout)["records"]
    assert row["standing"] == "invalid: too slow"
    assert row["p50 ms"] is None
    assert len(list((tmp_path / "records").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--quick", "--rapid"], 2, "several of"),
        (["--unit", "gpu"], 2, "--unit gpu is not possible for a bundle of executorch on the host"),
        (["--delegate", "gpu"], 2, "write --unit gpu"),
        (["--unit", "tpu"], 2, "there is no compute unit 'tpu'"),
        (["--cpus", "one"], 2, "--cpus one"),
        (["--length", "24"], 2, "allowed: 16, 32"),
        (["--device", "toaster"], 2, "names no kind of device"),
        (["--device", "android"], 3, "adb"),
        (["--data", "absent.tsv"], 2, "absent.tsv"),
    ],
)
def test_bench_refuses_what_it_cannot_do(
    bundle: Path, tmp_path: Path, arguments: list[str], status: int, says: str
) -> None:
    result = call("bench", bundle, *arguments, "--records", tmp_path / "records")
    assert result.returncode == status
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_devices_are_listed_with_what_they_need() -> None:
    (found,) = answered("devices")
    assert found["devices"][0]["device"] == "host"
    assert "USB debugging" in call("devices").stdout


def test_run_refuses_before_the_long_work(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("of another day")
    arguments = ("run", saved, "--to", "tflite", "--precision", "fp32")
    for more in (("--out", out), ("--out", tmp_path / "new", "--report", "report.pdf")):
        result = call(*arguments, *more)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "report.html"]
    assert (out / "report.html").read_text() == "of another day"


def test_inspect_shows_a_bundle(bundle: Path) -> None:
    (found,) = answered("inspect", bundle)
    assert (found["precision"]["exact"], found["form"], found["integer_only"]) == (
        "fp32",
        "group-resident",
        False,
    )
    assert found["float_operators"]["softmax"] == 2
    shown = call("inspect", bundle)
    assert "float operators" in shown.stdout
    assert "softmax x2" in shown.stdout


def test_inspect_shows_what_a_core_ml_program_is_made_of(saved: Path, tmp_path: Path) -> None:
    result = call("export", saved, "--to", "coreml", "--lengths", "16,32", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    (found,) = answered("inspect", tmp_path / "coreml-fp32")
    assert (found["structure"]["max_rank"], found["structure"]["pointwise"]) == (4, 14)
    shown = " ".join(call("inspect", tmp_path / "coreml-fp32").stdout.split())
    assert "14 1x1 convolutions, 16 products of attention; 3 transposes, 0 reshapes" in shown


def test_int8_is_exported_with_its_meaning_and_its_doubts(saved: Path, tmp_path: Path) -> None:
    call_ = ("export", saved, "--to", "tflite", "--lengths", "16", "--min-sqnr", "1", "--out", tmp_path)
    result = call(*call_, "--precision", "int8", "--precision", "int8-static")
    assert result.returncode == 0, result.stderr
    assert "warning: calibrated on the built-in samples" in result.stderr
    assert "tflite-int8-static: head.classifier stayed in float" in result.stderr
    (found,) = answered("inspect", tmp_path / "tflite-int8")
    assert (found["precision"]["exact"], found["form"]) == ("int8-dynamic", "group-batched")
    assert "AVX-512" in found["precision"]["decided_by"]
    assert found["calibration"] is None
    (static,) = answered("inspect", tmp_path / "tflite-int8-static")
    assert static["calibration"]["rows"] == 200
    assert not static["calibration"]["learned"]


def test_an_output_that_exists_is_kept(saved: Path, bundle: Path) -> None:
    before = (bundle / "manifest.json").read_bytes()
    arguments = ("export", saved, "--to", "executorch", "--lengths", "16,32", "--out", bundle.parent)
    result = call(*arguments)
    assert result.returncode == 2
    assert "--force" in result.stderr
    assert (bundle / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", "onnx"], "allowed: executorch, coreml, tflite"),
        (["--to", "executorch", "--precision", "int16x8"], "allowed: fp32, fp16"),
        (["--precision", "int3"], "has no precision 'int3'"),
        (["--max-drop", "0.3"], "--max-drop is given without --data"),
        (["--data", "dev.tsv"], "--data is given without --max-drop"),
        (
            ["--calibration", "texts.txt"],
            "texts.txt is calibration data, but no precision asked for is calibrated",
        ),
        (["--precision", "int8-static", "--calibration", "absent.txt"], "absent.txt cannot be read"),
        (["--form", "round"], "unknown form 'round'"),
        (["--lengths", "0"], "from 4 to 64"),
        (["--lengths", "65"], "max_position_embeddings"),
        (["--lengths", "32,16"], "unsorted"),
        (["--lengths", "16,16"], "doubled"),
        (["--lengths", "some"], "numbers separated by commas"),
        (["--lengths", "every:some"], "numbers separated by commas"),
        (["--lengths", "every:8,16"], "several steps"),
        (["--lengths", "every:0"], "every 0 tokens is no step\nallowed: 1 to 64"),
        (["--lengths", "every:65"], "1 to 64, the longest length"),
        (["--task", "translation"], "there is no head named 'translation'"),
        (["--ios", "16"], "17"),
    ],
)
def test_a_wrong_call_writes_nothing(saved: Path, tmp_path: Path, arguments: list[str], says: str) -> None:
    result = call("export", saved, *arguments, "--out", tmp_path / "out")
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_is_none_is_explained(tmp_path: Path) -> None:
    result = call("export", tmp_path / "absent", "--to", "executorch")
    assert result.returncode == 2
    assert "absent" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_checkpoint_that_moved_can_be_named(bundle: Path, saved: Path, tmp_path: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    moved = tmp_path / "bundle"
    moved.mkdir()
    for file in bundle.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    manifest["source"]["checkpoint"] = str(tmp_path / "gone")
    (moved / "manifest.json").write_text(json.dumps(manifest))
    seal = hashlib.sha256((moved / "manifest.json").read_bytes()).hexdigest()
    (moved / "manifest.sha256").write_text(seal)
    result = call("verify", moved)
    assert result.returncode == 2
    assert "--checkpoint" in result.stderr
    assert call("verify", moved, "--checkpoint", saved).returncode == 0
    result = call("verify", moved, "--checkpoint", save_small(tmp_path / "other"))
    assert result.returncode == 2
    assert "not the checkpoint" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_no_half_bundle(saved: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "squeezebert_edge", "export", saved, "--to", "executorch", "--out", out]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out.exists() and any(out.iterdir())):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert list(out.iterdir()) == []
