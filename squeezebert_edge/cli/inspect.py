"""`squeezebert-edge inspect`: what a checkpoint holds and costs to compute, or what a bundle is made of."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.names import read_names

if TYPE_CHECKING:
    from exporters.spec import Structure
    from squeezebert_edge.bundle.manifest import UnitRecord


def inspect(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT_OR_BUNDLE",
            help="A directory in Hugging Face's layout, a hub id (owner/name), `default`, or a bundle.",
        ),
    ],
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            min=1,
            help="Tokens to count the arithmetic for.",
            show_default="128 as far as they fit",
        ),
    ] = None,
    task: options.TaskOption = None,
    json: options.JsonOption = False,
) -> None:
    """Show a checkpoint's head, sizes and labels, and its parameters, bytes and GFLOP by kind of layer.

    Of a bundle: its precision, form, delegation, what a Core ML program is made of, and the operators that
    still compute with floats.
    """
    from squeezebert_edge.bundle.manifest import MANIFEST

    if os.path.isfile(Path(checkpoint) / MANIFEST):
        _inspect_bundle(Path(checkpoint), json=json)
        return
    from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
    from squeezebert_edge.checkpoint.task import architecture_of
    from squeezebert_edge.verbs.inspect import describe_checkpoint

    with show.progress() as progress:
        progress(f"loading {checkpoint}", 0, 0)
        loaded = load_checkpoint(checkpoint, architecture=architecture_of(read_names(task).head))
    found = describe_checkpoint(loaded, length)
    rows = [*found.parts, found.total]
    facts = {name: value for name, value in asdict(found).items() if name not in ("length", "parts", "total")}
    if json:
        counts = [
            {"kind": row.kind, "parameters": row.parameters, "bytes": row.bytes, "gflop": row.gflop}
            for row in rows
        ]
        show.as_json({**facts, "length": found.length, "parts": counts})
        return
    words = {
        name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in facts.items()
    }
    show.pairs(checkpoint, {name: text for name, text in words.items() if text})
    show.table(
        f"at {found.length} tokens, in float32; one multiply-accumulate is two FLOP",
        ("", ">parameters", ">MB", ">GFLOP", ">share"),
        [
            (
                row.kind,
                f"{row.parameters:,}",
                f"{row.bytes / 1e6:.2f}",
                f"{row.gflop:.3f}",
                f"{row.macs / found.total.macs:.1%}",
            )
            for row in rows
        ],
    )


def _inspect_bundle(directory: Path, *, json: bool) -> None:
    from squeezebert_edge.bundle.manifest import unit_in_words
    from squeezebert_edge.bundle.opened import open_bundle

    bundle = open_bundle(directory, allow_failed=True)
    manifest = bundle.manifest
    if json:
        integer_only = not manifest.float_operators
        show.as_json(manifest.model_dump() | {"bytes": bundle.size, "integer_only": integer_only})
        return
    precision, delegation = manifest.precision, manifest.delegation
    is_alias = precision.name != precision.exact
    floats = ", ".join(f"{name} x{count}" for name, count in manifest.float_operators.items())
    inside = f"{delegation.delegated} of {delegation.total}" if delegation.total else delegation.reason or ""
    facts = {
        "checkpoint": f"{manifest.source.checkpoint} ({manifest.source.sha256[:12]}...)",
        "format": f"{manifest.format}, {bundle.size / 1e6:.1f} MB"
        + (f", {manifest.target}" if manifest.target else ""),
        "task": manifest.task,
        "labels": ", ".join(manifest.labels),
        "precision": precision.exact
        + (f", which is {precision.name} by {precision.decided_by}" if is_alias else ""),
        "weights": precision.weights,
        "activations": precision.activations,
        "granularity": precision.granularity or "",
        "in float by choice": ", ".join(precision.kept_float),
        "form": f"{manifest.form}, by {manifest.form_decided_by}",
        "lengths": ", ".join(map(str, manifest.lengths)),
        "delegated": inside,
        "outside the delegate": ", ".join(delegation.outside),
        "structure": _structure(manifest.structure) if manifest.structure else "",
        "float operators": floats or "none: integer-only",
        "proof": f"{manifest.verification.status} by {manifest.verification.by}",
        "unit": unit_in_words(manifest.unit),
    }
    facts |= {f"on {name}": _unit(unit) for name, unit in manifest.units.items()}
    show.pairs(str(directory), {name: text for name, text in facts.items() if text})


def _unit(unit: UnitRecord) -> str:
    """What a further compute unit runs, in a sentence."""
    files = ", ".join(dict.fromkeys(unit.files.values()))
    taken = f"{unit.delegation.delegated} of {unit.delegation.total} operators in {unit.partitions}"
    versions = ", ".join(f"{name} {version}" for name, version in unit.versions.items())
    said = "; ".join([files, versions, *(f"warning: {warning}" for warning in unit.warnings)])
    return f"{unit.verification.words}, {unit.arithmetic}, {taken}; {said}"


def _structure(found: Structure) -> str:
    """What a program is made of, in a sentence."""
    products = (
        f"{found.pointwise} 1x1 convolutions",
        f"{found.attention} products of attention",
        *found.other_products,
    )
    moves = f"{found.transposes} transposes, {found.reshapes} reshapes, {found.casts} casts"
    return f"{found.operations} operations on at most {found.max_rank} axes: {', '.join(products)}; {moves}"
