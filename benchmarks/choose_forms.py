"""Decide again, on any device that can be measured, how the network is laid out for a format and precision.

Every form that can be exported, is verified (padding proof included) and leaves no product outside the
delegate is measured in turn, several rounds, at one length. The fastest is written to a file that
`squeezebert-edge export --forms FILE` reads.

    python benchmarks/choose_forms.py CHECKPOINT --out FILE [--device host] [--to tflite] [--precision int8]
        [--length 128] [--threads 2] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import exporters
from exporters.errors import EdgeError
from squeezebert_edge import devices
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.catalog import FORMS
from squeezebert_edge.latency.protocol import RAPID, exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.staging import write_whole
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan, calibrated, possible_pairs


def candidates(checkpoint: Checkpoint, plan: Plan, directory: Path) -> dict[str, Bundle]:
    """A verified bundle in each form that gives one; says why the others do not."""
    found = {}
    for form in FORMS:
        chosen = Plan(plan.pairs, plan.lengths, form=form, calibration=plan.calibration)
        try:
            (bundle,) = export_bundles(checkpoint, chosen, directory / form)
        except EdgeError as error:
            print(f"  {form}: {error.problem.splitlines()[0]}", file=sys.stderr)
            continue
        if bundle.manifest.verification.status == "verified":
            found[form] = bundle
        else:
            print(f"  {form}: {'; '.join(bundle.manifest.verification.failures)}", file=sys.stderr)
    return found


def fastest(bundles: dict[str, Bundle], device: devices.Device, request: Request, rounds: int) -> str:
    """The form with the least median of its rounds' medians; prints a row for each."""
    medians: dict[str, list[float]] = {form: [] for form in bundles}
    for _ in range(rounds):
        for form, bundle in bundles.items():
            (record,) = benchmark_bundles([bundle], device, request)
            medians[form].append(record.latency.overall.p50_ns / 1e6)
    manifest = next(iter(bundles.values())).manifest
    ranked = sorted(medians, key=lambda form: statistics.median(medians[form]))
    for form in ranked:
        spread = max(medians[form]) - min(medians[form])
        middle = statistics.median(medians[form])
        print(f"| {manifest.format} | {manifest.precision.exact} | {form} | {middle:.2f} | {spread:.2f} |")
    return ranked[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write the choices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="host")
    parser.add_argument("--to", action="append", choices=sorted(exporters.names()))
    parser.add_argument("--precision", action="append")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, help="of each round; by default as many as --rapid runs")
    options = parser.parse_args(arguments)
    if not options.out.resolve().parent.is_dir():
        parser.error(f"--out {options.out}: no such directory")
    device = devices.opened(options.device)
    loaded = load_checkpoint(options.checkpoint)
    protocol = exactly(options.queries) if options.queries else RAPID
    request = Request(protocol, Settings(threads=options.threads, length=options.length))
    name = device.describe().name
    chosen: dict[str, dict[str, str]] = {}
    print("| format | precision | form | median ms | spread ms |\n|---|---|---|---|---|")
    for pair in possible_pairs(options.to or exporters.names(), options.precision or []):
        format_, exact = pair[0], choices.exact_precision(*pair).name
        print(f"{format_} {exact}", file=sys.stderr)
        plan = calibrated(Plan([(format_, exact)], (options.length,)), loaded, None, 128)
        with tempfile.TemporaryDirectory() as directory:
            try:
                bundles = candidates(loaded, plan, Path(directory))
                if bundles:
                    chosen.setdefault(format_, {})[exact] = fastest(bundles, device, request, options.rounds)
            except EdgeError as error:  # such bundles do not run there
                print(f"  {error.problem}", file=sys.stderr)
    print(f"\n- {name}, {options.length} tokens, {options.rounds} rounds in turn, {options.checkpoint}")
    write_whole(options.out, choices.FormsFile(device=name, forms=chosen).model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        sys.exit(f"error: {error}")
