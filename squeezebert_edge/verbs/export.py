"""From a checkpoint and a plan to verified bundles: form, exporter, proof, manifest."""

from __future__ import annotations

import math
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

import exporters
from exporters.errors import GateError, UnavailableError
from exporters.precision import Gates
from exporters.spec import MAX_RANK, Artifact, ExportRequest, Format, UnitArtifact
from exporters.units import CPU, Unit
from squeezebert_edge import __version__
from squeezebert_edge.bundle.manifest import MANIFEST, Manifest, UnitRecord, Verification, write_manifest
from squeezebert_edge.bundle.meaning import (
    meaning_of_checkpoint,
    require_artifact_agrees,
    require_checkpoint_agrees,
    to_metadata,
    write_vocabulary,
)
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, lasting_name
from squeezebert_edge.checkpoint.ranges import of_form
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.balancing import quantizable
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.forms.rounding import FORM
from squeezebert_edge.plumbing.processes import Team, side_by_side
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.plumbing.resources import available_memory, usable_cores
from squeezebert_edge.plumbing.staging import refuse_existing, stage_directory
from squeezebert_edge.proof.parity import verify
from squeezebert_edge.proof.reference import require_sound_reference, threads_for
from squeezebert_edge.proof.weights import prove_weights
from squeezebert_edge.tasks.heads import Task
from squeezebert_edge.verbs.float_parts import fewest_for_the_proof, foreseen_failure
from squeezebert_edge.verbs.plan import Plan
from squeezebert_edge.verbs.recipe import recipe_of

# The most memory that making a bundle was seen to take: that of the tools, and of so many times the weights.
TOOLS_BYTES, WEIGHTS_IN_MEMORY = 700 << 20, 7
MOST_TRIES = 2  # of sets of parts in float
SHARE_OF_MEMORY = 0.8  # of what is free; the rest is for this process, and for others

Made = tuple[Unit, choices.Choice, UnitArtifact]  # what a unit runs, and its form


def refuse_outputs(plan: Plan, out: Path, *, force: bool) -> None:
    """Raise InputError if any bundle of the plan exists already and may not be replaced."""
    for name, precision in plan.pairs:
        refuse_existing(out / f"{name}-{precision}", marker=MANIFEST, force=force)


def possible_jobs(checkpoint: Checkpoint) -> int:
    """How many bundles of a checkpoint can be made side by side: as many as cores and free memory allow."""
    weights = sum(tensor.nbytes for tensor in checkpoint.model.state_dict().values())
    memory, cores = available_memory(), usable_cores()
    takes = TOOLS_BYTES + WEIGHTS_IN_MEMORY * weights
    return cores if memory is None else max(1, min(cores, int(memory * SHARE_OF_MEMORY) // takes))


def export_bundles(
    checkpoint: Checkpoint,
    plan: Plan,
    out: Path,
    *,
    force: bool = False,
    jobs: int = 1,
    progress: Progress = silent,
) -> Generator[Bundle]:
    """Make the plan's bundles in `out/<format>-<precision>`, each whole and verified before it appears.

    A bundle whose proof failed is written too, its manifest saying so.

    Args:
        jobs: how many are made side by side, each in a process of its own, sharing torch's threads; they
            come as they are done. One at a time is made in this process, in the plan's order. Where there
            are fewer bundles than that, units of one are proven side by side.

    Raises:
        InputError: before anything is made, if any of the bundles exists and `force` is false.
        UnavailableError: before anything is made, if one of the plan's units cannot be served here.
        GateError: a product is left outside the delegate, or an operator outside a unit, or a unit's compiler
            failed; that bundle is not written. Before anything is made: the float model of this installation
            is wrong.
    """
    refuse_outputs(plan, out, force=force)
    plan.require_units()
    require_sound_reference()
    bundles = max(1, min(jobs, len(plan.pairs)))
    proofs = max(1, jobs // bundles)
    team = _team_of(bundles)

    def make(pair: tuple[str, str]) -> Bundle:
        target = out / "-".join(pair)
        telling = with_prefix(" ".join(pair), progress)
        with stage_directory(target, marker=MANIFEST, force=force) as staging:
            if bundles == 1:
                _make_best(checkpoint, plan, *pair, staging, proofs, progress=telling)
            else:
                making = f"making {' '.join(pair)}"
                team.call(making, _make_best, checkpoint, plan, *pair, staging, proofs, progress=telling)
        return open_bundle(target, allow_failed=True)

    if bundles == 1:
        yield from map(make, plan.pairs)
    else:
        yield from side_by_side(make, plan.pairs, bundles, team.end)


def _team_of(size: int) -> Team:
    """So many processes at a time, which share this one's threads."""
    return Team(threads=max(1, torch.get_num_threads() // size))


def _make_best(
    checkpoint: Checkpoint,
    plan: Plan,
    name: str,
    precision: str,
    directory: Path,
    proofs: int,
    progress: Progress,
) -> None:
    """Fill a directory with the bundle of the first precision that passes, of those that a name stands for.

    One that torch foresees to fail is made only if the others fail.

    If none passes, the first is made with a few parts in float with which it does. If there is none either,
    the one with the best SQNR is left, its manifest saying so. A plan without calibration leaves out what
    would need it.

    Args:
        proofs: how many units are proven at the same time.

    Raises:
        GateError: each of them leaves operators outside.
    """
    first, *others = choices.exact_precisions(name, precision)
    row = exporters.format_named(name)
    candidates = [
        first,
        *(each for each in others if plan.calibration or not row.precision(each.name).calibrated),
    ]
    tried = _foreseen_failures(checkpoint, plan, name, candidates, progress)
    candidates = [*candidates[len(tried) :], *candidates[: len(tried)]]
    failed: dict[choices.Choice, Manifest] = {}
    for exact in candidates:
        place = directory / exact.name
        place.mkdir()
        tried.pop(exact.name, None)  # foreseen; what it really does is seen now
        try:
            manifest = _make(checkpoint, plan, name, precision, exact, tried, place, proofs, progress)
        except GateError as error:
            if exact is candidates[-1] and not failed:
                raise
            tried[exact.name] = error.problem
        else:
            if manifest.verification.status != "failed":
                _keep(place, directory)
                return
            tried[exact.name] = "; ".join(manifest.verification.failures)
            failed[exact] = manifest
    place = directory / "in parts"
    for exact in failed if others and not plan.keep_float else ():
        sets = fewest_for_the_proof(checkpoint, plan, name, exact.name, progress)
        for kept in islice(sets, MOST_TRIES):
            place.mkdir()
            try:
                manifest = _make(
                    checkpoint, plan, name, precision, exact, tried, place, proofs, progress, kept
                )
            except GateError:  # a unit that takes no floats
                shutil.rmtree(place)
                continue
            if manifest.verification.status != "failed":
                _keep(place, directory)
                return
            shutil.rmtree(place)
    best = max(failed, key=lambda exact: failed[exact].verification.sqnr_db or -math.inf)
    _keep(directory / best.name, directory)
    fields = failed[best].model_dump(exclude={"schema_version", "files"})
    del tried[best.name]
    fields["precision"]["tried"] = tried
    write_manifest(directory, fields, proven=True)


def _foreseen_failures(
    checkpoint: Checkpoint,
    plan: Plan,
    name: str,
    candidates: Sequence[choices.Choice],
    progress: Progress,
) -> dict[str, str]:
    """Why the first candidates are to be made last: those before the first that may pass, if one may."""
    failures: dict[str, str] = {}
    for exact in candidates if len(candidates) > 1 else ():
        progress("foreseeing the proof", 0, 0)
        failure = foreseen_failure(checkpoint, plan, name, exact.name)
        if failure is None:
            return failures
        failures[exact.name] = failure
    return {}


def _keep(place: Path, directory: Path) -> None:
    """Leave of a directory what is in one place of it."""
    for other in directory.iterdir():
        if other != place:
            shutil.rmtree(other)
    for file in place.iterdir():
        file.rename(directory / file.name)
    place.rmdir()


def _make(
    checkpoint: Checkpoint,
    plan: Plan,
    name: str,
    precision: str,
    exact: choices.Choice,
    tried: Mapping[str, str],
    directory: Path,
    proofs: int,
    progress: Progress,
    kept: Sequence[str] = (),
) -> Manifest:
    """Fill a directory with one bundle of an exact precision.

    Args:
        kept: parts that stay in float beside the plan's.
    """
    format_ = exporters.get(name, to_export=True)
    task = task_of(checkpoint)
    path = directory / format_.file_name
    progress("exporting", 0, 0)
    meaning = format_.precision(exact.name)
    form = plan.form_of(name, exact.name)
    if kept and form.name == "plain":  # of all forms, only this one has no parts of these names
        form = replace(form, name=FORM)
    recipe = recipe_of(checkpoint, plan, name, precision)
    plan = replace(plan, keep_float=(*plan.keep_float, *kept))
    request = _request(checkpoint, task, plan, format_, exact.name, form.name)
    artifact = format_.export(request, path)
    if not plan.allow_undelegated and not meaning.for_npus:
        _require_delegated(artifact, f"{name} {precision}", form.name)
    gates = meaning.gates.replaced_by(plan.gates)
    threads = threads_for(checkpoint.model, plan.lengths[-1])
    apart = format_.runs_beside and threads > 1
    runner = format_.load(path, threads=threads // 2 if apart else threads)
    verification = verify(checkpoint, task, runner, gates, apart=apart, progress=progress)
    progress("comparing weights", 0, 0)
    verification = prove_weights(verification, path, request.module, format_, meaning, plan.lengths[-1])
    made = _make_for_units(checkpoint, task, plan, name, artifact, request, progress)
    units = _prove_units(checkpoint, plan, name, exact.name, made, proofs, progress)
    write_vocabulary(directory, checkpoint.tokenizer.vocab)
    manifest = write_manifest(
        directory,
        {
            "source": {"checkpoint": lasting_name(checkpoint.source), "sha256": checkpoint.sha256},
            "recipe": recipe,
            "format": name,
            "artifact": format_.file_name,
            "task": task.name,
            "problem_type": task.problem_type,
            "labels": list(task.labels),
            "precision": {
                "name": precision,
                "exact": exact.name,
                "decided_by": exact.decided_by,
                "weights": meaning.weights,
                "activations": meaning.activations,
                "granularity": meaning.granularity,
                "kept_float": list(request.keep_float),
                "tried": dict(tried),
            },
            "calibration": _calibration(request, plan, artifact) if meaning.calibrated else None,
            "form": form.name,
            "form_decided_by": form.decided_by,
            "lengths": list(plan.lengths),
            "entry_points": dict(artifact.entry_points),
            "inputs": artifact.inputs,
            "outputs": artifact.outputs,
            "tokenizer": checkpoint.tokenizer.flags.to_manifest(),
            "target": request.target,
            "versions": {"squeezebert-edge": __version__, **artifact.versions},
            "delegation": artifact.delegation,
            "structure": artifact.structure,
            "float_operators": dict(sorted(artifact.float_operators.items())),
            "verification": verification,
            "unit": None if name == "coreml" else str(CPU),
            "units": units,
        },
        proven=True,
    )
    require_checkpoint_agrees(directory, manifest, checkpoint)
    require_artifact_agrees(directory, manifest)
    return manifest


def _make_for_units(
    checkpoint: Checkpoint,
    task: Task,
    plan: Plan,
    name: str,
    artifact: Artifact,
    request: ExportRequest,
    progress: Progress,
) -> Iterator[Made]:
    """What each of the plan's units beside the CPU runs, and its form."""
    format_ = exporters.format_named(name)
    exact = request.precision
    meaning = format_.precision(exact)
    for kind, units in plan.units_of(name, exact).items():
        form = plan.form_on(units[0], name, exact)
        if plan.needs_own_network(units[0], name, exact):
            module = lay_out(quantizable(checkpoint, meaning), type(task), form.name)
            ranges = of_form(checkpoint.ranges, module) if meaning.calibrated else {}
            request = replace(
                request,
                module=module,
                metadata=_metadata(checkpoint, plan.lengths, exact, form.name),
                ranges=ranges,
                keep_float=plan.keep_float,
            )
        exporter = format_.unit(kind)
        for unit, made in exporter.export(request, artifact, units, lambda stage: progress(stage, 0, 0)):
            if made.delegation.left and not plan.allow_undelegated:
                taken = f"{made.delegation.delegated} of {made.delegation.total} operators"
                left = ", ".join(made.delegation.outside) or "others that it does not name"
                raise GateError(
                    f"{unit} takes {taken} of {name} {exact}, not {left}",
                    allowed="every operator",
                    hint="another --precision or --form, or --allow-undelegated",
                )
            yield unit, form, made


def _prove_units(
    checkpoint: Checkpoint,
    plan: Plan,
    name: str,
    exact: str,
    made: Iterator[Made],
    proofs: int,
    progress: Progress,
) -> dict[str, UnitRecord]:
    """The record of each unit, by its name, in the plan's order.

    Args:
        made: what units run, and its form; one is made while those before it are proven.
        proofs: how many are proven at the same time, each in a process of its own; one alone in this one.
    """
    team = _team_of(proofs)
    gates = exporters.format_named(name).precision(exact).unit_gates

    def prove(each: Made) -> tuple[Unit, UnitRecord]:
        unit, form, artifact = each
        limits = gates[unit.kind].replaced_by(plan.gates)
        telling = with_prefix(str(unit), progress)
        if proofs == 1:
            proof = _verify_on(unit, name, artifact, checkpoint, limits, progress=telling)
        else:
            proving = f"proving {unit}"
            proof = team.call(proving, _verify_on, unit, name, artifact, checkpoint, limits, progress=telling)
        return unit, UnitRecord(
            files={length: file.name for length, file in artifact.files.items()},
            form=form.name,
            form_decided_by=form.decided_by,
            arithmetic=artifact.arithmetic,
            delegation=artifact.delegation,
            partitions=artifact.partitions,
            versions=dict(artifact.versions),
            warnings=list(artifact.warnings),
            verification=proof,
        )

    records = dict(map(prove, made) if proofs == 1 else side_by_side(prove, made, proofs, team.end))
    order = (unit for units in plan.units_of(name, exact).values() for unit in units)
    return {str(unit): records[unit] for unit in order}


def _verify_on(
    unit: Unit, name: str, made: UnitArtifact, checkpoint: Checkpoint, gates: Gates, *, progress: Progress
) -> Verification:
    """The proof of what a unit runs. A unit that refuses the files which were made for it has failed."""
    if made.delegation.left:
        failure = "what it leaves to the CPU is computed on a phone only"
        return Verification(status="not verified", by=None, failures=[failure])
    try:
        runner = exporters.format_named(name).unit(unit.kind).load(unit, made.files)
    except UnavailableError as error:
        return Verification(status="not verified", by=None, failures=[str(error)])
    except GateError as error:
        return Verification(status="failed", by=None, failures=[str(error)])
    task = task_of(checkpoint)
    return verify(checkpoint, task, runner, gates, fewer=not unit.is_cpu, progress=progress)


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
    if form in choices.NEURAL_ENGINE and artifact.structure and artifact.structure.unfit:
        raise GateError(
            f"{made}, form {form}: the program has {', '.join(artifact.structure.unfit)}",
            allowed=f"values of at most {MAX_RANK} axes, 1x1 convolutions and attention's products",
            hint=hint,
        )


def _request(
    checkpoint: Checkpoint, task: Task, plan: Plan, format_: Format, exact: str, form: str
) -> ExportRequest:
    """What the exporter is given."""
    precision = format_.precision(exact)
    module = lay_out(quantizable(checkpoint, precision), type(task), form)
    target = plan.target(format_)
    return ExportRequest(
        module=module,
        examples={
            length: {name: torch.ones(1, length, dtype=torch.int32) for name in choices.INPUTS}
            for length in plan.lengths
        },
        outputs=task.outputs,
        precision=exact,
        metadata=_metadata(checkpoint, plan.lengths, exact, form),
        target=target,
        calibration=plan.calibration.rows if plan.calibration and precision.calibrated else (),
        ranges=of_form(checkpoint.ranges, module) if precision.calibrated else {},
        keep_float=(*plan.keep_float, *choices.float_parts(module, precision, target)),
    )


def _calibration(request: ExportRequest, plan: Plan, artifact: Artifact) -> dict[str, object]:
    """What the manifest says of how the scales of activations came about."""
    sources: dict[str, object] = {"learned": sorted(request.ranges), "calibrated": list(artifact.calibrated)}
    if artifact.calibrated and plan.calibration:
        text = plan.calibration
        sources |= {"source": text.source, "sha256": text.sha256, "rows": len(text.rows)}
    return sources


def _metadata(checkpoint: Checkpoint, lengths: Sequence[int], precision: str, form: str) -> dict[str, str]:
    """What the artifact says of itself when it is met without its bundle."""
    made = {"precision": precision, "form": form, "lengths": list(lengths)}
    generator = {"generator": f"squeezebert-edge {__version__}"}
    return generator | to_metadata({**meaning_of_checkpoint(checkpoint), **made})
