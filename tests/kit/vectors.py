"""Small bundles of every format, which Python and both apps open, and refuse with a fault planted in a copy.

python -m tests.kit.vectors      # writes tests/vectors/bundles
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import exporters
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.faults import Fields, planted
from tests.kit.small import save_small

BUNDLES = Path(__file__).parents[1] / "vectors" / "bundles"
LENGTHS = (16, 48)
UNIT = "npu:SM8650"
SIZES: dict[str, Any] = {
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "embedding_size": 16,
    "intermediate_size": 16,
    "id2label": {"0": "negative", "1": "positive"},
}


def bundle_of(format_: str) -> Path:
    """Where the bundle of a format lies."""
    return BUNDLES / format_


def with_unit(fields: Fields, directory: Path) -> None:
    """Give a LiteRT bundle files of its own for an NPU, as if they had been compiled."""
    from exporters.tflite.model import unpack
    from exporters.tflite.signatures import alone

    artifact = directory / fields["artifact"]
    model = unpack(artifact.read_bytes())
    named = {length: f"{artifact.stem}.SM8650.{length}{artifact.suffix}" for length in LENGTHS}
    for length, name in named.items():
        (directory / name).write_bytes(alone(model, length))
    fields["units"][UNIT] = {
        "files": named,
        "form": fields["form"],
        "form_decided_by": "the user",
        "arithmetic": "float32",
        "delegation": {"delegated": None, "total": None},
        "partitions": 1,
        "versions": {},
        "verification": {"status": "not verified", "by": None},
    }


def written(directory: Path) -> Iterator[Path]:
    """A bundle of each format."""
    checkpoint = load_checkpoint(save_small(directory / "CHECKPOINT", **SIZES))
    plan = Plan([(name, "fp32") for name in exporters.names()], LENGTHS)
    for bundle in export_bundles(checkpoint, plan, directory / "out"):

        def finish(fields: Fields, copy: Path) -> None:
            fields["source"]["checkpoint"] = "CHECKPOINT"
            if fields["format"] == "tflite":
                with_unit(fields, copy)

        yield planted(bundle.directory, directory / bundle.manifest.format, finish)


def main() -> None:
    """Write them."""
    shutil.rmtree(BUNDLES, ignore_errors=True)
    with TemporaryDirectory() as name:
        for bundle in written(Path(name)):
            shutil.copytree(bundle, bundle_of(bundle.name))


if __name__ == "__main__":
    main()
