"""`squeezebert-edge verify`: prove a bundle against its checkpoint again."""

from __future__ import annotations

import typer

from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.export import exit_code


def verify(
    bundle: options.BundleArgument,
    unit: options.UnitOption = None,
    arithmetic: options.ArithmeticOption = None,
    checkpoint: options.SourceOption = None,
    max_error: options.MaxErrorOption = None,
    min_sqnr: options.MinSqnrOption = None,
    runtime: options.RuntimeOption = None,
    require_runtime: options.RequireRuntimeOption = False,
    sign: options.SignOption = None,
    json: options.JsonOption = False,
) -> None:
    """Check a bundle's files and prove it equal to the float reference again."""
    from exporters.precision import Gates
    from exporters.units import parse_unit, with_arithmetic
    from squeezebert_edge.bundle.gates import gates_of, own_gates
    from squeezebert_edge.bundle.opened import open_bundle
    from squeezebert_edge.verbs.verify import verify_bundle

    key = options.read_key(sign)
    unit = with_arithmetic(unit, arithmetic)
    opened = open_bundle(bundle, allow_failed=True)
    if key is not None:
        opened.require_signature(key)
    with show.progress() as progress:
        found = verify_bundle(
            opened,
            source=checkpoint,
            gates=Gates(max_error=max_error, min_sqnr_db=min_sqnr),
            runtime=runtime,
            unit=parse_unit(unit or "cpu"),
            progress=progress,
        )
    if json:
        show.as_json(found.model_dump())
    else:
        show.pairs(
            str(bundle),
            {
                "proof": show.status(found),
                "largest error": show.number(found.max_abs_error, ".3g"),
                "largest reference output": show.number(found.max_abs_reference, ".3g"),
                "SQNR": show.number(found.sqnr_db, ".1f") + " dB",
                "agreement": show.number(found.agreement, ".2%"),
                "largest change by padding": show.number(found.padding_error, ".3g"),
                "inputs": str(found.inputs),
                "weights that are the checkpoint's": show.number(found.weights, ".2%"),
                "gates": ", ".join(f"{name} {limit:g}" for name, limit in found.gates.items()),
            },
        )
        for failure in found.failures:
            show.note(failure)
    show.doubts([opened])
    exact = opened.manifest.precision.exact
    mine = own_gates(found, gates_of(opened.manifest.format, exact, unit or opened.manifest.unit))
    if mine:
        show.note(f"warning: this proof is {mine}")
    raise typer.Exit(exit_code([found], require_runtime=require_runtime))
