"""Forms that a device chose, read from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporters.errors import InputError
from squeezebert_edge.forms import choices
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.small import small_checkpoint

CHOSEN = {"schema_version": 1, "device": "a phone", "forms": {"tflite": {"fp32": "conv2d"}}}


def written(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(CHOSEN | changes))
    return path


def test_a_file_of_forms_takes_the_place_of_the_defaults(tmp_path: Path) -> None:
    forms = choices.read_forms(written(tmp_path / "forms.json"))
    assert choices.form_of("tflite", "fp32", forms) == choices.Choice("conv2d", "a phone")
    assert choices.form_of("tflite", "int8-dynamic", forms) == choices.form_of("tflite", "int8-dynamic")


def test_a_bundle_says_which_device_chose_its_form(tmp_path: Path) -> None:
    forms = choices.read_forms(written(tmp_path / "forms.json"))
    plan = Plan([("tflite", "fp32")], (16,), forms=forms)
    (bundle,) = export_bundles(small_checkpoint(), plan, tmp_path / "out")
    assert (bundle.manifest.form, bundle.manifest.form_decided_by) == ("conv2d", "a phone")
    assert bundle.manifest.verification.status == "verified"


def test_a_form_that_the_user_names_goes_before_a_device_s() -> None:
    plan = Plan([("tflite", "fp32")], (16,), form="plain")
    assert plan.form_of("tflite", "fp32") == choices.Choice("plain", "the user")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forms": {"onnx": {"fp32": "plain"}}}, "unknown format 'onnx'"),
        ({"forms": {"tflite": {"int3": "plain"}}}, "tflite has no precision 'int3'"),
        ({"forms": {"tflite": {"fp32": "round"}}}, "unknown form 'round'"),
        ({"schema_version": 2}, "not as expected: schema_version"),
        ({"extra": 1}, "not as expected: extra"),
    ],
)
def test_a_wrong_file_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        choices.read_forms(written(tmp_path / "forms.json", **changes))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        choices.read_forms(tmp_path / "none.json")
