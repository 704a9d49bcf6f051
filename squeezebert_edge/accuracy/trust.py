"""Reasons not to trust a measured accuracy."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Sequence

import numpy as np

from exporters.arrays import Array
from exporters.errors import InputError
from squeezebert_edge.accuracy.datasets import resolve_dataset
from squeezebert_edge.accuracy.metrics import EntityF1, LabelledPredictions, Matthews, Metric, SeveralLabels
from squeezebert_edge.accuracy.packages import import_package
from squeezebert_edge.accuracy.statistics import better_than_chance_p, mcnemar_p, shuffled_p
from squeezebert_edge.tasks.data import Example, tell_unread
from squeezebert_edge.tasks.heads import NO_ANSWER, Task
from squeezebert_edge.tasks.labels import join_names, split_names

FEWEST_EXAMPLES = 200
SIGNIFICANT = 0.05
SURE = 0.001  # that the labels are in another order; strict, since the best of many orders is tested


def doubts(
    task: Task, examples: Sequence[Example], reference: LabelledPredictions, metric: Metric
) -> list[str]:
    """What speaks against the reference's accuracy on these examples, in sentences; empty if nothing does."""
    sentences = []
    if len(examples) < FEWEST_EXAMPLES:
        sentences.append(f"{len(examples)} examples are few: an accuracy wants {FEWEST_EXAMPLES} or more")
    if not _beats_chance(task, examples, reference, metric):
        sentences.append(
            "the float reference is no better than chance on these examples, so a difference says little"
        )
    if unread := tell_unread(examples):
        sentences.append(unread)
    if metric.name == EntityF1.name and reference.are_iob1_alone:
        sentences.append(
            "the float reference begins entities with I- (IOB1), the file with B-: tag_accuracy counts that "
            "as wrong, entity_f1 does not"
        )
    if task.problem_type == "single_label_classification" or _are_numbered_tags(task):
        sentences += _doubt_label_order(task, examples, reference)
    return sentences


def _beats_chance(
    task: Task, examples: Sequence[Example], reference: LabelledPredictions, metric: Metric
) -> bool:
    """Whether the reference is significantly better than one answer given always, or than any at random.

    By Matthews' correlation and by the F1 of several labels: than its own answers to other examples.
    """
    if not reference.predictions[0].decided:
        true, predicted = reference.numbers
        pearsonr = import_package("scipy.stats").pearsonr
        return math.isfinite(metric.value(reference)) and bool(
            len(true) > 1 and pearsonr(true, predicted, alternative="greater").pvalue < SIGNIFICANT
        )
    if task.name == "question-answering":
        # One answer among all spans: chance is next to nothing, but no answer may often be right.
        unanswerable = sum(target == (NO_ANSWER,) for target in reference.targets)
        if not unanswerable:
            return metric.value(reference) > 0
        right = round(float(reference.squad_scores[:, 0].sum()))
        share = unanswerable / len(reference.targets)
        return share < 1 and better_than_chance_p(right, len(reference.targets), share) < SIGNIFICANT
    if isinstance(metric, SeveralLabels):
        return _agrees_with_targets(*metric.holds(reference))
    if isinstance(metric, Matthews):
        return _agrees_with_targets(*(_indicators(side) for side in reference.labels))
    pairs = [
        (true, predicted)
        for target, prediction in zip(reference.targets, reference.predictions, strict=True)
        if isinstance(target, tuple)
        for true, predicted in zip(target, prediction.decided, strict=True)
    ]
    right = sum(true == predicted for true, predicted in pairs)
    commonest = max(Counter(true for true, _ in pairs).values()) / len(pairs)
    kinds = float(np.mean([len(example.choices) for example in examples])) or len(task.labels)
    chance = max(commonest, 1 / kinds if kinds else 0.0)
    # A task whose examples are all of one kind cannot be told from chance.
    return chance < 1 and better_than_chance_p(right, len(pairs), chance) < SIGNIFICANT


def _indicators(labels: Sequence[str]) -> Array:
    """Which class each example has, (examples, classes)."""
    return np.asarray(np.array(labels)[:, None] == np.array(sorted({*labels})))


def _agrees_with_targets(true: Array, predicted: Array) -> bool:
    """Whether more of what holds is predicted than if the predictions were of other examples.

    The shares of classes stay as they are, so that this says the same of Matthews' correlation and of F1.
    """
    p = shuffled_p(lambda order: float((true & predicted[order]).sum()), len(true))
    return p < SIGNIFICANT


def _doubt_label_order(task: Task, examples: Sequence[Example], reference: LabelledPredictions) -> list[str]:
    """A warning if the file's labels would be right significantly more often in another order."""
    order = {label: index for index, label in enumerate(task.labels)}
    answered = [
        (order[true], order[predicted])
        for target, found in zip(reference.targets, reference.predictions, strict=True)
        if isinstance(target, tuple)
        for true, predicted in zip(target, found.decided, strict=True)
        if predicted in order
    ]
    if not answered:
        return []
    true, predicted = np.array(answered).T
    confusion = np.zeros((len(order), len(order)), np.int64)
    np.add.at(confusion, (predicted, true), 1)
    _, best = import_package("scipy.optimize").linear_sum_assignment(confusion, maximize=True)
    now, then = predicted == true, best[predicted] == true
    gained, lost = int((then & ~now).sum()), int((now & ~then).sum())
    if gained <= lost or mcnemar_p(gained, lost) >= SURE:
        return []
    advice = [_written(task, index) for index in best]
    helps = _right_with(task, advice, examples, reference) == then.sum()
    return [
        "the labels seem to be in another order than the checkpoint's: it is right on "
        f"{now.sum()} of {len(now)}, and would be on {then.sum()} "
        + (f"with --labels {shlex.quote(join_names(advice))}" if helps else "in another order")
    ]


def _written(task: Task, output: int) -> str:
    """How the file writes the label of an output."""
    written = {index: text for text, index in task.reading.outputs.items()} if task.reading else {}
    return written.get(output, str(output) if _are_numbers(task) else task.labels[output])


def _are_numbers(task: Task) -> bool:
    """Whether the file numbers the outputs."""
    return task.reading is not None and all(text == str(i) for text, i in task.reading.outputs.items())


def _are_numbered_tags(task: Task) -> bool:
    """Whether a file has numbers for tags, for which data sets and checkpoints have orders of their own."""
    return task.name == "token-classification" and _are_numbers(task)


def _right_with(
    task: Task, labels: Sequence[str], examples: Sequence[Example], reference: LabelledPredictions
) -> int:
    """On how many examples the reference is right when the file is read with `--labels`."""
    try:
        advised, _ = resolve_dataset(task, None, split_names(join_names(labels)), examples)
    except InputError:
        return 0
    output = {label: index for index, label in enumerate(task.labels)}
    return sum(
        advised.label_index(label) == output.get(decided)
        for example, prediction in zip(examples, reference.predictions, strict=True)
        for label, decided in zip(task.labels_in(example), prediction.decided, strict=True)
    )
