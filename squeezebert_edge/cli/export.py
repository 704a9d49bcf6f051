"""`squeezebert-edge export`: verified bundles of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import exporters
from exporters.errors import InputError
from exporters.units import parse_unit
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.evaluate import print_accuracy
from squeezebert_edge.cli.names import read_names
from squeezebert_edge.verbs import CALIBRATION_SAMPLES

if TYPE_CHECKING:
    from rich.text import Text

    from squeezebert_edge.bundle.manifest import Verification
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.verbs.plan import Plan

FORM = "The form of the network"  # a panel of --help


def export(
    checkpoint: options.CheckpointArgument,
    to: options.FormatsOption = None,
    precision: options.PrecisionsOption = None,
    unit: options.UnitsOption = None,
    lengths: options.LengthsOption = None,
    task: options.TaskOption = None,
    ios: options.IosOption = 17,
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            help="How the network is laid out: plain, conv2d, group-resident, group-batched, neural-engine "
            "or neural-engine-groups.",
            show_default="the one that suits the format and precision",
            rich_help_panel=FORM,
        ),
    ] = None,
    forms: Annotated[
        Path | None,
        typer.Option(
            "--forms",
            metavar="FILE",
            help="Forms that a device chose, as `tune` writes them.",
            rich_help_panel=FORM,
        ),
    ] = None,
    allow_undelegated: Annotated[
        bool,
        typer.Option(
            "--allow-undelegated",
            help="Export even if the delegate leaves a convolution, linear layer or matrix product outside.",
            rich_help_panel=FORM,
        ),
    ] = False,
    calibration: options.CalibrationOption = None,
    calibration_samples: options.CalibrationSamplesOption = CALIBRATION_SAMPLES,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Labelled examples that --max-drop is measured on.",
            rich_help_panel=options.ACCURACY,
        ),
    ] = None,
    dataset: options.DatasetOption = None,
    scored: options.ScoredOption = None,
    labels: options.LabelsOption = None,
    columns: options.ColumnsOption = None,
    max_drop: options.MaxDropOption = None,
    out: options.OutOption = None,
    force: options.ForceOption = False,
    jobs: options.JobsOption = None,
    max_error: options.MaxErrorOption = None,
    min_sqnr: options.MinSqnrOption = None,
    require_runtime: options.RequireRuntimeOption = False,
    sign: options.SignOption = None,
    json: options.JsonOption = False,
) -> None:
    """Export a checkpoint to phone formats, each proven equal to the float reference.

    Without --precision, float32, or float16 for an NPU. With --data and --max-drop, quantized precisions keep
    the fewest parts of the network in float that meet the gate.
    """
    from exporters.precision import Gates
    from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
    from squeezebert_edge.checkpoint.task import architecture_of
    from squeezebert_edge.forms import choices
    from squeezebert_edge.verbs.export import possible_jobs
    from squeezebert_edge.verbs.mixed import AccuracyGate, make_bundles
    from squeezebert_edge.verbs.plan import Plan, add_calibration, check_units, possible_pairs

    key = options.read_key(sign)
    names = read_names(task, dataset, scored=scored)
    gate = None
    if data is not None and max_drop is not None:
        gate = AccuracyGate(
            data, max_drop, names.scored, options.parse_labels(labels), options.parse_columns(columns)
        )
    elif data is not None or max_drop is not None:
        given, missing = ("--max-drop", "--data") if data is None else ("--data", "--max-drop")
        raise InputError(
            f"{given} is given without {missing}",
            allowed="both: labelled examples, and the percentage points that may be lost on them",
        )
    if form is not None and forms is not None:
        raise InputError("--form and --forms are both given", allowed="one of them")
    with show.progress() as progress:
        units = [parse_unit(text) for text in unit or ()]
        floats = "fp16" if any(each.kind == "npu" for each in units) else "fp32"
        pairs = possible_pairs(to or exporters.names(), precision or [floats])
        progress(f"loading {checkpoint}", 0, 0)
        loaded = load_checkpoint(checkpoint, architecture=architecture_of(names.head))
        plan = Plan(
            pairs,
            options.parse_lengths(lengths, loaded.config),
            ios=ios,
            form=form,
            forms=choices.read_forms(forms) if forms else choices.FORMS_BY_PRECISION,
            allow_undelegated=allow_undelegated,
            gates=Gates(max_error=max_error, min_sqnr_db=min_sqnr),
            units=check_units(units, pairs),
        )
        plan = add_calibration(plan, loaded, calibration, calibration_samples)
        directory = out or default_out(checkpoint)
        jobs = jobs or possible_jobs(loaded)
        made = list(
            make_bundles(loaded, plan, directory, gate=gate, force=force, jobs=jobs, progress=progress)
        )
        made.sort(key=lambda item: pairs.index((item[0].manifest.format, item[0].manifest.precision.name)))
    bundles = [bundle for bundle, _ in made]
    if key is not None:
        for bundle in bundles:
            bundle.sign(key)
    measured = [(bundle, comparison) for bundle, comparison in made if comparison is not None]
    if json:
        show.as_json(
            {
                "bundles": [
                    describe_bundle(bundle) | ({"accuracy": comparison.summary()} if comparison else {})
                    for bundle, comparison in made
                ]
            }
        )
    else:
        print_bundles(f"{checkpoint}: bundles in {directory}", bundles)
        print_calibration(plan, bundles)
        if measured:
            print_accuracy(
                str(data),
                [bundle.directory.name for bundle, _ in measured],
                [comparison for _, comparison in measured],
            )
    proofs = [proof for bundle in bundles for proof in bundle.manifest.proofs]
    code = exit_code(proofs, require_runtime=require_runtime)
    for bundle, comparison in measured:
        if max_drop is not None and not comparison.passes(max_drop):
            drop = comparison.metrics[0].drop
            show.note(f"{bundle.directory} loses {drop:.2f} points, more than {max_drop:g}")
            code = 1
    raise typer.Exit(code)


def default_out(checkpoint: str) -> Path:
    """`out/` and the name of the checkpoint's directory, or of the model on the hub."""
    path = Path(checkpoint)
    if not path.exists():
        return Path("out") / path.name.partition("@")[0]
    return Path("out") / (path if path.is_dir() else path.parent).resolve().name


def describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """A bundle for machines."""
    return {
        "bundle": str(bundle.directory),
        "format": bundle.manifest.format,
        "precision": bundle.manifest.precision.name,
        "exact_precision": bundle.manifest.precision.exact,
        "kept_float": bundle.manifest.precision.kept_float,
        "form": bundle.manifest.form,
        "bytes": bundle.size,
        "verification": bundle.manifest.verification.model_dump(),
        "units": {name: unit.model_dump() for name, unit in bundle.manifest.units.items()},
    }


COLUMNS = (
    "format",
    "precision",
    "unit",
    ">MB",
    "proof",
    ">largest error",
    ">SQNR dB",
    ">agreement",
    ">inputs",
)


def rows(bundle: Bundle) -> list[tuple[str | Text, ...]]:
    """A bundle as rows under COLUMNS, one for each compute unit that it was proven for."""
    from squeezebert_edge.bundle.manifest import unit_in_words

    manifest = bundle.manifest
    units = {name: unit.verification for name, unit in manifest.units.items()}
    return [
        _row(bundle, unit_in_words(manifest.unit), bundle.size, manifest.verification),
        *(_row(bundle, name, bundle.size_of(parse_unit(name)), found) for name, found in units.items()),
    ]


def _row(bundle: Bundle, unit: str, size: int, found: Verification) -> tuple[str | Text, ...]:
    return (
        bundle.manifest.format,
        bundle.manifest.precision.name,
        unit,
        f"{size / 1e6:.1f}",
        show.status(found),
        show.number(found.max_abs_error, ".2g"),
        show.number(found.sqnr_db, ".0f"),
        show.number(found.agreement, ".2%"),
        str(found.inputs),
    )


def print_bundles(title: str, bundles: Sequence[Bundle]) -> None:
    """A table with a row a bundle, what was kept in float, and why any of them failed."""
    show.table(title, COLUMNS, [row for bundle in bundles for row in rows(bundle)])
    print_failures(bundles)
    for bundle in bundles:
        for exact, reason in bundle.manifest.precision.tried.items():
            made = bundle.manifest.precision.exact
            whole = " with every part quantized" if exact == made else ""
            show.note(f"{bundle.directory} is {made}, because {exact}{whole} does not pass: {reason}")
        for name, unit in bundle.manifest.units.items():
            for warning in unit.warnings:
                show.note(f"{bundle.directory} on {name}: warning: {warning}")
        if bundle.manifest.precision.kept_float:
            kept = ", ".join(bundle.manifest.precision.kept_float)
            show.note(f"{bundle.directory}: {kept} stayed in float")


def print_calibration(plan: Plan, bundles: Sequence[Bundle]) -> None:
    """How many ranges had to be calibrated where others were learned, and what to doubt about the text."""
    for bundle in bundles:
        ranges = bundle.manifest.calibration
        if ranges and ranges.learned and ranges.calibrated:
            calibrated = ", ".join(ranges.calibrated)
            show.note(f"{bundle.directory}: {calibrated} had no learned ranges, so they were calibrated")
    any_calibrated = any(b.manifest.calibration and b.manifest.calibration.calibrated for b in bundles)
    for warning in plan.calibration.warnings if plan.calibration and any_calibrated else ():
        show.note(f"warning: {warning}")


def print_failures(bundles: Sequence[Bundle]) -> None:
    """Why bundles are not verified."""
    for bundle in bundles:
        for failure in bundle.manifest.verification.failures:
            show.note(f"{bundle.directory}: {failure}")
        for name, unit in bundle.manifest.units.items():
            for failure in unit.verification.failures:
                show.note(f"{bundle.directory} on {name}: {failure}")


def exit_code(proofs: list[Verification], *, require_runtime: bool) -> int:
    """0 if all were verified, 1 if a proof failed, 3 if one could not be made here."""
    if any(proof.status == "failed" for proof in proofs):
        return 1
    unproven = any(proof.status == "not verified" for proof in proofs)
    return 3 if unproven or (require_runtime and any(proof.by != "runtime" for proof in proofs)) else 0
