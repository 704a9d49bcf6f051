"""The lengths that are proposed take no more arithmetic than any others."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from squeezebert_edge.accuracy.lengths import propose
from squeezebert_edge.model import complexity
from tests.kit.tiny import tiny_config

CONFIG = tiny_config(max_position_embeddings=128)
ARCHITECTURE = "SqueezeBertForSequenceClassification"


def work(tokens: list[int], lengths: tuple[int, ...]) -> int:
    def macs(length: int) -> int:
        return complexity.total(complexity.count(CONFIG, length, ARCHITECTURE)).macs

    return sum(macs(next(length for length in lengths if length >= count)) for count in tokens)


def test_no_other_lengths_take_less() -> None:
    random = np.random.default_rng(0)
    tokens = random.integers(4, 65, 200).tolist()
    found = propose(tokens, CONFIG, ARCHITECTURE, compared=(32, 64), most=3)
    others = [(*chosen, 64) for n in (0, 1, 2) for chosen in combinations(range(16, 64, 8), n)]
    assert work(tokens, found.lengths) == min(work(tokens, lengths) for lengths in others)
    assert found.work == work(tokens, found.lengths) / work(tokens, (32, 64))


def test_the_longest_stays_and_few_are_enough() -> None:
    assert propose([5] * 50, CONFIG, ARCHITECTURE, compared=(32, 128)).lengths == (16, 128)
    assert propose([128] * 50, CONFIG, ARCHITECTURE, compared=(128,)).lengths == (128,)
    spread = propose(list(range(4, 129)), CONFIG, ARCHITECTURE, compared=(128,))
    assert len(spread.lengths) == 6
    assert spread.work < 0.7


def test_a_short_longest_length_is_all_there_is() -> None:
    assert propose([5, 9], CONFIG, ARCHITECTURE, compared=(12,)).lengths == (12,)
