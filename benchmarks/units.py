"""What a phone's GPU and NPU take of a network, and how exact they are: never how fast.

Every precision of a checkpoint on each unit that computes it, then every head on the same body (the head's
weights random where the checkpoint has none), and what compiling the full size for one chip costs. The GPU is
LiteRT's accelerator over WebGPU, the NPU Qualcomm's emulator.

    python benchmarks/units.py CHECKPOINT [--only heads ...] [--unit gpu ...] [--length 64]
                               [--head NAME ...] [--precision NAME ...]
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from export_cost import full_size
from latency import machine, versions

from exporters.errors import GateError, InputError, UnavailableError
from exporters.tflite import FORMAT, npu
from exporters.tflite.chips import CHIPS
from exporters.tflite.model import unpack
from exporters.units import Unit, parse_unit
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint
from squeezebert_edge.cli.show import progress
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.plumbing.progress import Progress
from squeezebert_edge.verbs import CALIBRATION_SAMPLES
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan, add_calibration, check_units

PARTS = ("precisions", "heads", "full-size")
UNITS = ("gpu", "npu:SM8650", "npu:SM8750", "npu:SM8850", "npu:SM7675")
HEADER = "| head | precision | unit | MB | operators inside | pieces | SQNR dB | agreement | proof |"


def with_head(checkpoint: Checkpoint, architecture: str) -> Checkpoint:
    """The checkpoint's body under another head, whose own weights are random."""
    torch.manual_seed(0)
    model = ARCHITECTURES[architecture](checkpoint.config).eval()
    model.base_model.load_state_dict(checkpoint.model.base_model.state_dict())
    return replace(checkpoint, model=model)


def export(
    checkpoint: Checkpoint, precision: str, units: list[Unit], options: argparse.Namespace, tell: Progress
) -> Iterator[Bundle]:
    """The bundle of a precision for those of the units that compute it."""
    pairs = [("tflite", precision)]
    takes = [unit for unit in units if computes(unit, pairs)]
    try:
        plan = Plan(pairs, (options.length,), units=takes)
        plan = add_calibration(plan, checkpoint, None, CALIBRATION_SAMPLES)
        with tempfile.TemporaryDirectory() as directory:
            yield from export_bundles(checkpoint, plan, Path(directory), progress=tell)
    except (GateError, UnavailableError) as error:
        print(f"{precision}: {error}", file=sys.stderr)


def computes(unit: Unit, pairs: list[tuple[str, str]]) -> bool:
    """Whether a unit computes in a precision."""
    try:
        return bool(check_units([unit], pairs))
    except InputError:
        return False


def lines(bundle: Bundle, head: str) -> Iterator[str]:
    """The rows of a bundle's units."""
    for name, unit in bundle.manifest.units.items():
        proof, taken = unit.verification, f"{unit.delegation.delegated} of {unit.delegation.total}"
        sqnr = "-" if proof.sqnr_db is None else f"{proof.sqnr_db:.1f}"
        agreement = "-" if proof.agreement is None else f"{proof.agreement:.2%}"
        size = bundle.size_of(parse_unit(name)) / 1e6
        yield (
            f"| {head} | {bundle.manifest.precision.name} | {name} | {size:.1f} "
            f"| {taken} | {unit.partitions} | {sqnr} | {agreement} | {proof.words} |"
        )


def compile_full_size(tell: Progress) -> str:
    """What one chip adds to the export of the full size at one length."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "full-size"
        full_size(source, "text-classification")
        plan = Plan([("tflite", "fp16")], (128,))
        (bundle,) = export_bundles(load_checkpoint(str(source)), plan, Path(directory), progress=tell)
        model, file = unpack(bundle.artifact.read_bytes()), Path(directory) / "compiled.tflite"
        start = time.perf_counter()
        compiled = npu.compile_length(model, 128, CHIPS["SM8650"], file)
        seconds = time.perf_counter() - start
        inside = f"{compiled.delegation.delegated} of {compiled.delegation.total} operators"
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return (
            f"- squeezebert-uncased's shapes compiled for SM8650 at 128 tokens: {seconds:.0f} s, "
            f"{peak / 1e9:.2f} GB in the compiler, {file.stat().st_size / 1e6:.1f} MB, "
            f"{inside} in {compiled.partitions}"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--unit", action="append")
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--head", choices=tuple(ARCHITECTURES), action="append")
    parser.add_argument("--precision", choices=tuple(FORMAT.precisions), action="append")
    options = parser.parse_args()
    units = [parse_unit(text) for text in options.unit or UNITS]
    checkpoint = load_checkpoint(options.checkpoint)
    own = type(checkpoint.model).__name__
    print(HEADER)
    print("|---|---|---|---:|---:|---:|---:|---:|---|")
    with progress() as tell:
        networks = []
        if "precisions" in options.only:
            networks += [(own, checkpoint, precision) for precision in options.precision or FORMAT.precisions]
        if "heads" in options.only:
            networks += [
                (architecture, with_head(checkpoint, architecture), precision)
                for architecture in options.head or ARCHITECTURES
                if architecture != own
                for precision in options.precision or ("fp16", "int8-static")
            ]
        for head, network, precision in networks:
            for bundle in export(network, precision, units, options, tell):
                print(*lines(bundle, head), sep="\n", flush=True)
        if "full-size" in options.only:
            print("\n" + compile_full_size(tell))
    print(f"- {options.checkpoint}, {options.length} tokens; heads other than {own} have random weights")
    print(f"- {machine()}")
    print(f"- {versions()}")


if __name__ == "__main__":
    main()
