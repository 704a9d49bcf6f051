"""What a Core ML program is made of is counted right, and the Neural Engine's form keeps to the rules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from exporters.coreml import FORMAT
from exporters.coreml import export as coreml
from exporters.coreml.runner import load
from exporters.spec import Structure
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.tasks.heads import TASKS, Task, TextClassification
from tests.kit.exported import assert_equal, request
from tests.kit.tiny import tiny_model

# squeezebert-uncased's groups, narrower, with two heads in each
HEADS = 8
SHAPES = {"hidden_size": 96, "embedding_size": 96, "num_attention_heads": HEADS, "intermediate_size": 384}
WIDE = {"hidden_size": 768, "embedding_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
PRECISIONS = ("fp32", "fp16")


def structure_of(
    module: nn.Module, outputs: tuple[str, ...], path: Path, precision: str = "fp16"
) -> Structure:
    path.mkdir(exist_ok=True)
    artifact = coreml.export(request(module, outputs, precision), path / FORMAT.file_name)
    assert artifact.structure is not None
    return artifact.structure


def laid_out(path: Path, form: str, task: type[Task], precision: str, **shapes: int) -> Structure:
    module = lay_out(tiny_model(task.architecture, **shapes), task, form)
    return structure_of(module, task.outputs, path, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("form", ["neural-engine", "neural-engine-groups"])
def test_a_layer_for_the_neural_engine_has_one_transpose(tmp_path: Path, form: str, precision: str) -> None:
    one, two = (
        laid_out(
            tmp_path / str(layers),
            form,
            TextClassification,
            precision,
            num_hidden_layers=layers,
            **SHAPES,
        )
        for layers in (1, 2)
    )
    assert two.transposes - one.transposes == 1
    assert two.attention - one.attention == 2 * HEADS
    assert two.pointwise - one.pointwise == (6 if form == "neural-engine" else 5 * 4 + 1)
    assert one.transposes == 2  # keys, and the embeddings
    for found in (one, two):
        assert (found.max_rank, found.reshapes, found.unfit) == (4, 0, ())
    assert two.casts == one.casts


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_head_suits_the_neural_engine(tmp_path: Path, task: type[Task]) -> None:
    found = laid_out(tmp_path, "neural-engine", task, "fp16")
    assert (found.max_rank, found.reshapes, found.unfit) == (4, 0, ())
    assert found.transposes <= 2 + 1 + 1  # a layer, the embeddings, what is given per token


@pytest.mark.slow
@pytest.mark.parametrize(("form", "precision"), [("neural-engine", "fp16"), ("neural-engine-groups", "fp32")])
def test_the_full_depth_has_few_transposes(tmp_path: Path, form: str, precision: str) -> None:
    found = laid_out(tmp_path, form, TextClassification, precision, num_hidden_layers=12, **WIDE)
    assert found.transposes <= 26
    assert found.unfit == ()


def test_the_reference_as_it_stands_does_not_suit_it(tmp_path: Path) -> None:
    found = laid_out(tmp_path, "plain", TextClassification, "fp16")
    assert found.other_products == ("convolution of 1 x12", "linear x2")
    assert found.pointwise == 0
    assert found.attention == 4
    assert found.transposes >= 10


class Unfit(nn.Module):
    """Two wide convolutions, a linear layer, a product with a constant, and five axes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 1, kernel_size=(1, 3), padding=(0, 1))
        self.linear = nn.Linear(4, 4)
        self.matrix = nn.Parameter(torch.randn(2, 4, 4))

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor]:
        x = (ids + mask + types).float()[:, None, None]  # (1, S) -> (1, 1, 1, S)
        x = self.conv(torch.tanh(self.conv(x)))
        x = self.linear(x[:, 0, 0, :, None] * torch.ones(4))  # (1, S, 4)
        x = torch.matmul(torch.tanh(x), self.matrix)  # (2, S, 4)
        x = torch.tanh(x[:, :, :, None, None]) * x[:, :, None, :, None]  # (2, S, 4, 4, 1)
        return (torch.tanh(x[0, :, 0, :, 0])[None],)


def test_what_does_not_suit_it_is_named(tmp_path: Path) -> None:
    module = Unfit().eval()
    found = structure_of(module, ("y",), tmp_path, "fp32")
    assert found.max_rank == 5
    assert found.unfit == ("values of 5 axes", "convolution of 1x3 x2", "linear x1", "matmul x1")
    assert_equal(load(tmp_path / FORMAT.file_name, runtime="mil-evaluator"), module)
