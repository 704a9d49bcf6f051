"""Load time, first inference and memory of full-size artifacts, each time in a process of its own.

Growth is what the process holds at its peak, after one text at every length, beyond what it held with the
runtime alone; wanted is at most 1.3 times the artifact.

    python benchmarks/footprint.py [--format tflite] [--precision int8] [--rounds 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

from export_cost import full_size
from latency import machine, versions

from squeezebert_edge import checkpoint as checkpoints
from squeezebert_edge import latency, pipeline
from squeezebert_edge.benchmark import Request, benchmark
from squeezebert_edge.bundle import Bundle
from squeezebert_edge.devices.host import Host
from squeezebert_edge.record import Record, Settings

QUERIES = 16
LIMIT = 1.3  # of the artifact, that memory may grow by


def described(bundle: Bundle, records: list[Record]) -> tuple[str, float]:
    """A row of the table, and the growth as a share of the artifact."""
    cold = [record.cold_start for record in records]
    load = statistics.median((start.load_ns or 0) / 1e6 for start in cold)
    first = statistics.median(max((start.first_ns or {0: 0}).values()) / 1e6 for start in cold)
    growth = statistics.median(record.memory.growth_bytes or 0 for record in records)
    peak = statistics.median(record.memory.peak_bytes or 0 for record in records)
    size = records[0].bundle.artifact_bytes
    manifest = bundle.manifest
    return (
        f"| {manifest.format} | {manifest.precision.name} | {size / 1e6:.1f} | {load:.0f} | {first:.0f} "
        f"| {peak / 1e6:.0f} | {growth / 1e6:.0f} | {growth / size:.2f} |",
        growth / size,
    )


def main() -> None:
    """Export, measure, print a table; exits with 1 if any grows by more than the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", action="append", choices=["tflite", "executorch"])
    parser.add_argument("--precision", action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    grown = []
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "full-size"
        full_size(source, "text-classification")
        loaded = checkpoints.load(str(source))
        pairs = pipeline.possible_pairs(
            options.format or ["tflite", "executorch"], options.precision or ["fp32", "int8"]
        )
        lengths = pipeline.checked_lengths(None, loaded.config)
        bundles = list(pipeline.export(loaded, pipeline.Plan(pairs, lengths), Path(directory) / "out"))
        request = Request(latency.exactly(QUERIES), Settings(threads=options.threads))
        records: list[list[Record]] = [[] for _ in bundles]
        for _ in range(options.rounds):
            for bundle, kept in zip(bundles, records, strict=True):
                kept.extend(benchmark([bundle], Host(), request))
        print("| format | precision | MB | load ms | first ms | peak MB | growth MB | growth / artifact |")
        print("|---|---|---|---|---|---|---|---|")
        for bundle, kept in zip(bundles, records, strict=True):
            row, growth = described(bundle, kept)
            print(row)
            grown.append(growth)
    listed = ", ".join(map(str, lengths))
    print(f"\n- lengths {listed}; medians of {options.rounds} processes, {options.threads} threads")
    print("- first: the slowest first inference of any length; peak: after one at every length")
    print(f"- {machine()}; load {os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}")
    print(f"- {versions()}")
    sys.exit(any(growth > LIMIT for growth in grown))


if __name__ == "__main__":
    main()
