"""`squeezebert-edge evaluate`: what bundles lose against the float reference on labelled data."""

from __future__ import annotations

import json as encoder
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporters.errors import InputError
from exporters.units import CPU, parse_unit, with_arithmetic
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.names import read_names

if TYPE_CHECKING:
    from squeezebert_edge.accuracy.paired import AccuracyComparison, MetricComparison
    from squeezebert_edge.bundle.opened import Bundle


def evaluate(
    bundles: options.BundlesArgument,
    data: options.DataOption,
    task: Annotated[
        str | None,
        typer.Option("--task", help="The head that the bundles must have.", show_default="any"),
    ] = None,
    dataset: options.DatasetOption = None,
    labels: options.LabelsOption = None,
    columns: options.ColumnsOption = None,
    null_threshold: options.NullThresholdOption = None,
    limit: options.LimitOption = None,
    max_drop: options.MaxDropOption = None,
    checkpoint: options.SourceOption = None,
    flips: Annotated[
        Path | None,
        typer.Option(
            "--flips", help="Write the examples whose decision changed to this file, as JSON lines."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="Where the bundles answer, as `bench` takes it, by the code that it measures.",
            show_default="in this process",
            rich_help_panel=options.WHERE,
        ),
    ] = None,
    runner: options.RunnerOption = None,
    unit: Annotated[
        str | None,
        typer.Option(
            "--unit",
            metavar="UNIT",
            help="What computes them: here cpu, cpu-fp16, gpu or npu:CHIP, by its emulator; with --device, "
            "as `bench` takes it.",
            show_default="cpu; Core ML decides",
            rich_help_panel=options.WHERE,
        ),
    ] = None,
    arithmetic: options.ArithmeticOption = None,
    threads: options.ThreadsOption = 1,
    runtime: options.RuntimeOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an evaluation that was interrupted.")
    ] = False,
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Measure bundles and the float reference on the same labelled examples.

    Prints both sides' metrics, the difference with its 95% interval, and how often they agree.
    """
    from squeezebert_edge import devices
    from squeezebert_edge.bundle.opened import open_bundles
    from squeezebert_edge.plumbing.staging import refuse_existing_file, write_whole
    from squeezebert_edge.verbs.evaluate import answers_path, evaluate_bundles

    if runner is not None and device is None:
        raise InputError(
            "--runner is given without --device", allowed="--runner with the device that it runs on"
        )
    if flips is not None:
        refuse_existing_file(flips, force=force)
    scored = read_names(task, dataset, task_may_be_dataset=True).scored
    asked = with_arithmetic(unit, arithmetic)
    computed_by = None if asked is None else parse_unit(asked, on_phone=device is not None)
    opened = open_bundles(bundles, unit=computed_by or CPU)
    try:
        with show.progress() as progress:
            found = evaluate_bundles(
                opened,
                data,
                dataset=scored,
                labels=options.parse_labels(labels),
                columns=options.parse_columns(columns),
                null_threshold=null_threshold,
                source=checkpoint,
                limit=limit,
                threads=threads,
                runtime=runtime,
                unit=computed_by,
                device=None if device is None else devices.open_device(device, runner),
                resume=resume,
                progress=progress,
            )
    except KeyboardInterrupt:
        if any(answers_path(bundle).exists() for bundle in opened):
            show.note("answers so far are kept beside the bundles; the same command with --resume continues")
        raise
    if flips is not None:
        write_whole(flips, _flips(opened, found))
    failed = [max_drop is not None and not comparison.passes(max_drop) for comparison in found]
    if json:
        show.as_json(
            {
                "data": str(data),
                "max_drop": max_drop,
                "bundles": [
                    {"bundle": str(bundle.directory), **comparison.summary(), "passed": not fails}
                    for bundle, comparison, fails in zip(opened, found, failed, strict=True)
                ],
            }
        )
    else:
        print_accuracy(str(data), [os.path.relpath(bundle.directory) for bundle in opened], found)
    for bundle, comparison, fails in zip(opened, found, failed, strict=True):
        if fails:
            first = comparison.metrics[0]
            show.note(f"{bundle.directory}: {first.name} dropped by {first.drop:.2f}, more than {max_drop:g}")
        elif max_drop is None and comparison.metrics[0].clearly_worse:
            first = comparison.metrics[0]
            show.note(
                f"warning: {bundle.directory}: {first.name} dropped by {first.drop:.2f}, which is more than "
                "chance; --max-drop makes it a failure"
            )
    raise typer.Exit(1 if any(failed) else 0)


def print_accuracy(data: str, names: Sequence[str], found: Sequence[AccuracyComparison]) -> None:
    """A table with a row for each named artifact, and why not to trust the numbers."""
    truncated = max(comparison.truncated for comparison in found)
    unlabelled = max(comparison.unlabelled for comparison in found)
    metrics = [
        column
        for metric in found[0].metrics
        for column in (f">reference {metric.name}", f">{metric.name}", ">difference (95%)")
    ]
    show.table(
        f"{data}: {found[0].examples} examples"
        + (f", {truncated} cut to length" if truncated else "")
        + (f"; {unlabelled} more have no label" if unlabelled else ""),
        ["bundle", *metrics, ">p", ">agreement", ">SQNR dB", ">flips"],
        [[name, *_cells(comparison)] for name, comparison in zip(names, found, strict=True)],
    )
    for warning in dict.fromkeys(warning for comparison in found for warning in comparison.warnings):
        show.note(f"warning: {warning}")


def _cells(comparison: AccuracyComparison) -> list[str]:
    return [
        *(cell for metric in comparison.metrics for cell in _metric(metric)),
        show.number(comparison.mcnemar_p, ".2g"),
        show.number(comparison.agreement, ".2%"),
        f"{comparison.sqnr_db:.0f}",
        str(len(comparison.flips)),
    ]


def _metric(metric: MetricComparison) -> tuple[str, str, str]:
    form = ".2%" if metric.unit == "points" else ".4f"
    digits = "+.2f" if metric.unit == "points" else "+.4f"
    interval = f"{metric.difference:{digits}} [{metric.low:{digits}}, {metric.high:{digits}}]"
    return format(metric.reference, form), format(metric.artifact, form), interval


def _flips(bundles: Sequence[Bundle], found: Sequence[AccuracyComparison]) -> str:
    """A JSON object a line for each flip, with its bundle."""
    return "".join(
        encoder.dumps({"bundle": str(bundle.directory), **flip}, ensure_ascii=False) + "\n"
        for bundle, comparison in zip(bundles, found, strict=True)
        for flip in comparison.to_json()["flips"]
    )
