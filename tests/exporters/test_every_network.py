"""Networks that hypothesis draws, exported in the form that suits a format: delegated, and equal to torch."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exporters
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.catalog import FORMS, lay_out
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.tasks.heads import of_architecture
from tests.kit.exported import assert_equal, request
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
    # LiteRT's converter makes a dense layer of a product of a single head, which its delegate does not take.
    several_heads = networks().filter(lambda drawn: drawn["num_attention_heads"] > 1)
    network = data.draw(several_heads) | {"vocab_size": data.draw(st.sampled_from([50, 333]))}
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


def test_every_form_is_one_that_can_be_chosen_or_asked_for() -> None:
    assert {choice.name for choice in choices.FORMS_BY_PRECISION.values()} <= set(FORMS)
