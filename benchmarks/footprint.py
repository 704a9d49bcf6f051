"""Load time, first inference and memory of full-size artifacts, each time in a process of its own.

The native runner, which phones run, is built for this machine: the runtime and nothing else is in memory.
Growth is what the process holds at its peak, after one text at every length, beyond what it held with the
runtime alone; wanted is at most 1.3 times the artifact. Needs CMake and a C++ compiler.

    python benchmarks/footprint.py [--format tflite] [--precision int8] [--bundles DIR]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from export_cost import full_size
from latency import machine, versions

from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.devices import native
from squeezebert_edge.latency import workload
from squeezebert_edge.latency.protocol import exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan, check_lengths, possible_pairs

QUERIES = 16
LIMIT = 1.3  # of the artifact, that memory may grow by
PROGRAMS = {"tflite": "runner_litert", "executorch": "runner_executorch"}


def package(name: str) -> Path:
    """Where a wheel was unpacked to."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def built(directory: Path) -> Path:
    """The native runner's programs for this machine, with the libraries of the installed wheels."""
    build = directory / "build"
    source = Path(native.__file__).parent
    wheels = f"-DEXECUTORCH={package('executorch')}", f"-DLITERT={package('ai_edge_litert')}"
    for command in (["cmake", "-S", source, "-B", build, *wheels], ["cmake", "--build", build]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return build


def run(bundle: Bundle, build: Path, threads: int) -> dict[str, Any]:
    """What the runner says of a run over the built-in sample."""
    rows = workload.of_bundle(bundle, None, None).rows
    job = native.job_of(bundle, rows, Settings(threads=threads), exactly(QUERIES))
    libraries = f"{package('executorch') / 'lib'}:{package('ai_edge_litert')}"
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        (directory / native.JOB).write_text(job, encoding="ascii")
        (directory / bundle.artifact.name).symlink_to(bundle.artifact.resolve())
        command = [build / PROGRAMS[bundle.manifest.format], directory]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, env={**os.environ, "LD_LIBRARY_PATH": libraries},
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip  # the runner ends when its standard input does
            status = process.wait(timeout=600)
        return native.result_of(directory / native.RESULT, status, "")


def described(bundle: Bundle, results: list[dict[str, Any]]) -> tuple[str, float]:
    """A row of the table, and the growth as a share of the artifact."""

    def median(values: list[float]) -> float:
        return statistics.median(values)

    load = median([result["cold_start"]["load_ns"] / 1e6 for result in results])
    first = median([max(result["cold_start"]["first_ns"].values()) / 1e6 for result in results])
    memory = [result["memory"] for result in results]
    growth = median([held["peak_bytes"] - held["baseline_bytes"] for held in memory])
    peak = median([held["peak_bytes"] for held in memory])
    size, manifest = bundle.size, bundle.manifest
    return (
        f"| {manifest.format} | {manifest.precision.name} | {manifest.form} | {size / 1e6:.1f} | {load:.0f} "
        f"| {first:.0f} | {peak / 1e6:.0f} | {growth / 1e6:.0f} | {growth / size:.2f} |",
        growth / size,
    )


def exported(directory: Path, formats: list[str], precisions: list[str]) -> list[Bundle]:
    """Bundles of random weights in squeezebert-uncased's shapes, at the default lengths."""
    source = directory / "full-size"
    full_size(source, "text-classification")
    loaded = load_checkpoint(str(source))
    lengths = check_lengths(None, loaded.config)
    plan = Plan(possible_pairs(formats, precisions), lengths)
    return list(export_bundles(loaded, plan, directory / "out"))


def main() -> None:
    """Export, measure, print a table; exits with 1 if any grows by more than the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", action="append", choices=sorted(PROGRAMS))
    parser.add_argument("--precision", action="append")
    parser.add_argument("--bundles", type=Path, help="measure the bundles in this directory instead")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.bundles and (options.format or options.precision):
        parser.error("--bundles, or --format and --precision")
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        if options.bundles:
            bundles = [open_bundle(path) for path in sorted(options.bundles.iterdir())]
        else:
            wanted = options.format or sorted(PROGRAMS), options.precision or ["fp32", "int8"]
            bundles = exported(directory, *wanted)
        build = built(directory)
        results: list[list[dict[str, Any]]] = [[] for _ in bundles]
        for _ in range(options.rounds):
            for bundle, kept in zip(bundles, results, strict=True):
                kept.append(run(bundle, build, options.threads))
        rows = [described(bundle, kept) for bundle, kept in zip(bundles, results, strict=True)]
        lengths = ", ".join(map(str, bundles[0].manifest.lengths))
    print("| format | precision | form | MB | load ms | first ms | peak MB | growth MB | growth / artifact |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(row for row, _ in rows))
    print(f"\n- lengths {lengths}; medians of {options.rounds} processes, {options.threads} threads")
    print("- first: the slowest first inference of any length; peak: after one at every length")
    print(f"- {machine()}; load {os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}")
    print(f"- {versions()}")
    sys.exit(any(growth > LIMIT for _, growth in rows))


if __name__ == "__main__":
    main()
