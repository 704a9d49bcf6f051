"""LiteRT models: every head equals its module at every length, and the file is what apps expect."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import exporters
from exporters.errors import InputError
from exporters.spec import Artifact, TensorSpec
from exporters.tflite import export as tflite
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.tasks.heads import of_architecture
from tests.kit.exported import (
    INPUTS,
    LENGTHS,
    METADATA,
    WRONG_INPUTS,
    Activations,
    Small,
    assert_equal,
    computed,
    head,
    request,
    row,
)

WORDS = 12_000

Made = tuple[Path, Artifact, nn.Module]


def made(directory: Path, module: nn.Module, outputs: tuple[str, ...], **options: Any) -> Made:
    path = directory / tflite.FILE_NAME
    return path, tflite.export(request(module, outputs, **options), path), module


def model(path: Path) -> Any:
    """The file as a tree of objects, by LiteRT's own reader."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model(str(path))


def weight_bytes(path: Path) -> int:
    return sum(len(buffer.data) for buffer in model(path).buffers if buffer.data is not None)


def sqnr(path: Path, module: nn.Module) -> float:
    """Signal to noise of the worst output over full and padded rows of every length, in dB."""
    runner = tflite.load(path)
    found: Mapping[str, list[np.ndarray]] = {name: [] for name in runner.outputs}
    expected: Mapping[str, list[np.ndarray]] = {name: [] for name in runner.outputs}
    for length in runner.lengths:
        for tokens in range(2, length + 1):
            inputs = row(length, tokens)
            for name, value in runner(inputs).items():
                found[name].append(value.ravel())
            for name, value in zip(runner.outputs, computed(module, inputs), strict=True):
                expected[name].append(value.ravel())
    ratios = []
    for name in runner.outputs:
        truth = np.concatenate(expected[name])
        ratios.append(truth.var() / np.square(np.concatenate(found[name]) - truth).mean())
    return float(10 * np.log10(min(ratios)))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model that several tests look at; they do not change it."""
    return made(tmp_path_factory.mktemp("tflite"), Small(), Small.outputs)


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Its embedding and its decoder are nearly all of its bytes."""
    module, outputs = head("SqueezeBertForMaskedLM", vocab_size=WORDS)
    return made(tmp_path_factory.mktemp("tflite"), module, outputs)


@pytest.fixture(scope="module")
def half_masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Made:
    module, outputs = head("SqueezeBertForMaskedLM", vocab_size=WORDS)
    return made(tmp_path_factory.mktemp("tflite"), module, outputs, precision="fp16")


# The answers


def test_the_masked_lm_equals_its_module_at_every_length(masked_lm: Made) -> None:
    path, _, module = masked_lm
    runner = tflite.load(path)
    assert runner.lengths == LENGTHS
    assert_equal(runner, module)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"SqueezeBertForMaskedLM"}))
def test_every_other_head_equals_its_module(architecture: str, tmp_path: Path) -> None:
    module, outputs = head(architecture)
    path, _, _ = made(tmp_path, module, outputs, lengths=(12,))
    assert_equal(tflite.load(path), module)


def test_the_masked_lm_in_fp16_is_near_its_module_at_every_length(half_masked_lm: Made) -> None:
    path, _, module = half_masked_lm
    assert sqnr(path, module) >= 60
    assert_equal(tflite.load(path), module, tolerance=1e-2)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"SqueezeBertForMaskedLM"}))
def test_every_other_head_in_fp16_is_near_its_module(architecture: str, tmp_path: Path) -> None:
    module, outputs = head(architecture)
    path, _, _ = made(tmp_path, module, outputs, lengths=(12,), precision="fp16")
    assert sqnr(path, module) >= 60
    assert_equal(tflite.load(path), module, tolerance=1e-2)


def test_every_activation_equals_torch(tmp_path: Path) -> None:
    # xielu has its parameters in bfloat16, which LiteRT's converter does not add
    path, _, module = made(tmp_path, Activations().float(), Activations.outputs, lengths=(8,))
    assert_equal(tflite.load(path), module, tolerance=1e-6, outputs=Activations.outputs)


# The file


def test_the_artifact_says_what_it_is(small: Made) -> None:
    path, artifact, _ = small
    assert artifact.path == path
    assert artifact.inputs == tuple(TensorSpec(name, "int32", (1, None)) for name in INPUTS)
    assert artifact.outputs == (
        TensorSpec("tokens", "float32", (1, None, 16)),
        TensorSpec("row", "float32", (1, 16)),
    )
    assert artifact.entry_points == {8: "length_8", 16: "length_16"}
    assert {"torch", "litert-torch", "ai-edge-litert"} <= set(artifact.versions)
    assert "ai-edge-quantizer" not in artifact.versions


@pytest.mark.parametrize("fixture", ["masked_lm", "half_masked_lm"])
def test_the_file_declares_the_same_tensors(fixture: str, request: pytest.FixtureRequest) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path, artifact, _ = request.getfixturevalue(fixture)
    interpreter = Interpreter(str(path))
    assert list(interpreter.get_signature_list()) == list(artifact.entry_points.values())
    for length, signature in artifact.entry_points.items():
        runner = interpreter.get_signature_runner(signature)
        for specs, declared in (
            (artifact.inputs, runner.get_input_details()),
            (artifact.outputs, runner.get_output_details()),
        ):
            assert set(declared) == {spec.name for spec in specs}
            for spec in specs:
                shape = tuple(length if size is None else size for size in spec.shape)
                assert tuple(declared[spec.name]["shape"]) == shape
                assert np.dtype(declared[spec.name]["dtype"]).name == spec.dtype


@pytest.mark.parametrize("fixture", ["small", "half_masked_lm"])
def test_the_file_explains_itself(fixture: str, request: pytest.FixtureRequest) -> None:
    file = model(request.getfixturevalue(fixture)[0])
    entries = {entry.name.decode(): bytes(file.buffers[entry.buffer].data) for entry in file.metadata}
    assert json.loads(entries["squeezebert_edge"]) == METADATA
    assert "min_runtime_version" in entries


def test_weights_are_stored_once_for_all_lengths(masked_lm: Made) -> None:
    path, _, module = masked_lm
    weights = sum(parameter.nbytes for parameter in module.parameters())
    # LiteRT's converter multiplies a tied decoder by the LayerNorm before it: it is no copy of the embedding.
    decoder = module.get_parameter("model.cls.predictions.decoder.weight").nbytes
    assert weight_bytes(path) < 1.02 * (weights + decoder)
    assert path.stat().st_size < 1.03 * (weights + decoder)


def test_fp16_halves_the_file_and_keeps_the_weights_in_it(masked_lm: Made, half_masked_lm: Made) -> None:
    path, artifact, _ = half_masked_lm
    assert weight_bytes(path) < 0.52 * weight_bytes(masked_lm[0])
    assert path.stat().st_size < 0.53 * masked_lm[0].stat().st_size
    assert "ai-edge-quantizer" in artifact.versions
    assert not any(buffer.offset for buffer in model(path).buffers)


def test_tensors_have_short_names(small: Made) -> None:
    names = [tensor.name.decode() for graph in model(small[0]).subgraphs for tensor in graph.tensors]
    assert "module/linear;" in names
    assert not [name for name in names if "exported" in name or "torch.nn" in name]


def test_the_same_module_gives_the_same_bytes(small: Made, tmp_path: Path) -> None:
    again, _, _ = made(tmp_path, Small(), Small.outputs)
    assert again.read_bytes() == small[0].read_bytes()


@pytest.mark.parametrize("fixture", ["masked_lm", "half_masked_lm"])
def test_every_product_is_delegated_to_xnnpack(fixture: str, request: pytest.FixtureRequest) -> None:
    delegation = request.getfixturevalue(fixture)[1].delegation
    outside = dict(entry.rsplit(" x", 1) for entry in delegation.outside)
    assert not {"FULLY_CONNECTED", "CONV_2D", "BATCH_MATMUL", "SOFTMAX", "GELU", "MEAN"} & set(outside)
    assert outside["EMBEDDING_LOOKUP"] == "2"
    assert delegation.delegated > 50
    assert delegation.total == delegation.delegated + sum(map(int, outside.values()))


# Running


def test_a_runner_reads_what_it_is_from_the_file(small: Made) -> None:
    runner = tflite.load(small[0], runtime="ai-edge-litert")
    assert (runner.inputs, runner.outputs, runner.lengths) == (INPUTS, ("tokens", "row"), LENGTHS)
    assert runner.computed_by == "runtime"


def test_outputs_are_the_callers_own(small: Made) -> None:
    runner = tflite.load(small[0])
    first = runner(row(16, 16))
    kept = {name: value.copy() for name, value in first.items()}
    second = runner(row(16, 3))
    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)
        assert not np.array_equal(first[name], second[name])
        first[name] += 1
    np.testing.assert_array_equal(runner(row(16, 3))["tokens"], second["tokens"])


def test_inputs_may_be_any_arrays(small: Made) -> None:
    runner = tflite.load(small[0])
    inputs = row(16, 12)
    expected = runner(inputs)["tokens"]
    strided = {name: np.repeat(value, 2, axis=1)[:, ::2] for name, value in inputs.items()}
    for value in inputs.values():
        value.flags.writeable = False
    np.testing.assert_array_equal(runner(inputs)["tokens"], expected)
    np.testing.assert_array_equal(runner(strided)["tokens"], expected)


def test_lengths_may_be_mixed_and_threads_chosen(small: Made) -> None:
    path, _, module = small
    runners = [tflite.load(path, threads=threads) for threads in (1, 2)]
    for length in (16, 8, 16, 8):
        for runner in runners:
            inputs = row(length, 5)
            found = runner(inputs)
            for name, expected in zip(runner.outputs, computed(module, inputs), strict=True):
                np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("wrong", WRONG_INPUTS)
def test_wrong_inputs_are_an_error_that_says_what_is_allowed(wrong: str, small: Made) -> None:
    change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = WRONG_INPUTS[wrong]
    with pytest.raises(
        InputError, match="allowed: (input_ids, attention_mask, token_type_ids|.* one of 8, 16)"
    ):
        tflite.load(small[0])(change(row(16, 16)))


# Runtimes


def test_the_old_runtime_computes_the_same_where_it_can_run(small: Made) -> None:
    """It was built for NumPy 1, with which it runs in an environment of its own."""
    path, _, module = small
    if importlib.util.find_spec("tflite_runtime") is None:
        with pytest.raises(InputError, match=r"tflite-runtime is not installed"):
            tflite.load(path, runtime="tflite-runtime")
    elif np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        with pytest.raises(InputError, match=r"needs NumPy 1; this is NumPy .*\nnext: .* of its own"):
            tflite.load(path, runtime="tflite-runtime")
    else:
        assert_equal(tflite.load(path, runtime="tflite-runtime"), module)


def test_a_runtime_that_is_not_installed_names_its_extra(
    small: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tflite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"ai-edge-litert or tflite-runtime is not installed") as caught:
        tflite.load(small[0])
    assert "squeezebert-edge[tflite]" in str(caught.value)
    assert "squeezebert-edge[tflite-runtime]" in str(caught.value)
    with pytest.raises(InputError, match=r"tflite-runtime is not installed\nnext: .*edge\[tflite-runtime\]'"):
        tflite.load(small[0], runtime="tflite-runtime")
    with pytest.raises(InputError, match=r"tflite: litert_torch, ai_edge_quantizer is not installed"):
        exporters.get("tflite", to_export=True)


def test_an_unknown_runtime_is_an_error_with_the_choices(small: Made) -> None:
    with pytest.raises(InputError, match=r"unknown runtime 'onnx'\nallowed: ai-edge-litert, tflite-runtime"):
        tflite.load(small[0], runtime="onnx")
    with pytest.raises(InputError, match="0 threads"):
        tflite.load(small[0], threads=0)


# Errors


def test_an_unknown_precision_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no precision 'int7'\nallowed: fp32, fp16"):
        made(tmp_path, Small(), Small.outputs, precision="int7")
    assert not list(tmp_path.iterdir())


def test_weights_beyond_float16_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    module = Small()
    with torch.no_grad():
        module.linear.weight[0, 0] = 7e4
    with pytest.raises(InputError, match=r"linear\.weight holds 7e\+04, which float16 does not"):
        made(tmp_path, module, Small.outputs, precision="fp16")
    assert not list(tmp_path.iterdir())


def test_a_module_that_cannot_be_converted_is_an_error_that_says_so(tmp_path: Path) -> None:
    class Unconvertible(nn.Module):
        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.where(inputs[0].sum() > int(inputs[1].sum()), 1.0, 0.0),)

    with pytest.raises(InputError, match="litert-torch .* cannot convert this model"):
        made(tmp_path, Unconvertible(), ("result",))
    assert not list(tmp_path.iterdir())


def damaged(data: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "text": b"version https://git-lfs.github.com/spec/v1\n" * 20,
        "zeros": bytes(len(data)),
        "cut in its weights": data[:-100],
        "cut in half": data[: len(data) // 2],
        "cut to its header": data[:64],
    }


@pytest.mark.parametrize("damage", damaged(b""))
def test_a_damaged_file_is_an_error(damage: str, small: Made, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(damaged(small[0].read_bytes())[damage])
    with pytest.raises(InputError, match=r"model\.tflite: LiteRT cannot read it"):
        tflite.load(path)


def test_another_model_is_an_error_that_says_what_is_expected(small: Made, tmp_path: Path) -> None:
    data = small[0].read_bytes()
    (tmp_path / "other.tflite").write_bytes(
        data.replace(b"length_8", b"serving8").replace(b"length_16", b"serving16")
    )
    with pytest.raises(InputError, match=r"signatures serving8, serving16\nallowed: signatures length_<S>"):
        tflite.load(tmp_path / "other.tflite")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        tflite.load(tmp_path / "missing.tflite")


def test_nothing_is_printed_and_the_users_logging_stays(tmp_path: Path) -> None:
    code = f"""
import logging, os, warnings
from pathlib import Path
from exporters import tflite
from tests.kit.exported import Small, assert_equal, request
before = logging.root.manager.disable, logging.root.handlers[:], logging.root.level, warnings.filters[:]
path = Path({str(tmp_path / "model.tflite")!r})
tflite.export(request(Small(), Small.outputs, "fp16"), path)
for threads in (1, 2):
    assert_equal(tflite.load(path, threads=threads), Small(), tolerance=1e-2)
assert before == (logging.root.manager.disable, logging.root.handlers, logging.root.level, warnings.filters)
assert "LITERT_TORCH_SHOW_PROGRESS" not in os.environ
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["SqueezeBertForMaskedLM", "SqueezeBertForSequenceClassification"])
def test_squeezeberts_own_size_equals_its_module(architecture: str, tmp_path: Path) -> None:
    task = of_architecture(architecture)
    torch.manual_seed(0)
    module, outputs = lay_out(ARCHITECTURES[architecture](SqueezeBertConfig()), task, "plain"), task.outputs
    path, _, _ = made(tmp_path, module, outputs, lengths=(32, 64, 128))
    assert_equal(tflite.load(path, threads=2), module, tolerance=1e-4)
