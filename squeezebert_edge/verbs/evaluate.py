"""Bundles beside the checkpoints they were made from, on a file of labelled examples."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import InputError
from squeezebert_edge import __version__
from squeezebert_edge.accuracy.answers import ReferenceAnswers, compare, fingerprint
from squeezebert_edge.accuracy.paired import AccuracyComparison
from squeezebert_edge.accuracy.presets import scored_as
from squeezebert_edge.bundle.manifest import MANIFEST
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.devices import Device
from squeezebert_edge.devices.answering import DeviceRunner
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.journal import Journal, open_journal
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.proof.reference import Reference
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.rows import Compute, rows_of
from squeezebert_edge.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from squeezebert_edge.devices import Inputs


def evaluate_bundles(
    bundles: Sequence[Bundle],
    data: Path,
    *,
    scored: str | None = None,
    labels: Sequence[str] | None = None,
    source: str | None = None,
    limit: int | None = None,
    threads: int = 1,
    runtime: str | None = None,
    device: Device | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> list[AccuracyComparison]:
    """Compare each bundle with its own float reference on the same examples, in the order of `bundles`.

    Answers are kept beside a bundle, in `<bundle>.answers.jsonl`, until all bundles are done.

    Args:
        data: a labelled file of a form that the bundles' task reads.
        scored: a preset of presets.PRESETS, or the head's name; by default the head's own metrics.
        labels: the file's names for the model's outputs, in their order.
        source: where the checkpoint of all bundles is now; by default where their manifests say.
        limit: how many of the first examples to take.
        device: where the bundles answer, by the code that a latency is measured with there; by default in
            this process.
        resume: take the answers that an interrupted call has kept.

    Raises:
        GateError: a device that gave no answers.
        InputError: bundles of different tasks, a checkpoint that is gone or another one, data that is wrong,
            or kept answers that are of other data or settings.
    """
    tasks = {bundle.manifest.task for bundle in bundles}
    if len(tasks) != 1:
        raise InputError(f"bundles for {', '.join(sorted(tasks))}", allowed="bundles of one task at once")
    for bundle in bundles:
        scored_as(bundle.task, scored, labels)
    examples = type(bundles[0].task).read(data)[:limit]
    where = device and [str(device.describe()), device.runner]
    settings = [scored, labels, runtime, where, fingerprint(examples)]
    found = []
    with ExitStack() as stack:
        kept = []
        references: dict[tuple[str, int], ReferenceAnswers] = {}
        for bundle in bundles:
            mine = with_prefix(bundle.directory.name, progress)
            lengths = bundle.manifest.lengths
            key = (bundle.manifest.source.sha256, lengths[-1])
            if key not in references:
                mine("loading the checkpoint", 0, 0)
                checkpoint = bundle.load_checkpoint(source)
                references[key] = reference_on(checkpoint, examples, scored, labels, lengths[-1])
            kept.append(stack.enter_context(_journal(bundle, settings, resume=resume)))
            tokenizer = bundle.tokenizer
            compute: Compute
            if device is None:
                compute = bundle.load_runner(threads=threads, runtime=runtime)
            else:
                answers = kept[-1]
                rows = _asked(references[key], tokenizer, lengths, set(answers.done) if answers else ())
                own = None if bundle.manifest.format == "coreml" else threads  # Core ML has no such setting
                asked = Settings(threads=own, runtime=runtime)
                compute = DeviceRunner(device, bundle, asked, rows, mine)
            found.append(
                compare(references[key], tokenizer, compute, lengths, journal=kept[-1], progress=mine)
            )
        for answers in filter(None, kept):
            answers.delete()
    return found


def reference_answers(
    checkpoint: Checkpoint,
    data: Path,
    *,
    scored: str | None = None,
    labels: Sequence[str] | None = None,
    limit: int | None = None,
    max_length: int,
) -> ReferenceAnswers:
    """The float reference of a checkpoint on a labelled file; for the arguments see `evaluate_bundles`.

    Raises:
        InputError: data that is wrong, or a head that is not scored as asked.
    """
    examples = type(task_of(checkpoint)).read(data)[:limit]
    return reference_on(checkpoint, examples, scored, labels, max_length)


def reference_on(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    scored: str | None,
    labels: Sequence[str] | None,
    max_length: int,
) -> ReferenceAnswers:
    """The float reference of a checkpoint on examples that were read already."""
    task, metrics = scored_as(task_of(checkpoint), scored, labels)
    reference = Reference(checkpoint.model, type(task))
    return ReferenceAnswers(task, metrics, checkpoint.tokenizer, reference, examples, max_length)


def _asked(
    reference: ReferenceAnswers, tokenizer: Tokenizer, lengths: Sequence[int], known: Collection[int]
) -> Iterator[Inputs]:
    """The rows that `compare` will ask for, in its order."""
    for batch in reference.batches:
        for index in batch:
            if index not in known:
                yield from rows_of(reference.task, tokenizer, reference.examples[index], lengths)


def answers_path(bundle: Bundle) -> Path:
    """Where a bundle's answers are kept while it is evaluated: beside it, since it holds no other file."""
    directory = bundle.directory.resolve()
    return directory.with_name(f"{directory.name}.answers.jsonl")


def _journal(bundle: Bundle, settings: object, *, resume: bool) -> AbstractContextManager[Journal | None]:
    if not resume and not os.access(answers_path(bundle).parent, os.W_OK):
        return nullcontext()  # bundles that nobody may write beside can be evaluated too
    manifest = hashlib.sha256((bundle.directory / MANIFEST).read_bytes()).hexdigest()
    key = json.dumps([__version__, manifest, settings])
    return open_journal(answers_path(bundle), hashlib.sha256(key.encode()).hexdigest(), resume=resume)
