"""Reasons not to trust a measured accuracy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from squeezebert_edge.accuracy.metrics import LabelledPredictions, Metric
from squeezebert_edge.accuracy.packages import import_package
from squeezebert_edge.accuracy.statistics import better_than_chance_p, mcnemar_p
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import Task

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
    if task.name == "text-classification" and reference.predictions[0].decided:
        sentences += _doubt_label_order(task, reference)
    return sentences


def _beats_chance(
    task: Task, examples: Sequence[Example], reference: LabelledPredictions, metric: Metric
) -> bool:
    """Whether the reference is significantly better than one answer given always, or than any at random."""
    if not reference.predictions[0].decided:
        true, predicted = reference.numbers
        pearsonr = import_package("scipy.stats").pearsonr
        return math.isfinite(metric.value(reference)) and bool(
            len(true) > 1 and pearsonr(true, predicted, alternative="greater").pvalue < SIGNIFICANT
        )
    if task.name == "question-answering":
        return metric.value(reference) > 0  # one answer among all spans: chance is next to nothing
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


def _doubt_label_order(task: Task, reference: LabelledPredictions) -> list[str]:
    """A warning if the file's labels would be right significantly more often in another order."""
    order = {label: index for index, label in enumerate(task.labels)}
    answered = [
        (order[true], order[predicted])
        for true, predicted in zip(*reference.labels, strict=True)
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
    return [
        "the labels seem to be in another order than the checkpoint's: it is right on "
        f"{now.sum()} of {len(now)}, and would be on {then.sum()} with --labels "
        + ",".join(task.labels[index] for index in best)
    ]
