"""transformers' SqueezeBERT, the independent truth about our own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.config import SqueezeBertConfig


def reference_config(config: SqueezeBertConfig) -> Any:
    """transformers' configuration of the same network."""
    from transformers import SqueezeBertConfig as ReferenceConfig

    return ReferenceConfig.from_dict(config.to_dict())


def reference(model: SqueezeBertPreTrainedModel) -> nn.Module:
    """transformers' model of the same class with the same weights, in the same mode."""
    import transformers

    other: nn.Module = getattr(transformers, type(model).__name__)(reference_config(model.config))
    other.load_state_dict(model.state_dict())
    return other.train(model.training)


def assert_same(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    """Tensors, or tuples of them, are equal to a tolerance, absolute and relative."""
    if isinstance(theirs, Tensor):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance, equal_nan=True)
        return
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other, tolerance)
