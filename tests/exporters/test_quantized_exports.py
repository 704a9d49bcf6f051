"""int8 and int4 of ExecuTorch and LiteRT, from a module to its runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import exporters
from exporters.errors import InputError
from exporters.spec import ExportRequest, Ranges, Runner
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.forms.steps import put_on_steps
from squeezebert_edge.tasks.heads import TASKS, TextClassification
from tests.kit.exported import INPUTS, computed, head, request, row
from tests.kit.tiny import tiny_model

FORMATS = ("executorch", "tflite")
PRECISIONS = ("int8-dynamic", "int8-static", "int4")
LENGTH, WORDS = 16, 120
CALIBRATION = [row(length, length, WORDS) for length in range(3, LENGTH + 1)]
TEXTS = [(LENGTH, tokens) for tokens in (4, 9, 16)]


def quantized_request(
    precision: str, architecture: str = "SqueezeBertForSequenceClassification", **overrides: Any
) -> ExportRequest:
    """One layer, 64 wide, that draws far apart what it is asked about."""
    shapes = {"hidden_size": 64, "embedding_size": 64, "intermediate_size": 128}
    module, outputs = head(architecture, "group-resident", **shapes | overrides)
    made = request(module, outputs, precision, lengths=(LENGTH,))
    return replace(made, calibration=CALIBRATION if precision == "int8-static" else ())


def made(tmp_path: Path, format_: str, asked: ExportRequest) -> tuple[Runner, Any]:
    exporter = exporters.get(format_, to_export=True)
    path = tmp_path / exporter.file_name
    artifact = exporter.export(asked, path)
    return exporter.load(path), artifact


def noise(runner: Runner, asked: ExportRequest) -> float:
    """The root of the mean squared error, over that of the outputs."""
    found, expected = [], []
    for length, tokens in TEXTS:
        inputs = row(length, tokens, WORDS)
        found += [runner(inputs)[name].ravel() for name in runner.outputs]
        expected += [output.ravel() for output in computed(asked.module, inputs)]
    right = np.concatenate(expected)
    return float(np.sqrt(((np.concatenate(found) - right) ** 2).mean() / (right**2).mean()))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("format_", FORMATS)
def test_a_classifier_keeps_its_outputs(tmp_path: Path, format_: str, precision: str) -> None:
    asked = quantized_request(precision)
    runner, artifact = made(tmp_path, format_, asked)
    assert noise(runner, asked) < {"int8-dynamic": 0.03, "int8-static": 0.06, "int4": 0.25}[precision]
    assert bool(artifact.calibrated) == (precision == "int8-static")
    # What stands under the mask changes nothing: scales are those of a row, or of the calibration.
    inputs = row(LENGTH, 6, WORDS)
    rubbish = {name: value.copy() for name, value in inputs.items()}
    rubbish["input_ids"][0, 6:] = 77
    np.testing.assert_array_equal(runner(inputs)["logits"], runner(rubbish)["logits"])
    nothing = {name: np.zeros((1, LENGTH), np.int32) for name in INPUTS}
    assert np.isfinite(runner(nothing)["logits"]).all()


@pytest.mark.parametrize("precision", ["int8-dynamic", "int4"])
@pytest.mark.parametrize("format_", FORMATS)
def test_weights_on_steps_are_not_rounded(tmp_path: Path, format_: str, precision: str) -> None:
    """What is left is what int8-dynamic leaves: the rounding of what they are multiplied with."""
    asked = quantized_request(precision)
    put_on_steps(asked.module)
    runner, _ = made(tmp_path, format_, asked)
    # XNNPACK keeps the scales of int4 as bfloat16. On torchao's own steps it would be 0.11.
    assert noise(runner, asked) < (0.03 if (format_, precision) == ("executorch", "int4") else 0.015)


HEADS = [task.architecture for task in TASKS.values() if task is not TextClassification]


@pytest.mark.parametrize("architecture", HEADS)
def test_every_head_keeps_its_outputs(tmp_path: Path, architecture: str) -> None:
    asked = quantized_request("int8-dynamic", architecture)
    runner, _ = made(tmp_path, "tflite", asked)
    assert noise(runner, asked) < 0.03


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("format_", FORMATS)
def test_a_product_may_have_the_weights_of_the_table(tmp_path: Path, format_: str, precision: str) -> None:
    """As transformers ties those of [MASK] scores, if the config says nothing else."""
    asked = quantized_request(precision, "SqueezeBertForMaskedLM")
    asked.module.head.decoder.weight = asked.module.embeddings.word_embeddings.weight
    runner, artifact = made(tmp_path, format_, asked)
    assert 0 < noise(runner, asked) < {"int8-dynamic": 0.03, "int8-static": 0.06, "int4": 0.25}[precision]
    assert ("head.decoder" in artifact.calibrated) == (precision == "int8-static")


@pytest.mark.parametrize("format_", FORMATS)
def test_layers_may_have_the_same_weights(tmp_path: Path, format_: str) -> None:
    """As a network that was made deeper by copying its layers; each has ranges of its own."""
    asked = quantized_request("int8-static", num_hidden_layers=2)
    asked.module.layers[1].load_state_dict(asked.module.layers[0].state_dict())
    runner, _ = made(tmp_path, format_, asked)
    assert noise(runner, asked) < 0.1

    (tmp_path / "kept").mkdir()
    parts = [f"layers.0.{name}" for name in ("qkv", "post_attention", "intermediate", "output")]
    kept = replace(asked, keep_float=("embeddings", *parts, "head"))
    _, artifact = made(tmp_path / "kept", format_, kept)
    assert all(name.startswith("layers.1.") for name in artifact.calibrated)
    assert artifact.float_operators[{"tflite": "FULLY_CONNECTED", "executorch": "linear"}[format_]] >= sum(
        isinstance(part, torch.nn.Linear) for part in asked.module.layers[0].modules()
    )


@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-static"])
@pytest.mark.parametrize("format_", FORMATS)
def test_small_weights_have_small_steps(tmp_path: Path, format_: str, precision: str) -> None:
    """Such as those before training, of which many a channel is below 127 times 2**-12."""
    asked = quantized_request(precision)
    product = asked.module.layers[0].output[0]
    product.weight = torch.nn.Parameter(product.weight.detach() * 1e-3)
    weight = product.weight.detach()
    made(tmp_path, format_, asked)
    format_row = exporters.format_named(format_)
    half_steps = weight.abs().amax(1, keepdim=True).numpy() / 127 / 2
    assert any(
        constant.values.shape == weight.shape
        and (np.abs(constant.values - weight.numpy()) <= 1.01 * half_steps).all()
        for constant in format_row.read_constants(tmp_path / format_row.file_name) or ()
    )


@pytest.mark.parametrize("format_", FORMATS)
def test_token_types_stay_float(tmp_path: Path, format_: str) -> None:
    """Their error would be in every token: in MiniLM's one channel is 15 times the others."""
    asked = quantized_request("int8-dynamic")
    types = asked.module.embeddings.token_type_embeddings.weight.detach().numpy()
    made(tmp_path, format_, asked)
    format_row = exporters.format_named(format_)
    held = format_row.read_constants(tmp_path / format_row.file_name)
    assert any(np.array_equal(constant.values, types) for constant in held or ())


def test_no_weight_is_left_in_float(tmp_path: Path) -> None:
    sizes = {}
    for precision in ("fp32", "int8-dynamic", "int4"):
        asked = quantized_request(precision, vocab_size=20000)
        directory = tmp_path / precision
        directory.mkdir()
        made(directory, "tflite", asked)
        sizes[precision] = (directory / "model.tflite").stat().st_size
    scales = 20000 * 12  # a scale and a zero point for each row of the word table
    assert sizes["int8-dynamic"] - scales < sizes["fp32"] * 0.26
    assert sizes["int4"] - scales < sizes["fp32"] * 0.14


def test_parts_that_stay_float_are_as_exact_as_float(tmp_path: Path) -> None:
    asked = replace(quantized_request("int8-dynamic"), keep_float=("embeddings", "layers.0", "head.pooler"))
    runner, _ = made(tmp_path, "tflite", asked)
    assert 0 < noise(runner, asked) < 0.01  # the classifier alone is quantized
    nothing_left = replace(asked, keep_float=("embeddings", "layers", "head"))
    with pytest.raises(InputError, match="without a product to quantize"):
        made(tmp_path / "none", "tflite", nothing_left)


def test_a_batched_product_stays_float_by_the_name_of_its_part(tmp_path: Path) -> None:
    """LiteRT's own form batches queries, keys and values; it quantized them though they were to stay."""
    module, outputs = head(
        "SqueezeBertForSequenceClassification",
        "group-batched",
        hidden_size=64,
        embedding_size=64,
        intermediate_size=128,
    )
    asked = request(module, outputs, "int8-dynamic", lengths=(LENGTH,))
    others = [f"layers.0.{name}" for name in ("post_attention", "intermediate", "output")]
    kept = replace(asked, keep_float=("embeddings", "layers.0.qkv", *others, "head.pooler"))
    runner, _ = made(tmp_path, "tflite", kept)
    assert 0 < noise(runner, asked) < 0.01  # the classifier alone is quantized


@pytest.mark.parametrize("format_", FORMATS)
def test_ranges_take_the_place_of_calibration(tmp_path: Path, format_: str) -> None:
    asked = quantized_request("int8-static")
    linears = [name for name, part in asked.module.named_modules() if isinstance(part, torch.nn.Linear)]
    wide = Ranges((-9.0, 9.0), (-30.0, 30.0))
    runner, artifact = made(tmp_path, format_, replace(asked, ranges={linears[0]: wide}))
    assert set(artifact.calibrated) == set(linears) - {linears[0]}
    zero = Ranges((-1e-3, 1e-3), (-1e-3, 1e-3))
    other = tmp_path / "zero"
    other.mkdir()
    damaged, _ = made(other, format_, replace(asked, ranges=dict.fromkeys(linears, zero), calibration=()))
    assert noise(damaged, asked) > 5 * noise(runner, asked)


def test_static_needs_ranges_or_text() -> None:
    asked = replace(quantized_request("int8-static"), calibration=())
    for format_ in FORMATS:
        with pytest.raises(InputError, match="without calibration data"):
            exporters.get(format_).export(asked, Path("nowhere"))


@pytest.mark.parametrize("form", ["plain", "conv2d", "neural-engine"])
def test_convolutions_are_refused(form: str) -> None:
    task = TextClassification
    asked = request(lay_out(tiny_model(), task, form), task.outputs, "int8-dynamic", lengths=(LENGTH,))
    for format_ in FORMATS:
        with pytest.raises(InputError, match="convolutions") as raised:
            exporters.get(format_).export(asked, Path("nowhere"))
        assert "group-resident" in str(raised.value)


def test_the_module_stays_as_it_was(tmp_path: Path) -> None:
    asked = quantized_request("int8-dynamic")
    before = {name: value.clone() for name, value in asked.module.state_dict().items()}
    made(tmp_path, "executorch", asked)
    after = asked.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
