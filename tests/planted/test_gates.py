"""Gates that are not those of the precision are said with the proof; numbers beyond them are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exporters.errors import InputError
from squeezebert_edge.bundle.manifest import write_manifest
from squeezebert_edge.bundle.opened import open_bundle
from squeezebert_edge.cli.commands import app
from squeezebert_edge.report.rows import SAVED, collect, to_json
from tests.kit.small import save_small

LOOSE = "by gates of a user's own: max_error 0.1 in the place of 0.0001"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("gates")
    checkpoint = save_small(directory / "checkpoint", num_hidden_layers=1)
    asked = ["export", checkpoint, "--to", "tflite", "--lengths", "16", "--out", directory]
    assert call(*asked).exit_code == 0
    return directory / "tflite-fp32"


def with_proof(made: Path, directory: Path, **changes: Any) -> Path:
    """A copy whose manifest says otherwise, its hashes made anew."""
    copy = directory / made.name
    shutil.copytree(made, copy)
    fields = open_bundle(made).manifest.model_dump(exclude={"schema_version", "files"})
    fields["verification"] |= changes
    write_manifest(copy, fields)
    return copy


def test_the_table_s_own_gates_are_no_news(made: Path) -> None:
    for verb in ("report", "verify"):
        result = call(verb, made)
        assert result.exit_code == 0
        assert "gates of a user's own" not in result.output


def test_loosened_gates_are_said(made: Path, tmp_path: Path) -> None:
    gates = open_bundle(made).manifest.verification.gates | {"max_error": 0.1}
    copy = with_proof(made, tmp_path, gates=gates)
    for arguments in (["report", copy], ["verify", copy], ["bench", copy, "--rapid", "--records", tmp_path]):
        assert LOOSE in " ".join(call(*arguments).output.split()), arguments
    assert LOOSE in " ".join(call("verify", made, "--max-error", "0.1").output.split())
    report = tmp_path / SAVED
    report.write_text(to_json(collect([copy])))
    assert any(LOOSE in warning for warning in collect([report]).warnings)


def test_a_unit_without_a_proof_is_said(made: Path) -> None:
    """The host runs nothing on a GPU: it refuses, after it has said so."""
    words = " ".join(call("bench", made, "--unit", "gpu").output.split())
    assert f"{made} is not proven on gpu: `squeezebert-edge verify {made} --unit gpu` proves it" in words
    assert "not proven" not in call("bench", made, "--unit", "npu").output


def test_a_gate_that_is_left_out_is_said(made: Path, tmp_path: Path) -> None:
    copy = with_proof(made, tmp_path, gates={})
    assert "max_error none in the place of 0.0001" in " ".join(call("report", copy).output.split())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_abs_error": 0.5, "max_abs_reference": 1.0}, "its largest error is 0.5, above 0.0001"),
        ({"padding_error": 0.5}, "its padding error is 0.5"),
        ({"failures": ["logits: wrong"]}, "it has failures: logits: wrong"),
    ],
)
def test_numbers_beyond_the_gates_are_no_proof(
    made: Path, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=f"says that it is verified, but {says}"):
        open_bundle(with_proof(made, tmp_path, **changes))


def test_a_saved_report_s_numbers_are_held_to_its_gates(made: Path, tmp_path: Path) -> None:
    saved = json.loads(to_json(collect([made])))
    saved["rows"][0]["verification"]["max_abs_error"] = 7.5
    report = tmp_path / SAVED
    report.write_text(json.dumps(saved))
    assert any("but its largest error is 7.5" in warning for warning in collect([report]).warnings)
