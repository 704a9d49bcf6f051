"""An artifact's constants are the network's weights, however they are turned and stored; or it is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from exporters.constants import Constant, of_floats, of_integers
from exporters.precision import FLOAT32, INT8_DYNAMIC, Precision
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.proof.weights import Comparison, compare_weights
from squeezebert_edge.tasks.heads import TextClassification
from tests.kit.tiny import tiny_model

LENGTH = 16


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return lay_out(tiny_model(num_hidden_layers=1), TextClassification, "group-resident")


def held(module: nn.Module) -> list[Constant]:
    """The weights as a runtime might keep them: turned, in another order, by names of its own."""
    tensors = [tensor.detach().numpy() for tensor in module.parameters()]
    turned = [value.T.copy() if value.ndim == 2 else value[None] for value in tensors]
    return [of_floats(f"buffer {index}", value) for index, value in enumerate(turned)][::-1]


def quantized(constant: Constant) -> Constant:
    values = constant.values
    steps = np.maximum(np.abs(values).max(axis=0, keepdims=True), 1e-12) / 127
    return of_integers(constant.name, np.rint(values / steps).astype(np.int8), 8, steps)


def compared(module: nn.Module, constants: list[Constant], precision: Precision = FLOAT32) -> Comparison:
    return compare_weights(module, constants, precision, LENGTH)


def test_weights_are_found_whatever_a_runtime_makes_of_them(module: nn.Module) -> None:
    assert compared(module, held(module)) == (1.0, [])
    integers = [quantized(one) if min(one.values.shape) > 1 else one for one in held(module)]
    assert compared(module, integers, INT8_DYNAMIC) == (1.0, [])
    strangers = [of_floats("averaging", np.full((1, 32), 1 / 32)), of_floats("mask", np.array(-1e4))]
    assert compared(module, [*held(module), *strangers]) == (1.0, [])


@pytest.mark.parametrize("size", [1, 0.004])
def test_weights_may_be_quantized_in_half_precision(size: float) -> None:
    """As coremltools does: weight, scale, quotient and product are rounded. A small scale is subnormal."""
    random = np.random.default_rng(0)
    largest = random.uniform(0.126, 0.17, (512, 1))  # of each row, where half precision is coarsest
    middles = random.integers(96, 126, (512, 511)) + random.uniform(0.4, 0.6, (512, 511))
    values = size * np.hstack([largest, largest / 127 * middles])
    module = nn.Linear(512, 512, bias=False)
    module.weight = nn.Parameter(torch.from_numpy(values).float())
    halves = module.weight.detach().numpy().astype(np.float16)
    steps = (np.abs(halves).max(axis=1, keepdims=True).astype(np.float32) / 127).astype(np.float16)
    stored = np.rint(halves / steps).clip(-127, 127)  # which a scale that was rounded down makes felt

    def constant(integers: np.ndarray) -> Constant:
        made = of_integers("weight", integers.astype(np.int8), 8, steps.astype(np.float32))
        return replace(made, values=(integers * steps).astype(np.float32))

    assert compared(module, [constant(stored)], INT8_DYNAMIC) == (1.0, [])
    wrong = stored.copy()
    wrong[7, 9] -= 2
    (failure,) = compared(module, [constant(wrong)], INT8_DYNAMIC).failures
    assert f"1 of {wrong.size} values are not the checkpoint's" in failure


def test_positions_may_be_looked_up_beforehand(module: nn.Module) -> None:
    positions = "embeddings.position_embeddings.weight"
    table = module.get_parameter(positions).detach().numpy()
    others = [one for one in held(module) if one.values.shape != table.T.shape]
    assert compared(module, others).failures == [f"{positions}: it is not in the artifact"]
    assert compared(module, [*others, of_floats("looked up", table[None, :LENGTH])]).share == 1.0
    short = compared(module, [*others, of_floats("looked up", table[None, : LENGTH // 2])])
    assert short.failures == [f"{positions}: it is not in the artifact"]
    assert 0.9 < short.share < 1


def test_every_piece_of_a_product_has_to_be_there(module: nn.Module) -> None:
    precision, name = replace(FLOAT32, piece=16), "layers.0.post_attention.0.weight"
    assert len(compared(module, held(module), precision).failures) > 2  # they are whole
    pieces = [
        of_floats(one.name, piece)
        for one, tensor in zip(held(module)[::-1], module.named_parameters(), strict=True)
        for piece in (
            np.split(one.values, range(16, len(one.values), 16))
            if "embeddings" not in tensor[0]
            and one.values.ndim == 2
            and len(one.values) > 16
            and tensor[1].ndim == 2
            else [one.values]
        )
    ]
    assert compared(module, pieces, precision) == (1.0, [])
    second = module.get_parameter(name).detach().numpy()[:, 16:].T
    others = [one for one in pieces if not np.array_equal(one.values, second)]
    assert compared(module, others, precision).failures == [f"{name}[:, 16:32]: it is not in the artifact"]


def test_every_copy_of_a_weight_has_to_be_it(module: nn.Module) -> None:
    constants = held(module)
    copy = next(one for one in constants if one.values.size > 64)
    wrong = copy.values.copy()
    wrong.flat[5] += 1e-3
    (failure,) = compared(module, [*constants, replace(copy, values=wrong)]).failures
    assert f"1 of {wrong.size} values are not the checkpoint's" in failure


def test_what_does_nothing_may_be_left_out() -> None:
    module = lay_out(tiny_model(num_hidden_layers=1), TextClassification, "group-resident")
    norm = module.get_submodule("layers.0.output_norm")
    with torch.no_grad():
        norm.get_parameter("weight").fill_(1.0)
        norm.get_parameter("bias").fill_(0.0)
    some = [one for one in held(module) if np.ptp(one.values)]
    assert len(some) == len(held(module)) - 2
    assert compared(module, some) == (1.0, [])


def test_what_is_alike_may_be_a_scalar() -> None:
    module = lay_out(tiny_model(num_hidden_layers=1), TextClassification, "group-resident")
    shift = module.get_submodule("layers.0.output_norm").get_parameter("bias")
    torch.nn.init.constant_(shift, 0.1)
    others = [one for one in held(module) if not (one.values == np.float32(0.1)).all()]
    assert len(others) == len(held(module)) - 1
    assert compared(module, [*others, of_floats("shift", np.array(0.1, np.float32))]) == (1.0, [])
    (failure,) = compared(module, [*others, of_floats("shift", np.array(0.11, np.float32))]).failures
    assert failure.startswith("layers.0.output_norm.bias")


def scaled(factor: float) -> Callable[[Constant], Constant]:
    return lambda one: replace(one, values=one.values * np.float32(factor))


def _negate(one: Constant) -> Constant:
    values = one.values.copy()
    values.flat[np.abs(values).argmax()] *= -1
    return replace(one, values=values)


def _not_a_number(one: Constant) -> Constant:
    values = one.values.copy()
    values[0, 0] = np.nan
    return replace(one, values=values)


def _coarse(one: Constant) -> Constant:
    steps = np.abs(one.values).max(axis=0, keepdims=True) / 20
    return of_integers(one.name, np.rint(one.values / steps).astype(np.int8), 8, steps)


def _doubled(one: Constant) -> Constant:
    made = quantized(one)
    assert made.steps is not None
    steps = made.steps.copy()
    steps[0, 0] *= 2
    values = made.values.copy()
    values[:, 0] *= 2
    return replace(made, values=values, steps=steps)


def _other_values(one: Constant) -> Constant:
    """A palette whose every value was moved to the next."""
    palette = np.quantile(one.values, np.linspace(0, 1, 16)).astype(np.float32)
    at = np.abs(one.values[..., None] - palette).argmin(-1)
    return replace(one, values=palette[np.minimum(at + 1, 15)], bits=4, palette=palette)


@pytest.mark.parametrize(
    ("change", "precision", "says"),
    [
        (scaled(2), FLOAT32, "values are not the checkpoint's"),
        (scaled(1 + 1e-5), FLOAT32, "values are not the checkpoint's"),
        (scaled(-1), FLOAT32, "it is not in the artifact"),
        (_negate, FLOAT32, "1 of 1024 values are not the checkpoint's"),
        (_not_a_number, FLOAT32, "1 of 1024 values are not the checkpoint's, such as nan"),
        (lambda one: of_floats(one.name, one.values.astype(np.float16)), FLOAT32, "in 16 bits, not 32"),
        (_coarse, INT8_DYNAMIC, "values are not the checkpoint's"),
        (_doubled, INT8_DYNAMIC, "of 1024 values are not the checkpoint's"),
        (_other_values, replace(INT8_DYNAMIC, rounding=None, weights="int4"), "bits"),
    ],
)
def test_what_is_not_the_weight_is_said(
    module: nn.Module, change: Callable[[Constant], Constant], precision: Precision, says: str
) -> None:
    name = "layers.0.post_attention.0.weight"
    weight = module.get_parameter(name).detach().numpy()
    assert weight.shape == (32, 32)
    constants = [change(one) if np.array_equal(one.values, weight.T) else one for one in held(module)]
    with np.errstate(all="ignore"):
        found = compared(module, constants, precision)
    assert [failure for failure in found.failures if failure.startswith(name) and says in failure]
    assert found.share < 1


def test_a_palette_gives_the_nearest_of_its_values(module: nn.Module) -> None:
    def stored(one: Constant) -> Constant:
        palette = np.quantile(one.values, np.linspace(0, 1, 16)).astype(np.float32)
        nearest = palette[np.abs(one.values[..., None] - palette).argmin(-1)]
        return replace(one, values=nearest, bits=4, palette=palette)

    int4 = replace(INT8_DYNAMIC, rounding=replace(INT8_DYNAMIC.rounding, bits=4))  # type: ignore[type-var]
    constants = [stored(one) if min(one.values.shape) > 8 else one for one in held(module)]
    assert compared(module, constants, int4) == (1.0, [])
    assert compared(
        module, [_other_values(one) if one.palette is not None else one for one in constants], int4
    ).failures


def test_a_network_is_not_another(module: nn.Module) -> None:
    torch.manual_seed(1)
    other = lay_out(tiny_model(seed=1, num_hidden_layers=1), TextClassification, "group-resident")
    assert compared(module, held(other)).share < 0.01
