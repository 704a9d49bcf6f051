"""What measuring costs of what it measures: the protocol's loop against the bare one, interleaved.

Both run the same queries in one process: `bare` calls them in a loop that takes the time before and after it;
`measured` is latency.measure, which takes it at each query and keeps it. Under 1% is wanted. The rest of a
measurement, states and memory, is read before and after the queries.

    python benchmarks/measuring_cost.py BUNDLE... [--rounds 30] [--queries 200]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.devices.python import worker
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency import workload
from squeezebert_edge.latency.protocol import (
    MLPERF,
    QUICK,
    exactly,
    measure,
    warm_up,
    without_garbage_collection,
)
from squeezebert_edge.latency.record import Settings

LIMIT = 0.01


def opened(bundle: Bundle) -> tuple[Callable[[int], None], list[int]]:
    """What computes a row, as the worker has it, and the length of each row."""
    rows = workload.of_bundle(bundle, None, None).rows
    manifest = bundle.manifest
    settings = Host().settle(bundle, Settings()).model_dump()
    outputs = [output.name for output in manifest.outputs]
    job = worker.job_of(
        bundle.artifact, manifest.format, manifest.entry_points, outputs, rows, settings, None
    )
    session = worker.Session(job, None)
    queries = session.queries()
    return lambda row: queries[row](), session.lengths


def bare(run: Callable[[int], None], rows: int, queries: int) -> float:
    """Nanoseconds a query in a loop that does nothing else."""
    with without_garbage_collection():
        start = time.monotonic_ns()
        for query in range(queries):
            run(query % rows)
        return (time.monotonic_ns() - start) / queries


def measured(run: Callable[[int], None], lengths: list[int], queries: int) -> float:
    """Nanoseconds a query, from the outside, while each is measured."""
    protocol = exactly(queries)
    start = time.monotonic_ns()
    found = measure(run, lengths, protocol)
    whole = time.monotonic_ns() - start
    inside = found.start_ns[-1] + found.latency_ns[-1]
    assert inside <= whole
    return inside / queries


def cost(bundle: Bundle, rounds: int, queries: int) -> dict[str, float]:
    """Medians over the rounds, in microseconds, and the share that measuring adds."""
    run, lengths = opened(bundle)
    warm_up(run, lengths, QUICK)
    pairs = []
    for turn in range(rounds):
        both = [lambda: bare(run, len(lengths), queries), lambda: measured(run, lengths, queries)]
        order = both if turn % 2 else both[::-1]
        times = [one() for one in order]
        pairs.append(times if turn % 2 else times[::-1])
    alone, with_clock = (statistics.median(column) / 1000 for column in zip(*pairs, strict=True))
    added = statistics.median(after / before - 1 for before, after in pairs)
    return {"bare_us": alone, "measured_us": with_clock, "added": added}


def main() -> None:
    """Print a table; exits with 1 if any bundle's measuring costs more than the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    print("| bundle | bare µs | measured µs | added |")
    print("|---|---|---|---|")
    found = []
    for path in options.bundles:
        found.append(cost(open_bundle(path), options.rounds, options.queries))
        numbers = found[-1]
        print(
            f"| {path.name} | {numbers['bare_us']:.1f} | {numbers['measured_us']:.1f} "
            f"| {100 * numbers['added']:+.2f}% |"
        )
    protocol = asdict(MLPERF)
    print(
        f"\n- {options.rounds} rounds of {options.queries} queries each, interleaved, texts in turn, 1 thread"
    )
    print(f"- a whole measurement is {protocol['queries']} queries and {protocol['seconds']:.0f} s or more")
    load = os.getloadavg()[0]
    machine = f"{Host().describe().name}, {platform.system()}"
    print(f"- {machine}; load {load:.1f}; Python {platform.python_version()}")
    sys.exit(any(numbers["added"] > LIMIT for numbers in found))


if __name__ == "__main__":
    main()
