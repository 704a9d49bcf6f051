"""From a checkpoint and a plan to verified bundles: form, exporter, proof, manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple
from pathlib import Path

import torch

import exporters
from exporters.errors import GateError
from exporters.spec import MAX_RANK, Artifact, ExportRequest
from squeezebert_edge import __version__
from squeezebert_edge.bundle.manifest import MANIFEST, VOCABULARY, write_manifest
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.ranges import of_form
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.balancing import quantizable
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.forms.choices import CALIBRATED, INPUTS, LAST_PRODUCTS, NEURAL_ENGINE, NO_PALETTE
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.plumbing.staging import refuse_existing, stage_directory
from squeezebert_edge.proof.gates import gates_of
from squeezebert_edge.proof.parity import verify
from squeezebert_edge.tasks.heads import Task
from squeezebert_edge.verbs.plan import (
    TARGETS,
    Plan,
)


def refuse_outputs(plan: Plan, out: Path, *, force: bool) -> None:
    """Raise InputError if any bundle of the plan exists already and may not be replaced."""
    for name, precision in plan.pairs:
        refuse_existing(out / f"{name}-{precision}", marker=MANIFEST, force=force)


def export_bundles(
    checkpoint: Checkpoint,
    plan: Plan,
    out: Path,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> Iterator[Bundle]:
    """Make the plan's bundles in `out/<format>-<precision>`, each whole and verified before it appears.

    A bundle whose proof failed is written too, its manifest saying so.

    Raises:
        InputError: before anything is made, if any of the bundles exists and `force` is false.
        GateError: a product is left outside the delegate; that bundle is not written.
    """
    refuse_outputs(plan, out, force=force)
    for name, precision in plan.pairs:
        target = out / f"{name}-{precision}"
        with stage_directory(target, marker=MANIFEST, force=force) as staging:
            _make(checkpoint, plan, name, precision, staging, with_prefix(f"{name} {precision}", progress))
        yield open_bundle(target)


def _make(
    checkpoint: Checkpoint, plan: Plan, name: str, precision: str, directory: Path, progress: Progress
) -> None:
    """Fill a directory with one bundle."""
    exporter = exporters.get(name, to_export=True)
    task = task_of(checkpoint)
    path = directory / exporter.FILE_NAME
    progress("exporting", 0, 0)
    exact = choices.exact_precision(name, precision)
    form, form_decided_by = astuple(plan.form_of(name, exact.name))
    request = _request(checkpoint, task, plan, name, exact.name, form)
    artifact = exporter.export(request, path)
    if not plan.allow_undelegated:
        _require_delegated(artifact, f"{name} {precision}", form)
    verification = verify(
        checkpoint,
        task,
        exporter.load(path),
        gates_of(exact.name, plan.gates),
        progress=progress,
    )
    vocabulary = "".join(f"{token}\n" for token in checkpoint.tokenizer.vocab)
    (directory / VOCABULARY).write_text(vocabulary, encoding="utf-8", newline="\n")
    write_manifest(
        directory,
        {
            "source": {"checkpoint": checkpoint.source, "sha256": checkpoint.sha256},
            "format": name,
            "artifact": exporter.FILE_NAME,
            "task": task.name,
            "problem_type": task.problem_type,
            "labels": list(task.labels),
            "precision": {
                "name": precision,
                "exact": exact.name,
                "decided_by": exact.decided_by,
                "kept_float": list(request.keep_float),
                **asdict(exporter.PRECISIONS[exact.name]),
            },
            "calibration": _calibration(request, plan, artifact),
            "form": form,
            "form_decided_by": form_decided_by,
            "lengths": list(plan.lengths),
            "tokenizer": checkpoint.tokenizer.flags.to_manifest(),
            "target": request.target,
            "verification": verification,
            **_described(artifact),
        },
    )


def _require_delegated(artifact: Artifact, made: str, form: str) -> None:
    """Raise GateError if a product is left out, or a program for the Neural Engine does not suit it."""
    hint = "another --form, or --allow-undelegated"
    if artifact.delegation.products:
        left = ", ".join(artifact.delegation.products)
        raise GateError(
            f"{made}, form {form}: the delegate has no kernels for {left} as they are used here",
            allowed="every convolution, linear layer and matrix product inside it",
            hint=hint,
        )
    if form in NEURAL_ENGINE and artifact.structure and artifact.structure.unfit:
        raise GateError(
            f"{made}, form {form}: the program has {', '.join(artifact.structure.unfit)}",
            allowed=f"values of at most {MAX_RANK} axes, 1x1 convolutions and attention's products",
            hint=hint,
        )


def _request(
    checkpoint: Checkpoint, task: Task, plan: Plan, name: str, exact: str, form: str
) -> ExportRequest:
    """What the exporter is given."""
    model = checkpoint.model if exact in ("fp32", "fp16") else quantizable(checkpoint, exact)
    module = lay_out(model, type(task), form)
    target = TARGETS[plan.ios] if name == "coreml" else None
    in_float: tuple[str, ...] = LAST_PRODUCTS if exact == CALIBRATED else ()
    if (exact, target) == ("int4-weights", "iOS17"):
        in_float = NO_PALETTE
    parts = (part for part, _ in module.named_modules() if part.rpartition(".")[2] in in_float)
    keep_float = (*plan.keep_float, *parts)
    return ExportRequest(
        module=module,
        examples={
            length: {name: torch.ones(1, length, dtype=torch.int32) for name in INPUTS}
            for length in plan.lengths
        },
        outputs=task.outputs,
        precision=exact,
        metadata=_metadata(checkpoint, task, plan.lengths, exact, form),
        target=target,
        calibration=plan.calibration.rows if plan.calibration and exact == CALIBRATED else (),
        ranges=of_form(checkpoint.ranges, module) if exact == CALIBRATED else {},
        keep_float=keep_float,
    )


def _calibration(request: ExportRequest, plan: Plan, artifact: Artifact) -> dict[str, object] | None:
    """What the manifest says of how the scales of activations came about."""
    if request.precision != CALIBRATED:
        return None
    sources: dict[str, object] = {"learned": sorted(request.ranges), "calibrated": list(artifact.calibrated)}
    if artifact.calibrated and plan.calibration:
        text = plan.calibration
        sources |= {"source": text.source, "sha256": text.sha256, "rows": len(text.rows)}
    return sources


def _described(artifact: Artifact) -> dict[str, object]:
    """What the manifest says of the file itself."""
    return {
        "entry_points": dict(artifact.entry_points),
        "inputs": [{**asdict(tensor), "shape": list(tensor.shape)} for tensor in artifact.inputs],
        "outputs": [{**asdict(tensor), "shape": list(tensor.shape)} for tensor in artifact.outputs],
        "delegation": {
            **asdict(artifact.delegation),
            "outside": list(artifact.delegation.outside),
            "products": list(artifact.delegation.products),
        },
        "structure": _structure(artifact),
        "float_operators": dict(sorted(artifact.float_operators.items())),
        "versions": {"squeezebert-edge": __version__, **artifact.versions},
    }


def _structure(artifact: Artifact) -> dict[str, object] | None:
    if artifact.structure is None:
        return None
    return {**asdict(artifact.structure), "other_products": list(artifact.structure.other_products)}


def _metadata(
    checkpoint: Checkpoint, task: Task, lengths: Sequence[int], precision: str, form: str
) -> dict[str, str]:
    """What the artifact says of itself when it is met without its bundle."""
    return {
        "generator": f"squeezebert-edge {__version__}",
        "source_sha256": checkpoint.sha256,
        "task": task.name,
        "labels": json.dumps(task.labels),
        "precision": precision,
        "form": form,
        "lengths": json.dumps(list(lengths)),
        "tokenizer": json.dumps(checkpoint.tokenizer.flags.to_manifest()),
    }
