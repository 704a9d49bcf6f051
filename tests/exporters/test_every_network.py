"""Networks that hypothesis draws, exported in the form that suits a format: delegated, and equal to torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exporters
from exporters.errors import InputError
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.catalog import FORMS, lay_out
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.proof.weights import compare_weights
from squeezebert_edge.tasks.heads import TextClassification, of_architecture
from tests.kit.exported import assert_equal, computed, request, row
from tests.kit.networks import networks
from tests.kit.tiny import tiny_model


@pytest.mark.parametrize("format_", sorted(exporters.names()))
@settings(
    deadline=None,
    max_examples=3,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_network_is_delegated_and_equal_to_torch(
    format_: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    network = data.draw(networks()) | {"vocab_size": data.draw(st.sampled_from([50, 333]))}
    architecture = data.draw(st.sampled_from(sorted(ARCHITECTURES)))
    form = choices.form_of(format_, "fp32").name
    task = of_architecture(architecture)
    module = lay_out(tiny_model(architecture, **network), task, form)
    exporter = exporters.get(format_, to_export=True)
    path = tmp_path_factory.mktemp("drawn") / exporter.file_name
    artifact = exporter.export(request(module, task.outputs, lengths=(8,)), path)
    assert artifact.delegation.products == ()
    assert artifact.structure is None or not artifact.structure.unfit
    assert_equal(exporter.load(path), module, tolerance=1e-4, outputs=task.outputs)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic", "int8-static"])
def test_litert_takes_attention_of_a_single_head(precision: str, tmp_path: Path) -> None:
    """Its converter makes a dense layer of the product of two matrices, which no delegate takes."""
    form = choices.form_of("tflite", precision).name
    module = lay_out(tiny_model(num_attention_heads=1), TextClassification, form)
    asked = request(module, TextClassification.outputs, precision, lengths=(8,))
    if precision == "int8-static":
        asked = replace(asked, calibration=[row(length, length, 120) for length in range(3, 9)])
    exporter = exporters.get("tflite", to_export=True)
    artifact = exporter.export(asked, tmp_path / "model.tflite")
    assert artifact.delegation.products == ()
    inputs = row(8, 5, 120)
    (expected,) = computed(module, inputs)
    found = exporter.load(artifact.path)(inputs)["logits"]
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_a_file_that_the_runtime_refuses_is_an_error_that_names_another_form(tmp_path: Path) -> None:
    """LiteRT's converter loses a transposition of the plain form where there is a single head."""
    module = lay_out(tiny_model(num_attention_heads=1), TextClassification, "plain")
    exporter = exporters.get("tflite", to_export=True)
    with pytest.raises(InputError, match=r"LiteRT cannot run .*(\n.*)*--form"):
        exporter.export(request(module, TextClassification.outputs, lengths=(8,)), tmp_path / "model.tflite")


@pytest.mark.parametrize(
    ("format_", "precision", "shift"),
    [
        *(("tflite", "fp32", shift) for shift in ("random", "zero", "alike", "scale alike")),
        *(("tflite", precision, "zero") for precision in ("int8-dynamic", "int8-static")),
        ("tflite", "int8-static", "random"),
        *((format_, "int8-static", "alike") for format_ in ("coreml", "executorch")),
    ],
)
def test_an_ungrouped_product_after_a_norm_keeps_its_weights(
    format_: str, precision: str, shift: str, tmp_path: Path
) -> None:
    """LiteRT's converter would put the norm's scale and shift into them, as scalars too."""
    model = tiny_model(q_groups=1, k_groups=1, v_groups=1, intermediate_groups=1)
    for name, parameter in model.named_parameters():
        if "layers.0" in name and name.endswith("conv1d.bias"):  # as before training
            torch.nn.init.zeros_(parameter)
        if name.lower().endswith("layernorm.bias") and shift in ("zero", "alike"):
            torch.nn.init.constant_(parameter, {"zero": 0.0, "alike": 0.1}[shift])
        if name.lower().endswith("layernorm.weight") and shift == "scale alike":
            torch.nn.init.constant_(parameter, 1.5)
    task = TextClassification
    module = lay_out(model, task, choices.form_of(format_, precision).name)
    asked = request(module, task.outputs, precision, lengths=(8, 16))
    if precision == "int8-static":
        asked = replace(asked, calibration=[row(length, length, 120) for length in range(3, 9)])
    exporter = exporters.get(format_, to_export=True)
    artifact = exporter.export(asked, tmp_path / exporter.file_name)
    constants = exporter.read_constants(artifact.path)
    assert constants is not None
    assert compare_weights(module, constants, exporter.precision(precision), 16) == (1, [])
    if precision == "fp32":
        assert_equal(exporter.load(artifact.path), module, tolerance=1e-4, outputs=task.outputs)


def test_every_form_is_one_that_can_be_chosen_or_asked_for() -> None:
    assert {choice.name for choice in choices.FORMS_BY_PRECISION.values()} <= set(FORMS)
