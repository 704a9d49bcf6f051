"""What a failed proof leaves is looked at, proven again or replaced, and nothing else is done with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exporters.errors import GateError
from exporters.units import CPU, GPU
from squeezebert_edge.bundle.manifest import write_manifest
from squeezebert_edge.bundle.opened import open_bundle
from squeezebert_edge.cli.commands import app
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency.protocol import PROTOCOLS
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from tests.kit.small import save_small


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("checkpoint") / "small", num_hidden_layers=1)


@pytest.fixture(scope="module")
def failed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("failed")
    result = call(
        "export", checkpoint, "--to", "tflite", "--lengths", "16", "--min-sqnr", "199", "--out", out
    )
    assert result.exit_code == 1, result.output
    return out / "tflite-fp32"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "dev.tsv"
    path.write_text("sentence\tlabel\ngood film\t1\nbad food\t0\n")
    return path


@pytest.mark.parametrize("verb", ["predict", "evaluate", "bench", "demo"])
def test_it_is_refused(failed: Path, data: Path, verb: str) -> None:
    arguments = {
        "predict": [failed, "good film"],
        "evaluate": [failed, "--data", data],
        "bench": [failed, "--rapid"],
        "demo": ["android", failed],
    }
    result = call(verb, *arguments[verb])
    assert isinstance(result.exception, GateError)
    assert result.exception.exit_code == 1
    assert f"{failed} is not equal to the float model: logits: the SQNR is" in result.exception.problem
    assert f"verify {failed}" in str(result.exception.hint)


def test_it_can_be_looked_at_and_proven_again(failed: Path) -> None:
    assert "failed" in call("inspect", failed).output
    assert call("verify", failed, "--min-sqnr", "199").exit_code == 1
    shown = call("report", failed)
    assert "failed" in shown.output


def test_it_is_replaced(checkpoint: Path, failed: Path, tmp_path: Path) -> None:
    copy = tmp_path / failed.name
    shutil.copytree(failed, copy)
    again = ["export", checkpoint, "--to", "tflite", "--lengths", "16", "--out", tmp_path, "--force"]
    assert call(*again).exit_code == 0
    assert call("predict", copy, "good film").exit_code == 0


def test_a_unit_whose_proof_failed_is_refused_alone(failed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(failed, copy)
    fields = open_bundle(failed, allow_failed=True).manifest.model_dump(exclude={"schema_version", "files"})
    proof = {"status": "failed", "by": "webgpu", "failures": ["logits: the SQNR is 12.0 dB, below 50.0"]}
    unit = {"files": {16: fields["artifact"]}, "form": "conv2d", "form_decided_by": "a test"}
    unit |= {"arithmetic": "float16", "delegation": fields["delegation"], "partitions": 1, "versions": {}}
    fields["verification"] |= {"status": "verified", "failures": [], "gates": {}}
    write_manifest(copy, fields | {"units": {"gpu": unit | {"verification": proof}}})
    bundle = open_bundle(copy)
    assert set(bundle.files_of(CPU).values()) == {bundle.artifact}
    assert bundle.size_of(GPU) == bundle.size
    with pytest.raises(GateError, match="on gpu is not equal to the float model: .* 12.0 dB"):
        bundle.load_runner(unit=GPU)
    with pytest.raises(GateError, match="on gpu is not equal"):
        open_bundle(copy, unit=GPU)
    assert set(open_bundle(copy, allow_failed=True).files_of(GPU).values()) == {bundle.artifact}


def test_a_unit_that_is_verified_answers_where_the_cpu_has_failed(failed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(failed, copy)
    fields = open_bundle(failed, allow_failed=True).manifest.model_dump(exclude={"schema_version", "files"})
    unit = {"files": {16: fields["artifact"]}, "form": "conv2d", "form_decided_by": "a test"}
    unit |= {"arithmetic": "float16", "delegation": fields["delegation"], "partitions": 1, "versions": {}}
    proof = {"status": "verified", "by": "webgpu"}
    write_manifest(copy, fields | {"units": {"gpu": unit | {"verification": proof}}})
    bundle = open_bundle(copy, unit=GPU)
    assert set(bundle.files_of(GPU).values()) == {bundle.artifact}
    for refused in (bundle.load_runner, lambda: open_bundle(copy), lambda: bundle.files_of(CPU)):
        with pytest.raises(GateError, match="copy is not equal to the float model"):
            refused()
    with pytest.raises(GateError, match="copy is not equal to the float model"):
        next(benchmark_bundles([bundle], Host(), Request(PROTOCOLS["rapid"], Settings())))
