"""Networks of every structure, for hypothesis to draw."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

GROUPS = ("q_groups", "k_groups", "v_groups", "post_attention_groups", "intermediate_groups", "output_groups")


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    """Configurations of any group counts that divide the widths."""
    heads = draw(st.sampled_from([1, 2, 4, 6]))
    width = heads * 4 * draw(st.sampled_from([1, 2]))
    inner = width * draw(st.sampled_from([1, 2, 4]))
    counts = [groups for groups in (1, 2, 4) if width % groups == 0]
    return {
        "hidden_size": width,
        "embedding_size": width,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "num_hidden_layers": draw(st.sampled_from([1, 2, 3])),
        "vocab_size": draw(st.sampled_from([16, 120])),
        **{name: draw(st.sampled_from(counts)) for name in GROUPS},
    }
