"""Proof that an artifact equals the float reference.

The reference computes each row without padding, the artifact the same row padded to one of its lengths: what
is proven is the answer, whatever the padding. All gates are judged in one place, `_Proof.judge`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
import torch

from exporters.arrays import Array
from exporters.errors import EdgeError, GateError, InputError
from exporters.precision import Gates
from exporters.spec import Runner
from squeezebert_edge.bundle.manifest import Verification
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.proof.comparison import Comparison
from squeezebert_edge.proof.reference import Reference, torch_threads
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import Row, Task
from squeezebert_edge.text.tokenizer import Encoding, Tokenizer, pad

if TYPE_CHECKING:
    from squeezebert_edge.checkpoint.checkpoint import Checkpoint

T = TypeVar("T")

MINIMUM_INPUTS = 64
VOCABULARY_ROWS = 64  # at most
FULL_EVERY = 4  # of so many inputs of a length, one fills it
# An emulated Arm processor had 39 dB of a network with outliers, where this said 66.
NO_FLOAT16 = "every gate is kept, but by sums in float32: this processor has no float16, whose sums lose more"
FEWER_INPUTS, FEWER_VOCABULARY_ROWS = 16, 4  # where a row takes seconds, as in an emulator


def verify(
    checkpoint: Checkpoint,
    task: Task,
    runner: Runner,
    gates: Gates,
    *,
    examples: Sequence[Example] | None = None,
    fewer: bool = False,
    apart: bool = False,
    progress: Progress = silent,
) -> Verification:
    """Compare an artifact with its checkpoint's float model at every length.

    Args:
        runner: the artifact.
        examples: real inputs; by default the task's built-in samples.
        fewer: whether FEWER_INPUTS are enough, since a row takes seconds.
        apart: whether reference and artifact compute at the same time, each with half of torch's threads.

    Returns:
        What was found. Its status is "failed" if a gate was not met or the artifact fails as it runs, and
        "not verified" if it could not be computed here, or not as a phone would.

    Raises:
        InputError: the examples are wrong.
        GateError: the float model of this installation is wrong, so that it proves nothing.
    """
    minimum, most = (FEWER_INPUTS, FEWER_VOCABULARY_ROWS) if fewer else (MINIMUM_INPUTS, VOCABULARY_ROWS)
    inputs = choose_inputs(
        task, checkpoint.tokenizer, runner.lengths, examples or task.built_in_examples(), minimum
    )
    walk = list(walk_vocabulary(len(checkpoint.tokenizer.vocab), runner.lengths[-1], most))
    total = len(inputs) + len(walk)
    proof = _Proof(task, checkpoint.tokenizer, Reference(checkpoint.model, type(task)), runner)
    random = np.random.default_rng(0)
    try:
        found = []
        with _both(apart=apart) as both:
            for done, item in enumerate(inputs):
                progress("verifying", done, total)
                found.append(proof.compare(item, both)[0])
            for done, row in enumerate(walk, len(inputs)):
                progress("verifying", done, total)
                proof.walk(row, both)
        for index in _shortest_of_each_length(inputs):
            proof.change_padding(inputs[index], found[index], random)
        for length in runner.lengths:
            proof.run_without_tokens(length)
    except InputError:
        raise
    except GateError as error:
        return Verification(status="failed", by=runner.computed_by, failures=[str(error)])
    except EdgeError as error:
        return Verification(status="not verified", by=None, failures=[str(error)])
    progress("verifying", total, total)
    return proof.judge(gates)


class Both(Protocol):
    """Computes two things."""

    def __call__(self, one: Callable[[], T], other: Callable[[], T]) -> tuple[T, T]:
        """What they are; `other` may be computed in another thread."""


@contextmanager
def _both(*, apart: bool) -> Iterator[Both]:
    """Compute two things one after the other; or at the same time, each with half of torch's threads.

    The reference and an artifact keep two halves of a processor busier than each of them the whole: most of
    what they compute is too small to be shared.
    """
    if not apart:
        yield lambda one, other: (one(), other())
        return
    with ThreadPoolExecutor(1) as beside, torch_threads(max(torch.get_num_threads() // 2, 1)):

        def compute(one: Callable[[], T], other: Callable[[], T]) -> tuple[T, T]:
            coming = beside.submit(other)
            return one(), coming.result()

        yield compute


@dataclass(frozen=True)
class ProofInput:
    """An example at one length: its rows, cut to that length where they are longer."""

    example: Example
    length: int
    encodings: Sequence[Encoding]


def choose_inputs(
    task: Task,
    tokenizer: Tokenizer,
    lengths: Sequence[int],
    examples: Sequence[Example],
    minimum: int = MINIMUM_INPUTS,
) -> list[ProofInput]:
    """At least `minimum` rows over all lengths: at each length an empty text, padded, full and cut ones.

    Every fourth example is joined with those after it until the length is full.
    """
    rows_each = len(task.cut(examples[0], tokenizer, lengths[0]))
    per_length = max(math.ceil(minimum / len(lengths) / rows_each) + 1, FULL_EVERY + 1)
    wanted = per_length * len(lengths)
    spread = [examples[i * len(examples) // wanted] for i in range(wanted)]  # sentences and pairs alike
    inputs = []
    for index, length in enumerate(lengths):
        chosen = spread[index :: len(lengths)]
        for i, example in enumerate(chosen):
            if i == 0:
                shaped = Example("", None if example.pair is None else "", example.choices)
            elif i % FULL_EVERY == 0:
                shaped = _join([*chosen[i:], *examples], length)
            else:
                shaped = example
            inputs.append(ProofInput(shaped, length, task.cut(shaped, tokenizer, length)))
    return inputs


def walk_vocabulary(words: int, length: int, most: int) -> Iterator[dict[str, Array]]:
    """Full rows of token ids, whose every position has both token types.

    They have every id of the vocabulary, or as many as `most` rows hold, spread evenly over it.
    """
    rows = min(max(math.ceil(words / length), 2), most)
    if words <= rows * length:
        ids = np.resize(np.arange(words, dtype=np.int32), (rows, length))
    else:
        ids = np.linspace(0, words - 1, rows * length).astype(np.int32).reshape(rows, length)
    for index, row in enumerate(ids):
        yield {
            "input_ids": row[None],
            "attention_mask": np.ones((1, length), np.int32),
            "token_type_ids": (np.arange(length, dtype=np.int32)[None] + index) % 2,
        }


def _join(examples: Sequence[Example], length: int) -> Example:
    """One example of the texts of several, with more words than `length` tokens can hold."""
    texts: list[str] = []
    pairs: list[str] = []
    for example in examples:
        texts.append(example.text)
        pairs.append(example.pair or "")
        if sum(len(text.split()) for text in texts) > length:
            break
    first = examples[0]
    return Example(" ".join(texts), None if first.pair is None else " ".join(pairs), first.choices)


def _shortest_of_each_length(inputs: Sequence[ProofInput]) -> Iterator[int]:
    """Where the two shortest inputs of each length stand that are not empty."""
    for length in dict.fromkeys(item.length for item in inputs):
        with_text = [i for i, item in enumerate(inputs) if item.length == length and item.example.text]
        yield from sorted(with_text, key=lambda i: len(inputs[i].encodings[0]))[:2]


@dataclass
class _Proof:
    """One verification under way.

    outputs: each output of the artifact beside the reference's.
    walked: the same on rows of token ids that are no text.
    padding: each output of the artifact beside the artifact's own after the padding was changed.
    not_finite: lengths at which a row without a token gives NaN or infinity.
    """

    task: Task
    tokenizer: Tokenizer
    reference: Reference
    runner: Runner
    rows: int = 0
    outputs: dict[str, Comparison] = field(default_factory=dict)
    walked: dict[str, Comparison] = field(default_factory=dict)
    decisions: int = 0
    agreed: int = 0
    padding: dict[str, Comparison] = field(default_factory=dict)
    padding_decides: bool = False
    not_finite: list[int] = field(default_factory=list)

    def compare(self, item: ProofInput, both: Both) -> list[Row]:
        """Compare the artifact on an input's padded rows with the reference on the tokens alone.

        Returns:
            The artifact's rows.
        """
        expected, found = both(
            lambda: [self._expect(encoding) for encoding in item.encodings],
            lambda: [self._run(encoding, item.length) for encoding in item.encodings],
        )
        for right, row in zip(expected, found, strict=True):
            for name in self.task.outputs:
                self.outputs.setdefault(name, Comparison()).add(right.outputs[name], row.outputs[name])
        self.rows += len(item.encodings)
        agree = self.task.decide(expected) == self.task.decide(found)
        self.decisions += agree.size
        self.agreed += int(agree.sum())
        return found

    def walk(self, inputs: Mapping[str, Array], both: Both) -> None:
        """Compare the artifact with the reference on a full row of token ids."""
        expected, found = both(lambda: self.reference(inputs), lambda: self.runner(inputs))
        for name in self.task.outputs:
            self.walked.setdefault(name, Comparison()).add(expected[name], found[name])

    def change_padding(self, item: ProofInput, base: Row, random: np.random.Generator) -> None:
        """Run an input's first row at longer lengths, and with random token ids where the mask is 0.

        Args:
            base: what the artifact gave for the row.
        """
        encoding = item.encodings[0]
        inputs = self._pad(encoding, item.length)
        masked = inputs["attention_mask"] == 0
        inputs["input_ids"][masked] = random.integers(0, len(self.tokenizer.vocab), int(masked.sum()))
        inputs["token_type_ids"][masked] = 1
        others = [self._run(encoding, longer) for longer in self.runner.lengths if longer > item.length]
        others.append(self.task.row(encoding, self.runner(inputs)))
        for other in others:
            self.padding_decides |= bool((self.task.decide([base]) != self.task.decide([other])).any())
            for name in self.task.outputs:
                self.padding.setdefault(name, Comparison()).add(base.outputs[name], other.outputs[name])

    def run_without_tokens(self, length: int) -> None:
        """Run a row that is all padding, which must give finite numbers."""
        inputs = ("input_ids", "attention_mask", "token_type_ids")
        outputs = self.runner({name: np.zeros((1, length), np.int32) for name in inputs})
        if not all(np.isfinite(value).all() for value in outputs.values()):
            self.not_finite.append(length)

    def judge(self, gates: Gates) -> Verification:
        """The result of the proof: every failure by its gate, and the numbers of the worst output."""
        failures = list(self._failures(gates))
        status: Literal["verified", "failed", "not verified"] = "failed" if failures else "verified"
        if not failures and self.runner.computed_by == "float16-rounding":
            status, failures = "not verified", [NO_FLOAT16]
        return Verification(
            status=status,
            by=self.runner.computed_by,
            max_abs_error=_finite(max(output.max_error for output in self.outputs.values())),
            max_abs_reference=max(output.max_reference for output in self.outputs.values()),
            sqnr_db=min(output.sqnr_db for output in self.outputs.values()),
            agreement=self.agreed / self.decisions if self.decisions else None,
            inputs=self.rows,
            padding_error=_finite(max(change.max_error for change in self.padding.values())),
            padding_sqnr_db=min(change.sqnr_db for change in self.padding.values()),
            gates={name: value for name, value in asdict(gates).items() if value is not None},
            failures=failures,
        )

    def _failures(self, gates: Gates) -> Iterator[str]:
        for length in self.not_finite:
            yield f"a row that is all padding gives NaN or infinity at length {length}"
        for name, output in self.outputs.items():
            scale = max(1.0, output.max_reference)
            if gates.max_error is not None and output.max_error > gates.max_error * scale:
                limit = gates.max_error * scale
                yield f"{name}: the largest error is {output.max_error:.3g}, above {limit:.3g}"
            if gates.min_sqnr_db is not None and output.sqnr_db < gates.min_sqnr_db:
                yield f"{name}: the SQNR is {output.sqnr_db:.1f} dB, below {gates.min_sqnr_db:.1f}"
            yield from self._walk_failures(name, gates)
            change = self.padding[name]
            if gates.max_padding_error is not None and change.max_error > gates.max_padding_error * scale:
                limit = gates.max_padding_error * scale
                yield f"{name}: padding changes it by {change.max_error:.3g}, above {limit:.3g}"
            if gates.min_padding_sqnr_db is not None and change.sqnr_db < gates.min_padding_sqnr_db:
                yield (
                    f"{name}: padding leaves an SQNR of {change.sqnr_db:.1f} dB, "
                    f"below {gates.min_padding_sqnr_db:.1f}"
                )
        if gates.min_padding_sqnr_db is not None and self.padding_decides:
            yield "padding changes a decision"

    def _walk_failures(self, name: str, gates: Gates) -> Iterator[str]:
        """The gates on token ids that are no text: their errors may be as large as those on text.

        Outputs vary less where there is no text, so the SQNR is below the signal that text gives.
        """
        walked, where = self.walked[name], "on token ids from all over the vocabulary"
        if gates.max_error is not None:
            limit = gates.max_error * max(1.0, walked.max_reference)
            if walked.max_error > limit:
                yield f"{name}: {where} the largest error is {walked.max_error:.3g}, above {limit:.3g}"
        if gates.min_sqnr_db is not None:
            sqnr_db = walked.sqnr_db_below(self.outputs[name])
            if sqnr_db < gates.min_sqnr_db:
                yield f"{name}: {where} the SQNR is {sqnr_db:.1f} dB, below {gates.min_sqnr_db:.1f}"

    def _expect(self, encoding: Encoding) -> Row:
        return self.task.row(encoding, self.reference(self._pad(encoding, len(encoding))))

    def _run(self, encoding: Encoding, length: int) -> Row:
        return self.task.row(encoding, self.runner(self._pad(encoding, length)))

    def _pad(self, encoding: Encoding, length: int) -> dict[str, Array]:
        return pad(encoding, length, self.tokenizer.special_ids["pad"])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
