"""An opened bundle: its files checked, and what it can be asked for. Called with a text, it answers."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import exporters
from exporters.errors import GateError, InputError, quote
from exporters.units import CPU, Unit
from squeezebert_edge.bundle.gates import broken_gates
from squeezebert_edge.bundle.manifest import (
    MANIFEST,
    SEAL,
    VOCABULARY,
    Manifest,
    files,
    parse_manifest,
    sha256,
)
from squeezebert_edge.bundle.meaning import require_artifact_agrees, require_checkpoint_agrees
from squeezebert_edge.plumbing.reading import read_bytes, read_text
from squeezebert_edge.tasks.heads import DEFAULT_DOC_STRIDE, TASKS
from squeezebert_edge.tasks.rows import answer_rows
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.text.vocabulary import TokenizerFlags, read_vocab

if TYPE_CHECKING:
    from exporters.precision import Gates, Precision
    from exporters.spec import Runner
    from squeezebert_edge.checkpoint.checkpoint import Checkpoint
    from squeezebert_edge.plumbing.signing import Key
    from squeezebert_edge.tasks.data import Example
    from squeezebert_edge.tasks.heads import Task

Answer = dict[str, Any]
LONGEST_SEAL = 1024  # bytes; it has 65
SIGNED_AS = "bundle"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle, its files found to be those that were written.

    allow_failed: whether units whose proof failed are run all the same.

    Called with a text it answers, as `squeezebert-edge predict` does. The task says which texts it takes:

        bundle("a gorgeous, witty film")                        # a text: label, score, scores
        bundle("He left.", "He went away.")                     # a pair
        bundle("Who wrote it?", "It was written by Ada.")       # a question and its context: answer, start
        bundle("She opened the door and", choices=["left.", "flew."])
        bundle(["first text", "second text"])                   # a list of them: a list of answers
    """

    directory: Path
    manifest: Manifest
    allow_failed: bool = False

    def require_proof(self, unit: Unit = CPU) -> None:
        """Refuse what a unit runs if its proof failed: its own, or the artifact's where it runs the artifact.

        An NPU without a chip is asked again when the phone has said which it has.

        Raises:
            GateError: it failed, and such units are not allowed.
        """
        if self.allow_failed or (unit.kind == "npu" and unit.chip is None):
            return
        record = self.manifest.units.get(str(unit))
        proof = self.manifest.verification if record is None else record.verification
        if proof.status == "failed":
            on, option = ("", "") if record is None else (f" on {unit}", f" --unit {unit}")
            raise GateError(
                f"{self.directory}{on} is not equal to the float model: {'; '.join(proof.failures)}",
                allowed="what is verified; `inspect`, `report` and `verify` open this one too",
                hint=f"squeezebert-edge verify {self.directory}{option}, or export again in another "
                "precision or form",
            )

    @property
    def artifact(self) -> Path:
        """The artifact's file, or its directory for Core ML."""
        return self.directory / self.manifest.artifact

    @property
    def seal(self) -> str:
        """The hash of its manifest, which names its whole content."""
        return read_text(self.directory / SEAL, LONGEST_SEAL).strip()

    def sign(self, key: Key) -> None:
        """Write a signature beside it, of its whole content."""
        key.sign(self.directory, SIGNED_AS, self.seal.encode())

    def require_signature(self, key: Key) -> None:
        """Raise GateError if it is not signed by a key, or was altered since."""
        key.require(self.directory, SIGNED_AS, self.seal.encode())

    @property
    def size(self) -> int:
        """Bytes of the artifact."""
        files = [self.artifact] if self.artifact.is_file() else self.artifact.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    def size_of(self, unit: Unit) -> int:
        """Bytes of what a unit runs, all lengths together."""
        if unit == CPU:
            return self.size
        return sum(file.stat().st_size for file in set(self._files_of(unit).values()))

    @property
    def precision(self) -> Precision:
        """What the exact precision means in the bundle's format.

        Raises:
            InputError: no such format or precision here.
        """
        return exporters.format_named(self.manifest.format).precision(self.manifest.precision.exact)

    @cached_property
    def task(self) -> Task:
        """The task that the manifest names.

        Raises:
            InputError: this version does not know it.
        """
        name = self.manifest.task
        if name not in TASKS:
            raise InputError(f"{self.directory}: unknown task '{name}'", allowed=", ".join(TASKS))
        return TASKS[name](self.manifest.labels, self.manifest.problem_type)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the vocabulary and the manifest make."""
        vocabulary = read_vocab(self.directory / VOCABULARY)
        return Tokenizer(vocabulary, TokenizerFlags.from_manifest(self.manifest.tokenizer.model_dump()))

    @cached_property
    def runner(self) -> Runner:
        """The artifact, ready to run on one thread; loaded when it is first asked for."""
        return self.load_runner()

    def load_runner(self, *, threads: int = 1, runtime: str | None = None, unit: Unit = CPU) -> Runner:
        """The artifact, ready to run.

        Args:
            runtime: one of several that a format has; by default the best that is installed.
            unit: what is to compute it; each but the plain CPU runs in a process of its own, which ends with
                the runner.

        Raises:
            InputError: its lengths are not those that the manifest promises, or there are no files for the
                unit.
            UnavailableError: the unit cannot be run, or emulated, on this machine.
            GateError: the unit refuses the files, or its proof failed.
        """
        self.require_proof(unit)
        format_ = exporters.get(self.manifest.format)
        if unit == CPU:
            runner = format_.load(self.artifact, threads=threads, runtime=runtime)
        else:
            runner = format_.unit(unit.kind).load(unit, self.files_of(unit))
        if list(runner.lengths) != self.manifest.lengths:
            raise InputError(
                f"{self.directory}: the artifact has lengths {list(runner.lengths)}, "
                f"its manifest says {self.manifest.lengths}",
                hint="export it again",
            )
        return runner

    def files_of(self, unit: Unit) -> dict[int, Path]:
        """Length -> the file that a unit runs: its own, or the artifact where nothing is compiled for it.

        Raises:
            InputError: the bundle holds no files for the chip.
            GateError: the unit's proof failed, and such units are not allowed.
        """
        self.require_proof(unit)
        return self._files_of(unit)

    def _files_of(self, unit: Unit) -> dict[int, Path]:
        record = self.manifest.units.get(str(unit))
        if record is not None:
            return {length: self.directory / name for length, name in record.files.items()}
        if unit.kind == "npu":
            there = ", ".join(dict.fromkeys(["cpu", "cpu-fp16", "gpu", *self.manifest.units]))
            raise InputError(
                f"{self.directory} holds no files for {unit}",
                allowed=there,
                hint=f"squeezebert-edge export CHECKPOINT --to {self.manifest.format} --unit {unit}",
            )
        return dict.fromkeys(self.manifest.lengths, self.artifact)

    def gates_on(self, unit: Unit) -> Gates:
        """What must hold of the bundle's answers on a unit.

        Raises:
            InputError: the unit does not compute in the bundle's precision.
        """
        if unit == CPU:
            return self.precision.gates
        if unit.kind not in self.precision.unit_gates:
            precisions = exporters.format_named(self.manifest.format).precisions
            takes = [name for name, meaning in precisions.items() if unit.kind in meaning.unit_gates]
            mine = f"{self.manifest.format} {self.manifest.precision.exact}"
            raise InputError(
                f"the unit '{unit.kind}' does not compute {mine}",
                allowed=", ".join(takes) or "cpu alone for this format",
            )
        return self.precision.unit_gates[unit.kind]

    def load_checkpoint(self, source: str | None = None) -> Checkpoint:
        """The checkpoint that the bundle was made from.

        Args:
            source: where it is now; by default where the manifest says it was.

        Raises:
            InputError: it is not there, is another one, or the manifest says otherwise than it does what
                the artifact's numbers mean.
        """
        from squeezebert_edge.checkpoint.checkpoint import load_checkpoint

        made_from = self.manifest.source
        hint = "--checkpoint CHECKPOINT names where it is now"
        try:
            checkpoint = load_checkpoint(source or made_from.checkpoint, architecture=self.task.architecture)
        except InputError as error:
            if source is not None:
                raise
            raise InputError(
                f"the checkpoint this bundle was made from cannot be loaded: {error.problem}", hint=hint
            ) from error
        if checkpoint.sha256 != made_from.sha256:
            raise InputError(
                f"{checkpoint.source} is not the checkpoint that {self.directory} was made from: "
                f"sha256 {checkpoint.sha256[:12]}..., not {made_from.sha256[:12]}...",
                hint=hint,
            )
        require_checkpoint_agrees(self.directory, self.manifest, checkpoint)
        return checkpoint

    def answer(
        self,
        example: Example,
        *,
        runner: Runner | None = None,
        doc_stride: int = DEFAULT_DOC_STRIDE,
    ) -> Answer:
        """What the bundle answers to an example.

        Args:
            runner: as `load_runner` gave it; by default the bundle's own, of one thread.
            doc_stride: tokens that the windows over a long context share.

        Returns:
            The text, the answer as the task has it (`Task.answer`), and whether the text was cut.
        """
        runner = runner or self.runner
        rows = answer_rows(self.task, self.tokenizer, runner, example, runner.lengths, doc_stride)
        return {
            "text": example.text,
            **self.task.answer(example, rows, self.tokenizer),
            "truncated": not self.task.windows and any(row.encoding.truncated for row in rows),
        }

    @overload
    def __call__(self, text: str, pair: str | None = None, *, choices: Sequence[str] = ()) -> Answer: ...

    @overload
    def __call__(self, text: list[str] | list[tuple[str, ...]]) -> list[Answer]: ...

    def __call__(
        self,
        text: str | list[str] | list[tuple[str, ...]],
        pair: str | None = None,
        *,
        choices: Sequence[str] = (),
    ) -> Answer | list[Answer]:
        """Answer a text, or each of a list.

        Args:
            text: a text, a question or a prompt; or a list, each item a text or the texts of one example:
                a pair, a question and its context, a prompt and its choices.
            pair: the second text, or the question's context.
            choices: the endings of a prompt.

        Raises:
            InputError: texts that the bundle's task does not take.
        """
        if isinstance(text, str):
            return self.answer(self.task.ask([text, *([] if pair is None else [pair]), *choices]))
        if pair is not None or choices:
            raise InputError(
                "a list of texts beside a pair or choices",
                allowed="a list whose items hold all of an example's texts, such as [(text, pair), ...]",
            )
        return [self.answer(self.task.ask([item] if isinstance(item, str) else list(item))) for item in text]


def _way_to_a_bundle(directory: Path) -> str | None:
    """What to run or to name, where a checkpoint or a directory of bundles was taken for a bundle."""
    if (directory / "config.json").is_file():
        return (
            f"it is a checkpoint; make bundles of it: squeezebert-edge export {shlex.quote(str(directory))}"
        )
    inside = sorted(path.parent for path in directory.glob(f"*/{MANIFEST}"))
    return f"name the bundles in it, such as {shlex.quote(str(inside[0]))}" if inside else None


def open_bundle(directory: Path, *, unit: Unit = CPU, allow_failed: bool = False) -> Bundle:
    """Open a bundle; check every file against the manifest, and the manifest against the artifact.

    Args:
        unit: what is to compute it, whose proof is asked for.
        allow_failed: whether a bundle whose proof failed is opened, to be looked at or proven again. Nothing
            else is to be done with one.

    Raises:
        InputError: not a bundle, a schema this version does not know, a file that is missing, foreign or
            altered, or a manifest that contradicts the artifact or itself.
        GateError: its proof failed.
    """
    path = directory / MANIFEST
    try:
        content, seal = read_bytes(path), read_text(directory / SEAL, LONGEST_SEAL).strip()
    except InputError as error:
        raise InputError(
            f"{directory} is not a bundle: {error.problem}",
            allowed="a directory that `squeezebert-edge export` wrote",
            hint=_way_to_a_bundle(directory),
        ) from None
    bundle = Bundle(directory, parse_manifest(path, content), allow_failed)
    if hashlib.sha256(content).hexdigest() != seal:
        raise InputError(f"{path}: not as it was written", hint="export it again")
    found, expected = files(directory), bundle.manifest.files
    changes = {
        "missing": sorted(expected.keys() - found.keys()),
        "not in the manifest": sorted(found.keys() - expected.keys()),
        "altered": sorted(
            name for name in expected.keys() & found.keys() if expected[name] != sha256(found[name])
        ),
    }
    if any(changes.values()):
        listed = "; ".join(f"{what}: {', '.join(names)}" for what, names in changes.items() if names)
        raise InputError(f"{directory}: not as it was written: {listed}", hint="export it again")
    for name, record in bundle.manifest.units.items():
        absent = sorted({file for file in record.files.values() if file not in expected})
        if absent or list(record.files) != bundle.manifest.lengths:
            what = f"{', '.join(absent)}, which is not there" if absent else f"files for {list(record.files)}"
            raise InputError(f"{directory}: its unit {name} has {what}", hint="export it again")
    _check_outputs(bundle)
    for proof in bundle.manifest.proofs:
        for broken in broken_gates(proof):
            raise InputError(f"{directory} says that it is verified, but {broken}", hint="export it again")
    require_artifact_agrees(directory, bundle.manifest)
    _check_what_is_proven(bundle)
    bundle.require_proof(unit)
    return bundle


def _check_what_is_proven(bundle: Bundle) -> None:
    """Refuse a manifest whose proofs are of other files than there are."""
    manifest = bundle.manifest
    proofs = {None: manifest.verification} | {
        name: record.verification for name, record in manifest.units.items()
    }
    for name, proof in proofs.items():
        if proof.proven_sha256 not in (None, manifest.hash_of(name)):
            place = "" if name is None else f" on {name}"
            raise InputError(
                f"{bundle.directory}: its proof{place} is of other files than it has", hint="export it again"
            )


def _check_outputs(bundle: Bundle) -> None:
    """Refuse a manifest whose outputs are not those of its task and labels."""
    task, manifest = bundle.task, bundle.manifest
    names = [output.name for output in manifest.outputs]
    if names != list(task.outputs):
        raise InputError(
            f"{bundle.directory}: a {task.name} bundle has the outputs {quote(names)}",
            allowed=", ".join(task.outputs),
            hint="export it again",
        )
    for output in manifest.outputs:
        if (None in output.shape) != (output.name in task.per_token):
            each = "token" if output.name in task.per_token else "text"
            raise InputError(
                f"{bundle.directory}: {output.name} has the shape {quote(output.shape)}",
                allowed=f"values for each {each}, as {task.name} has them",
                hint="export it again",
            )
        if manifest.labels and output.shape[-1] != len(manifest.labels):
            raise InputError(
                f"{bundle.directory}: {len(manifest.labels)} labels for an output of {output.shape[-1]}",
                allowed="a label for each value",
                hint="export it again",
            )


def open_bundles(directories: Iterable[Path], key: Key | None = None, *, unit: Unit = CPU) -> list[Bundle]:
    """Open bundles, each once however often it is named.

    Args:
        unit: as `open_bundle` takes it.
        key: that has to have signed them.

    Raises:
        InputError: as `open_bundle`.
        GateError: as `open_bundle`, or one is not signed.
    """
    bundles = [open_bundle(path, unit=unit) for path in dict.fromkeys(path.resolve() for path in directories)]
    if key is not None:
        for bundle in bundles:
            bundle.require_signature(key)
    return bundles
