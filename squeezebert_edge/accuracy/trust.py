"""Reasons not to trust a measured accuracy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from squeezebert_edge.accuracy.metrics import Answers, Metric
from squeezebert_edge.accuracy.packages import import_package
from squeezebert_edge.accuracy.statistics import better_than_chance_p, mcnemar_p
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import Task

FEWEST_EXAMPLES = 200
SIGNIFICANT = 0.05
SURE = 0.001  # of another order of labels, since the best of many is looked at


def doubts(task: Task, examples: Sequence[Example], reference: Answers, metric: Metric) -> list[str]:
    """What speaks against the reference's accuracy on these examples, in sentences; empty is good."""
    found = []
    if len(examples) < FEWEST_EXAMPLES:
        found.append(f"{len(examples)} examples are few: an accuracy wants {FEWEST_EXAMPLES} or more")
    if not _beats_chance(task, examples, reference, metric):
        found.append(
            "the float reference is no better than chance on these examples, so a difference says little"
        )
    if task.name == "text-classification" and reference.predictions[0].decided:
        found += _other_order(task, reference)
    return found


def _beats_chance(task: Task, examples: Sequence[Example], reference: Answers, metric: Metric) -> bool:
    """Whether the reference is right more often than always naming one answer, or any, would be."""
    if not reference.predictions[0].decided:
        wanted, given = reference.numbers
        correlated = import_package("scipy.stats").pearsonr
        return math.isfinite(metric.value(reference)) and bool(
            len(wanted) > 1 and correlated(wanted, given, alternative="greater").pvalue < SIGNIFICANT
        )
    if task.name == "question-answering":
        return metric.value(reference) > 0  # one answer among all spans: chance is next to nothing
    pairs = [
        (wanted, given)
        for target, said in zip(reference.targets, reference.predictions, strict=True)
        if isinstance(target, tuple)
        for wanted, given in zip(target, said.decided, strict=True)
    ]
    right = sum(wanted == given for wanted, given in pairs)
    commonest = max(Counter(wanted for wanted, _ in pairs).values()) / len(pairs)
    kinds = float(np.mean([len(example.choices) for example in examples])) or len(task.labels)
    chance = max(commonest, 1 / kinds if kinds else 0.0)
    # A task whose examples are all of one kind cannot be told from chance.
    return chance < 1 and better_than_chance_p(right, len(pairs), chance) < SIGNIFICANT


def _other_order(task: Task, reference: Answers) -> list[str]:
    """Whether the file's labels, taken in another order, would be right significantly more often."""
    order = {label: index for index, label in enumerate(task.labels)}
    answered = [
        (order[wanted], order[given])
        for wanted, given in zip(reference.wanted, reference.given, strict=True)
        if given in order
    ]
    if not answered:
        return []
    wanted, given = np.array(answered).T
    confusion = np.zeros((len(order), len(order)), np.int64)
    np.add.at(confusion, (given, wanted), 1)
    _, best = import_package("scipy.optimize").linear_sum_assignment(confusion, maximize=True)
    now, then = given == wanted, best[given] == wanted
    gained, lost = int((then & ~now).sum()), int((now & ~then).sum())
    if gained <= lost or mcnemar_p(gained, lost) >= SURE:
        return []
    return [
        "the labels seem to be in another order than the checkpoint's: it is right on "
        f"{now.sum()} of {len(now)}, and would be on {then.sum()} with --labels "
        + ",".join(task.labels[index] for index in best)
    ]
