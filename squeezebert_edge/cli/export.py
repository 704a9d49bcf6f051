"""`squeezebert-edge export`: verified bundles of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import exporters
from exporters.errors import InputError
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.evaluate import print_accuracy

if TYPE_CHECKING:
    from rich.text import Text

    from squeezebert_edge.accuracy.paired import AccuracyComparison
    from squeezebert_edge.bundle.manifest import Verification
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.verbs.plan import Plan


def export(
    checkpoint: options.CheckpointArgument,
    to: options.FormatsOption = None,
    precision: options.PrecisionsOption = None,
    lengths: options.LengthsOption = None,
    task: options.TaskOption = None,
    ios: options.IosOption = 17,
    form: options.FormOption = None,
    forms: options.FormsFileOption = None,
    allow_undelegated: options.AllowUndelegatedOption = False,
    calibration: options.CalibrationOption = None,
    calibration_samples: options.CalibrationSamplesOption = options.CALIBRATION_SAMPLES,
    data: options.GateDataOption = None,
    scored: options.ScoredOption = None,
    labels: options.LabelsOption = None,
    max_drop: options.MaxDropOption = None,
    out: options.OutOption = None,
    force: options.ForceOption = False,
    max_error: options.MaxErrorOption = None,
    min_sqnr: options.MinSqnrOption = None,
    require_runtime: options.RequireRuntimeOption = False,
    json: options.JsonOption = False,
) -> None:
    """Export a checkpoint to phone formats, each proven equal to the float reference.

    Without --precision, float32. With --data and --max-drop, quantized precisions keep the fewest parts of
    the network in float that meet the gate.
    """
    from exporters.precision import Gates
    from squeezebert_edge.accuracy.answers import reference_answers
    from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
    from squeezebert_edge.checkpoint.task import architecture_of, task_of
    from squeezebert_edge.forms import choices
    from squeezebert_edge.verbs import mixed
    from squeezebert_edge.verbs.export import export_bundles
    from squeezebert_edge.verbs.plan import Plan, add_calibration, check_lengths, possible_pairs

    if (data is None) != (max_drop is None):
        raise InputError(
            "--max-drop without --data" if data is None else "--data without --max-drop",
            allowed="both: labelled examples, and the percentage points that may be lost on them",
        )
    if form is not None and forms is not None:
        raise InputError("--form and --forms", allowed="one of them")
    with show.progress() as progress:
        pairs = possible_pairs(to or exporters.names(), precision or ["fp32"])
        progress(f"loading {checkpoint}", 0, 0)
        loaded = load_checkpoint(checkpoint, architecture=architecture_of(task))
        plan = Plan(
            pairs,
            check_lengths(options.parse_lengths(lengths), loaded.config),
            ios=ios,
            form=form,
            forms=choices.read_forms(forms) if forms else choices.FORMS_BY_PRECISION,
            allow_undelegated=allow_undelegated,
            gates=Gates(max_error=max_error, min_sqnr_db=min_sqnr),
        )
        plan = add_calibration(plan, loaded, calibration, calibration_samples)
        directory = out or default_out(checkpoint)
        bundles: list[Bundle] = []
        measured: list[AccuracyComparison] = []
        if data is None or max_drop is None:
            bundles += export_bundles(loaded, plan, directory, force=force, progress=progress)
        else:
            reference = reference_answers(
                loaded,
                task_of(loaded).read(data),
                dataset=scored,
                labels=options.parse_labels(labels),
                max_length=plan.lengths[-1],
            )
            for bundle, comparison in mixed.export_within(
                loaded, plan, directory, reference, max_drop, force=force, progress=progress
            ):
                bundles.append(bundle)
                measured.append(comparison)
    if json:
        accuracies = [{"accuracy": comparison.summary()} for comparison in measured]
        rows = zip(bundles, accuracies or [{}] * len(bundles), strict=True)
        show.as_json({"bundles": [described(bundle) | accuracy for bundle, accuracy in rows]})
    else:
        print_bundles(f"{checkpoint}: bundles in {directory}", bundles)
        print_calibration(plan, bundles)
        if measured:
            print_accuracy(str(data), [bundle.directory.name for bundle in bundles], measured)
    code = exit_code([bundle.manifest.verification for bundle in bundles], require_runtime=require_runtime)
    for bundle, comparison in zip(bundles, measured, strict=bool(measured)):
        if max_drop is not None and not comparison.passes(max_drop):
            drop = comparison.metrics[0].drop
            show.note(f"{bundle.directory}: loses {drop:.2f} points, more than {max_drop:g}")
            code = 1
    raise typer.Exit(code)


def default_out(checkpoint: str) -> Path:
    """`out/` and the name of the checkpoint's directory, or of the model on the hub."""
    path = Path(checkpoint)
    if not path.exists():
        return Path("out") / path.name.partition("@")[0]
    return Path("out") / (path if path.is_dir() else path.parent).resolve().name


def described(bundle: Bundle) -> dict[str, Any]:
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
    }


COLUMNS = ("format", "precision", ">MB", "proof", ">largest error", ">SQNR dB", ">agreement", ">inputs")


def row(bundle: Bundle) -> tuple[str | Text, ...]:
    """A bundle as a row under COLUMNS."""
    found = bundle.manifest.verification
    return (
        bundle.manifest.format,
        bundle.manifest.precision.name,
        f"{bundle.size / 1e6:.1f}",
        show.status(found),
        show.number(found.max_abs_error, ".2g"),
        show.number(found.sqnr_db, ".0f"),
        show.number(found.agreement, ".2%"),
        str(found.inputs),
    )


def print_bundles(title: str, bundles: Sequence[Bundle]) -> None:
    """A table with a row a bundle, what was kept in float, and why any of them failed."""
    show.table(title, COLUMNS, [row(bundle) for bundle in bundles])
    print_failures(bundles)
    for bundle in bundles:
        if bundle.manifest.precision.kept_float:
            kept = ", ".join(bundle.manifest.precision.kept_float)
            show.note(f"{bundle.directory}: in float stay {kept}")


def print_calibration(plan: Plan, bundles: Sequence[Bundle]) -> None:
    """How many ranges had to be calibrated where others were learned, and what to doubt about the text."""
    for bundle in bundles:
        ranges = bundle.manifest.calibration
        if ranges and ranges.learned and ranges.calibrated:
            show.note(f"{bundle.directory}: not learned but calibrated: {', '.join(ranges.calibrated)}")
    add_calibration = any(b.manifest.calibration and b.manifest.calibration.calibrated for b in bundles)
    for warning in plan.calibration.warnings if plan.calibration and add_calibration else ():
        show.note(f"warning: {warning}")


def print_failures(bundles: Sequence[Bundle]) -> None:
    """Why bundles are not verified."""
    for bundle in bundles:
        for failure in bundle.manifest.verification.failures:
            show.note(f"{bundle.directory}: {failure}")


def exit_code(proofs: list[Verification], *, require_runtime: bool) -> int:
    """0 if all were verified, 1 if a proof failed, 3 if one could not be made here."""
    if any(proof.status == "failed" for proof in proofs):
        return 1
    unproven = any(proof.status == "not verified" for proof in proofs)
    return 3 if unproven or (require_runtime and any(proof.by != "runtime" for proof in proofs)) else 0
