"""The Android demo's core gives Python's ids, offsets, inputs, answers and records; its own tests pass."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.cli.commands import app
from squeezebert_edge.devices import JOB, OUTPUTS, RESULT, demo_app
from squeezebert_edge.devices.results import read_answers, read_result
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.text.tokenizer import pad
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.demos.cases import DemoCases, same
from tests.demos.tokenizer_cases import as_lines
from tests.kit.small import small_checkpoint
from tests.toolchains import kotlin

Inputs = Mapping[str, Any]  # (1, length) int32 arrays by name
HOST = [sys.executable, str(Path(__file__).parents[1] / "fakes" / "host_runtime.py"), "tflite"]
ROWS = [("the film is good", 16), ("bad food, and the film of 1984 is it", 48), ("good", 16)]


class Core:
    """The compiled core in a JVM, which is slow to start and so answers everything.

    class_path: of its command line and its tests.
    """

    formats = ("tflite", "executorch")

    def __init__(self, class_path: str) -> None:
        self.class_path = class_path
        command = kotlin.java(class_path, kotlin.MAIN_CLASS, "serve")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, lines: list[Any], verb: str, *bundle: Path) -> list[Any]:
        """What the command line prints for JSON lines."""
        answers: list[Any] = self._said(lines, verb, *bundle)["answers"]
        return answers

    def refusal(self, verb: str, bundle: Path) -> str:
        """Why it does not open a bundle."""
        return str(self._said([], verb, bundle)["error"])

    def close(self) -> None:
        """End the JVM."""
        self._process.communicate()
        assert self._process.returncode == 0

    def _said(self, lines: list[Any], verb: str, *bundle: Path) -> Any:
        request = {"verb": verb, "bundle": str(*bundle), "lines": lines}
        self._process.stdin.write(as_lines([request]).encode())
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def run(self, *arguments: str | Path, stdin: str = "") -> str:
        """What another JVM prints."""
        command = kotlin.java(self.class_path, kotlin.MAIN_CLASS, *map(str, arguments))
        done = subprocess.run(command, input=stdin.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Core]:
    """Compiled once, whatever the number of processes the tests run in."""
    if not kotlin.has_jdk():
        pytest.skip(f"Kotlin: {kotlin.JDK_HINT}")
    base = tmp_path_factory.getbasetemp()
    shared_base = base if worker_id == "master" else base.parent
    out = shared_base / f"kotlin-{kotlin.sources_hash()}"
    with (shared_base / "kotlin.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "path").exists():
            path = kotlin.compile_core(out, tests=True)
            (out / "path").write_text(path)
    found = Core((out / "path").read_text())
    yield found
    found.close()


class TestCore(DemoCases):
    """The cases of both demos."""

    @pytest.fixture
    def demo(self, core: Core) -> Core:
        return core


def test_its_own_tests_pass(core: Core) -> None:
    sources = (kotlin.SOURCES / "test").rglob("*Test.kt")
    names = [f"io.squeezebert.edge.{path.stem}" for path in sorted(sources)]
    command = kotlin.java(core.class_path, "org.junit.runner.JUnitCore", *names)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"OK \(\d{2,} tests\)", done.stdout)


def exported(architecture: str, out: Path, lengths: tuple[int, ...]) -> Bundle:
    """A bundle that a runtime on this machine computes."""
    pytest.importorskip("ai_edge_litert")
    checkpoint = small_checkpoint(architecture, num_hidden_layers=1)
    (bundle,) = export_bundles(checkpoint, Plan([("tflite", "fp32")], lengths), out)
    return bundle


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return exported("SqueezeBertForSequenceClassification", tmp_path_factory.mktemp("classifier"), (16, 48))


PREDICTED = {
    "SqueezeBertForTokenClassification": [["The \U0001f600 film is goodish, l\u00e0-bas"], ["bad"]],
    "SqueezeBertForQuestionAnswering": [
        ["what is good?", "The film: \U0001f600 is good and bad food of 1984. " * 4],
        ["is", "it"],
    ],
}


def predicted_alike(core: Core, bundle: Bundle, asked: list[list[str]], lines: Path) -> None:
    """`predict` of the core, its logits from a runtime in another process, gives what Python's does."""
    stdin = as_lines([{"texts": texts} for texts in asked])
    printed = core.run("predict", bundle.directory, *HOST, stdin=stdin)
    found = [json.loads(line) for line in printed.splitlines()]
    assert len(found) == len(asked)
    lines.write_text("".join("\t".join(texts) + "\n" for texts in asked))
    said = CliRunner().invoke(app, ["predict", str(bundle.directory), "--file", str(lines), "--json"])
    expected = [json.loads(line) for line in said.stdout.splitlines()]
    for answer, pythons in zip(found, expected, strict=True):
        same(answer, {name: value for name, value in pythons.items() if name not in ("text", "truncated")})


def test_texts_and_pairs_become_what_predict_answers(core: Core, classifier: Bundle, tmp_path: Path) -> None:
    asked = [["The film is good, bad?"], ["good film", "b\u00e4d f\u00f6\u00f6d"], ["the film " * 40]]
    predicted_alike(core, classifier, asked, tmp_path / "lines")


@pytest.mark.parametrize("architecture", PREDICTED)
def test_a_text_becomes_what_predict_answers(core: Core, architecture: str, tmp_path: Path) -> None:
    bundle = exported(architecture, tmp_path, (32,))
    predicted_alike(core, bundle, PREDICTED[architecture], tmp_path / "lines")


def job(bundle: Bundle, directory: Path, protocol: Protocol | None) -> list[Inputs]:
    """A job as a phone's app is given it, and its rows."""
    tokenizer = bundle.tokenizer
    pad_id = tokenizer.special_ids["pad"]
    rows = [pad(tokenizer.encode(text, max_length=length), length, pad_id) for text, length in ROWS]
    shutil.copytree(bundle.directory, directory / demo_app.BUNDLE)
    (directory / JOB).write_text(demo_app.job_of(rows, record.Settings(threads=1), protocol))
    return rows


def test_a_job_to_measure_is_a_run_of_python(core: Core, classifier: Bundle, tmp_path: Path) -> None:
    job(classifier, tmp_path, exactly(25))
    core.run("job", tmp_path, *HOST)
    result = json.loads((tmp_path / "result.json").read_text())
    run = record.Run.model_validate(result["run"])
    assert (run.runtime.name, run.runtime.runner) == ("litert", "app")
    assert run.samples.length[:4] == (16, 48, 16, 16)
    assert len(run.samples.latency_ns) == 25
    assert list(run.cold_start.first_ns or {}) == [warmed.length for warmed in run.warm_up] == [16, 48]
    assert "process_ns" in run.cold_start.unknown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "job.json", "result.json"]


def test_a_job_to_answer_gives_what_the_runtime_computes(
    core: Core, classifier: Bundle, tmp_path: Path
) -> None:
    rows = job(classifier, tmp_path, None)
    core.run("job", tmp_path, *HOST)
    result = read_result(tmp_path / RESULT, demo_app.WRITER)
    found = read_answers(tmp_path / OUTPUTS, result, classifier, len(rows), demo_app.WRITER)
    runner = classifier.load_runner()
    for row, outputs in zip(rows, found, strict=True):
        np.testing.assert_allclose(outputs["logits"], runner(row)["logits"], rtol=1e-6, atol=1e-6)


def test_a_job_that_cannot_be_done_says_why(core: Core, classifier: Bundle, tmp_path: Path) -> None:
    job(classifier, tmp_path, None)
    (tmp_path / "bundle" / "vocab.txt").unlink()
    core.run("job", tmp_path, *HOST)
    assert "missing: vocab.txt" in json.loads((tmp_path / "result.json").read_text())["error"]
    assert not (tmp_path / "outputs.bin").exists()
