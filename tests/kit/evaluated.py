"""Bundles of small checkpoints, evaluated on a few labelled sentences as a user does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.cli.commands import app
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.small import save_small

LENGTHS = (16, 32)
TEXTS = ("good film", "bad", "the food is bad", "good food and a good film", "is the film of the food")
DATA = "sentence\tlabel\n" + "".join(f"{text}\t{n % 2}\n" for n, text in enumerate(TEXTS))


def bundle_of(directory: Path, **labels: Any) -> Path:
    """A saved checkpoint and its tflite bundle."""
    loaded = load_checkpoint(str(save_small(directory / "checkpoint", **labels)))
    (bundle,) = export_bundles(loaded, Plan([("tflite", "fp32")], LENGTHS), directory)
    return bundle.directory


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def answered(*arguments: object) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
