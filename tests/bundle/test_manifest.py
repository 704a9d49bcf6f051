"""A bundle is what was written, or it is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from exporters.errors import InputError
from squeezebert_edge.bundle.manifest import MANIFEST, SEAL, Manifest, write_manifest
from squeezebert_edge.bundle.opened import open_bundle

FIELDS: dict[str, Any] = {
    "source": {"checkpoint": "CHECKPOINT", "sha256": "0" * 64},
    "format": "coreml",
    "artifact": "model.mlpackage",
    "task": "text-classification",
    "problem_type": None,
    "labels": ["negative", "positive"],
    "precision": {
        "name": "fp16",
        "exact": "fp16",
        "decided_by": "the user",
        "weights": "float16",
        "activations": "float16",
    },
    "form": "plain",
    "form_decided_by": "the user",
    "lengths": [32, 64],
    "entry_points": {32: "", 64: ""},
    "inputs": [{"name": "inputs", "dtype": "int32", "shape": [1, 3, None]}],
    "outputs": [{"name": "logits", "dtype": "float32", "shape": [1, 2]}],
    "tokenizer": {
        "lower_case": True,
        "strip_accents": True,
        "cjk": True,
        "max_word": 100,
        "special_tokens": {"unk": "[UNK]"},
    },
    "target": "iOS17",
    "versions": {"coremltools": "9.0"},
    "delegation": {"delegated": None, "total": None, "outside": [], "reason": "no Mac"},
    "float_operators": {"softmax": 12},
    "verification": {"status": "verified", "by": "mil-evaluator", "inputs": 64},
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "bundle"
    (directory / "model.mlpackage" / "Data").mkdir(parents=True)
    (directory / "model.mlpackage" / "Data" / "weight.bin").write_bytes(b"weights")
    (directory / "vocab.txt").write_text("[UNK]\n")
    write_manifest(directory, FIELDS)
    return directory


def test_what_was_written_is_read(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.manifest.files.keys() == {"model.mlpackage/Data/weight.bin", "vocab.txt"}
    assert opened.size == len(b"weights")
    assert opened.manifest.entry_points == {32: "", 64: ""}
    written = json.loads((bundle / MANIFEST).read_text())
    assert Manifest.model_validate(written) == opened.manifest


@pytest.mark.parametrize("file", ["model.mlpackage/Data/weight.bin", "vocab.txt"])
def test_a_changed_byte_is_refused(bundle: Path, file: str) -> None:
    content = bytearray((bundle / file).read_bytes())
    content[-1] ^= 1
    (bundle / file).write_bytes(content)
    with pytest.raises(InputError, match=f"altered: {file}"):
        open_bundle(bundle)


def test_a_missing_or_foreign_file_is_refused(bundle: Path) -> None:
    (bundle / "notes").write_text("")
    with pytest.raises(InputError, match="not in the manifest: notes"):
        open_bundle(bundle)
    (bundle / "notes").unlink()
    shutil.rmtree(bundle / "model.mlpackage")
    with pytest.raises(InputError, match="missing: model.mlpackage/Data/weight.bin"):
        open_bundle(bundle)


def test_what_is_no_file_is_refused(bundle: Path) -> None:
    os.mkfifo(bundle / "pipe")
    with pytest.raises(InputError, match="a pipe"):
        open_bundle(bundle)


def test_a_link_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="a link"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "schema_version 2\nallowed: 1"),
        ({"lengths": "many"}, "not a manifest: lengths"),
        ({"unknown": 1}, "not a manifest: unknown"),
        ({"artifact": "../../elsewhere"}, "not a manifest: artifact"),
        ({"problem_type": "junk"}, "not a manifest: problem_type"),
        ({"lengths": [64, 32]}, "should ascend"),
        ({"lengths": [32, 0]}, "not a manifest: lengths"),
        ({"entry_points": {"32": ""}}, "the entry points have the lengths"),
        ({"labels": ["negative"]}, "1 labels for an output of 2"),
        ({"task": "token-classification"}, "logits has the shape"),
        ({"task": "question-answering"}, "has the outputs"),
        ({"form": float("nan")}, "NaN, which is not finite"),
    ],
)
def test_a_manifest_that_means_something_else_is_refused(
    bundle: Path, change: dict[str, Any], says: str
) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text()) | change
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    (bundle / SEAL).write_text(hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest())
    with pytest.raises(InputError, match=says):
        open_bundle(bundle)


def test_a_changed_manifest_is_refused(bundle: Path) -> None:
    text = (bundle / MANIFEST).read_text()
    (bundle / MANIFEST).write_text(text.replace('"negative"', '"terrible"'))
    with pytest.raises(InputError, match="not as it was written"):
        open_bundle(bundle)
    (bundle / SEAL).unlink()
    with pytest.raises(InputError, match="not a bundle"):
        open_bundle(bundle)


def test_what_is_no_bundle_is_refused(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(InputError, match="not a bundle"):
        open_bundle(tmp_path / "absent")
    (bundle / MANIFEST).write_text("{")
    with pytest.raises(InputError, match="not a manifest"):
        open_bundle(bundle)
    (bundle / MANIFEST).write_bytes(b"\xff")
    with pytest.raises(InputError, match="not a manifest"):
        open_bundle(bundle)


def test_what_was_taken_for_a_bundle_is_told_the_way_to_one(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(InputError, match=f"such as {bundle}"):
        open_bundle(bundle.parent)
    (tmp_path / "my bert").mkdir()
    (tmp_path / "my bert" / "config.json").touch()
    with pytest.raises(InputError, match=f"squeezebert-edge export '{tmp_path / 'my bert'}'"):
        open_bundle(tmp_path / "my bert")


def test_the_published_schema_is_the_code_s(tmp_path: Path) -> None:
    published = json.loads((Path(__file__).parents[2] / "docs" / "manifest.schema.json").read_text())
    assert published == Manifest.model_json_schema()
