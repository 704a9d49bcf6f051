"""ExecuTorch programs: every head equals its module at every length, and the file is what apps expect."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exporters.errors import InputError
from exporters.executorch import export as executorch
from exporters.executorch.export import ExecuTorchRunner
from exporters.spec import Artifact, TensorSpec
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
    head,
    request,
    row,
)

WORDS = 12_000

Made = tuple[Path, Artifact, nn.Module]


def made(directory: Path, module: nn.Module, outputs: tuple[str, ...], **options: Any) -> Made:
    path = directory / executorch.FILE_NAME
    return path, executorch.export(request(module, outputs, **options), path), module


def program(path: Path) -> Any:
    """The file as ExecuTorch itself sees it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its Python interface is experimental
        from executorch.runtime import Runtime
    return Runtime.get().load_program(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A program that several tests look at; they do not change it."""
    return made(tmp_path_factory.mktemp("executorch"), Small(), Small.outputs)


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Its embedding and its decoder are nearly all of its bytes."""
    module, outputs = head("SqueezeBertForMaskedLM", vocab_size=WORDS)
    return made(tmp_path_factory.mktemp("executorch"), module, outputs)


# The answers


def test_the_masked_lm_equals_its_module_at_every_length(masked_lm: Made) -> None:
    path, _, module = masked_lm
    runner = executorch.load(path)
    assert runner.lengths == LENGTHS
    assert_equal(runner, module)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"SqueezeBertForMaskedLM"}))
def test_every_other_head_equals_its_module(architecture: str, tmp_path: Path) -> None:
    module, outputs = head(architecture)
    path, _, _ = made(tmp_path, module, outputs, lengths=(12,))
    assert_equal(executorch.load(path), module)


def test_every_activation_equals_torch(tmp_path: Path) -> None:
    path, _, module = made(tmp_path, Activations(), Activations.outputs, lengths=(8,))
    assert_equal(executorch.load(path), module, tolerance=1e-6)


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
    assert set(artifact.versions) == {"torch", "executorch"}


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


def test_the_same_module_gives_the_same_bytes(small: Made, tmp_path: Path) -> None:
    again, _, _ = made(tmp_path, Small(), Small.outputs)
    assert again.read_bytes() == small[0].read_bytes()


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


def test_a_runner_reads_what_it_is_from_the_file(small: Made) -> None:
    runner = executorch.load(small[0], runtime="executorch")
    assert (runner.inputs, runner.outputs, runner.lengths) == (INPUTS, ("tokens", "row"), LENGTHS)
    assert runner.computed_by == "runtime"


def test_outputs_are_the_callers_own(small: Made) -> None:
    runner = executorch.load(small[0])
    first = runner(row(16, 16))
    kept = {name: value.copy() for name, value in first.items()}
    second = runner(row(16, 3))
    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)
        assert not np.array_equal(first[name], second[name])
        first[name] += 1
    np.testing.assert_array_equal(runner(row(16, 3))["tokens"], second["tokens"])


def test_inputs_may_be_any_arrays(small: Made) -> None:
    runner = executorch.load(small[0])
    inputs = row(16, 12)
    expected = runner(inputs)["tokens"]
    strided = {name: np.repeat(value, 2, axis=1)[:, ::2] for name, value in inputs.items()}
    for value in inputs.values():
        value.flags.writeable = False
    np.testing.assert_array_equal(runner(inputs)["tokens"], expected)
    np.testing.assert_array_equal(runner(strided)["tokens"], expected)


def test_runners_of_different_threads_take_turns(small: Made) -> None:
    from executorch.extension.pybindings import portable_lib

    path, _, module = small
    one, two = executorch.load(path, threads=1), executorch.load(path, threads=2)
    for _ in range(3):
        for threads, runner in ((1, one), (2, two)):
            assert_equal(runner, module)
            assert portable_lib._threadpool_get_thread_count() == threads


@pytest.mark.parametrize("wrong", WRONG_INPUTS)
def test_wrong_inputs_are_an_error_that_says_what_is_allowed(wrong: str, small: Made) -> None:
    change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = WRONG_INPUTS[wrong]
    with pytest.raises(
        InputError, match="allowed: (input_ids, attention_mask, token_type_ids|.* one of 8, 16)"
    ):
        executorch.load(small[0])(change(row(16, 16)))


# Errors


def test_an_unknown_precision_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no precision 'int7'\nallowed: fp32"):
        made(tmp_path, Small(), Small.outputs, precision="int7")
    assert not list(tmp_path.iterdir())


def test_a_module_that_cannot_be_lowered_is_an_error_that_says_so(tmp_path: Path) -> None:
    class Unlowerable(nn.Module):
        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.where(inputs[0].sum() > int(inputs[1].sum()), 1.0, 0.0),)

    with pytest.raises(InputError, match="ExecuTorch .* cannot lower this model"):
        made(tmp_path, Unlowerable(), ("result",))
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
    path = tmp_path / "model.pte"
    path.write_bytes(damaged(small[0].read_bytes())[damage])
    with pytest.raises(InputError, match=r"model\.pte: ExecuTorch cannot read it"):
        executorch.load(path)


def test_another_program_is_an_error_that_says_what_is_expected(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from executorch.exir import to_edge

        forward = torch.export.export(nn.ReLU(), (torch.ones(2),))
        (tmp_path / "other.pte").write_bytes(to_edge(forward).to_executorch().buffer)
    with pytest.raises(InputError, match=r"methods forward\nallowed: methods length_<S>"):
        executorch.load(tmp_path / "other.pte")


def test_what_cannot_be_opened_is_an_error(small: Made, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        executorch.load(tmp_path / "missing.pte")
    with pytest.raises(InputError, match=r"unknown runtime 'onnx'\nallowed: executorch"):
        executorch.load(small[0], runtime="onnx")
    with pytest.raises(InputError, match="0 threads"):
        executorch.load(small[0], threads=0)


def test_nothing_is_printed_and_the_users_logging_stays(tmp_path: Path) -> None:
    code = f"""
import logging, warnings
from pathlib import Path
from exporters import executorch
from tests.kit.exported import Small, assert_equal, request
before = logging.root.manager.disable, logging.root.handlers[:], logging.root.level, warnings.filters[:]
path = Path({str(tmp_path / "model.pte")!r})
executorch.export(request(Small(), Small.outputs), path)
for threads in (1, 2):
    assert_equal(executorch.load(path, threads=threads), Small())
assert before == (logging.root.manager.disable, logging.root.handlers, logging.root.level, warnings.filters)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["SqueezeBertForMaskedLM", "SqueezeBertForSequenceClassification"])
def test_squeezeberts_own_size_equals_its_module(architecture: str, tmp_path: Path) -> None:
    task = of_architecture(architecture)
    torch.manual_seed(0)
    module, outputs = lay_out(ARCHITECTURES[architecture](SqueezeBertConfig()), task, "plain"), task.outputs
    path, artifact, _ = made(tmp_path, module, outputs, lengths=(32, 64, 128))
    assert artifact.delegation.delegated
    runner: ExecuTorchRunner = executorch.load(path, threads=2)
    assert_equal(runner, module, tolerance=1e-4)
