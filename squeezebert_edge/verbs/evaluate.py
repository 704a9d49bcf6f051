"""Bundles compared with the checkpoints they were made from, on a file of labelled examples."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import InputError
from exporters.units import CPU, Unit
from squeezebert_edge import __version__
from squeezebert_edge.accuracy.answers import BatchedAnswers, RunnerAnswers, compare, reference_answers
from squeezebert_edge.accuracy.datasets import resolve_dataset
from squeezebert_edge.accuracy.labelled import LabelledData, fingerprint
from squeezebert_edge.accuracy.paired import AccuracyComparison
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import Device
from squeezebert_edge.devices.answering import BundleOnDevice
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.journal import Journal, open_journal
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.tasks.rows import Compute, rows_of

if TYPE_CHECKING:
    from squeezebert_edge.devices import Inputs


def evaluate_bundles(
    bundles: Sequence[Bundle],
    data: Path,
    *,
    dataset: str | None = None,
    labels: Sequence[str] | None = None,
    columns: Mapping[str, int] | None = None,
    null_threshold: float | None = None,
    source: str | None = None,
    limit: int | None = None,
    threads: int = 1,
    runtime: str | None = None,
    unit: Unit | None = None,
    device: Device | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> list[AccuracyComparison]:
    """Compare each bundle with its own float reference on the same examples.

    Answers are kept beside a bundle, in `<bundle>.answers.jsonl`, until all bundles are done.

    Args:
        data: a labelled file of a form that the bundles' task reads.
        dataset: a data set that is known by name, for its metrics and labels, or the head's name; by default
            the head's own metrics.
        labels: the file's names for the model's outputs, in their order.
        columns: where the words and tags of a file without a header stand, as `read_tagged` takes it.
        null_threshold: as `resolve_dataset` takes it.
        source: where the checkpoint of all bundles is now; by default where their manifests say.
        limit: how many of the first examples to take.
        unit: what computes the bundles: by default the CPU, or what Core ML decides on the device. In this
            process a GPU and an NPU are slow.
        device: where the bundles run, in the code that latencies are measured with there; by default they run
            in this process.
        resume: take the answers that an interrupted call has kept.

    Returns:
        A comparison for each bundle, in the order of `bundles`.

    Raises:
        GateError: the device gave no answers.
        InputError: the bundles have different tasks, a checkpoint is gone or is another one, the data is
            wrong, or the kept answers are of other data or settings.
    """
    tasks = {bundle.manifest.task for bundle in bundles}
    if len(tasks) != 1:
        raise InputError(
            f"the bundles are for different tasks: {', '.join(sorted(tasks))}",
            allowed="bundles of one task at once",
        )
    for bundle in bundles:
        if device is None:
            bundle.gates_on(unit or CPU)
        resolve_dataset(bundle.task, dataset, labels, null_threshold=null_threshold)
    examples = bundles[0].task.read_file(data, columns)
    where = device and [str(device.describe()), device.runner]
    options = [dataset, labels, null_threshold, limit, runtime, unit and str(unit)]
    settings = [*options, where, fingerprint(examples)]
    comparisons = []
    with ExitStack() as stack:
        journals = []
        references: dict[tuple[str, int], BatchedAnswers] = {}
        for bundle in bundles:
            bundle_progress = with_prefix(bundle.directory.name, progress)
            lengths = bundle.manifest.lengths
            key = (bundle.manifest.source.sha256, lengths[-1])
            if key not in references:
                bundle_progress("loading the checkpoint", 0, 0)
                checkpoint = bundle.load_checkpoint(source)
                references[key] = reference_answers(
                    checkpoint,
                    examples,
                    dataset=dataset,
                    labels=labels,
                    null_threshold=null_threshold,
                    limit=limit,
                    max_length=lengths[-1],
                )
            reference = references[key]
            journal = stack.enter_context(_open_journal(bundle, settings, resume=resume))
            journals.append(journal)
            runner: Compute
            if device is None:
                runner = bundle.load_runner(threads=threads, runtime=runtime, unit=unit or CPU)
            else:
                rows = _pending_rows(reference.data, bundle, set(journal.done) if journal else ())
                # Core ML has no such setting, nor has a GPU or an NPU, where one thread is the default.
                beside_cpu = unit is not None and not unit.is_cpu and threads == 1
                own = None if beside_cpu or bundle.manifest.format == "coreml" else threads
                asked = Settings(threads=own, runtime=runtime, unit=None if unit is None else str(unit))
                runner = BundleOnDevice(device, bundle, asked, rows, bundle_progress)
            answers = RunnerAnswers(reference.data, bundle.tokenizer, runner, lengths)
            comparisons.append(compare(reference, answers, journal=journal, progress=bundle_progress))
        for journal in filter(None, journals):
            journal.delete()
    return comparisons


def _pending_rows(data: LabelledData, bundle: Bundle, known: Collection[int]) -> Iterator[Inputs]:
    """The rows that `compare` will ask a bundle for, in its order."""
    for batch in data.batches:
        for index in batch:
            if index not in known:
                yield from rows_of(data.task, bundle.tokenizer, data.examples[index], bundle.manifest.lengths)


def answers_path(bundle: Bundle) -> Path:
    """Where a bundle's answers are kept while it is evaluated: beside it, since nothing may be in it."""
    directory = bundle.directory.resolve()
    return directory.with_name(f"{directory.name}.answers.jsonl")


def _open_journal(
    bundle: Bundle, settings: object, *, resume: bool
) -> AbstractContextManager[Journal | None]:
    if not resume and not os.access(answers_path(bundle).parent, os.W_OK):
        return nullcontext()  # a bundle in a directory that cannot be written can be evaluated too
    key = json.dumps([__version__, bundle.seal, settings])
    return open_journal(answers_path(bundle), hashlib.sha256(key.encode()).hexdigest(), resume=resume)
