"""ExecuTorch programs: what is ExecuTorch's own; test_every_runtime.py has what holds for every runtime."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporters.errors import InputError
from exporters.executorch import PIECE
from exporters.executorch.export import DECOMPOSITIONS
from exporters.executorch.half import InHalf
from exporters.executorch.runner import load
from exporters.quiet import quiet_tools
from exporters.spec import Runner
from squeezebert_edge.model.heads import ARCHITECTURES
from tests.kit.exported import INPUTS, METADATA, Activations, Made, assert_equal, computed, head, make, row

aten = torch.ops.aten


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


# Half precision

WIDE = {"hidden_size": 512, "embedding_size": 512, "intermediate_size": 1024}  # products of more than a piece


def sqnr_db(runner: Runner, module: nn.Module) -> float:
    """Of the noisiest output, over texts of every length; of padding alone only that it is finite."""
    (length,) = runner.lengths
    assert all(np.isfinite(output).all() for output in runner(row(length, 0)).values())
    rows = [row(length, tokens) for tokens in range(1, length + 1)]
    found = [list(runner(inputs).values()) for inputs in rows]
    expected = [computed(module, inputs) for inputs in rows]
    return min(
        10 * np.log10(np.array(right).var() / np.square(np.subtract(right, outputs)).mean())
        for right, outputs in zip(zip(*expected, strict=True), zip(*found, strict=True), strict=True)
    )


def test_every_activation_in_half_is_near_torch(tmp_path: Path) -> None:
    path, _, module = make(
        "executorch", tmp_path, Activations(), Activations.outputs, lengths=(8,), precision="fp16"
    )
    assert_equal(load(path), module, tolerance=2e-3)


@pytest.mark.parametrize("form", ["group-resident", "plain", "conv2d"])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_head_in_half_is_near_its_module(architecture: str, form: str, tmp_path: Path) -> None:
    module, outputs = head(architecture, form)
    path, artifact, _ = make("executorch", tmp_path, module, outputs, lengths=(12,), precision="fp16")
    assert artifact.delegation.products == ()
    assert sqnr_db(load(path), module) > 50


def test_half_precision_is_half_the_bytes_and_leaves_nothing_more_outside(
    wide: nn.Module, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    whole = make("executorch", tmp_path / "whole", wide, ("logits",))
    half = make("executorch", tmp_path, wide, ("logits",), precision="fp16")
    assert half.path.stat().st_size < 0.53 * whole.path.stat().st_size
    casts = "dim_order_ops__to_dim_order_copy_default x"
    inside = [each for each in whole.artifact.delegation.outside if not each.startswith(casts)]
    assert [each for each in half.artifact.delegation.outside if not each.startswith(casts)] == inside


@pytest.fixture
def wide() -> nn.Module:
    return head("SqueezeBertForSequenceClassification", "group-resident", num_hidden_layers=2, **WIDE)[0]


@pytest.mark.parametrize("form", ["group-resident", "group-batched", "plain", "conv2d", "neural-engine"])
def test_float16_never_adds_up_many_products_in_a_row(form: str) -> None:
    module, _ = head("SqueezeBertForTokenClassification", form, **WIDE, max_position_embeddings=150)
    rows = tuple(torch.ones(1, 150, dtype=torch.int32) for _ in INPUTS)
    products = (aten.linear.default, aten.conv1d.default, aten.conv2d.default, aten.bmm.default)
    table = torch.export.default_decompositions()
    for operator in products:
        table.pop(operator, None)
    table.update(DECOMPOSITIONS)
    with quiet_tools():
        program = torch.export.export(InHalf(module), rows).run_decompositions(table)
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    assert not [node for node in nodes if node.target in (aten.mm.default, aten.addmm.default)]
    found = [(node.target, node.args[1].meta["val"]) for node in nodes if node.target in products]
    assert len(found) > 20
    for operator, weight in found:
        assert weight.dtype == torch.float16
        assert weight.shape[1] <= PIECE, operator  # (C_out, C_in), (C_out, C_in/G, 1), (B, K, N)


class Norm(nn.Module):
    """Two channels of opposite size beside those of one."""

    def __init__(self, width: int, size: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.norm = nn.Embedding(50, width), nn.LayerNorm(width, eps=1e-12)
        with torch.no_grad():
            if size:
                self.words.weight[:, :2] = torch.tensor([size, -size])
            self.words.weight[0] = 1.0  # all alike
            self.norm.weight.normal_()
            self.norm.weight[2:] *= max(1.0, size / width**0.5)
            self.norm.bias.normal_()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        return (self.norm(self.words(input_ids)),)


@pytest.mark.parametrize("width", [32, 512, 768, 1021])
@pytest.mark.parametrize("size", [0.0, 100.0, 10_000.0])
def test_a_norm_in_half_is_right_whatever_the_size_of_its_inputs(
    width: int, size: float, tmp_path: Path
) -> None:
    """The square of 256 is no float16 any more."""
    path, artifact, module = make(
        "executorch", tmp_path, Norm(width, size), ("normal",), lengths=(12,), precision="fp16"
    )
    assert sqnr_db(load(path), module) > 60
    assert not [
        each for each in artifact.delegation.outside if "embedding" not in each and "copy" not in each
    ]


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
