"""`squeezebert-edge run`: everything about a checkpoint in one table and one page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import exporters
from exporters.errors import InputError
from exporters.units import parse_unit
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.export import default_out, exit_code
from squeezebert_edge.cli.names import read_names
from squeezebert_edge.verbs import CALIBRATION_SAMPLES

if TYPE_CHECKING:
    from rich.text import Text

    from squeezebert_edge.latency.record import Record
    from squeezebert_edge.report.changes import Changes
    from squeezebert_edge.report.rows import Report, Row
    from squeezebert_edge.verbs.run import Work


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
    every: Annotated[
        bool, typer.Option("--all", help="Every precision that a format has, not only what one would ship.")
    ] = False,
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
    force: Annotated[
        bool, typer.Option("--force", help="Make every bundle anew, and replace outputs that exist.")
    ] = False,
    jobs: options.JobsOption = None,
    require_runtime: options.RequireRuntimeOption = False,
    sign: options.SignOption = None,
    json: options.JsonOption = False,
) -> None:
    """Export a checkpoint to every format, prove each file, and measure its accuracy on your data.

    Without --precision, what one would ship: each format's float and its int8. The default model brings its
    own labelled sample. OUT/report.html shows it all; its latencies are this machine's. Run again, it makes
    only what is not there yet as it would be made, and keeps what was measured before.
    """
    from squeezebert_edge.bundle.opened import open_bundle
    from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
    from squeezebert_edge.checkpoint.task import architecture_of
    from squeezebert_edge.latency.protocol import PROTOCOLS
    from squeezebert_edge.plumbing.staging import refuse_existing_file
    from squeezebert_edge.report import files
    from squeezebert_edge.report.rows import add_known, is_saved
    from squeezebert_edge.report.rows import sign as sign_report
    from squeezebert_edge.report.table import describe_bundles
    from squeezebert_edge.verbs.export import possible_jobs
    from squeezebert_edge.verbs.plan import (
        Plan,
        add_calibration,
        check_units,
        possible_pairs,
        shipped_pairs,
    )
    from squeezebert_edge.verbs.run import compare_precisions

    if every and precision:
        raise InputError("--all and --precision are both given", allowed="one of them")
    key = options.read_key(sign)
    names = read_names(task, dataset, task_may_be_dataset=True)
    directory = out or default_out(checkpoint)
    page, saved = directory / "report.html", directory / "report.json"
    for target in (page, saved):
        refuse_existing_file(target, force=force or is_saved(saved))
    files.refuse(reports or [], force=force)
    with show.progress() as progress:
        asked = [parse_unit(text) for text in unit or ()]
        formats = to or exporters.names()
        pairs = (
            possible_pairs(formats, precision or []) if every or precision else shipped_pairs(formats, asked)
        )
        progress(f"loading {checkpoint}", 0, 0)
        loaded = load_checkpoint(checkpoint, architecture=architecture_of(names.head))
        wished = options.parse_lengths(lengths, loaded.config)
        plan = Plan(pairs, wished, ios=ios, units=check_units(asked, pairs))
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
            jobs=jobs or possible_jobs(loaded),
            tell=lambda news: show.note(in_words(news)),
            progress=progress,
        )
    measured = {row.data for row in report.rows}
    report = add_known(report, saved, key)
    for known in {row.data for row in report.rows} - measured:
        show.note(f"the accuracies on {known} were measured before")
    for target in (saved, page, *(reports or [])):
        files.write(report, target)
    if key is not None:
        sign_report(saved, key)
        for path in dict.fromkeys(row.bundle for row in report.rows):
            open_bundle(Path(path), allow_failed=True).sign(key)
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


def in_words(news: Work | Row | Record) -> str:
    """What a run is about to do, or what it has just found, in one line."""
    from squeezebert_edge.report import measurements, overview
    from squeezebert_edge.report.rows import Row
    from squeezebert_edge.verbs.run import Work

    if isinstance(news, Work):
        return _work_in_words(news)
    return overview.in_a_line(news) if isinstance(news, Row) else measurements.in_a_line(news)


def _work_in_words(work: Work) -> str:
    made = ", ".join(f"{exporters.title(name)} {precision}" for name, precision in work.missing.pairs)
    sentences = []
    if work.found:
        there = ", ".join(f"{exporters.title(name)} {precision}" for name, precision in work.found)
        sentences.append(f"there already: {there}")
    if made:
        beside = f", {work.jobs} side by side" if work.jobs > 1 else ""
        sentences.append(f"to be made and proven: {made}{beside}")
    after = ["accuracy"] * bool(work.examples) + ["latency"] * (work.protocol is not None)
    if after:
        sentences.append(f"then measured: {' and '.join(after)}")
    return f"{'; '.join(sentences)}. This takes about {_duration(work.seconds)}."


def _duration(seconds: float) -> str:
    """A time as rough as an estimate is."""
    if seconds < 50:
        return f"{max(10, 10 * round(seconds / 10))} seconds"
    minutes = round(seconds / 60)
    return "a minute" if minutes <= 1 else f"{minutes} minutes"


def print_report(title: str, report: Report, changes: Changes | None = None) -> None:
    """A table with a row a bundle, what to ship, what speaks against any of it, and what was kept in float.

    Args:
        changes: since a baseline, in a table of their own, for one of everything is too wide for a terminal.
    """
    from squeezebert_edge.report.advice import advise
    from squeezebert_edge.report.overview import Overview
    from squeezebert_edge.report.table import change_table, table

    if report.rows or not report.records:
        shown = table(report, brief=True)
        proof = shown.columns.index("proof")
        coloured: list[list[str | Text]] = [
            [*cells[:proof], show.status(row.verification), *cells[proof + 1 :]]
            for cells, row in zip(shown.cells, report.rows, strict=True)
        ]
        show.table(title, shown.columns, coloured)
        if changes is not None:
            changed = change_table(report, changes)
            show.table(f"changes against {changes.baseline}", changed.columns, changed.cells)
        for each in advise(Overview.of(report)):
            show.out.print(each.sentence, markup=False, soft_wrap=True)
    else:
        show.measurements(title, report.records, changes)
    for warning in report.warnings:
        show.note(f"warning: {warning}")
    for name, row in zip(report.names, report.rows, strict=True):
        if row.precision.kept_float:
            show.note(f"{name}: {', '.join(row.precision.kept_float)} stayed in float")
