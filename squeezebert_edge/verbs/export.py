"""From a checkpoint and a plan to verified bundles: form, exporter, proof, manifest."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path

import torch

import exporters
from exporters.errors import GateError, InputError
from exporters.spec import MAX_RANK, Artifact, ExportRequest, Runner
from squeezebert_edge import __version__
from squeezebert_edge.bundle.manifest import (
    MANIFEST,
    VOCABULARY,
    Bundle,
    Verification,
    open_bundle,
    write_manifest,
)
from squeezebert_edge.checkpoint import checkpoint as checkpoints
from squeezebert_edge.checkpoint import ranges as quantization
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.forms import calibration, choices
from squeezebert_edge.forms.balancing import balance
from squeezebert_edge.forms.calibration import Calibration
from squeezebert_edge.forms.grouped import form_named, lay_out
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.plumbing.progress import Progress, of, silent
from squeezebert_edge.plumbing.staging import refuse_existing, staged
from squeezebert_edge.proof.parity import Gates, gates_of, verify
from squeezebert_edge.tasks import heads as tasks
from squeezebert_edge.tasks.heads import Task
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.text.vocabulary import TokenizerFlags, read_vocab

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
DEFAULT_LENGTHS = (32, 64, 128)
SHORTEST_LENGTH = 4  # a pair's three special tokens and one of text
CALIBRATED = "int8-static"
NEURAL_ENGINE = ("neural-engine", "neural-engine-groups")  # forms whose programs must suit it
# Parts that stay float, in any form. A calibrated scale would clip the logits, and the last product is too
# small to matter. Where 16 values serve a whole weight, as in iOS 17's 4 bits, the pooler and the table
# of token types too cost the outputs much for their size.
LAST_PRODUCTS = ("classifier", "qa_outputs")
NO_PALETTE = ("token_type_embeddings", "pooler", *LAST_PRODUCTS)
OWN_GATES = Gates()  # wishes for nothing, so that each precision keeps its own
TARGETS = {17: "iOS17", 18: "iOS18"}


@dataclass(frozen=True)
class Plan:
    """What to make of a checkpoint: each pair of format and precision becomes a bundle.

    lengths: ascending sequence lengths, all in each artifact.
    ios: the oldest iOS a Core ML bundle must run on.
    form: by default the one that `forms` has for a format and precision.
    gates: limits in place of a precision's own; a null in them keeps its own.
    calibration: for precisions that quantize activations beforehand.
    keep_float: parts that are not quantized, by their names in the form.
    allow_undelegated: make bundles whose delegate leaves products to slower kernels; the manifest lists them.

    Raises:
        InputError: no such form.
    """

    pairs: Sequence[tuple[str, str]]
    lengths: Sequence[int]
    ios: int = 17
    form: str | None = None
    forms: choices.Forms = field(default_factory=lambda: choices.FORMS_BY_PRECISION)
    gates: Gates = OWN_GATES
    calibration: Calibration | None = None
    keep_float: Sequence[str] = ()
    allow_undelegated: bool = False

    def __post_init__(self) -> None:
        if self.form is not None:
            form_named(self.form)

    def form_of(self, format_: str, exact: str) -> choices.Choice:
        """How the network is laid out for a format and an exact precision."""
        if self.form is not None:
            return choices.Choice(self.form, "the user")
        return choices.form_of(format_, exact, self.forms)

    @property
    def needs_calibration(self) -> bool:
        """Whether any of the pairs quantizes activations beforehand."""
        return any(choices.exact_precision(*pair).name == CALIBRATED for pair in self.pairs)


def possible_pairs(formats: Sequence[str], precisions: Sequence[str]) -> list[tuple[str, str]]:
    """Every (format, precision) asked for; all exact precisions of each format if none is named.

    Raises:
        InputError: an unknown format, or a precision that a format does not have.
    """
    pairs = []
    for name in dict.fromkeys(formats):
        exporter = exporters.get(name, to_export=True)
        for precision in dict.fromkeys(precisions or exporter.PRECISIONS):
            if precision != "int8" and precision not in exporter.PRECISIONS:
                raise InputError(
                    f"{name} has no precision '{precision}'",
                    allowed=f"{', '.join(exporter.PRECISIONS)}; int8 is {choices.INT8[name].name}",
                )
            pairs.append((name, precision))
    return pairs


def checked_lengths(lengths: Sequence[int] | None, config: SqueezeBertConfig) -> tuple[int, ...]:
    """The lengths to export; without a wish, those of 32, 64 and 128 that the checkpoint has positions for.

    Raises:
        InputError: a length the model has no positions for, or too short for a text, doubled or unsorted.
    """
    most = config.max_position_embeddings
    if lengths is None:
        return tuple(length for length in DEFAULT_LENGTHS if length <= most) or (most,)
    allowed = f"ascending lengths from {SHORTEST_LENGTH} to {most} (the checkpoint's max_position_embeddings)"
    for length in lengths:
        if not SHORTEST_LENGTH <= length <= most:
            raise InputError(f"length {length}", allowed=allowed)
    if not lengths or list(lengths) != sorted(set(lengths)):
        raise InputError(f"lengths {', '.join(map(str, lengths))}: unsorted or doubled", allowed=allowed)
    return tuple(lengths)


def calibrated(plan: Plan, checkpoint: Checkpoint, path: Path | None, samples: int) -> Plan:
    """The plan with calibration data from a file, or built-in ones, if any of its pairs needs them.

    Raises:
        InputError: a file that cannot be used, or one that no pair needs.
    """
    if not plan.needs_calibration:
        if path is not None:
            raise InputError(
                f"calibration data without a precision that takes any: {path}",
                allowed=f"{CALIBRATED} among them",
            )
        return plan
    data = calibration.read(
        path, task_of(checkpoint), checkpoint.tokenizer, samples=samples, max_length=plan.lengths[-1]
    )
    return replace(plan, calibration=data)


def refuse_outputs(plan: Plan, out: Path, *, force: bool) -> None:
    """Raise InputError if any bundle of the plan exists already and may not be replaced."""
    for name, precision in plan.pairs:
        refuse_existing(out / f"{name}-{precision}", marker=MANIFEST, force=force)


def export(
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
        with staged(target, marker=MANIFEST, force=force) as staging:
            _make(checkpoint, plan, name, precision, staging, of(f"{name} {precision}", progress))
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
        ranges=quantization.of_form(checkpoint.ranges, module) if exact == CALIBRATED else {},
        keep_float=keep_float,
    )


def quantizable(checkpoint: Checkpoint, exact: str) -> SqueezeBertPreTrainedModel:
    """The network to quantize: a balanced copy, unless its learned ranges fit it as it is."""
    if exact == CALIBRATED and checkpoint.ranges:
        return checkpoint.model
    model = copy.deepcopy(checkpoint.model)
    balance(model)
    return model


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


def architecture_of(task: str | None) -> str | None:
    """The class of the head that a user asks for by its task; None leaves it to the checkpoint.

    Raises:
        InputError: no such task.
    """
    if task is None:
        return None
    if task not in tasks.TASKS:
        raise InputError(f"unknown task '{task}'", allowed=", ".join(tasks.TASKS))
    return tasks.TASKS[task].architecture


def task_of(checkpoint: Checkpoint) -> Task:
    """The task of a checkpoint's head, with its labels where the head has classes."""
    task = tasks.of_architecture(type(checkpoint.model).__name__)
    config = checkpoint.config
    has_classes = task in (tasks.TextClassification, tasks.TokenClassification)
    labels = [config.id2label[index] for index in range(config.num_labels)] if has_classes else []
    return task(labels, config.problem_type if task is tasks.TextClassification else None)


def task_of_bundle(bundle: Bundle) -> Task:
    """The task that a bundle's manifest names."""
    manifest = bundle.manifest
    if manifest.task not in tasks.TASKS:
        raise InputError(
            f"{bundle.directory}: unknown task '{manifest.task}'", allowed=", ".join(tasks.TASKS)
        )
    return tasks.TASKS[manifest.task](manifest.labels, manifest.problem_type)


def tokenizer_of_bundle(bundle: Bundle) -> Tokenizer:
    """The tokenizer that a bundle's vocabulary and manifest make."""
    vocabulary = read_vocab(bundle.directory / VOCABULARY)
    return Tokenizer(vocabulary, TokenizerFlags.from_manifest(bundle.manifest.tokenizer.model_dump()))


def load_runner(bundle: Bundle, *, threads: int = 1, runtime: str | None = None) -> Runner:
    """The bundle's artifact, ready to run; checked to have the lengths its manifest promises."""
    runner = exporters.get(bundle.manifest.format).load(bundle.artifact, threads=threads, runtime=runtime)
    if list(runner.lengths) != bundle.manifest.lengths:
        raise InputError(
            f"{bundle.directory}: the artifact has lengths {list(runner.lengths)}, "
            f"its manifest says {bundle.manifest.lengths}",
            hint="export it again",
        )
    return runner


def checkpoint_of_bundle(bundle: Bundle, source: str | None = None) -> Checkpoint:
    """The checkpoint that a bundle was made from.

    Args:
        source: where it is now; by default where the manifest says it was.

    Raises:
        InputError: it is not there, or is another one.
    """
    manifest = bundle.manifest
    hint = "--checkpoint CHECKPOINT names where it is now"
    try:
        checkpoint = checkpoints.load(
            source or manifest.source.checkpoint, architecture=task_of_bundle(bundle).architecture
        )
    except InputError as error:
        if source is not None:
            raise
        raise InputError(
            f"the checkpoint this bundle was made from cannot be loaded: {error.problem}", hint=hint
        ) from error
    if checkpoint.sha256 != manifest.source.sha256:
        raise InputError(
            f"{checkpoint.source} is not the checkpoint that {bundle.directory} was made from: "
            f"sha256 {checkpoint.sha256[:12]}..., not {manifest.source.sha256[:12]}...",
            hint=hint,
        )
    return checkpoint


def verify_bundle(
    bundle: Bundle,
    *,
    source: str | None = None,
    gates: Gates = OWN_GATES,
    runtime: str | None = None,
    progress: Progress = silent,
) -> Verification:
    """Prove an existing bundle against its checkpoint again.

    Args:
        source: where the checkpoint is now; by default where the manifest says it was.
        gates: limits to use in place of the precision's own; a null in them keeps its own.

    Raises:
        InputError: the checkpoint is not there, or is not the one the bundle was made from.
    """
    progress("loading the checkpoint", 0, 0)
    checkpoint = checkpoint_of_bundle(bundle, source)
    return verify(
        checkpoint,
        task_of_bundle(bundle),
        load_runner(bundle, runtime=runtime),
        gates_of(bundle.manifest.precision.exact, gates),
        progress=progress,
    )
