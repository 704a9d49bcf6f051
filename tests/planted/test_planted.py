"""Faults planted in a copy of a bundle, its hashes made anew: none of them answers a user."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import exporters
from exporters.errors import InputError
from exporters.spec import Description, Format
from squeezebert_edge.bundle.manifest import VOCABULARY, write_manifest
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from squeezebert_edge.verbs.verify import verify_bundle
from tests.kit.small import save_small

LENGTHS = (16, 32)
Fields = dict[str, Any]


@pytest.fixture(scope="module", params=exporters.names())
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    directory = tmp_path_factory.mktemp("planted")
    checkpoint = load_checkpoint(save_small(directory / "checkpoint", num_hidden_layers=1))
    (bundle,) = export_bundles(checkpoint, Plan([(request.param, "fp32")], LENGTHS), directory)
    return bundle


def reverse_labels(fields: Fields, directory: Path) -> None:
    fields["labels"].reverse()


def swap_words(fields: Fields, directory: Path) -> None:
    words = (directory / VOCABULARY).read_text().splitlines()
    good, bad = words.index("good"), words.index("bad")
    words[good], words[bad] = words[bad], words[good]
    (directory / VOCABULARY).write_text("\n".join(words) + "\n")


def flip(name: str) -> Callable[[Fields, Path], None]:
    def plant(fields: Fields, directory: Path) -> None:
        fields["tokenizer"][name] = not fields["tokenizer"][name]

    return plant


def other_longest_word(fields: Fields, directory: Path) -> None:
    fields["tokenizer"]["max_word"] = 3


def swap_frame(fields: Fields, directory: Path) -> None:
    tokens = fields["tokenizer"]["special_tokens"]
    tokens["cls"], tokens["sep"] = tokens["sep"], tokens["cls"]


def cross_entry_points(fields: Fields, directory: Path) -> None:
    fields["entry_points"] = dict(zip(LENGTHS, reversed(fields["entry_points"].values()), strict=True))
    if not any(fields["entry_points"].values()):  # Core ML has none
        fields["entry_points"] = {length: f"length_{length}" for length in LENGTHS}


def other_problem(fields: Fields, directory: Path) -> None:
    fields["problem_type"] = "multi_label_classification"


def other_task(fields: Fields, directory: Path) -> None:
    fields["task"], fields["outputs"][0]["shape"] = "token-classification", (1, None, 2)


def other_source(fields: Fields, directory: Path) -> None:
    fields["source"]["sha256"] = "0" * 64


# What is planted, the word by which it is told, and whether the checkpoint tells it too.
FAULTS: dict[str, tuple[Callable[[Fields, Path], None], str, bool]] = {
    "labels reversed": (reverse_labels, "labels", True),
    "words swapped": (swap_words, "vocabulary", True),
    "letters kept": (flip("lower_case"), "tokenizer.lower_case", True),
    "accents kept": (flip("strip_accents"), "tokenizer.strip_accents", True),
    "ideographs joined": (flip("cjk"), "tokenizer.cjk", True),
    "long words unknown": (other_longest_word, "tokenizer.max_word", True),
    "CLS and SEP swapped": (swap_frame, "tokenizer.special_tokens.cls", True),
    "several labels at once": (other_problem, "problem_type", True),
    "a label for each token": (other_task, "task", False),  # the checkpoint has no such head
    "another checkpoint": (other_source, "source_sha256", False),  # it is refused as another one
    "entry points crossed": (cross_entry_points, "entry_points", False),  # the artifact alone knows them
}


def planted(made: Bundle, directory: Path, plant: Callable[[Fields, Path], None]) -> Path:
    """A copy with a fault, as somebody leaves it who makes every hash anew."""
    shutil.copytree(made.directory, directory)
    fields = made.manifest.model_dump(exclude={"schema_version", "files"})
    plant(fields, directory)
    write_manifest(directory, fields)
    return directory


def test_a_bundle_of_an_earlier_version_passes(
    made: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_open(fields: Fields, directory: Path) -> None:
        fields["problem_type"] = None

    said = made.manifest.source.sha256
    describe = Format.describe
    silent = {"vocabulary_sha256", "problem_type"}

    def earlier(self: Format, path: Path) -> Description | None:
        found = describe(self, path)
        assert found is not None
        assert found.metadata["source_sha256"] == said
        kept = {name: text for name, text in found.metadata.items() if name not in silent}
        return found._replace(metadata=kept)

    monkeypatch.setattr(Format, "describe", earlier)
    open_bundle(planted(made, tmp_path / "copy", leave_open)).load_checkpoint()


def test_an_honest_bundle_passes(made: Bundle) -> None:
    opened = open_bundle(made.directory)
    said = exporters.get(made.manifest.format).describe(made.artifact)
    assert said is not None
    assert said.entry_points == made.manifest.entry_points
    assert said.metadata["source_sha256"] == made.manifest.source.sha256
    assert verify_bundle(opened).status == "verified"
    assert opened("a good film").keys() >= {"label", "score"}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_refused_when_opened(made: Bundle, tmp_path: Path, fault: str) -> None:
    plant, told_by, _ = FAULTS[fault]
    copy = planted(made, tmp_path / "copy", plant)
    with pytest.raises(InputError, match=f"manifest and the artifact contradict.* {told_by}"):
        open_bundle(copy)


@pytest.mark.parametrize("fault", [name for name, (_, _, told) in FAULTS.items() if told])
def test_the_proof_refuses_it_whatever_the_artifact_says(
    made: Bundle, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, told_by, _ = FAULTS[fault]
    monkeypatch.setattr(Format, "describe", lambda self, path: None)
    bundle = open_bundle(planted(made, tmp_path / "copy", plant))
    with pytest.raises(InputError, match=f"manifest and the checkpoint contradict.* {told_by}"):
        bundle.load_checkpoint()
