"""Noise in the place of rounding is as large as a row's steps, and the same for any number of processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from squeezebert_edge.training.layers import BatchNoise, prepare_for_training
from squeezebert_edge.training.rounding_noise import add_rounding_noise
from tests.kit.teachers import BATCH, MASK
from tests.kit.tiny import tiny_model
from tests.kit.trained import CONFIG, fine_tune


def disturbed(bits: int, rows: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
    """What goes into the first product, (B, C, S), and what it makes of it in the place of that."""
    noise = BatchNoise(torch.device("cpu"))
    network = prepare_for_training(tiny_model(), noise, 0.0)
    add_rounding_noise(network, noise, bits)
    noise.begin(0, 0, len(MASK), rows)
    seen = []
    query = network.base_model.encoder.layers[0].attention.query
    query.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    clean = network.base_model.embeddings(network.get_input_embeddings()(BATCH.input_ids[rows]))
    network(BATCH.input_ids[rows], MASK[rows])
    return clean.permute(0, 2, 1), seen[0]


def test_it_is_half_a_step_at_most_of_each_groups_own_row() -> None:
    clean, found = disturbed(4)
    groups = tiny_model().config.q_groups
    rows = clean.unflatten(1, (groups, -1))  # (B, C, S) -> (B, G, C/G, S)
    step = (rows.amax(2, keepdim=True) - rows.amin(2, keepdim=True)) / 15
    share = (found - clean).unflatten(1, (groups, -1)) / step
    assert share.abs().max() <= 0.5001
    assert share.std() > 0.25  # 0.29 of what is uniform


def test_a_text_is_disturbed_alike_whoever_else_is_in_its_process() -> None:
    torch.testing.assert_close(disturbed(4, slice(1, 2))[1], disturbed(4)[1][1:])


def test_it_disturbs_training_alone() -> None:
    noise = BatchNoise(torch.device("cpu"))
    network = prepare_for_training(tiny_model(), noise, 0.0)
    plain = network.eval()(BATCH.input_ids, MASK).logits
    add_rounding_noise(network, noise, 3)
    assert torch.equal(network(BATCH.input_ids, MASK).logits, plain)
    noise.begin(0, 0, len(MASK), slice(None))
    assert not torch.allclose(network.train()(BATCH.input_ids, MASK).logits, plain, atol=1e-3)


def test_a_training_learns_with_it(tmp_path: Path) -> None:
    fine_tuned = fine_tune(tmp_path / "robust", replace(CONFIG, learning_rate=1e-3, noise_bits=3))
    assert fine_tuned.accuracy == 1
