"""Peaks are measured where int8 rounds, and training lowers them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.training.data import Batch
from squeezebert_edge.training.objective import Objective
from squeezebert_edge.training.peaks import Peaks, _measure, _powers
from tests.kit.planted import with_outliers
from tests.kit.teachers import BATCH, MASK
from tests.kit.tiny import tiny_model
from tests.kit.trained import CONFIG, fine_tune


def measured(model: SqueezeBertPreTrainedModel, batch: Batch = BATCH) -> torch.Tensor:
    peaks = Peaks(model)
    peaks.begin(batch.attention_mask)
    model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
    return peaks.end()


def height(values: torch.Tensor) -> torch.Tensor:
    return _measure(*_powers(values, 1))


def test_equal_values_have_no_peak_and_normal_ones_the_height_that_is_said() -> None:
    values = torch.randn(4, 200_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(height(values), torch.full((4,), 0.58), atol=0.03, rtol=0)
    torch.testing.assert_close(height(100 * values), height(values))
    assert height(values.sign()).abs().max() < 1e-6


def test_gradients_are_those_of_the_measure_and_zeros_have_one() -> None:
    values = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(height, values.requires_grad_())
    zeros = torch.zeros(2, 5, requires_grad=True)
    height(zeros).sum().backward()
    assert torch.equal(zeros.grad, torch.zeros(2, 5))


def test_padding_and_the_other_texts_of_a_batch_change_nothing() -> None:
    """So that it does not matter how many processes share a batch."""
    found = measured(tiny_model())
    for row, length in enumerate((5, 3)):
        alone = replace(
            BATCH,
            **{
                name: getattr(BATCH, name)[row : row + 1, :length]
                for name in ("input_ids", "attention_mask", "token_type_ids")
            },
        )
        torch.testing.assert_close(measured(tiny_model(), alone)[0], found[row], atol=1e-5, rtol=1e-5)


def test_channels_that_stand_out_are_seen_though_no_answer_shows_them() -> None:
    plain, planted = tiny_model(), with_outliers(tiny_model(), channels=1)
    torch.testing.assert_close(
        planted(BATCH.input_ids, MASK).logits, plain(BATCH.input_ids, MASK).logits, atol=1e-4, rtol=0
    )
    assert (measured(planted) > measured(plain) + 0.02).all()


def test_the_weight_of_peaks_is_what_they_add_to_the_loss() -> None:
    without = Objective(tiny_model(), CONFIG, None)(BATCH)
    found = Objective(tiny_model(), replace(CONFIG, peak_weight=0.3), None)(BATCH)
    torch.testing.assert_close(found - without, 0.3 * measured(tiny_model()))


def test_training_with_a_weight_lowers_peaks_and_learns_as_well(tmp_path: Path) -> None:
    heights = []
    for weight in (0.0, 0.05):
        out = tmp_path / str(weight)
        config = replace(CONFIG, learning_rate=1e-3, epochs=4, peak_weight=weight)
        assert fine_tune(out, config).accuracy == 1
        heights.append(measured(load_checkpoint(out).model).mean().item())
    assert heights[1] < heights[0] - 0.2
