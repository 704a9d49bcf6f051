"""What makes a bundle, as hashes: whether one that is there already is the one that would be made."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import exporters
from exporters.errors import InputError
from exporters.spec import Format
from squeezebert_edge.bundle.manifest import Recipe
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, lasting_name
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms import choices
from squeezebert_edge.plumbing.staging import refuse_existing
from squeezebert_edge.verbs.plan import Plan

ELSEWHERE = "replace it with --force, or choose another --out"
PROJECT = "squeezebert-edge"


def recipe_of(checkpoint: Checkpoint, plan: Plan, format_: str, precision: str) -> Recipe:
    """The recipe of one of a plan's bundles."""
    row = exporters.format_named(format_)
    exact = choices.exact_precisions(format_, precision)
    text = plan.calibration if any(row.precision(each.name).calibrated for each in exact) else None
    asked: dict[str, Any] = {
        "checkpoint": lasting_name(checkpoint.source),
        "task": task_of(checkpoint).name,
        "format": format_,
        "precision": precision,
        "lengths": list(plan.lengths),
        "target": plan.target(row),
        "form": plan.form,
        "gates": asdict(plan.gates),
        "calibration": None if text is None else [text.source, len(text.rows)],
        "keep_float": list(plan.keep_float),
        "allow_undelegated": plan.allow_undelegated,
        "units": [str(unit) for unit in plan.units],
    }
    contents = {
        "checkpoint": checkpoint.sha256,
        "calibration": None if text is None else text.sha256,
        "choices": [(asdict(each), asdict(plan.form_of(format_, each.name))) for each in exact],
        "code": code(),
        "packages": packages(row, [format_, *(["qualcomm"] if plan.units else [])]),
        "machine": [sys.platform, platform.machine(), platform.python_version()],
    }
    return Recipe(asked=_sha256(asked), made_of=_sha256({"asked": asked} | contents))


def find_bundles(checkpoint: Checkpoint, plan: Plan, out: Path) -> dict[tuple[str, str], Bundle]:
    """The bundles of a plan that are in `out` as they would be made now, and did not fail their proof.

    One that was asked for in the same way, but of a checkpoint, of code or of packages that have changed
    since, is none of them: it is to be replaced.

    Raises:
        InputError: something else is in a bundle's place, or a bundle that was asked for otherwise.
    """
    found = {}
    for name, precision in plan.pairs:
        target = out / f"{name}-{precision}"
        if not target.is_dir() or not any(target.iterdir()):
            refuse_existing(target, marker=None, force=target.is_dir())
            continue
        recipe = recipe_of(checkpoint, plan, name, precision)
        try:
            bundle = open_bundle(target, allow_failed=True)
        except InputError as error:
            raise InputError(error.problem, allowed=error.allowed, hint=ELSEWHERE) from None
        there = bundle.manifest.recipe
        if there is None or there.asked != recipe.asked:
            raise InputError(
                f"{target} exists, and was asked for otherwise: its lengths, units or other settings differ",
                hint=ELSEWHERE,
            )
        if there == recipe and all(proof.status != "failed" for proof in bundle.manifest.proofs):
            found[name, precision] = bundle
    return found


@cache
def code() -> str:
    """The hash of this project's code and of the samples that it proves and calibrates with."""
    digest = hashlib.sha256()
    for package in ("exporters", "squeezebert_edge"):
        root = Path(str(resources.files(package)))
        for path in sorted(
            [*root.rglob("*.py"), *root.glob("assets/samples/*"), *root.glob("assets/golden.*")]
        ):
            content = path.read_bytes()
            digest.update(
                f"{package}/{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content
            )
    return digest.hexdigest()


def packages(row: Format, extras: Iterable[str]) -> dict[str, str]:
    """Name -> version of the installed packages that a format takes, and of those that these take in turn.

    Args:
        extras: of this project's, which name packages that are taken besides.
    """
    return dict(
        _packages(("exporters", *row.makes, *row.runs, row.exporter.partition(".")[0]), tuple(extras))
    )


@cache
def _packages(modules: tuple[str, ...], extras: tuple[str, ...]) -> Mapping[str, str]:
    """The same of modules. A process looks once: what it has imported it keeps."""
    providers = importlib.metadata.packages_distributions()
    waiting = [PROJECT, *(name for module in modules for name in providers.get(module, ()))]
    found: dict[str, str] = {}
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for other machines, or not installed
        found[name] = distribution.version
        for text in distribution.requires or ():
            wanted = Requirement(text)
            mine = extras if name == PROJECT else ()
            if wanted.marker is None or any(
                wanted.marker.evaluate({"extra": extra}) for extra in ("", *mine)
            ):
                waiting.append(wanted.name)
    return dict(sorted(found.items()))


def _sha256(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
