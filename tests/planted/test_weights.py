"""Faults in an artifact's constants that its outputs hardly show: none passes `export` or `verify`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import exporters
from exporters.arrays import Array
from exporters.constants import Constant
from exporters.errors import InputError
from exporters.spec import Artifact, ExportRequest, Format
from squeezebert_edge.bundle.manifest import write_manifest
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.cli.commands import app
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import SqueezeBertForSequenceClassification
from squeezebert_edge.verbs import export as verb
from squeezebert_edge.verbs.plan import Plan
from tests.kit.sentiment import DIRECTORY, sentiment
from tests.kit.small import small_checkpoint

PAIRS = [(name, exact) for name in exporters.names() for exact in exporters.format_named(name).precisions]
CHECKPOINT = DIRECTORY  # whose every precision keeps its gates
WORDS = len(sentiment().tokenizer.vocab)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    name, exact = request.param
    out = tmp_path_factory.mktemp("out")
    result = call("export", CHECKPOINT, "--to", name, "--precision", exact, "--lengths", "16", "--out", out)
    assert result.exit_code == 0, result.output
    return open_bundle(out / f"{name}-{exact}")


def test_an_honest_bundle_passes(made: Bundle) -> None:
    assert made.manifest.verification.weights == 1.0
    result = call("verify", made.directory)
    assert result.exit_code == 0, result.output
    assert "100.00%" in result.output


# What is planted


def alter(artifact: Path, old: bytes, new: bytes) -> None:
    """Replace what an artifact holds, wherever it does."""
    assert old != new
    files = [artifact] if artifact.is_file() else [path for path in artifact.rglob("*") if path.is_file()]
    found = [path for path in files if old in path.read_bytes()]
    assert found
    for path in found:
        path.write_bytes(path.read_bytes().replace(old, new))


def constants(artifact: Path, format_: str) -> list[Constant]:
    found = exporters.get(format_).read_constants(artifact)
    assert found is not None
    return found


def largest(artifact: Path, format_: str) -> Constant:
    """The weight of a product."""
    held = constants(artifact, format_)
    products = [one for one in held if one.values.ndim > 1 and WORDS not in one.values.shape]
    return max(products, key=lambda one: one.values.size)


def table(artifact: Path, format_: str) -> Constant:
    return next(one for one in constants(artifact, format_) if WORDS in one.values.shape[:1])


def stored(constant: Constant, artifact: Path) -> Array | None:
    """The values as they lie in the file; None of those that are packed."""
    if constant.steps is None:
        return None if constant.palette is not None else constant.values.astype(f"float{constant.bits}")
    if constant.bits != 8:
        return None
    steps = np.broadcast_to(constant.steps, constant.values.shape)
    levels = np.rint(constant.values / np.where(steps == 0, 1, steps))
    held = b"".join(path.read_bytes() for path in [artifact, *artifact.rglob("*")] if path.is_file())
    for zero in sorted(range(-128, 128), key=abs):  # that stands for 0
        codes = np.clip(levels + zero, -128, 127).astype(np.int8)
        if codes.tobytes() in held:
            return codes
    raise AssertionError("the codes are not in the file")


def negate_the_largest(artifact: Path, format_: str) -> None:
    values = stored(largest(artifact, format_), artifact)
    if values is None:
        pytest.skip("values are packed")
    changed = values.copy()
    place = np.abs(values.astype(float)).argmax()
    changed.flat[place] = min(-float(values.flat[place]), 127)
    alter(artifact, values.tobytes(), changed.tobytes())


def zero_rows(artifact: Path, format_: str) -> None:
    """Of a table, words that no text of the proof has to hold."""
    values = stored(table(artifact, format_), artifact)
    if values is None:
        pytest.skip("values are packed")
    changed = values.copy()
    changed[-3:] = 0
    alter(artifact, values.tobytes(), changed.tobytes())


def double_a_scale(artifact: Path, format_: str) -> None:
    constant = largest(artifact, format_)
    steps = constant.steps if constant.steps is not None else constant.palette
    if steps is None:
        pytest.skip("nothing is quantized")
    if format_ == "executorch" and constant.bits == 4:  # bfloat16
        steps = (steps.view(np.uint32) >> 16).astype(np.uint16)
        changed = steps.copy()
        changed.flat[0] += 1 << 7  # the exponent
    else:
        steps = steps.astype(np.float16 if format_ == "coreml" else np.float32)
        steps = steps if constant.palette is None else steps[-1:]  # a palette is stored in another order
        changed = steps.copy()
        changed.flat[0] *= 2
    alter(artifact, steps.tobytes(), changed.tobytes())


FAULTS: dict[str, Callable[[Path, str], None]] = {
    "the largest weight negated": negate_the_largest,
    "rows zeroed": zero_rows,
    "a scale doubled": double_a_scale,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_verify_finds_it(made: Bundle, tmp_path: Path, fault: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made.directory, copy)
    FAULTS[fault](copy / made.manifest.artifact, made.manifest.format)
    fields = made.manifest.model_dump(exclude={"schema_version", "files"})
    write_manifest(copy, fields)
    for command in ("verify", "report", "bench", "inspect"):
        result = call(command, copy)
        assert isinstance(result.exception, InputError), command
        assert "its proof is of other files than it has" in result.exception.problem
    write_manifest(copy, fields, proven=True)  # by somebody who knows how
    result = call("verify", copy, "--min-sqnr", "-200", "--max-error", "1e9")  # the weights have no such gate
    assert result.exit_code == 1, result.output
    assert "not the checkpoint's" in result.output or "not in the artifact" in result.output


@pytest.mark.parametrize("format_", exporters.names())
def test_export_finds_it(tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Format.export

    def export(self: Format, request: ExportRequest, path: Path) -> Artifact:
        made = whole(self, request, path)
        negate_the_largest(path, format_)
        return made

    monkeypatch.setattr(Format, "export", export)
    result = call("export", CHECKPOINT, "--to", format_, "--lengths", "16", "--out", tmp_path)
    assert result.exit_code == 1, result.output
    assert "1 of" in result.output
    assert "not the checkpoint's" in result.output


@pytest.mark.slow
@pytest.mark.parametrize(("name", "exact"), [("tflite", "fp32"), ("executorch", "int8-dynamic")])
def test_it_takes_at_most_a_tenth_of_an_export(
    tmp_path: Path, name: str, exact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = "SqueezeBertForSequenceClassification"
    config = SqueezeBertConfig(architectures=[architecture])
    torch.manual_seed(0)
    model = SqueezeBertForSequenceClassification(config).eval()
    whole = replace(small_checkpoint(), config=config, model=model)
    compare, spent = verb.prove_weights, 0.0

    def timed(*arguments: object) -> object:
        nonlocal spent
        begun = time.process_time()
        found = compare(*arguments)  # type: ignore[arg-type]
        spent = time.process_time() - begun
        return found

    monkeypatch.setattr(verb, "prove_weights", timed)
    begun = time.process_time()
    (bundle,) = verb.export_bundles(whole, Plan([(name, exact)], (32, 64, 128)), tmp_path)
    share = spent / (time.process_time() - begun)
    print(f"{name} {exact}: {spent:.2f} s, {share:.1%} of the export")
    assert bundle.manifest.verification.weights == 1.0
    assert share <= 0.1
