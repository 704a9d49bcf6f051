"""The Android demo's core gives Python's ids, offsets, inputs and answers; its own tests pass."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any

import numpy as np
import pytest
import unicode_tables

from squeezebert_edge import accuracy, pipeline, tasks
from squeezebert_edge.bundle import open_bundle
from squeezebert_edge.pipeline import Plan
from squeezebert_edge.text import Tokenizer
from squeezebert_edge.vocabulary import read_vocab
from tests import kotlin, tokenizer_cases
from tests.small import TorchRunner, small_checkpoint
from tests.tokenizer_cases import Case, as_lines, write_bundle

ROOT = Path(__file__).parents[1]
LENGTHS = (16, 48)
FIXED, FRESH = 14_000, 7_000  # strings drawn from a seed that never changes, and from a new one


@dataclass(frozen=True)
class Core:
    """Compiled core: class paths of its command line and of its tests."""

    commands: str
    tests: str

    def ask(self, verb: str, bundle: Path, lines: list[Any]) -> list[Any]:
        """What the command line prints for JSON lines."""
        command = kotlin.java(self.commands, kotlin.MAIN_CLASS, verb, str(bundle))
        done = subprocess.run(command, input=as_lines(lines).encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Core:
    """Compiled once, whatever the number of processes the tests run in."""
    if not kotlin.has_jdk():
        pytest.skip(f"Kotlin: {kotlin.JDK_HINT}")
    base = tmp_path_factory.getbasetemp()
    shared_base = base if worker_id == "master" else base.parent
    out = shared_base / f"kotlin-{kotlin.sources_hash()}"
    with (shared_base / "kotlin.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "paths.json").exists():
            commands = kotlin.compile_core(out)
            paths = [commands, kotlin.compile_tests(out, commands)]
            (out / "paths.json").write_text(json.dumps(paths))
        return Core(*json.loads((out / "paths.json").read_text()))


def test_the_unicode_tables_are_those_of_the_installed_tokenizers() -> None:
    for path, content in unicode_tables.files().items():
        assert (ROOT / path).read_text(encoding="ascii") == content, (
            f"{path} is not what tests/unicode_tables.py writes"
        )


def test_its_own_tests_pass(core: Core) -> None:
    sources = (kotlin.SOURCES / "test").rglob("*Test.kt")
    names = [f"io.squeezebert.edge.{path.stem}" for path in sorted(sources)]
    command = kotlin.java(core.tests, "org.junit.runner.JUnitCore", *names)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"OK \(\d{2,} tests\)", done.stdout)


@pytest.mark.parametrize(
    ("seed", "count"), [(0, FIXED), (SystemRandom().getrandbits(32), FRESH)], ids=["fixed", "fresh"]
)
def test_ids_token_types_and_offsets_are_pythons(core: Core, tmp_path: Path, seed: int, count: int) -> None:
    print(f"seed {seed}")  # pytest shows it when the test fails
    asked = tokenizer_cases.cases(seed, count)
    assert len(asked) >= count
    for number, (flags, share) in enumerate(tokenizer_cases.shares(asked)):
        tokenizer = Tokenizer(tokenizer_cases.vocabulary(share, flags, seed), flags)
        compare(core, tokenizer, share, tmp_path / str(number))


def test_real_sentences_are_cut_as_python_cuts_them(core: Core, tmp_path: Path, shared: Path) -> None:
    tokenizer = Tokenizer(read_vocab(shared / "data" / "bert-base-uncased" / "vocab.txt"))
    sample = (shared / "data" / "tokenizer" / "bert_sample_text.txt").read_text(encoding="utf-8")
    squad = json.loads((shared / "data" / "squad" / "dev-v1.1.json").read_text(encoding="utf-8"))["data"]
    contexts = [paragraph for article in squad[:8] for paragraph in article["paragraphs"]]
    asked: list[Case] = [{"text": line, "max_length": 64} for line in sample.splitlines()]
    asked += [
        {
            "question": one["qas"][0]["question"],
            "context": one["context"],
            "max_length": 128,
            "doc_stride": 16,
        }
        for one in contexts
    ]
    compare(core, tokenizer, asked, tmp_path / "bundle")


def compare(core: Core, tokenizer: Tokenizer, asked: list[Case], directory: Path) -> None:
    found = core.ask("tokenize", write_bundle(directory, tokenizer), asked)
    assert len(found) == len(asked)
    for case, theirs in zip(asked, found, strict=True):
        expected = tokenizer_cases.answer(tokenizer, case)
        assert ({"error": True} if "error" in theirs else theirs) == expected, ascii(case)


ASKED = {
    "text-classification": [["The film is good, bad?"], ["good film", "b\u00e4d f\u00f6\u00f6d"], [""]],
    "multiple-choice": [["the film is", "good", "bad", "of the \U0001f600"]],
    "token-classification": [["The \U0001f600 film is goodish, l\u00e0-bas " * 9], ["bad"]],
    "fill-mask": [["the [MASK] is \U0001d49c [MASK]."]],
    "question-answering": [
        ["what is good?", "The film: \U0001f600 is good and bad food of 1984. " * 6],
        ["is", "it"],
    ],
    "feature-extraction": [["good film"], ["good film", "bad food"]],
}
KINDS = [(name, None) for name in ASKED] + [
    ("text-classification", "multi_label_classification"),
    ("text-classification", "regression"),
]


@pytest.mark.parametrize(("name", "problem_type"), KINDS)
def test_inputs_and_answers_are_pythons(
    core: Core, tmp_path: Path, name: str, problem_type: str | None
) -> None:
    task_class = tasks.TASKS[name]
    checkpoint = small_checkpoint(task_class.architecture)
    labels = ["B-X", "O"] if name in ("text-classification", "token-classification") else []
    task = task_class(labels, problem_type)
    runner = TorchRunner(checkpoint.model, task_class, LENGTHS)
    fields = {"task": name, "labels": labels, "problem_type": problem_type}
    bundle = write_bundle(tmp_path / "bundle", checkpoint.tokenizer, **fields)
    asked = ASKED[name]
    prepared = core.ask("features", bundle, [{"texts": texts} for texts in asked])
    answered = core.ask("answer", bundle, computed(asked, prepared, runner))
    for texts, answer in zip(asked, answered, strict=True):
        example = task.ask(texts)
        rows = accuracy.answer_rows(task, checkpoint.tokenizer, runner, example, LENGTHS)
        same(answer, task.answer(example, rows, checkpoint.tokenizer))


def test_a_text_becomes_the_answer_that_predict_gives(core: Core, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    checkpoint = small_checkpoint()
    (bundle,) = pipeline.export(checkpoint, Plan([("tflite", "fp32")], LENGTHS), tmp_path)
    runner = pipeline.load_runner(open_bundle(bundle.directory))
    asked = ASKED["text-classification"]
    prepared = core.ask("features", bundle.directory, [{"texts": texts} for texts in asked])
    answered = core.ask("answer", bundle.directory, computed(asked, prepared, runner))
    task, tokenizer = pipeline.task_of_bundle(bundle), pipeline.tokenizer_of_bundle(bundle)
    for texts, answer in zip(asked, answered, strict=True):
        example = task.ask(texts)
        rows = accuracy.answer_rows(task, tokenizer, runner, example, LENGTHS)
        same(answer, task.answer(example, rows, tokenizer))


def computed(asked: list[list[str]], prepared: list[Any], runner: Any) -> list[Any]:
    """What `answer` is asked: the texts, and what a runtime makes of the inputs that core prepared."""
    lines = []
    for texts, found in zip(asked, prepared, strict=True):
        outputs = []
        for row in found["rows"]:
            inputs = {name: np.array([values], np.int32) for name, values in row["inputs"].items()}
            assert {value.shape for value in inputs.values()} == {(1, row["length"])}
            outputs.append({name: value.ravel().tolist() for name, value in runner(inputs).items()})
        lines.append({"texts": texts, "outputs": outputs})
    return lines


def same(found: Any, expected: Any) -> None:
    """Equal, numbers to what float32 can tell."""
    if isinstance(expected, dict):
        assert sorted(found) == sorted(expected)
        for name, value in expected.items():
            same(found[name], value)
    elif isinstance(expected, list) and expected and isinstance(expected[0], (dict, list)):
        flat = expected if isinstance(expected[0], dict) else np.ravel(expected).tolist()
        assert len(found) == len(flat)
        for one, other in zip(found, flat, strict=True):
            same(one, other)
    elif isinstance(expected, float) or (
        isinstance(expected, list) and expected and isinstance(expected[0], float)
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    else:
        assert found == expected
