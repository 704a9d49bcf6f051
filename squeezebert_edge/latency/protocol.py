"""Latency by MLPerf's rules: single stream, warmed up, counted, timed; a run that breaks a rule is invalid.

The protocol is that of MLPerf Inference's single-stream scenario: one query after the other, at least so many
and for at least so long (loadgen, https://github.com/mlcommons/inference). This module needs nothing but the
standard library, since it also runs where nothing else is; every other implementation is held to
tests/vectors/statistics.json.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

SECOND = 1_000_000_000  # nanoseconds, the unit of every time here

WARM_UP_BLOCK, WARM_UP_MOST = 10, 100  # queries: in each block, and in all at one length
WARM_UP_TOLERANCE = 0.02  # between the medians of two consecutive blocks
REPEAT_TOLERANCE = 0.05  # between the medians of repeated runs
# The largest of 299 samples is above the true 99th percentile with 95% probability: 0.99**299 < 0.05.
FEWEST_FOR_P99 = 299

TOO_SLOW = "too slow"

Clock = Callable[[], int]  # nanoseconds that only grow

STRICT = {"extra": "forbid"}  # for pydantic, which makes these classes part of record.py's schema


@dataclass(frozen=True)
class Protocol:
    """How long a run takes, and what its numbers are good for.

    name: mlperf, quick, rapid, or queries for so many and no more.
    queries: at least so many. seconds: for at least so long.
    most_seconds: by when the queries must be done, warm-up apart; None where the count alone decides.
    cool_down: seconds of rest between two runs.
    quoted: whether its numbers may be shown as the device's.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str
    queries: int
    seconds: float
    most_seconds: float | None
    cool_down: float
    quoted: bool

    @property
    def time_limit(self) -> float:
        """Seconds after which a device that has not answered hangs: start, warm-up, queries and a margin."""
        margin = 300.0
        if self.most_seconds is None:
            return margin + 60.0 * 3 * self.queries  # an emulated device takes half a minute a query
        return margin + 3 * self.most_seconds


MLPERF = Protocol("mlperf", 1024, 60.0, 600.0, cool_down=300.0, quoted=True)
QUICK = Protocol("quick", 128, 10.0, 60.0, cool_down=0.0, quoted=True)
RAPID = Protocol("rapid", 64, 6.0, 60.0, cool_down=0.0, quoted=False)
PROTOCOLS = {protocol.name: protocol for protocol in (MLPERF, QUICK, RAPID)}


def exactly(queries: int) -> Protocol:
    """The protocol of so many queries, however long they take; never quoted."""
    return Protocol("queries", queries, 0.0, None, cool_down=0.0, quoted=False)


@dataclass(frozen=True)
class Samples:
    """Every query that was measured, in order, by column.

    row: which row it was. length: the sequence length that it ran at.
    start_ns: when it began, counted from the beginning of the first. latency_ns: how long it took.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    row: tuple[int, ...]
    length: tuple[int, ...]
    start_ns: tuple[int, ...]
    latency_ns: tuple[int, ...]


@dataclass(frozen=True)
class WarmUp:
    """Queries at one length before any is measured. steady: whether the last two blocks' medians agreed."""

    __pydantic_config__: ClassVar[Any] = STRICT

    length: int
    queries: int
    steady: bool


@dataclass(frozen=True)
class Statistics:
    """Statistics of latencies, in nanoseconds.

    p50, p90, p99: see `percentile`; p99 is None under FEWEST_FOR_P99 samples.
    standard_deviation: of the sample (divided by n - 1); None of a single one.
    per_second: the reciprocal of the mean: queries a second, one after the other.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    count: int
    p50_ns: int
    p90_ns: int
    p99_ns: int | None
    least_ns: int
    most_ns: int
    mean_ns: float
    standard_deviation_ns: float | None
    per_second: float


def percentile(ascending: Sequence[int], percent: int) -> int:
    """The value at index floor(n * percent / 100), counted from 0, as in loadgen's results.cc.

    It is one of the values, and at least as large as so many percent of them.
    """
    return ascending[len(ascending) * percent // 100]


def statistics(latencies: Sequence[int]) -> Statistics:
    """The statistics of at least one latency, in nanoseconds."""
    ascending = sorted(latencies)
    count, total = len(ascending), sum(ascending)
    mean = total / count
    squares = math.fsum((latency - mean) ** 2 for latency in ascending)
    return Statistics(
        count=count,
        p50_ns=percentile(ascending, 50),
        p90_ns=percentile(ascending, 90),
        p99_ns=percentile(ascending, 99) if count >= FEWEST_FOR_P99 else None,
        least_ns=ascending[0],
        most_ns=ascending[-1],
        mean_ns=mean,
        standard_deviation_ns=math.sqrt(squares / (count - 1)) if count > 1 else None,
        per_second=SECOND * count / total,
    )


def by_length(samples: Samples) -> dict[int, Statistics]:
    """The statistics of each length's samples, ascending."""
    found: dict[int, list[int]] = {}
    for length, latency in zip(samples.length, samples.latency_ns, strict=True):
        found.setdefault(length, []).append(latency)
    return {length: statistics(found[length]) for length in sorted(found)}


def broken_rule(protocol: Protocol, samples: Samples, medians_ns: Sequence[int] = ()) -> str | None:
    """The first rule that a run breaks, or None.

    Args:
        medians_ns: of all repeated runs, if it is one of several.
    """
    if len(samples.latency_ns) < protocol.queries:
        return TOO_SLOW
    if samples.start_ns[-1] + samples.latency_ns[-1] < protocol.seconds * SECOND:
        return "too short"
    return broken_repeat(medians_ns) if medians_ns else None


def broken_repeat(medians: Sequence[int]) -> str | None:
    """The rule that repeated runs break, or None: their medians must agree."""
    least, most = min(medians), max(medians)
    if most - least > REPEAT_TOLERANCE * least:
        return f"repeat: medians differ by {(most - least) / least:.1%}, more than {REPEAT_TOLERANCE:.0%}"
    return None


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Switch Python's garbage collector off for the time of a block, as timeit does."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def warm_up(
    run: Callable[[int], object], lengths: Sequence[int], protocol: Protocol, clock: Clock = time.monotonic_ns
) -> tuple[WarmUp, ...]:
    """Run at each length until two consecutive blocks of ten have medians within 2%, at most a hundred times.

    Warm-up exceeds neither the protocol's count nor its time: what is slower will be found too slow.

    Args:
        run: computes the row of an index.
        lengths: of each row; the first row of a length is the one that runs.
    """
    most = math.inf if protocol.most_seconds is None else protocol.most_seconds * SECOND
    end = clock() + most
    return tuple(
        _warm_up_at(length, partial(run, lengths.index(length)), protocol.queries, end, clock)
        for length in sorted(set(lengths))
    )


def _warm_up_at(length: int, run: Callable[[], object], queries: int, end: float, clock: Clock) -> WarmUp:
    medians: list[int] = []
    block: list[int] = []
    for done in range(1, min(WARM_UP_MOST, queries) + 1):
        start = clock()
        run()
        block.append(clock() - start)
        if clock() >= end:
            break
        if len(block) == WARM_UP_BLOCK:
            medians.append(percentile(sorted(block), 50))
            block = []
            if len(medians) > 1 and abs(medians[-1] - medians[-2]) <= WARM_UP_TOLERANCE * medians[-2]:
                return WarmUp(length, done, steady=True)
    return WarmUp(length, done, steady=False)


def measure(
    run: Callable[[int], object], lengths: Sequence[int], protocol: Protocol, clock: Clock = time.monotonic_ns
) -> Samples:
    """Run the rows in turn until the protocol has its count and its time, or is out of time.

    Args:
        run: computes the row of an index.
        lengths: of each row.
    """
    starts: list[int] = []
    ends: list[int] = []
    least, count, rows = int(protocol.seconds * SECOND), protocol.queries, len(lengths)
    most = math.inf if protocol.most_seconds is None else int(protocol.most_seconds * SECOND)
    with without_garbage_collection():
        begin = end = clock()
        while not (len(ends) >= count and end - begin >= least) and end - begin < most:
            row = len(ends) % rows
            start = clock()
            run(row)
            end = clock()
            starts.append(start)
            ends.append(end)
    order = [index % rows for index in range(len(ends))]
    return Samples(
        row=tuple(order),
        length=tuple(lengths[row] for row in order),
        start_ns=tuple(start - begin for start in starts),
        latency_ns=tuple(end - start for start, end in zip(starts, ends, strict=True)),
    )
