"""Whether a bundle that is there is the one that would be made: everything that makes the file decides."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exporters
from exporters.errors import InputError
from exporters.precision import Gates
from exporters.units import GPU
from squeezebert_edge.bundle.manifest import Recipe, write_manifest
from squeezebert_edge.bundle.opened import open_bundle
from squeezebert_edge.forms.calibration import Calibration
from squeezebert_edge.forms.choices import FORMS_BY_PRECISION, Choice
from squeezebert_edge.verbs import recipe
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from squeezebert_edge.verbs.recipe import find_bundles, recipe_of
from tests.kit.small import small_checkpoint

PAIR = ("tflite", "fp32")
PLAN = Plan([PAIR], (16,))
TEXT = Calibration([{"input_ids": np.ones((1, 3), np.int32)}], "train.tsv", "a" * 64, ())
CHECKPOINT = small_checkpoint(num_hidden_layers=1)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the plan's bundle."""
    directory = tmp_path_factory.mktemp("out")
    list(export_bundles(CHECKPOINT, PLAN, directory))
    return directory


def test_a_bundle_is_found_where_it_would_be_made_again(out: Path, tmp_path: Path) -> None:
    found = find_bundles(CHECKPOINT, replace(PLAN, pairs=[PAIR, ("coreml", "fp32")]), out)
    assert {pair: bundle.directory for pair, bundle in found.items()} == {PAIR: out / "tflite-fp32"}
    assert open_bundle(out / "tflite-fp32").manifest.recipe == recipe_of(CHECKPOINT, PLAN, *PAIR)
    assert find_bundles(CHECKPOINT, PLAN, tmp_path) == {}
    (tmp_path / "tflite-fp32").mkdir()
    assert find_bundles(CHECKPOINT, PLAN, tmp_path) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": (16, 32)},
        {"form": "plain"},
        {"gates": Gates(max_error=1e-6)},
        {"units": [GPU]},
        {"keep_float": ["pooler"]},
        {"allow_undelegated": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_that_was_asked_for_otherwise_is_not_replaced(out: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="was asked for otherwise") as refused:
        find_bundles(CHECKPOINT, replace(PLAN, **change), out)
    assert "--force" in str(refused.value.hint)


def test_one_of_another_checkpoint_is_not_replaced(out: Path) -> None:
    with pytest.raises(InputError, match="was asked for otherwise"):
        find_bundles(replace(CHECKPOINT, source="another/directory"), PLAN, out)


def test_one_whose_contents_have_changed_since_is_made_anew(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_bundles(replace(CHECKPOINT, sha256="1" * 64), PLAN, out) == {}
    forms = {**FORMS_BY_PRECISION, PAIR: Choice("conv2d", "another device")}
    assert find_bundles(CHECKPOINT, replace(PLAN, forms=forms), out) == {}
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "code", lambda: "of another day")
        assert find_bundles(CHECKPOINT, PLAN, out) == {}
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "packages", lambda row, extras: {"torch": "0.1"})
        assert find_bundles(CHECKPOINT, PLAN, out) == {}
    assert find_bundles(CHECKPOINT, PLAN, out) != {}


def test_calibration_counts_for_what_may_be_calibrated() -> None:
    def made(precision: str, text: Calibration | None) -> Recipe:
        return recipe_of(CHECKPOINT, replace(PLAN, calibration=text), "tflite", precision)

    other = replace(TEXT, sha256="b" * 64)
    assert made("fp32", TEXT) == made("fp32", None)
    for precision in ("int8-static", "int8"):  # which may come to be int8-static
        first, second = made(precision, TEXT), made(precision, other)
        assert first.made_of != second.made_of
        assert first.asked == second.asked
        assert made(precision, None).asked != first.asked


def rewrite(source: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A bundle with another manifest, as its own version would have written it."""
    bundle = open_bundle(source)
    fields = bundle.manifest.model_dump(exclude={"schema_version", "files"})
    change(fields)
    target.mkdir(parents=True)
    for name in bundle.manifest.files:
        (target / name).write_bytes((source / name).read_bytes())
    write_manifest(target, fields)


def test_one_that_failed_its_proof_is_made_anew(out: Path, tmp_path: Path) -> None:
    failed = {"status": "failed", "failures": ["far off"]}
    rewrite(out / "tflite-fp32", tmp_path / "tflite-fp32", lambda all_: all_["verification"].update(failed))
    assert find_bundles(CHECKPOINT, PLAN, tmp_path) == {}


def test_what_it_cannot_judge_is_not_replaced(out: Path, tmp_path: Path) -> None:
    rewrite(out / "tflite-fp32", tmp_path / "older" / "tflite-fp32", lambda fields: fields.pop("recipe"))
    with pytest.raises(InputError, match="was asked for otherwise"):
        find_bundles(CHECKPOINT, PLAN, tmp_path / "older")
    rewrite(out / "tflite-fp32", tmp_path / "altered" / "tflite-fp32", lambda fields: None)
    (tmp_path / "altered" / "tflite-fp32" / "vocab.txt").write_text("[PAD]\n")
    with pytest.raises(InputError, match="altered: vocab.txt") as altered:
        find_bundles(CHECKPOINT, PLAN, tmp_path / "altered")
    assert "--force" in str(altered.value.hint)
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "tflite-fp32").write_text("a file")
    with pytest.raises(InputError, match="exists"):
        find_bundles(CHECKPOINT, PLAN, tmp_path / "file")


def test_code_is_every_file_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("exporters", "squeezebert_edge"):
        (tmp_path / package / "deeper").mkdir(parents=True)
        (tmp_path / package / "deeper" / "a.py").write_text("a = 1\n")
    monkeypatch.setattr(recipe.resources, "files", lambda package: tmp_path / package)
    first = recipe.code.__wrapped__()
    assert recipe.code.__wrapped__() == first
    (tmp_path / "exporters" / "deeper" / "a.py").write_text("a = 2\n")
    assert recipe.code.__wrapped__() != first


def test_packages_are_those_of_the_format_and_all_below() -> None:
    found = recipe.packages(exporters.format_named("executorch"), ["executorch"])
    assert found["executorch"] == importlib.metadata.version("executorch")
    assert {"torch", "numpy", "torchao"} <= found.keys()  # executorch's own requirement among them
    assert not {"litert-torch", "pytest", "ruff"} & found.keys()
