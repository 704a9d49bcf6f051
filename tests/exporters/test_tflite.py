"""LiteRT models: what is LiteRT's own; test_every_runtime.py has what holds for every runtime."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import exporters
from exporters.errors import InputError
from exporters.tflite.runner import load
from squeezebert_edge.model.heads import ARCHITECTURES
from tests.kit.exported import (
    METADATA,
    WORDS,
    Activations,
    Made,
    Small,
    assert_equal,
    computed,
    head,
    make,
    row,
)


def model(path: Path) -> Any:
    """The file as a tree of objects, by LiteRT's own reader."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model(str(path))


def weight_bytes(path: Path) -> int:
    return sum(len(buffer.data) for buffer in model(path).buffers if buffer.data is not None)


def sqnr(path: Path, module: nn.Module) -> float:
    """Signal to noise of the worst output over full and padded rows of every length, in dB."""
    runner = load(path)
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


@pytest.fixture
def small(small_of: Callable[[str], Made]) -> Made:
    """A model that several tests look at; they do not change it."""
    return small_of("tflite")


@pytest.fixture
def masked_lm(masked_lm_of: Callable[[str], Made]) -> Made:
    """Its embedding and its decoder are nearly all of its bytes."""
    return masked_lm_of("tflite")


@pytest.fixture(scope="module")
def half_masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Made:
    module, outputs = head("SqueezeBertForMaskedLM", vocab_size=WORDS)
    return make("tflite", tmp_path_factory.mktemp("tflite"), module, outputs, precision="fp16")


# The answers


def test_the_masked_lm_in_fp16_is_near_its_module_at_every_length(half_masked_lm: Made) -> None:
    path, _, module = half_masked_lm
    assert sqnr(path, module) >= 60
    assert_equal(load(path), module, tolerance=1e-2)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"SqueezeBertForMaskedLM"}))
def test_every_other_head_in_fp16_is_near_its_module(architecture: str, tmp_path: Path) -> None:
    module, outputs = head(architecture)
    path, _, _ = make("tflite", tmp_path, module, outputs, lengths=(12,), precision="fp16")
    assert sqnr(path, module) >= 60
    assert_equal(load(path), module, tolerance=1e-2)


def test_every_activation_equals_torch(tmp_path: Path) -> None:
    # xielu has its parameters in bfloat16, which LiteRT's converter does not add
    path, _, module = make("tflite", tmp_path, Activations().float(), Activations.outputs, lengths=(8,))
    assert_equal(load(path), module, tolerance=1e-6, outputs=Activations.outputs)


# The file


def test_the_artifact_says_what_it_was_made_with(small: Made) -> None:
    assert {"torch", "litert-torch", "ai-edge-litert"} <= set(small.artifact.versions)
    assert "ai-edge-quantizer" not in small.artifact.versions


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


@pytest.mark.parametrize("fixture", ["masked_lm", "half_masked_lm"])
def test_every_product_is_delegated_to_xnnpack(fixture: str, request: pytest.FixtureRequest) -> None:
    delegation = request.getfixturevalue(fixture)[1].delegation
    outside = dict(entry.rsplit(" x", 1) for entry in delegation.outside)
    assert not {"FULLY_CONNECTED", "CONV_2D", "BATCH_MATMUL", "SOFTMAX", "GELU", "MEAN"} & set(outside)
    tables = {"masked_lm": "EMBEDDING_LOOKUP", "half_masked_lm": "GATHER"}  # of halves, rows are gathered
    assert outside[tables[fixture]] == "2"
    assert delegation.delegated > 50
    assert delegation.total == delegation.delegated + sum(map(int, outside.values()))


# Running


def test_lengths_may_be_mixed_and_threads_chosen(small: Made) -> None:
    path, _, module = small
    runners = [load(path, threads=threads) for threads in (1, 2)]
    for length in (16, 8, 16, 8):
        for runner in runners:
            inputs = row(length, 5)
            found = runner(inputs)
            for name, expected in zip(runner.outputs, computed(module, inputs), strict=True):
                np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-6)


# Runtimes


def test_the_old_runtime_computes_the_same_where_it_can_run(small: Made) -> None:
    """It was built for NumPy 1, with which it runs in an environment of its own."""
    path, _, module = small
    if importlib.util.find_spec("tflite_runtime") is None:
        with pytest.raises(InputError, match=r"tflite-runtime is not installed"):
            load(path, runtime="tflite-runtime")
    elif np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        with pytest.raises(InputError, match=r"needs NumPy 1; this is NumPy .*\nnext: .* of its own"):
            load(path, runtime="tflite-runtime")
    else:
        assert_equal(load(path, runtime="tflite-runtime"), module)


def test_a_runtime_that_is_not_installed_names_its_extra(
    small: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"ai-edge-litert or tflite-runtime is not installed") as caught:
        load(small[0])
    assert "squeezebert-edge[tflite]" in str(caught.value)
    assert "squeezebert-edge[tflite-runtime]" in str(caught.value)
    with pytest.raises(InputError, match=r"tflite-runtime is not installed\nnext: .*edge\[tflite-runtime\]'"):
        load(small[0], runtime="tflite-runtime")
    with pytest.raises(InputError, match=r"tflite: litert_torch, ai_edge_quantizer is not installed"):
        exporters.get("tflite", to_export=True)


# Errors


def test_weights_beyond_float16_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    module = Small()
    with torch.no_grad():
        module.linear.weight[0, 0] = 7e4
    with pytest.raises(InputError, match=r"linear\.weight holds 7e\+04, which float16 does not"):
        make("tflite", tmp_path, module, Small.outputs, precision="fp16")
    assert not list(tmp_path.iterdir())


def test_another_model_is_an_error_that_says_what_is_expected(small: Made, tmp_path: Path) -> None:
    data = small[0].read_bytes()
    (tmp_path / "other.tflite").write_bytes(
        data.replace(b"length_8", b"serving8").replace(b"length_16", b"serving16")
    )
    with pytest.raises(InputError, match=r"signatures serving8, serving16\nallowed: signatures length_<S>"):
        load(tmp_path / "other.tflite")
