"""`squeezebert-edge run`: everything about a checkpoint in one table and one page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import exporters
from exporters.units import parse_unit
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.export import default_out, exit_code
from squeezebert_edge.cli.names import read_names
from squeezebert_edge.verbs import CALIBRATION_SAMPLES

if TYPE_CHECKING:
    from rich.text import Text

    from squeezebert_edge.report.changes import Changes
    from squeezebert_edge.report.rows import Report


class Latency(StrEnum):
    """How latencies are measured."""

    QUICK = "quick"
    RAPID = "rapid"
    MLPERF = "mlperf"
    NONE = "none"


WORTH_CHANGING = 0.95  # of the arithmetic: what fewer would save is lost in noise


def run(
    checkpoint: options.CheckpointArgument,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Labelled examples, as `evaluate` takes them; adds the accuracy.",
            rich_help_panel=options.ACCURACY,
        ),
    ] = None,
    to: options.FormatsOption = None,
    precision: options.PrecisionsOption = None,
    unit: options.UnitsOption = None,
    lengths: options.LengthsOption = None,
    task: options.TaskOption = None,
    dataset: options.DatasetOption = None,
    labels: options.LabelsOption = None,
    columns: options.ColumnsOption = None,
    null_threshold: options.NullThresholdOption = None,
    ios: options.IosOption = 17,
    calibration: options.CalibrationOption = None,
    calibration_samples: options.CalibrationSamplesOption = CALIBRATION_SAMPLES,
    latency: Annotated[
        Latency,
        typer.Option(
            "--latency",
            help="How long each bundle's latency is measured here: quick (10 s), mlperf (60 s), rapid (6 s, "
            "which no report quotes), none.",
        ),
    ] = Latency.QUICK,
    out: options.OutOption = None,
    reports: Annotated[
        list[Path] | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Write the report to this .html, .md, .csv or .json too; repeat for several.",
            show_default="OUT/report.html and OUT/report.json",
        ),
    ] = None,
    force: options.ForceOption = False,
    require_runtime: options.RequireRuntimeOption = False,
    json: options.JsonOption = False,
) -> None:
    """Export a checkpoint to every format and precision, prove each, and measure its accuracy on your data.

    Without --precision, every one that a format has. The default model brings its own labelled sample.
    OUT/report.html shows it all; its latencies are this machine's.
    """
    from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
    from squeezebert_edge.checkpoint.task import architecture_of
    from squeezebert_edge.latency.protocol import PROTOCOLS
    from squeezebert_edge.plumbing.staging import refuse_existing_file
    from squeezebert_edge.report import files
    from squeezebert_edge.report.table import describe_bundles
    from squeezebert_edge.verbs.plan import Plan, add_calibration, check_lengths, check_units, possible_pairs
    from squeezebert_edge.verbs.run import compare_precisions

    names = read_names(task, dataset, task_may_be_dataset=True)
    directory = out or default_out(checkpoint)
    page, saved = directory / "report.html", directory / "report.json"
    for target in (page, saved):
        refuse_existing_file(target, force=force)
    files.refuse(reports or [], force=force)
    with show.progress() as progress:
        pairs = possible_pairs(to or exporters.names(), precision or [])
        progress(f"loading {checkpoint}", 0, 0)
        loaded = load_checkpoint(checkpoint, architecture=architecture_of(names.head))
        wished = check_lengths(options.parse_numbers("--lengths", lengths), loaded.config)
        units = check_units([parse_unit(text) for text in unit or ()], pairs)
        plan = Plan(pairs, wished, ios=ios, units=units)
        plan = add_calibration(plan, loaded, calibration, calibration_samples)
        report = compare_precisions(
            loaded,
            plan,
            directory,
            data=data,
            dataset=names.scored,
            labels=options.parse_labels(labels),
            columns=options.parse_columns(columns),
            null_threshold=null_threshold,
            protocol=PROTOCOLS.get(latency.value),
            force=force,
            progress=progress,
        )
    for target in (saved, page, *(reports or [])):
        files.write(report, target)
    proposal = report.proposal
    if json:
        show.as_json(
            {
                "checkpoint": checkpoint,
                "report": str(page),
                "proposed_lengths": proposal.lengths if proposal else None,
                "bundles": describe_bundles(report),
            }
        )
    else:
        print_report(f"{checkpoint}: bundles in {directory}", report)
        if proposal and proposal.work < WORTH_CHANGING:
            better = ",".join(map(str, proposal.lengths))
            show.note(f"--lengths {better} would take {proposal.work:.0%} of the arithmetic on {data}")
        show.note(f"the whole report is in {page}")
    proofs = [row.verification for row in report.rows]
    raise typer.Exit(exit_code(proofs, require_runtime=require_runtime))


def print_report(title: str, report: Report, changes: Changes | None = None) -> None:
    """A table with a row a bundle, what speaks against any of it, and what was kept in float.

    Args:
        changes: since a baseline, in a table of their own, for one of everything is too wide for a terminal.
    """
    from squeezebert_edge.report.table import change_table, table

    if report.rows or not report.records:
        shown = table(report)
        proof = shown.columns.index("proof")
        coloured: list[list[str | Text]] = [
            [*cells[:proof], show.status(row.verification), *cells[proof + 1 :]]
            for cells, row in zip(shown.cells, report.rows, strict=True)
        ]
        show.table(title, shown.columns, coloured)
        if changes is not None:
            changed = change_table(report, changes)
            show.table(f"changes against {changes.baseline}", changed.columns, changed.cells)
    else:
        show.measurements(title, report.records, changes)
    for warning in report.warnings:
        show.note(f"warning: {warning}")
    for name, row in zip(report.names, report.rows, strict=True):
        if row.precision.kept_float:
            show.note(f"{name}: {', '.join(row.precision.kept_float)} stayed in float")
