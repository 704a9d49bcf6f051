"""Attention masks mean what they mean in transformers, and padding without one is pointed out."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from exporters.errors import InputError
from squeezebert_edge.model.base import PaddingWarning, SqueezeBertModel
from tests.kit.reference import assert_same, reference
from tests.kit.tiny import tiny_model

DTYPES = [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float32]
PADDED = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
IDS = torch.arange(1, 16).view(3, 5)


@pytest.fixture(scope="module")
def model() -> SqueezeBertModel:
    made = tiny_model("SqueezeBertModel")
    assert isinstance(made, SqueezeBertModel)
    return made


def compare(model: SqueezeBertModel, mask: Tensor, theirs: Tensor | None = None) -> None:
    """Outputs and scores are transformers', for the same mask or for one that should mean the same there."""
    other = reference(model)(IDS, mask if theirs is None else theirs, output_attentions=True)
    assert_same(model(IDS, mask, output_attentions=True).to_tuple(), other.to_tuple())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "rows",
    [PADDED, torch.ones_like(PADDED), torch.zeros_like(PADDED), PADDED * torch.tensor([[0], [1], [1]])],
    ids=["padded", "ones", "zeros", "a row of zeros"],
)
def test_two_dimensions(model: SqueezeBertModel, rows: Tensor, dtype: torch.dtype) -> None:
    compare(model, rows.to(dtype))


def test_two_dimensions_take_anything_but_zero_as_one(model: SqueezeBertModel) -> None:
    compare(model, PADDED * 0.25)
    compare(model, -3 * PADDED)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_three_dimensions_are_a_row_for_each_position(model: SqueezeBertModel, dtype: torch.dtype) -> None:
    # transformers 5 reads a 3-D mask only when nothing is masked; its 4-D mask can say the same.
    ones = torch.ones(3, 5, 5, dtype=dtype)
    compare(model, ones)
    causal = ones.tril()
    added = torch.where(causal != 0, 0.0, torch.finfo(torch.float32).min)[:, None]
    compare(model, causal, added)
    same_row = PADDED[:, None].expand(3, 5, 5).to(dtype)
    compare(model, same_row, PADDED)


@pytest.mark.parametrize("dtype", DTYPES)
def test_four_dimensions_are_added_as_they_are(model: SqueezeBertModel, dtype: torch.dtype) -> None:
    compare(model, PADDED[:, None, None].to(dtype))
    compare(model, (PADDED[:, None, None].expand(3, 4, 5, 5)).to(dtype))


def test_four_dimensions_of_any_number(model: SqueezeBertModel) -> None:
    generator = torch.Generator().manual_seed(0)
    compare(model, torch.randn(3, 4, 5, 5, generator=generator))
    compare(model, torch.randn(1, 1, 5, 5, generator=generator))
    compare(model, (1.0 - PADDED[:, None, None]) * -1e4)
    rows = torch.full((3, 1, 1, 5), -torch.inf)
    assert model(IDS, rows).last_hidden_state.isnan().all()


def test_a_large_constant_masks_like_two_dimensions(model: SqueezeBertModel) -> None:
    added = (1.0 - PADDED[:, None, None]) * -1e4
    assert_same(model(IDS, added).to_tuple(), model(IDS, PADDED).to_tuple())


def test_what_stands_in_the_padding_changes_nothing(model: SqueezeBertModel) -> None:
    junk = torch.where(PADDED == 0, 119 - IDS, IDS)
    kept = PADDED.bool()
    ours, other = model(IDS, PADDED), model(junk, PADDED)
    assert torch.equal(ours.pooler_output, other.pooler_output)
    assert torch.equal(ours.last_hidden_state[kept], other.last_hidden_state[kept])


@pytest.mark.parametrize(
    "shape", [(), (5,), (2, 5), (3, 4), (3, 5, 4), (2, 5, 5), (3, 1, 3, 3), (3, 2, 1, 5), (1, 1, 1, 1, 5)]
)
def test_shapes_that_do_not_fit(model: SqueezeBertModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="attention_mask of shape") as caught:
        model(IDS, torch.zeros(shape))
    assert "(3, 5), (3, 5, 5), or what broadcasts to (3, 4, 5, 5)" in str(caught.value.allowed)


def test_multiple_choice_takes_an_added_mask_for_all_rows() -> None:
    model = tiny_model("SqueezeBertForMultipleChoice")
    ids, rows = IDS[None], PADDED[None]
    added = (1.0 - PADDED[:, None, None]) * -1e4
    assert_same(model(ids, added).logits, model(ids, rows).logits)


@pytest.mark.parametrize("ids", [[[0, 5, 6]], [[5, 6, 7], [5, 6, 0]]])
def test_padding_without_a_mask_is_pointed_out(model: SqueezeBertModel, ids: list[list[int]]) -> None:
    given = torch.tensor(ids)
    with pytest.warns(PaddingWarning, match="no attention_mask"):
        model(given)
    with pytest.warns(PaddingWarning):
        tiny_model("SqueezeBertForSequenceClassification")(given)


def test_padding_is_pointed_out_once(model: SqueezeBertModel) -> None:
    given = torch.tensor([[5, 0]])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            model(given)
    assert len(seen) == 1


def test_no_warning_where_there_is_nothing_to_say(model: SqueezeBertModel) -> None:
    padded = torch.tensor([[5, 6, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(padded, torch.tensor([[1, 1, 0]]))
        model(torch.tensor([[5, 0, 6]]))
        model(inputs_embeds=model.get_input_embeddings()(padded))
        tiny_model("SqueezeBertModel", pad_token_id=None)(padded)


def test_no_warning_while_a_program_is_recorded(model: SqueezeBertModel) -> None:
    padded = torch.tensor([[5, 6, 0]])
    tuples = tiny_model("SqueezeBertModel", return_dict=False)
    recorded: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "`torch.jit.trace", DeprecationWarning)
        recorded.append(torch.export.export(model, (padded,)).module())
        recorded.append(torch.jit.trace(tuples, (padded,), check_trace=False))
        copy.deepcopy(model).to("meta")(padded.to("meta"))
    with pytest.warns(PaddingWarning):
        expected = tuples(padded)
    for program in recorded:
        assert_same(tuple(program(padded)), expected)
