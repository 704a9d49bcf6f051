"""The forms by name: the same network laid out for a runtime, each equal to the reference.

Every form takes (input_ids, attention_mask, token_type_ids), each (B, S) int32, and gives the tuple of its
task's outputs.
"""

from __future__ import annotations

from torch import nn

from exporters.errors import InputError
from squeezebert_edge.forms.convolutions import Conv2dForm, ConvForm, NeuralEngineForm, NeuralEngineGroupsForm
from squeezebert_edge.forms.grouped import GroupBatchedForm, GroupResidentForm
from squeezebert_edge.forms.plain import PlainForm
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.tasks.heads import Task

FORMS: dict[str, type[PlainForm | GroupResidentForm | ConvForm]] = {
    "plain": PlainForm,
    "group-resident": GroupResidentForm,
    "group-batched": GroupBatchedForm,
    "conv2d": Conv2dForm,
    "neural-engine": NeuralEngineForm,
    "neural-engine-groups": NeuralEngineGroupsForm,
}


def lay_out(model: SqueezeBertPreTrainedModel, task: type[Task], form: str) -> nn.Module:
    """The model in a form, in eval mode.

    Raises:
        InputError: no such form.
    """
    return form_named(form)(model, task).eval()


def form_named(name: str) -> type[PlainForm | GroupResidentForm | ConvForm]:
    """The form of a name.

    Raises:
        InputError: no such form.
    """
    if name not in FORMS:
        raise InputError(f"unknown form '{name}'", allowed=", ".join(FORMS))
    return FORMS[name]
