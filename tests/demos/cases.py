"""What both demos must do as Python does it: a test module gives them its `demo` and has these cases run.

A demo is asked by JSON lines, as its command line takes them: `tokenize`, `features`, `answer`, `units`,
`describe`, `record`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np
import pytest

import exporters
from squeezebert_edge.bundle.opened import open_bundle
from squeezebert_edge.latency import record
from squeezebert_edge.tasks.heads import TASKS, Task
from squeezebert_edge.tasks.rows import answer_rows
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.text.vocabulary import read_vocab
from tests.demos import tokenizer_cases
from tests.demos.tokenizer_cases import Case, write_bundle
from tests.kit.faults import FAULTS, UNIT_FAULTS, Fields, Plant, planted
from tests.kit.small import TorchRunner, small_checkpoint
from tests.kit.vectors import bundle_of

LENGTHS = (16, 48)
VECTORS = Path(__file__).parents[1] / "vectors"
RECORDS = sorted((VECTORS / "records").glob("*.json"))
EARLIER_RECORDS = sorted((VECTORS / "earlier_records").glob("*.json"))  # with a delegate and compute units
UNITS: dict[str, dict[str, Any]] = {
    name: {
        "files": {"16": "model.tflite", "48": "model.tflite"},
        "form": "conv2d",
        "form_decided_by": "a test",
        "arithmetic": "float16",
        "delegation": {"delegated": 3, "total": 3},
        "partitions": 1,
        "versions": {},
        "verification": {"status": status, "by": None},
    }
    for name, status in {"gpu": "verified", "npu:SM8650": "failed"}.items()
}
# New in every run and the same in all its processes: the demos are asked alike, and held to each other as
# each is held to Python.
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex()
STRINGS = {"fixed": (0, 14_000), "fresh": (zlib.crc32(_RUN.encode()), 7_000)}  # seed, and how many are drawn


class Demo(Protocol):
    """A demo's command line."""

    @property
    def formats(self) -> Sequence[str]:
        """Those whose artifacts it reads."""
        ...

    def ask(self, lines: list[Any], verb: str, *bundle: Path) -> list[Any]:
        """What it prints for JSON lines."""
        ...

    def refusal(self, verb: str, bundle: Path) -> str:
        """Why it does not open a bundle."""
        ...


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
KINDS = [(name, None, 2) for name in ASKED] + [
    ("text-classification", "multi_label_classification", 2),
    ("text-classification", "regression", 2),
    ("text-classification", None, 1),  # a number, as transformers takes one output of no named type
]
CHANGES: dict[str, Callable[[Path], object]] = {
    "altered: model.tflite": lambda bundle: (bundle / "model.tflite").write_bytes(b"another"),
    "missing: vocab.txt": lambda bundle: (bundle / "vocab.txt").unlink(),
    "not in the manifest: new": lambda bundle: (bundle / "new").write_text("x"),
    "manifest.json is not as it was written": lambda bundle: (bundle / "manifest.json").write_text(
        (bundle / "manifest.json").read_text() + " "
    ),
    "not a bundle": lambda bundle: (bundle / "manifest.sha256").unlink(),
    "a link": lambda bundle: (bundle / "link").symlink_to("vocab.txt"),
}


class DemoCases:
    """Every test of the two demos that is the same for both."""

    @pytest.mark.parametrize("strings", STRINGS)
    def test_ids_token_types_and_offsets_are_pythons(self, demo: Demo, tmp_path: Path, strings: str) -> None:
        seed, count = STRINGS[strings]
        print(f"seed {seed}")  # pytest shows it when the test fails
        asked = tokenizer_cases.cases(seed, count)
        assert len(asked) >= count
        for number, (flags, share) in enumerate(tokenizer_cases.shares(asked)):
            tokenizer = Tokenizer(tokenizer_cases.vocabulary(share, flags, seed), flags)
            compare(demo, tokenizer, share, tmp_path / str(number))

    def test_real_sentences_are_cut_as_python_cuts_them(
        self, demo: Demo, tmp_path: Path, shared: Path
    ) -> None:
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
        compare(demo, tokenizer, asked, tmp_path / "bundle")

    @pytest.mark.parametrize(("name", "problem_type", "outputs"), KINDS)
    def test_inputs_and_answers_are_pythons(
        self, demo: Demo, tmp_path: Path, name: str, problem_type: str | None, outputs: int
    ) -> None:
        task_class = TASKS[name]
        checkpoint = small_checkpoint(task_class.architecture, num_labels=outputs)
        has_labels = name in ("text-classification", "token-classification")
        labels = ["B-X", "O"][:outputs] if has_labels else []
        task = task_class(labels, problem_type)
        runner = TorchRunner(checkpoint.model, task_class, LENGTHS)
        fields = {"task": name, "labels": labels, "problem_type": problem_type}
        bundle = write_bundle(tmp_path / "bundle", checkpoint.tokenizer, **fields)
        asked = ASKED[name]
        prepared = demo.ask([{"texts": texts} for texts in asked], "features", bundle)
        answered = demo.ask(computed(asked, prepared, runner), "answer", bundle)
        for texts, answer in zip(asked, answered, strict=True):
            same(answer, pythons(task, checkpoint.tokenizer, runner, texts))

    @pytest.mark.parametrize("says", CHANGES)
    def test_a_changed_bundle_is_refused(self, demo: Demo, tmp_path: Path, says: str) -> None:
        bundle = write_bundle(tmp_path / "bundle", small_checkpoint().tokenizer)
        CHANGES[says](bundle)
        assert says in demo.refusal("features", bundle)

    def test_a_manifest_that_this_version_does_not_know_is_refused(self, demo: Demo, tmp_path: Path) -> None:
        tokenizer = small_checkpoint().tokenizer
        later: dict[str, dict[str, Any]] = {
            "schema_version 2": {"schema_version": 2},
            "surprise": {"tokenizer": tokenizer.flags.to_manifest() | {"surprise": 1}},
            "lengths are": {"lengths": [48, 16]},
            "unknown task": {"task": "translation"},
            "labels is": {"labels": None},
            "problem_type is": {"problem_type": "classification"},
            "none of its files": {"artifact": "../model.tflite"},
            "is not equal to the float model": {"verification": {"status": "failed", "by": "runtime"}},
        }
        for number, (says, fields) in enumerate(later.items()):
            bundle = write_bundle(tmp_path / str(number), tokenizer)
            resealed(bundle, fields)
            assert says in demo.refusal("features", bundle)

    def test_a_manifest_that_is_not_json_is_refused(self, demo: Demo, tmp_path: Path) -> None:
        tokenizer = small_checkpoint().tokenizer
        whole = (write_bundle(tmp_path / "bundle", tokenizer) / "manifest.json").read_bytes()
        changes: list[tuple[bytes, bytes]] = [
            (b'"labels"', b'"lab\x01els"'),
            (b'"model.tflite":', b'"model\n.tflite":'),
            (b'"negative"', b'"neg\x00ative"'),
            (b'"negative"', b'"neg\xffative"'),
            (b'"labels": [', b'"labels": ' + b"[" * 100_000),
            (whole[-100:], b""),
        ]
        for number, (here, there) in enumerate(changes):
            assert here in whole
            bundle = write_bundle(tmp_path / str(number), tokenizer)
            sealed(bundle, whole.replace(here, there))
            assert re.search("not (UTF-8|JSON)", demo.refusal("features", bundle)), there

    def test_units_are_read_as_python_does(self, demo: Demo, tmp_path: Path) -> None:
        tokenizer = small_checkpoint().tokenizer
        older = write_bundle(tmp_path / "older", tokenizer)
        resealed(older, {}, without=("unit", "units"))
        assert demo.ask([{}], "units", older) == [{"units": {}}]
        bundle = write_bundle(tmp_path / "bundle", tokenizer, units=UNITS)
        (found,) = demo.ask([{}], "units", bundle)
        parsed = open_bundle(bundle).manifest.units
        assert found["units"] == {
            name: {
                "files": {str(length): file for length, file in unit.files.items()},
                "verification": {"status": unit.verification.status},
            }
            for name, unit in parsed.items()
        }
        foreign = {"gpu": UNITS["gpu"] | {"files": {"16": "another.tflite", "48": "model.tflite"}}}
        resealed(bundle, {"units": foreign})
        assert "gpu runs" in demo.refusal("units", bundle)
        resealed(bundle, {"units": {"gpu": UNITS["gpu"] | {"files": {"16": "model.tflite"}}}})
        assert "units.gpu.files are for [16]" in demo.refusal("units", bundle)

    def test_a_manifest_that_contradicts_its_artifact_is_refused(self, demo: Demo, tmp_path: Path) -> None:
        for format_ in demo.formats:
            assert demo.ask([{"texts": ["good"]}], "features", bundle_of(format_))
            for fault, (plant, told_by, _) in FAULTS.items():
                copy = planted(bundle_of(format_), tmp_path / format_ / fault, plant)
                said = demo.refusal("features", copy)
                assert "the manifest and the artifact contradict each other" in said, (fault, said)
                assert f" {told_by}" in said, (fault, said)
                assert "next: export it again" in said

    def test_a_manifest_that_contradicts_a_units_file_is_refused(self, demo: Demo, tmp_path: Path) -> None:
        for format_ in {"tflite"}.intersection(demo.formats):  # no other has such files
            for fault, (plant, told_by) in UNIT_FAULTS.items():
                said = demo.refusal("units", planted(bundle_of(format_), tmp_path / fault, plant))
                assert "the manifest and the file model.SM8650." in said
                assert f" {told_by}" in said

    def test_what_an_artifact_does_not_say_is_not_compared(self, demo: Demo, tmp_path: Path) -> None:
        silences: dict[str, Plant] = {
            "an earlier version": silent_of("vocabulary_sha256", "problem_type"),
            "other types": numbers_for_texts,
            "none of ours": silent_of("squeezebert_edge", "metadata", *SAID),
            "cut": lambda fields, directory: change(artifact_in(directory), lambda whole: whole[:1000]),
            "no artifact": lambda fields, directory: change(
                artifact_in(directory), lambda whole: b"no model"
            ),
        }
        for format_ in demo.formats:
            for name, silence in silences.items():

                def plant(fields: Fields, directory: Path, silence: Plant = silence) -> None:
                    fields["problem_type"], fields["units"] = None, {}
                    silence(fields, directory)

                copy = planted(bundle_of(format_), tmp_path / format_ / name, plant)
                assert open_bundle(copy).manifest.problem_type is None
                assert demo.ask([{}], "units", copy) == [{"units": {}}]

    @pytest.mark.parametrize("seed", STRINGS)
    def test_a_damaged_artifact_says_what_python_reads(self, demo: Demo, tmp_path: Path, seed: str) -> None:
        random = Random(STRINGS[seed][0])
        print(f"seed {STRINGS[seed][0]}")
        for format_ in demo.formats:
            asked, expected = [], []
            bundle = bundle_of(format_)
            whole = artifact_in(bundle)
            for number, content in enumerate(damaged(random, whole.read_bytes(), 300)):
                file = tmp_path / f"{format_}-{number}" / whole.relative_to(bundle)
                file.parent.mkdir(parents=True)
                file.write_bytes(content)
                artifact = tmp_path / f"{format_}-{number}" / ARTIFACTS[format_]
                asked.append({"format": format_, "artifact": str(artifact)})
                said = exporters.format_named(format_).describe(artifact)
                expected.append(({**said.metadata}, sorted(said.entry_points.values())) if said else ({}, []))
            found = demo.ask(asked, "describe")
            for case, theirs, ours in zip(asked, found, expected, strict=True):
                points = sorted(theirs.get("entry_points", {}).values())
                assert (theirs.get("metadata", {}), points) == ours, case
            assert 30 < sum(ours != ({}, []) for ours in expected) < 300

    @pytest.mark.parametrize("records", [RECORDS, EARLIER_RECORDS], ids=["today", "earlier"])
    def test_records_are_read_and_written_as_python_does(
        self, demo: Demo, tmp_path: Path, records: Sequence[Path]
    ) -> None:
        written = demo.ask([json.loads(path.read_text()) for path in records], "record")
        copy = tmp_path / "copy.json"
        for path, content in zip(records, written, strict=True):
            assert "unit" in content["settings"]
            copy.write_text(json.dumps(content))
            assert record.read(copy) == record.read(path)

    def test_a_record_that_contradicts_itself_is_refused(self, demo: Demo) -> None:
        whole = json.loads(RECORDS[0].read_text())
        statistics = whole["latency"]["overall"] | {"p50_ns": 1}
        changes: list[tuple[str, dict[str, Any]]] = [
            ("quotable", {"quotable": not whole["quotable"]}),
            ("settings.unit", {"settings": whole["settings"] | {"unit": "npu"}}),
            ("record_version", {"record_version": 2}),
            ("foreign", {"foreign": None}),
            ("samples", {"latency": whole["latency"] | {"overall": statistics}}),
            ("explained", {"memory": {"baseline_bytes": None, "peak_bytes": 1, "unknown": {}}}),
            ("repeat", {"repeat": {"index": 2, "of": 1, "medians_ns": [1]}}),
            ("repeat", {"repeat": {"index": 1, "of": 0, "medians_ns": []}}),
            ("validity", {"validity": {"valid": True, "rule": "too slow"}}),
        ]
        found = demo.ask([whole | fields for _, fields in changes], "record")
        for answer, (reason, _) in zip(found, changes, strict=True):
            assert reason in answer["error"]


ARTIFACTS = {"coreml": "model.mlpackage", "executorch": "model.pte", "tflite": "model.tflite"}
# What artifacts say of themselves, beside their entry points.
SAID = ("source_sha256", "task", "problem_type", "labels", "tokenizer", "vocabulary_sha256")
SAID += ("precision", "form", "lengths")


def artifact_in(bundle: Path) -> Path:
    """The file of a bundle's artifact that says what it is."""
    (found,) = (path for name in ("tflite", "pte", "mlmodel") for path in bundle.rglob(f"model.{name}"))
    return found


def change(file: Path, changed: Callable[[bytes], bytes]) -> None:
    """Change a file's content."""
    file.write_bytes(changed(file.read_bytes()))


def silent_of(*names: str) -> Plant:
    """Has an artifact say nothing by these names: they are spelled otherwise in it, as long as they are."""

    def plant(fields: Fields, directory: Path) -> None:
        for name in map(str.encode, names):
            change(artifact_in(directory), lambda whole, name=name: whole.replace(name, b"_" * len(name)))

    return plant


def numbers_for_texts(fields: Fields, directory: Path) -> None:
    """Has an artifact say a number where it has the name of a form."""
    silent_of("problem_type")(fields, directory)
    change(
        artifact_in(directory),
        lambda whole: re.sub(b'"form": ("[^"]*")', lambda said: b'"form": ' + b"1" * len(said[1]), whole),
    )


def damaged(random: Random, whole: bytes, count: int) -> Iterator[bytes]:
    """A file cut, or with bytes that are others, most of them where it says what it is."""
    said = whole.index(b"source_sha256")
    for _ in range(count):
        if random.random() < 0.2:
            yield whole[: random.randrange(len(whole))]
            continue
        content = bytearray(whole)
        begin, end = random.choice(((0, 400), (said - 300, said + 1200), (0, len(whole))))
        for _ in range(random.randint(1, 4)):
            place = random.randrange(max(begin, 0), end)
            content[place] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])
        yield bytes(content)


def compare(demo: Demo, tokenizer: Tokenizer, asked: list[Case], directory: Path) -> None:
    """A demo's tokens are Python's, and so are its refusals."""
    found = demo.ask(asked, "tokenize", write_bundle(directory, tokenizer))
    assert len(found) == len(asked)
    for case, theirs in zip(asked, found, strict=True):
        expected = tokenizer_cases.answer(tokenizer, case)
        assert ({"error": True} if "error" in theirs else theirs) == expected, ascii(case)


def computed(asked: list[list[str]], prepared: list[Any], runner: Any) -> list[Any]:
    """What `answer` is asked: the texts, and what a runtime makes of the inputs that the demo prepared."""
    lines = []
    for texts, found in zip(asked, prepared, strict=True):
        outputs = []
        for row in found["rows"]:
            inputs = {name: np.array([values], np.int32) for name, values in row["inputs"].items()}
            assert {value.shape for value in inputs.values()} == {(1, row["length"])}
            outputs.append({name: value.ravel().tolist() for name, value in runner(inputs).items()})
        lines.append({"texts": texts, "outputs": outputs})
    return lines


def pythons(task: Task, tokenizer: Tokenizer, runner: Any, texts: list[str]) -> Any:
    """Python's answer."""
    example = task.ask(texts)
    return task.answer(example, answer_rows(task, tokenizer, runner, example, LENGTHS), tokenizer)


def resealed(bundle: Path, fields: dict[str, Any], without: Sequence[str] = ()) -> None:
    """Change the manifest, and seal it as if it had been written so."""
    whole = json.loads((bundle / "manifest.json").read_text()) | fields
    sealed(bundle, json.dumps({name: value for name, value in whole.items() if name not in without}).encode())


def sealed(bundle: Path, content: bytes) -> None:
    """Write a manifest, and its hash as if it had been written so."""
    (bundle / "manifest.json").write_bytes(content)
    (bundle / "manifest.sha256").write_text(hashlib.sha256(content).hexdigest())


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
