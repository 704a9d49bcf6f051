"""LiteRT with integers alone: what is left of floats, what has which width, what the answers are worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exporters.errors import InputError
from exporters.quiet import quiet_tools
from exporters.spec import Artifact, Delegation, ExportRequest, Ranges
from exporters.tflite import export, npu
from exporters.tflite.integer import integer_only
from exporters.tflite.model import unpack
from exporters.tflite.quantization import float_operators
from exporters.tflite.runner import load
from exporters.units import Unit
from squeezebert_edge.model.heads import ARCHITECTURES
from tests.kit.exported import Small, computed, head, request, row
from tests.kit.units import needs_npu

LENGTHS, WORDS = (8, 16), 120
TEXTS = [(16, tokens) for tokens in (4, 9, 16)]
WIDTHS = (8, 16)  # bits of activations
CLASSIFIER = "SqueezeBertForSequenceClassification"
CHIPS = [Unit("npu", name) for name in ("SM8650", "SM7675")]  # the second computes with integers only


def converted(asked: ExportRequest) -> bytes:
    with quiet_tools():
        return export.convert(asked)


@cache
def floats(
    architecture: str, form: str = "conv2d", lengths: tuple[int, ...] = LENGTHS
) -> tuple[ExportRequest, bytes]:
    """A head of one layer and what LiteRT's converter makes of it."""
    module, outputs = head(
        architecture, form, hidden_size=64, embedding_size=64, intermediate_size=128, vocab_size=WORDS
    )
    calibration = [row(length, length, WORDS) for length in range(3, LENGTHS[-1] + 1)]
    asked = replace(request(module, outputs, "int8-static", lengths=lengths), calibration=calibration)
    return asked, converted(asked)


@cache
def integers(architecture: str, bits: int, form: str = "conv2d", lengths: tuple[int, ...] = LENGTHS) -> bytes:
    asked, content = floats(architecture, form, lengths)
    return integer_only(content, asked, bits)[0]


@pytest.fixture
def opened_file(tmp_path: Path) -> Callable[[bytes], Any]:
    """What runs a flatbuffer on LiteRT's CPU."""

    def runner(content: bytes) -> Any:
        path = tmp_path / "model.tflite"
        path.write_bytes(export.finished(content, {}))
        return load(path)

    return runner


def decibels(
    runner: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]], asked: ExportRequest
) -> float:
    """Signal to noise of the worst output, in dB."""
    rows = [row(length, tokens, WORDS) for length, tokens in TEXTS]
    found = [runner(inputs) for inputs in rows]
    expected = [computed(asked.module, inputs) for inputs in rows]
    ratios = []
    for index, name in enumerate(asked.outputs):
        truth = np.concatenate([outputs[index].ravel() for outputs in expected])
        value = np.concatenate([outputs[name].ravel() for outputs in found])
        ratios.append(np.square(truth).mean() / np.square(value - truth).mean())
    return float(10 * np.log10(min(ratios)))


def named(content: bytes) -> list[tuple[str, list[Any], list[Any]]]:
    """The operators of the last signature: kind, tensors in, tensors out."""
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
    model = unpack(content)
    graph = model.subgraphs[-1]
    return [
        (
            names[model.operatorCodes[operator.opcodeIndex].builtinCode],
            [graph.tensors[tensor] for tensor in operator.inputs if tensor >= 0],
            [graph.tensors[tensor] for tensor in operator.outputs],
        )
        for operator in graph.operators
    ]


def bits_of(tensor: Any) -> int | None:
    from ai_edge_litert import schema_py_generated as schema

    kinds = {schema.TensorType.INT8: 8, schema.TensorType.INT16: 16}
    return kinds.get(tensor.type)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_head_computes_with_integers_and_keeps_its_outputs(
    opened_file: Callable[[bytes], Any], architecture: str, bits: int
) -> None:
    asked, _ = floats(architecture)
    content = integers(architecture, bits)
    assert float_operators(content) == Counter()
    # The mask's zeros and ones become floats, and the outputs.
    assert {kind for kind, _, out in named(content) if bits_of(out[0]) is None} <= {
        *("EQUAL", "CAST", "RESHAPE", "DEQUANTIZE")
    }
    runner = opened_file(content)
    assert runner.lengths == LENGTHS
    assert decibels(runner, asked) > (25 if bits == 8 else 30)


@pytest.mark.parametrize("form", ["plain", "group-resident", "group-batched"])
def test_any_form_can_be_made_so(opened_file: Callable[[bytes], Any], form: str) -> None:
    asked, _ = floats(CLASSIFIER, form)
    assert decibels(opened_file(integers(CLASSIFIER, 16, form)), asked) > 25


def test_norms_and_the_head_have_16_bits_where_all_else_has_8() -> None:
    found: dict[str, set[int | None]] = {}
    for kind, inputs, _ in named(integers(CLASSIFIER, 8)):
        found.setdefault(kind, set()).add(bits_of(inputs[0]))
    assert found["MEAN"] == found["RSQRT"] == found["TANH"] == {16}
    assert found["GELU"] == found["SOFTMAX"] == found["BATCH_MATMUL"] == {8}
    assert found["CONV_2D"] == {8, 16}  # the encoder's, the head's


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_mean_never_takes_what_was_just_widened(bits: int) -> None:
    """Qualcomm's compiler gets such a mean wrong: docs/npu_faults.md."""
    operators = named(integers("SqueezeBertForMaskedLM", bits))
    widened = {id(out[0]) for kind, _, out in operators if kind == "QUANTIZE"}
    for kind, _, out in operators:  # through what only moves values
        if kind in {"RESHAPE", "TRANSPOSE"} and id(out[0]) in widened:
            widened.add(id(out[0]))
    assert not [kind for kind, inputs, _ in operators if kind == "MEAN" and id(inputs[0]) in widened]


def test_tables_and_batched_weights_have_one_scale_and_others_one_a_channel() -> None:
    for form in ("group-batched", "conv2d"):
        for kind, inputs, _ in named(integers(CLASSIFIER, 8, form)):
            if kind == "EMBEDDING_LOOKUP":
                assert bits_of(inputs[1]) == 8
                assert len(inputs[1].quantization.scale) == 1
            elif kind == "BATCH_MATMUL":
                assert len(inputs[1].quantization.scale) == 1
            elif kind in {"CONV_2D", "FULLY_CONNECTED"}:
                assert len(inputs[1].quantization.scale) == inputs[1].shape[0]


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_mask_does_not_set_the_scale_of_the_scores(bits: int) -> None:
    (softmax,) = [inputs[0] for kind, inputs, _ in named(integers(CLASSIFIER, bits)) if kind == "SOFTMAX"]
    assert softmax.quantization.scale[0] * 2**bits < 100


def test_on_a_cpu_the_softmax_is_float_and_what_is_masked_gets_nothing(
    opened_file: Callable[[bytes], Any],
) -> None:
    """LiteRT's softmax of 16 bits gives each masked token 2/32768: docs/npu_faults.md."""
    lengths = (8, 64)
    asked, content = floats(CLASSIFIER, lengths=lengths)
    made, _ = integer_only(content, asked, 16, float_softmax=True)
    assert float_operators(made) == Counter({"SOFTMAX": 1})
    operators = named(made)
    (softmax,) = [inputs[0] for kind, inputs, _ in operators if kind == "SOFTMAX"]
    (scores,) = [inputs[0] for _, inputs, out in operators if out[0] is softmax]
    assert scores.quantization.scale[0] * 2**16 < 100
    short = row(8, 5, WORDS)
    long = {name: np.pad(values, ((0, 0), (0, 56))) for name, values in short.items()}

    def moved(content: bytes) -> float:
        runner = opened_file(content)
        return float(np.abs(runner(long)["logits"] - runner(short)["logits"]).max())

    assert moved(made) < moved(integers(CLASSIFIER, 16, lengths=lengths)) / 5


@pytest.mark.parametrize("bits", WIDTHS)
def test_padding_and_what_stands_in_it_change_nothing(opened_file: Callable[[bytes], Any], bits: int) -> None:
    runner = opened_file(integers(CLASSIFIER, bits))
    inputs = row(8, 6, WORDS)
    longer = {name: np.pad(value, ((0, 0), (0, 8))) for name, value in inputs.items()}
    junk = {**longer, "input_ids": longer["input_ids"].copy()}
    junk["input_ids"][0, 6:] = np.random.default_rng(0).integers(0, WORDS, 10)
    expected = runner(inputs)["logits"]
    for other in (longer, junk):
        assert np.abs(runner(other)["logits"] - expected).max() <= 1e-3 * np.abs(expected).max()


def test_lengths_share_their_weights() -> None:
    one, two = (
        sum(
            len(buffer.data)
            for buffer in unpack(integers(CLASSIFIER, 8, lengths=lengths)).buffers
            if buffer.data is not None
        )
        for lengths in ((16,), LENGTHS)
    )
    assert two < 1.1 * one


def test_a_product_may_stay_float(opened_file: Callable[[bytes], Any]) -> None:
    asked, content = floats(CLASSIFIER)
    made, _ = integer_only(content, replace(asked, keep_float=("head.classifier",)), 8)
    assert float_operators(made) == Counter(CONV_2D=1)
    assert decibels(opened_file(made), asked) > 25


def test_learned_ranges_take_the_place_of_calibrated_ones() -> None:
    asked, content = floats(CLASSIFIER)
    name = "layers.0.intermediate"
    learned = replace(asked, ranges={name: Ranges((-4.0, 6.0), (-3.0, 2.1))})
    made, calibrated = integer_only(content, learned, 8)
    _, all_of_them = integer_only(content, asked, 8)
    assert set(all_of_them) - set(calibrated) == {name}
    operators = named(made)
    (gelu,) = [inputs[0] for kind, inputs, _ in operators if kind == "GELU"]
    assert gelu.quantization.scale[0] == pytest.approx(5.1 / 255)
    (entering,) = [inputs[0] for kind, inputs, out in operators if kind == "CONV_2D" and out[0] is gelu]
    assert entering.quantization.scale[0] == pytest.approx(10 / 255)


def test_without_rows_there_are_no_ranges() -> None:
    asked, content = floats(CLASSIFIER)
    with pytest.raises(InputError, match="without calibration data"):
        integer_only(content, replace(asked, calibration=()), 8)


class Exponential(Small):
    """Has an operator that nobody gave an integer form."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """As Small's, and the exponential of one output."""
        tokens, rows = super().forward(*inputs)
        return tokens, torch.exp(rows)


def test_an_operator_without_an_integer_form_is_named() -> None:
    asked = replace(request(Exponential(), Exponential.outputs), calibration=[row(8, 8)])
    with pytest.raises(InputError, match="no integer form is known of LiteRT's EXP"):
        integer_only(converted(asked), asked, 8)


@needs_npu
@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_npu_takes_every_operator_and_answers_alike(tmp_path: Path, architecture: str, bits: int) -> None:
    asked, _ = floats(architecture, lengths=(16,))
    path = tmp_path / "model.tflite"
    path.write_bytes(export.finished(integers(architecture, bits, lengths=(16,)), {}))
    artifact = Artifact(path, (), (), {}, Delegation(0, 0), {}, {})
    made = dict(npu.export(asked, artifact, CHIPS, lambda stage: None))
    for unit in CHIPS:
        assert not made[unit].delegation.outside
        assert made[unit].partitions == 1
    runner = npu.load(CHIPS[0], made[CHIPS[0]].files)
    assert decibels(runner, asked) > (20 if bits == 8 else 25)
