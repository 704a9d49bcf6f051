"""What the numbers of an artifact mean: checkpoint, manifest and the artifact itself must say the same.

Hashes see what was altered after it was written. They see neither what was written wrong, nor what was
altered by somebody who made the hashes anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import exporters
from exporters.errors import InputError, quote
from squeezebert_edge.bundle.manifest import VOCABULARY, Manifest

if TYPE_CHECKING:
    from exporters.spec import Description
    from squeezebert_edge.checkpoint.checkpoint import Checkpoint

Meaning = Mapping[str, Any]  # by name, as JSON has it


def write_vocabulary(directory: Path, words: Sequence[str]) -> None:
    """Put a bundle's vocabulary into it."""
    (directory / VOCABULARY).write_bytes(_vocabulary(words))


def meaning_of_checkpoint(checkpoint: Checkpoint) -> Meaning:
    """What any artifact of a checkpoint means."""
    from squeezebert_edge.checkpoint.task import task_of

    task = task_of(checkpoint)
    return {
        "source_sha256": checkpoint.sha256,
        "task": task.name,
        "problem_type": task.problem_type,
        "labels": list(task.labels),
        "tokenizer": checkpoint.tokenizer.flags.to_manifest(),
        "vocabulary_sha256": hashlib.sha256(_vocabulary(checkpoint.tokenizer.vocab)).hexdigest(),
    }


def to_metadata(meaning: Meaning) -> dict[str, str]:
    """The strings that an artifact carries: texts as they are, everything else as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in meaning.items()}


def require_checkpoint_agrees(directory: Path, manifest: Manifest, checkpoint: Checkpoint) -> None:
    """Raise InputError if a bundle's manifest does not mean what its checkpoint does.

    An older manifest leaves problem_type open where config.json did.
    """
    expected = dict(meaning_of_checkpoint(checkpoint))
    if manifest.problem_type is None:
        del expected["problem_type"]
    _refuse(directory, _differences(_meaning_of_manifest(manifest), expected), "checkpoint")


def require_artifact_agrees(directory: Path, manifest: Manifest) -> None:
    """Raise InputError if a bundle's manifest does not mean what its artifact, and units' files, say.

    What an artifact of an earlier version does not say is not compared, nor is anything where the format's
    package is not here.
    """
    format_ = exporters.format_named(manifest.format) if manifest.format in exporters.names() else None
    said = format_.describe(directory / manifest.artifact) if format_ else None
    if said is None:
        return
    meaning = _meaning_of_manifest(manifest)
    _refuse(directory, _differences(meaning, _meaning_of(said, meaning)), "artifact")
    for unit in manifest.units.values():
        for length, file in unit.files.items():
            own = format_.describe(directory / file) if format_ and file != manifest.artifact else None
            if own is not None:
                entry = {length: manifest.entry_points.get(length)}
                expected = {**meaning, "form": unit.form, "entry_points": entry}
                _refuse(directory, _differences(expected, _meaning_of(own, expected)), f"file {file}")


def _meaning_of(said: Description, like: Meaning) -> Meaning:
    """What an artifact says of itself, of the things that are compared."""
    found = {name: _read(said.metadata[name], like[name]) for name in like.keys() & said.metadata}
    return {**found, "entry_points": dict(said.entry_points)} if said.entry_points else found


def _meaning_of_manifest(manifest: Manifest) -> Meaning:
    return {
        "source_sha256": manifest.source.sha256,
        "task": manifest.task,
        "problem_type": manifest.problem_type,
        "labels": manifest.labels,
        "tokenizer": manifest.tokenizer.model_dump(),
        "vocabulary_sha256": manifest.files.get(VOCABULARY),
        "precision": manifest.precision.exact,
        "form": manifest.form,
        "lengths": manifest.lengths,
        "entry_points": manifest.entry_points,
    }


def _vocabulary(words: Sequence[str]) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()


def _read(said: str, like: object) -> object:
    """A string of an artifact's metadata as what stands in the manifest in its place."""
    if isinstance(like, str) and not said.startswith(('"', "null")):
        return said
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        return said


def _differences(manifest: Meaning, found: Meaning) -> Iterator[tuple[str, str, str]]:
    """The name of each thing that is not the same, and what it is in both."""
    for name in sorted(found):
        here, there = manifest.get(name), found[name]
        if isinstance(here, dict) and isinstance(there, dict) and here.keys() == there.keys():
            for key, one, other in _differences(here, there):
                yield f"{name}.{key}", one, other
        elif here != there:
            yield name, quote(here), quote(there)


def _refuse(directory: Path, differences: Iterator[tuple[str, str, str]], other: str) -> None:
    said = [f"{name} is {here} in the manifest, {there} in the {other}" for name, here, there in differences]
    if said:
        raise InputError(
            f"{directory}: the manifest and the {other} contradict each other: {'; '.join(said)}",
            hint="export it again",
        )
