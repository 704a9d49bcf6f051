"""Tiny random models, the size of a test."""

from __future__ import annotations

from typing import Any

import torch

from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import ARCHITECTURES


def tiny_config(**overrides: Any) -> SqueezeBertConfig:
    """A configuration of squeezebert-uncased's structure, 32 wide."""
    fields: dict[str, Any] = {
        "vocab_size": 120,
        "hidden_size": 32,
        "embedding_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    return SqueezeBertConfig.from_dict({"model_type": "squeezebert"} | fields | overrides)


def tiny_model(
    architecture: str = "SqueezeBertForSequenceClassification", seed: int = 0, **overrides: Any
) -> torch.nn.Module:
    """A random model in eval mode, its weights large enough that outputs differ between inputs."""
    torch.manual_seed(seed)
    model = ARCHITECTURES[architecture](tiny_config(**overrides))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(mean=float(name.lower().endswith("layernorm.weight")), std=0.2)
    return model.eval()
