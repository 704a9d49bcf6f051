"""`import squeezebert_edge as edge`: light, six calls, and a bundle that answers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import squeezebert_edge as edge
from exporters.errors import GateError, InputError
from exporters.precision import Gates
from exporters.tflite import FORMAT
from squeezebert_edge.bundle.opened import Bundle
from tests.kit.small import save_small, small_checkpoint

HEAVY = {"torch", "executorch", "coremltools", "ai_edge_litert", "transformers", "numpy", "pydantic", "typer"}


def made(directory: Path, architecture: str = "SqueezeBertForSequenceClassification") -> Bundle:
    return edge.export(
        small_checkpoint(architecture, num_hidden_layers=1), "tflite", out=directory, lengths=[16, 32]
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    directory = tmp_path_factory.mktemp("face")
    save_small(directory / "checkpoint", num_hidden_layers=1)
    return edge.export(directory / "checkpoint", "tflite", out=directory / "out", lengths=[16, 32])


def loaded_by(code: str) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(found.stdout.splitlines()[-1].split())


def test_importing_it_loads_neither_torch_nor_a_runtime() -> None:
    assert not HEAVY & loaded_by("import squeezebert_edge as edge; dir(edge)")


def test_a_litert_bundle_answers_without_torch(bundle: Bundle) -> None:
    code = f"import squeezebert_edge as edge; edge.open_bundle({str(bundle.directory)!r})('good film')"
    found = loaded_by(code)
    assert "ai_edge_litert" in found
    assert not {"torch", "executorch", "coremltools", "typer", "rich"} & found


def test_it_names_what_is_public() -> None:
    assert set(edge.__all__) <= set(dir(edge))
    assert all(getattr(edge, name).__doc__ for name in edge.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match="has no attribute 'exports'"):
        edge.exports  # noqa: B018


def test_every_call_takes_a_directory_or_what_was_opened(bundle: Bundle, tmp_path: Path) -> None:
    data = tmp_path / "dev.tsv"
    data.write_text("sentence\tlabel\ngood film\t1\nbad food\t0\n")
    for given in (bundle, bundle.directory, str(bundle.directory)):
        assert edge.verify(given).status == "verified"
        assert edge.evaluate(given, data, limit=2).examples == 2
    for verb in (edge.verify, lambda given, unit: edge.evaluate(given, data, unit=unit), edge.benchmark):
        with pytest.raises(InputError, match="no compute unit 'tpu'"):
            verb(bundle, unit="tpu")
    assert edge.open_bundle(str(bundle.directory)).manifest == bundle.manifest
    record = edge.benchmark(bundle, protocol="rapid", threads=1)
    assert (record.protocol.name, record.bundle.name) == ("rapid", "tflite-fp32")


def test_a_bundle_answers_texts_pairs_and_lists(bundle: Bundle) -> None:
    one, pair = bundle("good film"), bundle("good film", "bad food")
    assert one["label"] in bundle.task.labels
    assert one["scores"] != pair["scores"]
    assert bundle(["good film", "good film"]) == [one, one]
    assert bundle([("good film", "bad food")]) == [pair]
    with pytest.raises(InputError, match="a list of texts"):
        bundle(["good film"], "bad food")


@pytest.mark.parametrize(
    ("architecture", "texts", "choices", "key"),
    [
        ("SqueezeBertForQuestionAnswering", ("what?", "good film"), (), "answer"),
        ("SqueezeBertForMultipleChoice", ("the food is",), ("good", "bad"), "choice"),
        ("SqueezeBertForTokenClassification", ("good film",), (), "words"),
    ],
)
def test_each_task_takes_its_texts(
    tmp_path: Path, architecture: str, texts: tuple[str, ...], choices: tuple[str, ...], key: str
) -> None:
    bundle = made(tmp_path, architecture)
    call: Any = bundle
    assert key in call(*texts, choices=choices)
    assert call([(*texts, *choices)]) == [call(*texts, choices=choices)]


def test_what_cannot_be_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists"):
        edge.export(small_checkpoint(), "tflite", out=bundle.directory.parent)
    with pytest.raises(InputError, match="unknown format 'onnx'"):
        edge.export(small_checkpoint(), "onnx", out=tmp_path)
    with pytest.raises(InputError, match="there is no protocol 'slow'\nallowed: mlperf, quick, rapid"):
        edge.benchmark(bundle, protocol="slow")
    with pytest.raises(InputError, match="not a bundle"):
        edge.open_bundle(tmp_path)


def test_an_artifact_that_is_not_equal_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = replace(FORMAT.precision("fp32"), gates=Gates(min_sqnr_db=199.0))
    monkeypatch.setitem(FORMAT.precisions, "fp32", strict)
    with pytest.raises(GateError, match="is not equal to the float model: logits") as raised:
        made(tmp_path)
    assert raised.value.exit_code == 1
    left = tmp_path / "tflite-fp32"
    with pytest.raises(GateError, match="is not equal to the float model: logits") as raised:
        edge.open_bundle(left)
    assert f"verify {left}" in str(raised.value)
    assert edge.open_bundle(left, allow_failed=True).manifest.verification.status == "failed"
