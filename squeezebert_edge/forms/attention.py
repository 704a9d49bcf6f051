"""How padding is kept out of attention."""

from __future__ import annotations

import torch
from torch import Tensor

from squeezebert_edge.model.layers import (
    SelfAttention,
)

# Added to the scores of padding. exp(-1e4) is 0 in every precision, and -1e4 is finite in float16, where the
# reference's float32 minimum is -inf and turns a row that is all padding into NaN.
MASKED_SCORE = -1e4


def _added_to_scores(attention_mask: Tensor) -> Tensor:
    padding = (attention_mask == 0).to(torch.float32)
    return (padding * MASKED_SCORE)[:, None, None, :]  # (B, S) -> (B, 1, 1, S)


def _holds_whole_heads(attention: SelfAttention) -> bool:
    """Whether each group makes the queries, keys and values of heads of its own."""
    groups = {part.groups for part in (attention.query, attention.key, attention.value)}
    return len(groups) == 1 and attention.heads % groups.pop() == 0
