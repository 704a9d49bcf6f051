"""ExecuTorch programs: what is ExecuTorch's own; test_every_runtime.py has what holds for every runtime."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from exporters.errors import InputError
from exporters.executorch.runner import load
from tests.kit.exported import INPUTS, METADATA, Activations, Made, assert_equal, make


def program(path: Path) -> Any:
    """The file as ExecuTorch itself sees it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its Python interface is experimental
        from executorch.runtime import Runtime
    return Runtime.get().load_program(path)


@pytest.fixture
def small(small_of: Callable[[str], Made]) -> Made:
    """A program that several tests look at; they do not change it."""
    return small_of("executorch")


@pytest.fixture
def masked_lm(masked_lm_of: Callable[[str], Made]) -> Made:
    """Its embedding and its decoder are nearly all of its bytes."""
    return masked_lm_of("executorch")


def test_every_activation_equals_torch(tmp_path: Path) -> None:
    path, _, module = make("executorch", tmp_path, Activations(), Activations.outputs, lengths=(8,))
    assert_equal(load(path), module, tolerance=1e-6)


# The file


def test_the_artifact_says_what_it_was_made_with(small: Made) -> None:
    assert set(small.artifact.versions) == {"torch", "executorch"}


def test_the_file_declares_the_same_tensors(small: Made) -> None:
    path, artifact, _ = small
    for length, method in artifact.entry_points.items():
        meta = program(path).metadata(method)
        for specs, number, of in (
            (artifact.inputs, meta.num_inputs(), meta.input_tensor_meta),
            (artifact.outputs, meta.num_outputs(), meta.output_tensor_meta),
        ):
            assert number == len(specs)
            for index, spec in enumerate(specs):
                assert of(index).sizes() == tuple(length if size is None else size for size in spec.shape)
                assert of(index).dtype() == {"int32": 3, "float32": 6}[spec.dtype]  # ScalarType


def test_the_file_explains_itself(small: Made) -> None:
    file = program(small[0])
    told = {name: file.load_method(name).execute([]) for name in ("input_names", "output_names", "metadata")}
    assert told["input_names"] == list(INPUTS)
    assert told["output_names"] == ["tokens", "row"]
    assert json.loads(told["metadata"][0]) == METADATA


def test_weights_are_stored_once_for_all_lengths(masked_lm: Made) -> None:
    path, _, module = masked_lm
    weights = sum(parameter.nbytes for parameter in module.parameters())
    # XNNPACK keeps weights apart from those of ExecuTorch's own operators, so a tied decoder is there again.
    decoder = module.get_parameter("model.cls.predictions.decoder.weight").nbytes
    assert path.stat().st_size < 1.02 * (weights + decoder)


def test_every_product_is_delegated_to_xnnpack(masked_lm: Made) -> None:
    delegation = masked_lm[1].delegation
    outside = dict(entry.rsplit(" x", 1) for entry in delegation.outside)
    # Neither the products, nor the expands that torch puts around a 4-D one.
    for operator in ("linear", "convolution", "bmm", "mm", "addmm", "matmul", "softmax", "gelu", "expand"):
        assert not [name for name in outside if operator in name.split("_")]
    assert outside["aten_native_layer_norm_default"] == "2"  # those of (B, C, S), between permutations
    assert outside["aten_embedding_default"] == "2"  # words and types; positions are constants
    assert delegation.delegated is not None
    assert delegation.total == delegation.delegated + sum(map(int, outside.values()))
    assert delegation.reason is None


# Running


def test_runners_of_different_threads_take_turns(small: Made) -> None:
    from executorch.extension.pybindings import portable_lib

    path, _, module = small
    one, two = load(path, threads=1), load(path, threads=2)
    for _ in range(3):
        for threads, runner in ((1, one), (2, two)):
            assert_equal(runner, module)
            assert portable_lib._threadpool_get_thread_count() == threads


def test_another_program_is_an_error_that_says_what_is_expected(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from executorch.exir import to_edge

        forward = torch.export.export(nn.ReLU(), (torch.ones(2),))
        (tmp_path / "other.pte").write_bytes(to_edge(forward).to_executorch().buffer)
    with pytest.raises(InputError, match=r"methods forward\nallowed: methods length_<S>"):
        load(tmp_path / "other.pte")
