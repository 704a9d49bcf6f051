"""What a proof says of itself, held against the table of gates and against its own numbers.

Gates may be a user's own (`--min-sqnr`), which is then said wherever the proof is shown. Numbers that break
the gates of a proof that says "verified" are no proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import exporters
from exporters.errors import InputError
from exporters.precision import Gates
from exporters.units import CPU, parse_unit
from squeezebert_edge.bundle.manifest import Manifest, Verification

PLAIN = 1e-9  # relative: what writing a number down may change


def gates_of(format_: str, exact: str, unit: str | None) -> Gates | None:
    """The gates of an exact precision on a unit; None where these are not known here.

    Args:
        unit: by name; None where the phone decides, as Core ML does.
    """
    try:
        precision = exporters.format_named(format_).precision(exact)
    except InputError:
        return None
    kind = parse_unit(unit).kind if unit else CPU.kind
    return precision.gates if kind == CPU.kind else precision.unit_gates.get(kind)


def own_gates(proof: Verification, table: Gates | None) -> str | None:
    """In words, by what the gates of a proof are a user's own; None if they are those of the table."""
    if table is None or proof.status == "not verified":
        return None
    expected = {name: limit for name, limit in asdict(table).items() if limit is not None}
    others = [
        f"{name} {_limit(proof.gates.get(name))} in the place of {_limit(expected.get(name))}"
        for name in sorted(proof.gates.keys() | expected.keys())
        if proof.gates.get(name) != expected.get(name)
    ]
    return f"by gates of a user's own: {', '.join(others)}" if others else None


def _limit(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def own_gates_of(manifest: Manifest) -> Iterator[tuple[str | None, str]]:
    """Each unit of a bundle whose gates are a user's own, None for what no unit is named of, and in words."""
    proofs: dict[str | None, Verification] = {manifest.unit: manifest.verification}
    proofs |= {name: unit.verification for name, unit in manifest.units.items()}
    for unit, proof in proofs.items():
        words = own_gates(proof, gates_of(manifest.format, manifest.precision.exact, unit))
        if words:
            yield unit, words


def broken_gates(proof: Verification) -> list[str]:
    """What a proof that says "verified" has found to be beyond its own gates, in words."""
    if proof.status != "verified":
        return []
    scale = max(1.0, proof.max_abs_reference or 0.0) * (1 + PLAIN)
    gates = proof.gates
    found = [
        ("largest error", proof.max_abs_error, gates.get("max_error"), scale),
        ("padding error", proof.padding_error, gates.get("max_padding_error"), scale),
    ]
    broken = [
        f"its {name} is {value:.3g}, above {limit * factor:.3g}"
        for name, value, limit, factor in found
        if limit is not None and value is not None and value > limit * factor
    ]
    least = [
        ("SQNR", proof.sqnr_db, gates.get("min_sqnr_db")),
        ("SQNR under padding", proof.padding_sqnr_db, gates.get("min_padding_sqnr_db")),
    ]
    broken += [
        f"its {name} is {value:.1f} dB, below {limit:.1f}"
        for name, value, limit in least
        if limit is not None and value is not None and value < limit - PLAIN
    ]
    return broken + ([f"it has failures: {'; '.join(proof.failures)}"] if proof.failures else [])
