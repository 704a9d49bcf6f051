"""Faults planted in a copy of a bundle, its hashes made anew: Python and both apps refuse each of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from squeezebert_edge.bundle.manifest import MANIFEST, VOCABULARY, parse_manifest, write_manifest

Fields = dict[str, Any]  # of a manifest
Plant = Callable[[Fields, Path], None]


def reverse_labels(fields: Fields, directory: Path) -> None:
    fields["labels"].reverse()


def swap_words(fields: Fields, directory: Path) -> None:
    words = (directory / VOCABULARY).read_text().splitlines()
    good, bad = words.index("good"), words.index("bad")
    words[good], words[bad] = words[bad], words[good]
    (directory / VOCABULARY).write_text("\n".join(words) + "\n")


def flip(name: str) -> Plant:
    def plant(fields: Fields, directory: Path) -> None:
        fields["tokenizer"][name] = not fields["tokenizer"][name]

    return plant


def other_longest_word(fields: Fields, directory: Path) -> None:
    fields["tokenizer"]["max_word"] = 3


def swap_frame(fields: Fields, directory: Path) -> None:
    tokens = fields["tokenizer"]["special_tokens"]
    tokens["cls"], tokens["sep"] = tokens["sep"], tokens["cls"]


def cross_entry_points(fields: Fields, directory: Path) -> None:
    lengths = fields["lengths"]
    fields["entry_points"] = dict(zip(lengths, reversed(fields["entry_points"].values()), strict=True))
    if not any(fields["entry_points"].values()):  # Core ML has none
        fields["entry_points"] = {length: f"length_{length}" for length in lengths}


def other_problem(fields: Fields, directory: Path) -> None:
    fields["problem_type"] = "multi_label_classification"


def other_task(fields: Fields, directory: Path) -> None:
    fields["task"], fields["outputs"][0]["shape"] = "token-classification", (1, None, 2)


def other_source(fields: Fields, directory: Path) -> None:
    fields["source"]["sha256"] = "0" * 64


def other_precision(fields: Fields, directory: Path) -> None:
    fields["precision"]["exact"] = "fp16"


def other_form(fields: Fields, directory: Path) -> None:
    fields["form"] = "conv2d"


# What is planted, the word by which it is told, and whether the checkpoint tells it too.
FAULTS: dict[str, tuple[Plant, str, bool]] = {
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
    # What the artifact alone knows.
    "entry points crossed": (cross_entry_points, "entry_points", False),
    "another precision": (other_precision, "precision", False),
    "another form": (other_form, "form", False),
}


def other_unit_form(fields: Fields, directory: Path) -> None:
    for unit in fields["units"].values():
        unit["form"] = "conv2d"


def cross_unit_files(fields: Fields, directory: Path) -> None:
    for unit in fields["units"].values():
        unit["files"] = dict(zip(unit["files"], reversed(unit["files"].values()), strict=True))


# Of a bundle that has files of its own for a unit: what is planted, and the word by which it is told.
UNIT_FAULTS: dict[str, tuple[Plant, str]] = {
    "another form of a unit": (other_unit_form, "form"),
    "files of a unit crossed": (cross_unit_files, "entry_points"),
}


def planted(bundle: Path, directory: Path, plant: Plant) -> Path:
    """A copy with a fault, as somebody leaves it who makes every hash anew."""
    shutil.copytree(bundle, directory)
    manifest = directory / MANIFEST
    fields = parse_manifest(manifest, manifest.read_bytes()).model_dump(exclude={"schema_version", "files"})
    plant(fields, directory)
    write_manifest(directory, fields)
    return directory
