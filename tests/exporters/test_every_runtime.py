"""What holds for every runtime: each head equals its module, and artifact and runner are safe to use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import exporters
from exporters.errors import InputError
from exporters.spec import Runner, TensorSpec
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.tasks.heads import of_architecture
from tests.kit.exported import INPUTS, LENGTHS, WRONG_INPUTS, Made, Small, assert_equal, head, make, row


@dataclass(frozen=True)
class Expected:
    """What is each runtime's own.

    refuses: what it says of a module that it cannot convert.
    precisions: how its list of them begins. runtimes: those of the format, the best first.
    quiet: a precision that is exported without a word, and how near it is to the module.
    """

    refuses: str
    precisions: str
    runtimes: tuple[str, ...]
    quiet: tuple[str, float]


RUNTIMES = {
    "executorch": Expected(
        "ExecuTorch .* cannot lower this model", "fp32, fp16", ("executorch",), ("fp16", 1e-2)
    ),
    "tflite": Expected(
        "litert-torch .* cannot convert this model",
        "fp32, fp16",
        ("ai-edge-litert", "tflite-runtime"),
        ("fp16", 1e-2),
    ),
}


@pytest.fixture(params=RUNTIMES)
def format_(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def expected(format_: str) -> Expected:
    return RUNTIMES[format_]


@pytest.fixture
def load(format_: str) -> Callable[..., Runner]:
    return exporters.get(format_).load


@pytest.fixture
def small(format_: str, small_of: Callable[[str], Made]) -> Made:
    return small_of(format_)


# The answers


def test_the_masked_lm_equals_its_module_at_every_length(
    format_: str, load: Callable[..., Runner], masked_lm_of: Callable[[str], Made]
) -> None:
    path, _, module = masked_lm_of(format_)
    runner = load(path)
    assert runner.lengths == LENGTHS
    assert_equal(runner, module)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"SqueezeBertForMaskedLM"}))
def test_every_other_head_equals_its_module(
    architecture: str, format_: str, load: Callable[..., Runner], tmp_path: Path
) -> None:
    module, outputs = head(architecture)
    path, _, _ = make(format_, tmp_path, module, outputs, lengths=(12,))
    assert_equal(load(path), module)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["SqueezeBertForMaskedLM", "SqueezeBertForSequenceClassification"])
def test_squeezeberts_own_size_equals_its_module(
    architecture: str, format_: str, load: Callable[..., Runner], tmp_path: Path
) -> None:
    task = of_architecture(architecture)
    torch.manual_seed(0)
    module = lay_out(ARCHITECTURES[architecture](SqueezeBertConfig()), task, "plain")
    path, artifact, _ = make(format_, tmp_path, module, task.outputs, lengths=(32, 64, 128))
    assert artifact.delegation.delegated
    assert_equal(load(path, threads=2), module, tolerance=1e-4)


# The artifact


def test_the_artifact_says_what_it_is(small: Made) -> None:
    path, artifact, _ = small
    assert artifact.path == path
    assert artifact.inputs == tuple(TensorSpec(name, "int32", (1, None)) for name in INPUTS)
    assert artifact.outputs == (
        TensorSpec("tokens", "float32", (1, None, 16)),
        TensorSpec("row", "float32", (1, 16)),
    )
    assert artifact.entry_points == {8: "length_8", 16: "length_16"}


def test_the_same_module_gives_the_same_bytes(format_: str, small: Made, tmp_path: Path) -> None:
    again, _, _ = make(format_, tmp_path, Small(), Small.outputs)
    assert again.read_bytes() == small.path.read_bytes()


# Running


def test_a_runner_reads_what_it_is_from_the_file(
    small: Made, expected: Expected, load: Callable[..., Runner]
) -> None:
    runner = load(small.path, runtime=expected.runtimes[0])
    assert (runner.inputs, runner.outputs, runner.lengths) == (INPUTS, ("tokens", "row"), LENGTHS)
    assert runner.computed_by == "runtime"


def test_outputs_are_the_callers_own(small: Made, load: Callable[..., Runner]) -> None:
    runner = load(small.path)
    first = runner(row(16, 16))
    kept = {name: value.copy() for name, value in first.items()}
    second = runner(row(16, 3))
    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)
        assert not np.array_equal(first[name], second[name])
        first[name] += 1
    np.testing.assert_array_equal(runner(row(16, 3))["tokens"], second["tokens"])


def test_inputs_may_be_any_arrays(small: Made, load: Callable[..., Runner]) -> None:
    runner = load(small.path)
    inputs = row(16, 12)
    expected = runner(inputs)["tokens"]
    strided = {name: np.repeat(value, 2, axis=1)[:, ::2] for name, value in inputs.items()}
    for value in inputs.values():
        value.flags.writeable = False
    np.testing.assert_array_equal(runner(inputs)["tokens"], expected)
    np.testing.assert_array_equal(runner(strided)["tokens"], expected)


@pytest.mark.parametrize("wrong", WRONG_INPUTS)
def test_wrong_inputs_are_an_error_that_says_what_is_allowed(
    wrong: str, small: Made, load: Callable[..., Runner]
) -> None:
    change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = WRONG_INPUTS[wrong]
    with pytest.raises(
        InputError, match="allowed: (input_ids, attention_mask, token_type_ids|.* one of 8, 16)"
    ):
        load(small.path)(change(row(16, 16)))


# Errors


def test_an_unknown_precision_is_refused_before_anything_is_written(
    format_: str, expected: Expected, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"no precision 'int7'\nallowed: {expected.precisions}"):
        make(format_, tmp_path, Small(), Small.outputs, precision="int7")
    assert not list(tmp_path.iterdir())


def test_a_module_that_cannot_be_converted_is_an_error_that_says_so(
    format_: str, expected: Expected, tmp_path: Path
) -> None:
    class Unconvertible(nn.Module):
        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.where(inputs[0].sum() > int(inputs[1].sum()), 1.0, 0.0),)

    with pytest.raises(InputError, match=expected.refuses):
        make(format_, tmp_path, Unconvertible(), ("result",))
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
def test_a_damaged_file_is_an_error(
    damage: str, format_: str, small: Made, load: Callable[..., Runner], tmp_path: Path
) -> None:
    path = tmp_path / small.path.name
    path.write_bytes(damaged(small.path.read_bytes())[damage])
    with pytest.raises(InputError, match=rf"{path.name}: {exporters.title(format_)} cannot read it"):
        load(path)


def test_a_missing_file_is_an_error(small: Made, load: Callable[..., Runner], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / small.path.name)


def test_an_unknown_runtime_is_an_error_with_the_choices(
    small: Made, expected: Expected, load: Callable[..., Runner]
) -> None:
    with pytest.raises(InputError, match=f"unknown runtime 'onnx'\nallowed: {', '.join(expected.runtimes)}"):
        load(small.path, runtime="onnx")
    with pytest.raises(InputError, match="0 threads"):
        load(small.path, threads=0)


def test_nothing_is_printed_and_the_users_logging_stays(
    format_: str, expected: Expected, tmp_path: Path
) -> None:
    precision, tolerance = expected.quiet
    code = f"""
import logging, os, warnings
from pathlib import Path
import exporters
from tests.kit.exported import Small, assert_equal, request
exporter = exporters.get({format_!r}, to_export=True)
before = logging.root.manager.disable, logging.root.handlers[:], logging.root.level, warnings.filters[:]
path = Path({str(tmp_path)!r}, exporter.file_name)
exporter.export(request(Small(), Small.outputs, {precision!r}), path)
for threads in (1, 2):
    assert_equal(exporter.load(path, threads=threads), Small(), tolerance={tolerance})
assert before == (logging.root.manager.disable, logging.root.handlers, logging.root.level, warnings.filters)
assert "LITERT_TORCH_SHOW_PROGRESS" not in os.environ
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
