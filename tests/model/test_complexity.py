"""Counts agree with the network itself, with torch's counter, and with the paper."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from exporters.errors import InputError
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.complexity import count, total
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import ARCHITECTURES
from tests.kit.tiny import tiny_config

CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"q_groups": 1, "k_groups": 2, "v_groups": 8, "post_attention_groups": 2, "output_groups": 16},
    {"hidden_act": "xielu", "tie_word_embeddings": False, "num_labels": 2, "type_vocab_size": 3},
    {"hidden_act": "prelu", "num_attention_heads": 8, "num_hidden_layers": 3, "intermediate_size": 96},
]
# The first that matches.
KINDS = {
    "LayerNorm": ("LayerNorm", "layernorm"),
    "embeddings": ("word_embeddings", "position_embeddings", "token_type_embeddings"),
    "query/key/value": (".query.", ".key.", ".value."),
    "post_attention": ("post_attention.conv1d",),
    "intermediate": (".intermediate.",),
    "output": (".output.conv1d",),
    "pooler": ("pooler.",),
    "head": ("cls.", "classifier.", "qa_outputs."),
}


def kind_of(name: str) -> str:
    return next(kind for kind, parts in KINDS.items() if any(part in name for part in parts))


def run(model: SqueezeBertPreTrainedModel, length: int) -> tuple[int, int]:
    """Multiply-accumulates of one pass: of products by torch's counter, of added biases by hooks."""
    biases = 0

    def add(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal biases
        biases += output.numel() if getattr(module, "bias", None) is not None else 0

    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d):
            module.register_forward_hook(add)
    shape = (1, 1, length) if type(model).__name__ == "SqueezeBertForMultipleChoice" else (1, length)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.ones(shape, dtype=torch.long))
    products, rest = divmod(counter.get_total_flops(), 2)
    assert rest == 0
    return products, biases


@pytest.mark.parametrize("overrides", CONFIGURATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_counts_are_the_networks_own(architecture: str, overrides: dict[str, Any]) -> None:
    config = tiny_config(**overrides)
    model = ARCHITECTURES[architecture](config).eval()
    parts = count(config, 13, architecture)
    expected = dict.fromkeys((part.kind for part in parts), 0)
    for name, parameter in model.named_parameters():
        expected[kind_of(name)] += parameter.numel()
    assert {part.kind: part.parameters for part in parts} == expected
    assert total(parts).bytes == sum(4 * p.numel() for p in model.parameters())
    assert total(parts).macs == sum(run(model, 13))
    assert total(parts).gflop == 2 * sum(part.macs for part in parts) / 1e9


@pytest.mark.parametrize("length", [1, 32, 64])
def test_attention_grows_with_the_square_of_the_length(length: int) -> None:
    config = tiny_config()
    macs = {part.kind: part.macs for part in count(config, length, "SqueezeBertModel")}
    assert macs["attention matmuls"] == 2 * 2 * length**2 * 32
    assert macs["query/key/value"] == 2 * length * 3 * (32 * 8 + 32)


def test_squeezebert_uncased_is_the_papers() -> None:
    config = SqueezeBertConfig(vocab_size=30528)
    whole = total(count(config, 128, "SqueezeBertModel"))
    assert round(whole.gflop, 2) == 7.42
    assert round(whole.parameters / 1e6, 1) == 51.1
    with torch.device("meta"):
        model = ARCHITECTURES["SqueezeBertModel"](config).eval()
        products, biases = run(model, 128)
    assert sum(parameter.numel() for parameter in model.parameters()) == whole.parameters
    assert products + biases == whole.macs
    assert round(2 * products / 1e9, 2) == 7.4


@pytest.mark.parametrize("length", [0, -1, 65])
def test_lengths_that_the_network_does_not_take(length: int) -> None:
    with pytest.raises(InputError, match=f"{length} tokens"):
        count(tiny_config(), length, "SqueezeBertModel")


def test_unknown_architectures() -> None:
    with pytest.raises(InputError, match="BertModel") as caught:
        count(tiny_config(), 8, "BertModel")
    assert sorted(str(caught.value.allowed).split(", ")) == sorted(ARCHITECTURES)
