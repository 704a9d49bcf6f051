"""What torch foresees of a proof: whether a precision is far from passing it, and which parts of a network
stay in float where `int8` fails it with all of them quantized.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

import exporters
from exporters.arrays import Array
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms.rounding import Compute, RoundedNetwork
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.proof.comparison import Comparison
from squeezebert_edge.proof.parity import (
    FEWER_INPUTS,
    FEWER_VOCABULARY_ROWS,
    MINIMUM_INPUTS,
    choose_inputs,
    walk_vocabulary,
)
from squeezebert_edge.tasks.heads import Task
from squeezebert_edge.text.tokenizer import pad
from squeezebert_edge.verbs.plan import Plan

MOST = 0.25  # of the parts: with more of them in float, the file is int8 by name only
# Inputs to rank parts with, and to try a set with: texts, and rows of token ids from all over the vocabulary.
TO_RANK, TO_TRY = (FEWER_INPUTS, FEWER_VOCABULARY_ROWS), (MINIMUM_INPUTS, 16)
MARGIN_DB = 0.5  # a runtime's integers differ a little
FAR_DB = 3.0  # more than fewer inputs and a runtime's integers are taken to make up for


def fewest_for_the_proof(
    checkpoint: Checkpoint, plan: Plan, format_: str, exact: str, progress: Progress = silent
) -> Iterator[tuple[str, ...]]:
    """Sets of parts that should meet the proof's gate on SQNR if they stay in float, the smallest set first.

    Whether they should is computed in torch, on the proof's inputs. Those parts stay in float that cost most
    when each is quantized by itself, which fewer inputs show. Where the most that may stay are not enough,
    nothing else is tried.

    Args:
        exact: a precision of the format that quantizes.
    """
    gate = exporters.format_named(format_).precision(exact).gates.replaced_by(plan.gates).min_sqnr_db
    if gate is None:
        return
    task = task_of(checkpoint)
    network = RoundedNetwork(checkpoint, task, format_, exact, plan.calibration)
    exactly = network.rounded(())
    measure = _Measure(checkpoint, task, plan.lengths, exactly, *TO_RANK)
    costs: dict[str, float] = {}
    for number, part in enumerate(network.parts):
        progress("looking for what must stay float", number, len(network.parts))
        costs[part] = measure(network.rounded([part]))
    costliest = sorted(network.parts, key=costs.__getitem__)
    measure = _Measure(checkpoint, task, plan.lengths, exactly, *TO_TRY)

    def passes(count: int) -> bool:
        progress(f"trying {count} of {len(costliest)} parts in float", 0, 0)
        return measure(network.rounded(costliest[count:])) >= gate + MARGIN_DB

    most = math.floor(MOST * len(costliest))
    if not passes(most):
        return
    for count in range(1, most + 1):
        if count == most or passes(count):
            yield tuple(part for part in network.parts if part in costliest[:count])


def foreseen_failure(checkpoint: Checkpoint, plan: Plan, format_: str, exact: str) -> str | None:
    """Why a precision is worth no export before others were tried; None where it may well pass its proof.

    It is computed in torch, on few of the proof's inputs, with all parts quantized but those that the plan
    keeps.

    Args:
        exact: a precision of the format that quantizes.
    """
    gate = exporters.format_named(format_).precision(exact).gates.replaced_by(plan.gates).min_sqnr_db
    if gate is None:
        return None
    task = task_of(checkpoint)
    network = RoundedNetwork(checkpoint, task, format_, exact, plan.calibration)
    measure = _Measure(checkpoint, task, plan.lengths, network.rounded(()), *TO_RANK)
    found = measure(network.rounded([part for part in network.parts if part not in plan.keep_float]))
    return f"the SQNR is {found:.1f} dB in torch, below {gate:.1f}" if found < gate - FAR_DB else None


class _Measure:
    """The SQNR of a network's worst output, on text or on token ids from all over the vocabulary.

    Args:
        exactly: the network whose outputs are right.
        texts, walks: how many rows of each, about.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        task: Task,
        lengths: Sequence[int],
        exactly: Compute,
        texts: int,
        walks: int,
    ) -> None:
        self._task = task
        tokenizer = checkpoint.tokenizer
        chosen = choose_inputs(task, tokenizer, lengths, task.built_in_examples(), texts)
        self._encodings = [encoding for each in chosen for encoding in each.encodings]
        longest, padding = max(map(len, self._encodings)), tokenizer.special_ids["pad"]
        self._texts = _batch([pad(encoding, longest, padding) for encoding in self._encodings])
        self._walk = _batch(list(walk_vocabulary(len(tokenizer.vocab), lengths[-1], walks)))
        self._right = self._outputs(exactly)

    def __call__(self, network: Compute) -> float:
        found = []
        for name, (on_text, walked) in self._outputs(network).items():
            text, walk = Comparison(), Comparison()
            for right, value in zip(self._right[name][0], on_text, strict=True):
                text.add(right, value)
            walk.add(self._right[name][1], walked)
            found += [text.sqnr_db, walk.sqnr_db_below(text)]
        return min(found)

    def _outputs(self, network: Compute) -> dict[str, tuple[list[Array], Array]]:
        """Each output on every text, without the padding, and on the other ids."""
        texts, walked = network(self._texts), network(self._walk)
        rows = [
            self._task.row(encoding, {name: value[index, None] for name, value in texts.items()})
            for index, encoding in enumerate(self._encodings)
        ]
        return {name: ([row.outputs[name] for row in rows], walked[name]) for name in self._task.outputs}


def _batch(rows: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
