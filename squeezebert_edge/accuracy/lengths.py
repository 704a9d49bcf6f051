"""Which sequence lengths suit a data set: few of them, and little padding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from squeezebert_edge.accuracy.labelled import LabelledData
from squeezebert_edge.model import complexity
from squeezebert_edge.model.config import SqueezeBertConfig

MOST_LENGTHS = 6
STEP = 8  # kernels work in tiles of about this many tokens


@dataclass(frozen=True)
class Proposal:
    """Lengths for a data set.

    lengths: ascending. The last is the longest of `compared`.
    compared: the lengths they are compared with.
    work: multiply-accumulates over the data at `lengths`, as a share of those at `compared`.
    """

    lengths: tuple[int, ...]
    compared: tuple[int, ...]
    work: float


def propose(
    tokens: Sequence[int],
    config: SqueezeBertConfig,
    architecture: str,
    compared: Sequence[int],
    most: int = MOST_LENGTHS,
) -> Proposal:
    """Find the lengths at which texts take the least arithmetic, each at the shortest length that fits.

    Args:
        tokens: how many each text has, none more than the longest of `compared`.
        compared: the lengths to compare with. Their longest is kept, since other data may need it.
        most: how many lengths there may be.
    """
    longest = max(compared)
    candidates = sorted({*range(STEP * 2, longest, STEP), longest})

    @cache
    def work(length: int) -> int:
        return complexity.total(complexity.count(config, length, architecture)).macs

    counts = Counter(next(length for length in candidates if length >= count) for count in tokens)

    @cache
    def best(end: int, left: int) -> tuple[int, tuple[int, ...]]:
        """The least work for texts up to candidate `end`, which is chosen, and all that are chosen."""
        options = []
        inside = 0
        for start in range(end, -1, -1):  # `end` serves the candidates from `start` on
            inside += counts[candidates[start]]
            here = inside * work(candidates[end])
            if start == 0:
                options.append((here, (candidates[end],)))
            elif left > 1:
                before, chosen = best(start - 1, left - 1)
                options.append((here + before, (*chosen, candidates[end])))
        return min(options, key=lambda option: (option[0], len(option[1])))

    least, chosen = best(len(candidates) - 1, most)
    given = tuple(sorted(compared))
    before = sum(work(next(length for length in given if length >= count)) for count in tokens)
    return Proposal(chosen, given, least / before)


def propose_for(data: LabelledData, config: SqueezeBertConfig, compared: Sequence[int]) -> Proposal:
    """Find the lengths for labelled examples, whose `max_length` is the longest of `compared`."""
    tokens = [len(encoding) for example in data.examples for encoding in data.encode(example)]
    return propose(tokens, config, data.task.architecture, compared)
