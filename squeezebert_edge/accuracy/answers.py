"""The answers of a model to labelled examples: how good they are, and what an artifact's lose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from exporters.errors import InputError
from squeezebert_edge.accuracy.datasets import resolve_dataset
from squeezebert_edge.accuracy.labelled import BATCH_ROWS, LabelledData
from squeezebert_edge.accuracy.metrics import LabelledPredictions
from squeezebert_edge.accuracy.packages import require_packages
from squeezebert_edge.accuracy.paired import AccuracyComparison, Answer, Pair, compare_pairs
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.plumbing.journal import Journal
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.proof.reference import Reference
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import Prediction, Row
from squeezebert_edge.tasks.rows import Compute, answer_rows
from squeezebert_edge.text.tokenizer import Encoding, Tokenizer, pad

if TYPE_CHECKING:
    from squeezebert_edge.checkpoint.checkpoint import Checkpoint


class Answers(Protocol):
    """What a model answers to labelled examples; computed when it is asked for."""

    data: LabelledData

    def compute(self, indices: Sequence[int]) -> Iterable[Answer]:
        """The answers to the examples of these indices, in their order."""
        ...


class BatchedAnswers:
    """The answers of a model that takes batches, such as the float reference.

    Rows are padded to the longest of their batch. The padding is masked, so that the outputs equal those of
    single rows to 1e-5. Each answer is computed once and kept, so that several artifacts of the same longest
    length can be compared with it.

    Args:
        model: name -> (B, S) int32 in, name -> float32 out, its first axis B.
    """

    def __init__(self, data: LabelledData, model: Compute) -> None:
        self.data = data
        self.known: dict[int, Answer] = {}
        self._model = model

    def compute(self, indices: Sequence[int]) -> list[Answer]:
        """The answers to the examples of these indices, in their order."""
        missing = [index for index in indices if index not in self.known]
        task, tokenizer = self.data.task, self.data.tokenizer
        encodings = [self.data.encode(self.data.examples[index]) for index in missing]
        rows = self._rows([encoding for several in encodings for encoding in several])
        for index, several in zip(missing, encodings, strict=True):
            mine = [next(rows) for _ in several]
            prediction = task.predict(self.data.examples[index], mine, tokenizer)
            self.known[index] = Answer(prediction, task.outputs_to_compare(mine, tokenizer))
        return [self.known[index] for index in indices]

    def _rows(self, encodings: Sequence[Encoding]) -> Iterator[Row]:
        for start in range(0, len(encodings), BATCH_ROWS):
            batch = encodings[start : start + BATCH_ROWS]
            length = max(map(len, batch))
            padded = [pad(encoding, length, self.data.tokenizer.special_ids["pad"]) for encoding in batch]
            outputs = self._model({name: np.concatenate([row[name] for row in padded]) for name in padded[0]})
            for row, encoding in enumerate(batch):
                yield self.data.task.row(
                    encoding, {name: value[row, None] for name, value in outputs.items()}
                )


class RunnerAnswers:
    """The answers of an artifact, which takes one row at a time.

    Args:
        tokenizer: the artifact's own.
        runner: name -> (1, S) int32 in, name -> float32 out; S is one of `lengths`.
        lengths: ascending. The longest must be the `max_length` of the data.
    """

    def __init__(
        self, data: LabelledData, tokenizer: Tokenizer, runner: Compute, lengths: Sequence[int]
    ) -> None:
        self.data = data
        self._tokenizer, self._runner, self._lengths = tokenizer, runner, lengths

    def compute(self, indices: Sequence[int]) -> Iterator[Answer]:
        """The answers to the examples of these indices, in their order, each row at the shortest length."""
        task, tokenizer = self.data.task, self._tokenizer
        for example in (self.data.examples[index] for index in indices):
            rows = answer_rows(task, tokenizer, self._runner, example, self._lengths)
            yield Answer(task.predict(example, rows, tokenizer), task.outputs_to_compare(rows, tokenizer))


def reference_answers(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    *,
    dataset: str | None = None,
    labels: Sequence[str] | None = None,
    null_threshold: float | None = None,
    limit: int | None = None,
    max_length: int,
) -> BatchedAnswers:
    """The answers of a checkpoint's float model.

    Args:
        examples: all of a file's, which together say what its labels mean.
        dataset, labels, null_threshold: as `resolve_dataset` takes them.
        limit: how many of the first examples are asked.
        max_length: as `LabelledData` takes it.

    Raises:
        InputError: the examples are wrong, the head cannot be scored in this way, or a package that scores
            answers is missing.
    """
    require_packages()  # before hours of answers that nothing could score
    task, metrics = resolve_dataset(task_of(checkpoint), dataset, labels, examples, null_threshold)
    data = LabelledData(task, metrics, checkpoint.tokenizer, examples[:limit], max_length)
    return BatchedAnswers(data, Reference(checkpoint.model, type(task)))


def evaluate(answers: Answers, progress: Progress = silent) -> dict[str, float]:
    """Score one model by itself.

    Returns:
        Name -> value of each metric: from 0 to 1 (correlations from -1), or in nats. The first one gates.
    """
    data = answers.data
    predictions: dict[int, Prediction] = {}
    for batch in data.batches:
        progress("accuracy", len(predictions), len(data.examples))
        for index, answer in zip(batch, answers.compute(batch), strict=True):
            predictions[index] = answer.prediction
    progress("accuracy", len(data.examples), len(data.examples))
    in_order = [predictions[index] for index in range(len(data.examples))]
    scored = LabelledPredictions(data.targets, in_order)
    return {metric.name: metric.value(scored) for metric in data.metrics}


def compare(
    reference: BatchedAnswers,
    artifact: Answers,
    *,
    journal: Journal | None = None,
    progress: Progress = silent,
) -> AccuracyComparison:
    """Compare an artifact with its reference on the same labelled examples.

    Args:
        artifact: its answers to the reference's data.
        journal: where answers are kept as they come. Those that it has already are not computed again.
    """
    data = reference.data
    kept = journal.done if journal else {}
    pairs = {index: Pair.from_json(value) for index, value in kept.items()}
    for index, pair in pairs.items():
        words = data.examples[index].words if 0 <= index < len(data.examples) else None
        if words is None or (words and len(words) != len(pair.reference.decided)):
            raise InputError(
                f"the kept answer {index} is of another example", hint="start again without --resume"
            )
    for batch in data.batches:
        progress("accuracy", len(pairs), len(data.examples))
        pending = [index for index in batch if index not in pairs]
        if not pending:
            continue
        # The whole batch, so that it is rounded as in a run without interruption.
        expected = dict(zip(batch, reference.compute(batch), strict=True))
        for index, answer in zip(pending, artifact.compute(pending), strict=True):
            pairs[index] = Pair.of(expected[index], answer)
            if journal:
                journal.add(index, pairs[index].to_json())
    progress("accuracy", len(data.examples), len(data.examples))
    return compare_pairs(data, [pairs[index] for index in range(len(data.examples))])
