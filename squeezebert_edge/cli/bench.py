"""`squeezebert-edge bench`: the latency of bundles on a device, by MLPerf's protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporters.errors import EdgeError, GateError, InputError
from exporters.units import parse_unit
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.names import read_unit
from squeezebert_edge.cli.report import exit_code

if TYPE_CHECKING:
    from squeezebert_edge.latency.record import Record
    from squeezebert_edge.verbs.bench import Failure

FOREIGN = "Other tools, whose means are kept in the record"  # a panel of --help


def bench(
    bundles: options.BundlesArgument,
    device: options.DeviceOption = "host",
    runner: options.RunnerOption = None,
    runtime: options.RuntimeOption = None,
    threads: options.RuntimeThreadsOption = None,
    cpus: Annotated[
        str | None,
        typer.Option(
            "--cpus", metavar="N,N,...", help="Run on these CPUs only.", rich_help_panel=options.WHERE
        ),
    ] = None,
    unit: options.DeviceUnitOption = None,
    arithmetic: options.ArithmeticOption = None,
    delegate: Annotated[str | None, typer.Option("--delegate", hidden=True)] = None,  # --unit's earlier names
    compute_units: Annotated[str | None, typer.Option("--compute-units", hidden=True)] = None,
    quick: options.QuickOption = False,
    rapid: options.RapidOption = False,
    queries: options.QueriesOption = None,
    data: options.TextsOption = None,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            help="Run all texts at this length.",
            show_default="each at its shortest",
            rich_help_panel=options.PROTOCOL,
        ),
    ] = None,
    repeat: Annotated[
        int,
        typer.Option(
            "--repeat",
            min=1,
            help="Runs of each bundle; their medians must agree within 5%.",
            rich_help_panel=options.PROTOCOL,
        ),
    ] = 1,
    cool_down: Annotated[
        float | None,
        typer.Option(
            "--cool-down",
            min=0,
            help="Seconds between runs.",
            show_default="300; 0 for the shorter protocols",
            rich_help_panel=options.PROTOCOL,
        ),
    ] = None,
    benchmark_model: Annotated[
        Path | None,
        typer.Option(
            "--benchmark-model",
            metavar="FILE",
            help="Google's tool for the phone, run after each tflite bundle.",
            rich_help_panel=FOREIGN,
        ),
    ] = None,
    coremltools_benchmark: Annotated[
        str | None,
        typer.Option(
            "--coremltools-benchmark",
            metavar="TEAM",
            help="coremltools' own benchmark on the iPhone, signed by this team, run after each coreml "
            "bundle.",
            rich_help_panel=FOREIGN,
        ),
    ] = None,
    records: Annotated[
        Path, typer.Option("--records", help="The directory that records are written to.")
    ] = Path("out/records"),
    baseline: options.BaselineOption = None,
    max_slowdown: options.MaxSlowdownOption = None,
    sign: options.SignOption = None,
    json: options.JsonOption = False,
) -> None:
    """Measure the latency of bundles on a device: cold start, warm-up, then one query after the other.

    Each run leaves a record; `report` shows a directory of them. A run that breaks a rule exits with 1.
    """
    from squeezebert_edge import devices
    from squeezebert_edge.bundle.opened import open_bundles
    from squeezebert_edge.latency import record
    from squeezebert_edge.report.baseline import Identity
    from squeezebert_edge.report.changes import compare
    from squeezebert_edge.report.measurements import measurement
    from squeezebert_edge.report.rows import Report
    from squeezebert_edge.verbs.bench import (
        ALL_PHONES,
        Failure,
        Request,
        benchmark_bundles,
        benchmark_devices,
        expand_device,
    )

    key = options.read_key(sign)
    protocol = options.choose_protocol(queries, quick=quick, rapid=rapid)
    request = Request(
        protocol=protocol if cool_down is None else replace(protocol, cool_down=cool_down),
        settings=record.Settings(
            threads=threads,
            unit=read_unit(unit, arithmetic, delegate=delegate, compute_units=compute_units),
            cpus=options.parse_numbers("--cpus", cpus),
            length=length,
            runtime=runtime,
        ),
        data=data,
        repeat=repeat,
        benchmark_model=benchmark_model,
        coremltools_team=coremltools_benchmark,
    )
    earlier = options.read_baseline(baseline, max_slowdown=max_slowdown)
    computed_by = parse_unit(request.settings.unit or "cpu", on_phone=True)
    opened = open_bundles(bundles, key, unit=computed_by)
    show.doubts(opened, computed_by)
    if earlier is not None:
        if not protocol.quoted:
            raise InputError(
                f"--baseline compares what is quoted, and the protocol '{protocol.name}' is not",
                allowed="--quick, or MLPerf's protocol without --quick, --rapid and --queries",
            )
        earlier.require([Identity.of(record.Measured.of(bundle)) for bundle in opened], latency=True)
    found, failures = [], []
    with show.progress(show.BESIDE_MEASUREMENTS) as progress:
        measured: Iterator[record.Record | Failure]
        if device == ALL_PHONES:
            measured = benchmark_devices(
                opened, expand_device(device), request, runner=runner, progress=progress
            )
        else:
            measured = benchmark_bundles(
                opened, devices.open_device(device, runner), request, progress=progress
            )
        try:
            for made in measured:
                if isinstance(made, Failure):
                    failures.append(made)
                else:
                    found.append((made, record.write(made, records, key)))
        except EdgeError as error:
            if not found:
                raise
            failures.append(Failure(device, error))  # what was measured before it is shown all the same
    made_here = tuple(made for made, _ in found)
    changes = compare(Report((), made_here), earlier) if earlier else None
    if json:
        shown: dict[str, object] = {
            "records": [{"record": str(path), **measurement(made, changes)} for made, path in found],
            "failures": [{"device": failure.device, "error": str(failure.error)} for failure in failures],
        }
        show.as_json(shown if changes is None else shown | {"baseline": changes.to_json()})
    else:
        show.measurements(f"records in {records}", made_here, changes)
    _explain(made_here, failures)
    codes = [0 if made.validity.valid else GateError.exit_code for made in made_here]
    codes += [failure.error.exit_code for failure in failures]
    if changes is not None:
        show.remarks(changes)
        codes.append(exit_code(changes))
    raise typer.Exit(max(codes))


def _explain(found: Sequence[Record], failures: Sequence[Failure]) -> None:
    """Print what goes with the tables: doubts, other tools' numbers, latencies not to quote, failures."""
    for made in found:
        named = f"{made.bundle.name} on {made.place}"
        for doubt in made.doubts:
            show.note(f"warning: {named}: {doubt}")
        if not made.quotable:
            show.note(f"{named} has no latency to quote: {made.standing}")
        for foreign in made.foreign if not made.emulated else ():
            show.note(f"{named}: {foreign.tool}: {foreign.mean_ns / 1e6:.3g} ms ({foreign.note})")
    for failure in failures:
        show.note(f"{failure.device}:")
        show.error(failure.error)
