"""`squeezebert-edge export`: verified bundles of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import exporters
from squeezebert_edge.cli import options, show

if TYPE_CHECKING:
    from rich.text import Text

    from squeezebert_edge.bundle import Bundle, Verification


def export(
    checkpoint: options.CheckpointArgument,
    to: options.FormatsOption = None,
    precision: options.PrecisionsOption = None,
    lengths: options.LengthsOption = None,
    task: options.TaskOption = None,
    ios: options.IosOption = 17,
    out: options.OutOption = None,
    force: options.ForceOption = False,
    max_error: options.MaxErrorOption = None,
    min_sqnr: options.MinSqnrOption = None,
    require_runtime: options.RequireRuntimeOption = False,
    json: options.JsonOption = False,
) -> None:
    """Export a checkpoint to phone formats, each proven equal to the float reference.

    Without --precision, float32.
    """
    from squeezebert_edge import checkpoint as checkpoints
    from squeezebert_edge import pipeline
    from squeezebert_edge.parity import Gates

    with show.progress() as progress:
        pairs = pipeline.possible_pairs(to or tuple(exporters.FORMATS), precision or ["fp32"])
        progress(f"loading {checkpoint}", 0, 0)
        loaded = checkpoints.load(checkpoint, architecture=pipeline.architecture_of(task))
        plan = pipeline.Plan(
            pairs,
            pipeline.checked_lengths(options.parse_lengths(lengths), loaded.config),
            ios=ios,
            gates=Gates(max_error=max_error, min_sqnr_db=min_sqnr),
        )
        directory = out or default_out(checkpoint)
        bundles = list(pipeline.export(loaded, plan, directory, force=force, progress=progress))
    if json:
        show.as_json({"bundles": [described(bundle) for bundle in bundles]})
    else:
        print_bundles(f"{checkpoint}: bundles in {directory}", bundles)
    proofs = [bundle.manifest.verification for bundle in bundles]
    raise typer.Exit(exit_code(proofs, require_runtime=require_runtime))


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


def print_bundles(title: str, bundles: list[Bundle]) -> None:
    """A table with a row a bundle, and why any of them failed."""
    show.table(title, COLUMNS, [row(bundle) for bundle in bundles])
    print_failures(bundles)


def print_failures(bundles: list[Bundle]) -> None:
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
