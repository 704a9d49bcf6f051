"""Intervals and tests of paired answers, against published values and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from squeezebert_edge.accuracy.statistics import bootstrap_interval, mcnemar_p, shuffled_p, tango_interval

Z = float(norm.ppf(0.975))


def test_tango_s_interval_has_its_published_value() -> None:
    # Cavo et al. 2012 in Fagerland, Lydersen, Laake: Statistical Analysis of Contingency Tables (2017),
    # chapter 8, as its R package contingencytables prints it.
    assert tango_interval(6, 16, 161) == pytest.approx((-0.1240, -0.0054), abs=5e-5)


@pytest.mark.parametrize("n", [1, 3, 200, 872, 100_000])
def test_tango_s_interval_is_not_empty_when_nothing_changed(n: int) -> None:
    bound = Z**2 / (n + Z**2)
    assert tango_interval(0, 0, n) == pytest.approx((-bound, bound), abs=1e-9)


def test_tango_s_interval_where_everything_changed() -> None:
    low, high = tango_interval(5, 0, 5)
    assert high == 1.0
    assert tango_interval(0, 5, 5) == pytest.approx((-high, -low))


def test_a_permutation_test_tells_agreement_from_chance() -> None:
    random = np.random.default_rng(0)
    true = random.integers(0, 2, 300)
    close, far = np.where(random.random(300) < 0.7, true, 1 - true), random.integers(0, 2, 300)
    assert shuffled_p(lambda order: float((true == close[order]).sum()), 300) == 0.001
    assert shuffled_p(lambda order: float((true == far[order]).sum()), 300) > 0.05
    assert shuffled_p(lambda order: 1.0, 300) == 1.0


def score(difference: float, gained: int, lost: int, n: int) -> float:
    """Tango's statistic with its likelihood maximized by search, not by his formula."""

    def negative_log_likelihood(p21: float) -> float:
        p12 = p21 + difference
        rest = n - gained - lost
        terms = ((gained, p12), (lost, p21), (rest, 1 - p12 - p21))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    p21 = minimize_scalar(
        negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
    ).x
    return (gained - lost - n * difference) / math.sqrt(n * (2 * p21 + difference * (1 - difference)))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 400))
def test_tango_s_limits_are_where_the_score_is_z(gained: int, lost: int, same: int) -> None:
    n = gained + lost + same
    low, high = tango_interval(gained, lost, n)
    assert -1 <= low < (gained - lost) / n < high <= 1
    assert score(low, gained, lost, n) == pytest.approx(Z, abs=1e-3)
    assert score(high, gained, lost, n) == pytest.approx(-Z, abs=1e-3)


def test_mcnemar_counts_all_uneven_splits() -> None:
    def by_hand(gained: int, lost: int) -> float:
        changed = gained + lost
        tail = sum(math.comb(changed, k) for k in range(min(gained, lost) + 1)) / 2**changed
        return min(1.0, 2 * tail)

    assert mcnemar_p(6, 16) == pytest.approx(0.052479, abs=5e-7)  # published for the same data
    for gained, lost in ((0, 0), (1, 7), (5, 5), (12, 3), (0, 30)):
        assert mcnemar_p(gained, lost) == pytest.approx(by_hand(gained, lost))


def test_the_bootstrap_resamples_both_sides_by_the_same_indices() -> None:
    random = np.random.default_rng(1)
    first = random.normal(size=300)
    second = first + 0.25  # were the sides resampled apart, their difference would vary
    interval = bootstrap_interval(lambda drawn: second[drawn].mean(1) - first[drawn].mean(1), 300)
    assert interval == pytest.approx((0.25, 0.25))


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error_says() -> None:
    values = np.random.default_rng(2).normal(size=400)
    low, high = bootstrap_interval(lambda drawn: values[drawn].mean(1), 400)
    assert high - low == pytest.approx(2 * Z * values.std() / 20, rel=0.05)
    assert bootstrap_interval(lambda drawn: values[drawn].mean(1), 400) == (low, high)  # seeded


def test_the_bootstrap_of_one_example_is_that_example() -> None:
    assert bootstrap_interval(lambda drawn: drawn[:, 0] + 0.5, 1) == (0.5, 0.5)
