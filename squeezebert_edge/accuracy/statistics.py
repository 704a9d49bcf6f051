"""Intervals and tests for paired answers: two to the same question."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from exporters.arrays import Array
from squeezebert_edge.accuracy.packages import import_package

CONFIDENCE = 0.95
DRAWS = 10_000
PERMUTATIONS = 999
SEED = 0
INDICES_AT_ONCE = 2_000_000  # in one batch of a bootstrap's draws, which bounds its memory


def tango_interval(gained: int, lost: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval for the difference of two paired proportions, (gained - lost) / n.

    It has a width even if nothing changed: with gained = lost = 0 it is +-z^2 / (n + z^2).
    Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17 (1998), equations 6 to 8.

    Args:
        gained: how many pairs are right only on the second side.
        lost: how many pairs are right only on the first side.
        n: how many pairs there are.
    """
    optimize, normal = import_package("scipy.optimize"), import_package("scipy.stats").norm
    z = float(normal.ppf((1 + confidence) / 2))

    def excess(difference: float, sign: float) -> float:
        """The score statistic's numerator minus `sign` z standard errors, both under this difference."""
        b = -gained - lost + (2 * n - gained + lost) * difference
        c = -lost * difference * (1 - difference)
        p21 = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)  # maximum likelihood, constrained
        variance = max(n * (2 * p21 + difference * (1 - difference)), 0.0)
        return gained - lost - n * difference - sign * z * math.sqrt(variance)

    # At the estimate itself the standard error can be 0, which brentq would take for a limit.
    estimate, aside = (gained - lost) / n, 1e-12
    low = -1.0 if lost == n else float(optimize.brentq(excess, -1.0, estimate - aside, args=(1.0,)))
    high = 1.0 if gained == n else float(optimize.brentq(excess, estimate + aside, 1.0, args=(-1.0,)))
    return low, high


def mcnemar_p(gained: int, lost: int) -> float:
    """McNemar's exact two-sided p: how likely chance splits the changed pairs at least as unevenly."""
    if gained + lost == 0:
        return 1.0
    return float(import_package("scipy.stats").binomtest(gained, gained + lost, 0.5).pvalue)


def better_than_chance_p(right: int, n: int, chance: float) -> float:
    """The one-sided binomial p: how likely chance is right at least this often."""
    return float(import_package("scipy.stats").binomtest(right, n, chance, alternative="greater").pvalue)


def shuffled_p(agreement: Callable[[Array], float], n: int) -> float:
    """The one-sided p of a permutation test: how likely chance agrees at least as well.

    Args:
        agreement: an order of the n examples -> how well predictions in this order agree with the targets.
    """
    random = np.random.default_rng(SEED)
    found = agreement(np.arange(n))
    others = [agreement(random.permutation(n)) for _ in range(PERMUTATIONS)]
    return (1 + sum(other >= found for other in others)) / (1 + PERMUTATIONS)


def bootstrap_interval(
    statistic: Callable[[Array], Array], n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The percentile interval of a paired bootstrap: DRAWS samples of the examples, from a fixed seed.

    Args:
        statistic: (draws, n) indices of examples -> (draws,) values. Both sides take the same indices.
        n: how many examples there are. With one, the interval is that one's value.
    """
    if n == 1:
        value = float(statistic(np.zeros((1, 1), np.int64))[0])
        return value, value
    found = import_package("scipy.stats").bootstrap(
        (np.arange(n),),
        lambda indices, axis: statistic(indices.reshape(-1, n)).reshape(indices.shape[:-1]),
        n_resamples=DRAWS,
        batch=max(1, INDICES_AT_ONCE // n),
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
