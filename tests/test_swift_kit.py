"""The iOS demo's kit gives Python's ids, offsets, inputs, answers and records; its own tests pass."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

from squeezebert_edge import accuracy, record, tasks
from squeezebert_edge.text import Tokenizer
from tests import swift, tokenizer_cases
from tests.small import TorchRunner, small_checkpoint
from tests.swift import Kit
from tests.test_android_core import ASKED, FIXED, FRESH, KINDS, LENGTHS, computed, same
from tests.tokenizer_cases import write_bundle

RECORDS = sorted((swift.ROOT / "tests" / "vectors" / "records").glob("*.json"))


def test_its_own_tests_pass(kit: Kit) -> None:
    command = ["swift", "test", "--skip-build", *swift.OPTIONS, "--scratch-path", str(kit.programs.parent)]
    assert re.search(r"Executed \d+ tests, with 0 failures", swift.checked(command, kit.scratch))


@pytest.mark.parametrize(
    ("seed", "count"), [(0, FIXED), (SystemRandom().getrandbits(32), FRESH)], ids=["fixed", "fresh"]
)
def test_ids_token_types_and_offsets_are_pythons(kit: Kit, tmp_path: Path, seed: int, count: int) -> None:
    print(f"seed {seed}")  # pytest shows it when the test fails
    asked = tokenizer_cases.cases(seed, count)
    assert len(asked) >= count
    for number, (flags, share) in enumerate(tokenizer_cases.shares(asked)):
        tokenizer = Tokenizer(tokenizer_cases.vocabulary(share, flags, seed), flags)
        found = kit.ask(share, "tokenize", write_bundle(tmp_path / str(number), tokenizer))
        assert len(found) == len(share)
        for case, theirs in zip(share, found, strict=True):
            expected = tokenizer_cases.answer(tokenizer, case)
            assert ({"error": True} if "error" in theirs else theirs) == expected, ascii(case)


@pytest.mark.parametrize(("name", "problem_type"), KINDS)
def test_inputs_and_answers_are_pythons(
    kit: Kit, tmp_path: Path, name: str, problem_type: str | None
) -> None:
    task_class = tasks.TASKS[name]
    checkpoint = small_checkpoint(task_class.architecture)
    labels = ["B-X", "O"] if name in ("text-classification", "token-classification") else []
    task = task_class(labels, problem_type)
    runner = TorchRunner(checkpoint.model, task_class, LENGTHS)
    fields = {"task": name, "labels": labels, "problem_type": problem_type}
    bundle = write_bundle(tmp_path / "bundle", checkpoint.tokenizer, **fields)
    asked = ASKED[name]
    prepared = kit.ask([{"texts": texts} for texts in asked], "features", bundle)
    answered = kit.ask(computed(asked, prepared, runner), "answer", bundle)
    for texts, answer in zip(asked, answered, strict=True):
        example = task.ask(texts)
        rows = accuracy.answer_rows(task, checkpoint.tokenizer, runner, example, LENGTHS)
        same(answer, task.answer(example, rows, checkpoint.tokenizer))


CHANGES: dict[str, Callable[[Path], object]] = {
    "altered: model.tflite": lambda bundle: (bundle / "model.tflite").write_bytes(b"another"),
    "missing: vocab.txt": lambda bundle: (bundle / "vocab.txt").unlink(),
    "not in the manifest: new": lambda bundle: (bundle / "new").write_text("x"),
    "manifest.json is not as it was written": lambda bundle: (bundle / "manifest.json").write_text("{}"),
    "not a bundle": lambda bundle: (bundle / "manifest.sha256").unlink(),
    "a link": lambda bundle: (bundle / "link").symlink_to("vocab.txt"),
}


@pytest.mark.parametrize("says", CHANGES)
def test_a_changed_bundle_is_refused(kit: Kit, tmp_path: Path, says: str) -> None:
    bundle = write_bundle(tmp_path / "bundle", small_checkpoint().tokenizer)
    CHANGES[says](bundle)
    assert says in kit.refusal("features", bundle)


def test_a_manifest_that_this_version_does_not_know_is_refused(kit: Kit, tmp_path: Path) -> None:
    tokenizer = small_checkpoint().tokenizer
    flags = tokenizer.flags.to_manifest()
    later: dict[str, dict[str, Any]] = {
        "schema_version 2": {"schema_version": 2},
        '"surprise"': {"tokenizer": flags | {"surprise": 1}},
        "lengths are": {"lengths": [48, 16]},
        "unknown task": {"task": "translation"},
        "labels is null": {"labels": None},
    }
    for number, (says, fields) in enumerate(later.items()):
        bundle = write_bundle(tmp_path / str(number), tokenizer)
        resealed(bundle, fields)
        assert says in kit.refusal("features", bundle)


def resealed(bundle: Path, fields: dict[str, Any]) -> None:
    """Change the manifest, and seal it as if it had been written so."""
    content = json.dumps(json.loads((bundle / "manifest.json").read_text()) | fields).encode()
    (bundle / "manifest.json").write_bytes(content)
    (bundle / "manifest.sha256").write_text(hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_records_are_read_and_written_as_python_does(kit: Kit, path: Path, tmp_path: Path) -> None:
    (written,) = kit.ask([json.loads(path.read_text())], "record")
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(written))
    assert record.read(copy) == record.read(path)


def test_a_record_that_contradicts_itself_is_refused(kit: Kit) -> None:
    whole = json.loads(RECORDS[0].read_text())
    changes: dict[str, Any] = {"quotable": not whole["quotable"], "record_version": 2, "foreign": None}
    changes["latency"] = whole["latency"] | {"overall": whole["latency"]["overall"] | {"p50_ns": 1}}
    changes["repeat"] = {"index": 1, "of": 0, "medians_ns": []}
    changes["memory"] = {"baseline_bytes": None, "peak_bytes": 1, "unknown": {}}
    found = kit.ask([whole | {name: value} for name, value in changes.items()], "record")
    says = ["quotable", "record_version", "foreign", "samples", "repeat", "explained"]
    for answer, reason in zip(found, says, strict=True):
        assert reason in answer["error"]
