"""Outputs read as records, as mappings and as tuples of what is present."""

from __future__ import annotations

import pytest
import torch

from squeezebert_edge.model.outputs import EncoderOutput, HeadOutput, SpanOutput

ONE, TWO = torch.tensor(1.0), torch.tensor([2.0, 3.0])


def test_fields_that_are_none_are_no_items() -> None:
    output = HeadOutput(None, TWO)
    assert output.loss is None
    assert output.logits is output[0] is output["logits"] is output[-1]
    assert len(output) == 1
    (logits,) = output
    assert logits is TWO
    assert output.to_tuple() == (TWO,)
    with pytest.raises(KeyError):
        output["loss"]
    with pytest.raises(IndexError):
        output[1]


def test_unpacking_and_slices() -> None:
    loss, logits = HeadOutput(ONE, TWO)
    assert loss is ONE
    assert logits is TWO
    output = SpanOutput(ONE, TWO, TWO, hidden_states=(TWO, ONE))
    assert output.keys() == ["loss", "start_logits", "end_logits", "hidden_states"]
    assert output[1:3] == (TWO, TWO)
    assert dict(output)["hidden_states"] == (TWO, ONE)
    assert len(EncoderOutput(TWO, ONE, attentions=(TWO,))) == 3


def test_torch_finds_the_tensors_inside() -> None:
    leaves = torch.utils._pytree.tree_leaves(HeadOutput(ONE, TWO, hidden_states=(TWO, ONE)))
    assert [leaf for leaf in leaves if leaf is not None] == [ONE, TWO, TWO, ONE]
    doubled = torch.utils._pytree.tree_map(lambda t: t * 2, HeadOutput(ONE, TWO))
    assert isinstance(doubled, HeadOutput)
    assert doubled.logits.tolist() == [4.0, 6.0]
    assert doubled.hidden_states is None
