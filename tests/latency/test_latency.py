"""Latency: numbers that numpy agrees with, and rules that are kept, by a clock of our own."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squeezebert_edge.latency.protocol import (
    MLPERF,
    QUICK,
    RAPID,
    SECOND,
    Protocol,
    Samples,
    Statistics,
    broken_repeat,
    broken_rule,
    by_length,
    exactly,
    measure,
    percentile,
    statistics,
    warm_up,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "statistics.json").read_text())


class Clock:
    """Time that passes only while something runs, as long as `takes` says for each row and turn."""

    def __init__(self, takes: Callable[[int, int], int]) -> None:
        self.now, self.turn, self.takes = 10**15, 0, takes
        self.ran: list[int] = []

    def __call__(self) -> int:
        return self.now

    def run(self, row: int) -> None:
        self.now += self.takes(row, self.turn)
        self.turn += 1
        self.ran.append(row)


def steady(nanoseconds: int) -> Clock:
    return Clock(lambda row, turn: nanoseconds)


def by_name(case: dict[str, Any]) -> str:
    return str(case.get("name", case.get("medians_ns")))


def assert_equal(found: Statistics, expected: dict[str, Any]) -> None:
    assert asdict(found).keys() == expected.keys()
    for name in ("mean_ns", "standard_deviation_ns", "per_second"):
        assert getattr(found, name) == (expected[name] and pytest.approx(expected[name], rel=1e-9)), name
    whole = ("count", "p50_ns", "p90_ns", "p99_ns", "least_ns", "most_ns")
    assert [getattr(found, name) for name in whole] == [expected[name] for name in whole]


@pytest.mark.parametrize("case", VECTORS["statistics"], ids=by_name)
def test_statistics_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    assert_equal(statistics(case["latency_ns"]), case["overall"])
    zeros = (0,) * len(case["length"])
    found = by_length(Samples(zeros, tuple(case["length"]), zeros, tuple(case["latency_ns"])))
    assert [str(length) for length in found] == list(case["by_length"])
    for length, numbers in found.items():
        assert_equal(numbers, case["by_length"][str(length)])


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=400), st.integers(1, 99))
def test_percentiles_are_numpy_s_counted_from_above(values: list[int], percent: int) -> None:
    """loadgen's sorted[floor(n p)] is the inverse of the distribution function, from the larger side."""
    counted = -np.percentile(-np.array(values), 100 - percent, method="inverted_cdf")
    assert percentile(sorted(values), percent) == counted


@given(st.lists(st.integers(1, 10**12), min_size=2, max_size=400))
def test_mean_and_spread_are_numpy_s(values: list[int]) -> None:
    found = statistics(values)
    assert found.mean_ns == pytest.approx(np.mean(values))
    assert found.standard_deviation_ns == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-3)
    assert (found.p99_ns is None) == (len(values) < 299)


@pytest.mark.parametrize("case", VECTORS["warm_up"], ids=by_name)
def test_warm_up_ends_as_the_vectors_say(case: dict[str, Any]) -> None:
    clock = Clock(lambda row, turn: case["latency_ns"][turn])
    (found,) = warm_up(clock.run, [32], exactly(case["queries_allowed"]), clock)
    assert (found.queries, found.steady) == (case["queries"], case["steady"])


def test_every_length_is_warmed_up_with_a_row_of_its_own() -> None:
    clock = Clock(lambda row, turn: 100 * (row + 1))
    found = warm_up(clock.run, [64, 32, 32, 128], MLPERF, clock)
    assert [(warmed.length, warmed.queries) for warmed in found] == [(32, 20), (64, 20), (128, 20)]
    assert Counter(clock.ran) == {1: 20, 0: 20, 3: 20}


def test_warm_up_of_a_slow_device_ends_with_its_time() -> None:
    clock = steady(25 * SECOND)
    found = warm_up(clock.run, [32, 64], QUICK, clock)
    assert [(warmed.queries, warmed.steady) for warmed in found] == [(3, False), (1, False)]


@pytest.mark.parametrize("case", VECTORS["runs"], ids=by_name)
def test_runs_are_as_long_as_the_vectors_say(case: dict[str, Any]) -> None:
    protocol, clock = Protocol(**case["protocol"]), steady(case["each_ns"])
    found = measure(clock.run, [32], protocol, clock)
    assert len(found.latency_ns) == case["queries"]
    assert broken_rule(protocol, found) == case["rule"]


def test_the_presets_are_mlperf_s_counts() -> None:
    named = {case["protocol"]["name"]: case["protocol"] for case in VECTORS["runs"]}
    for protocol in (MLPERF, QUICK, RAPID):
        assert asdict(protocol) == named[protocol.name]
    assert not exactly(2000).quoted


def test_every_sample_is_kept_with_its_row_length_and_start() -> None:
    clock = Clock(lambda row, turn: 10 + row)
    found = measure(clock.run, [32, 64, 32], exactly(5), clock)
    assert found == Samples(
        row=(0, 1, 2, 0, 1),
        length=(32, 64, 32, 32, 64),
        start_ns=(0, 10, 21, 33, 43),
        latency_ns=(10, 11, 12, 10, 11),
    )


def test_a_run_that_is_cut_short_is_invalid() -> None:
    found = measure(steady(SECOND).run, [32], exactly(128), steady(0))
    assert broken_rule(QUICK, found) == "too short"


@pytest.mark.parametrize("case", VECTORS["repeats"], ids=by_name)
def test_repeats_agree_or_say_by_how_much_they_do_not(case: dict[str, Any]) -> None:
    rule = broken_repeat(case["medians_ns"])
    assert (rule is None) == case["valid"]
    assert rule is None or "medians differ by 6.0%" in rule


def test_nothing_is_collected_while_it_is_measured() -> None:
    seen = []
    measure(lambda row: seen.append(gc.isenabled()), [32], exactly(3))
    assert seen == [False] * 3
    assert gc.isenabled()


@pytest.mark.parametrize("protocol", [MLPERF, QUICK, RAPID, exactly(16)])
def test_a_device_that_hangs_is_given_up_at_a_known_time(protocol: Protocol) -> None:
    slowest = protocol.most_seconds or 45.0 * protocol.queries
    assert 2 * slowest < protocol.time_limit < 3600
