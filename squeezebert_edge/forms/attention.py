"""What every form does alike in attention: padding, the scores' scale, and which heads a group holds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from squeezebert_edge.model.layers import SelfAttention

# Added to the scores of padding. exp(-1e4) is 0 in every precision, and -1e4 is finite in float16, where the
# reference's float32 minimum is -inf and turns a row that is all padding into NaN.
MASKED_SCORE = -1e4


def padding_scores(attention_mask: Tensor) -> Tensor:
    """What is added to the scores of each position, so that padding gets no attention: (B, S) -> (B, S)."""
    return (attention_mask == 0).to(torch.float32) * MASKED_SCORE


def query_key_scale(head_width: int) -> float:
    """What multiplies queries and keys each, in the place of the scores' division by sqrt(head_width)."""
    return 1 / math.sqrt(math.sqrt(head_width))


def holds_whole_heads(attention: SelfAttention) -> bool:
    """Whether each group makes the queries, keys and values of heads of its own."""
    groups = {part.groups for part in (attention.query, attention.key, attention.value)}
    return len(groups) == 1 and attention.heads % groups.pop() == 0
