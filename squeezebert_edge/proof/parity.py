"""Proof that an artifact equals the float reference.

The reference runs in torch on an example's own tokens, without padding; the artifact on the same tokens
padded to each of its lengths. So what is proven is the answer, whatever the padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from exporters.arrays import Array
from exporters.errors import EdgeError, InputError
from exporters.spec import Runner
from squeezebert_edge.bundle.manifest import Verification
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.proof.comparison import Comparison
from squeezebert_edge.proof.gates import Gates
from squeezebert_edge.proof.reference import Reference
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import Row, Task
from squeezebert_edge.text.tokenizer import Encoding, Tokenizer, pad

if TYPE_CHECKING:
    from squeezebert_edge.checkpoint.checkpoint import Checkpoint


MINIMUM_INPUTS = 64


@dataclass(frozen=True)
class ProofInput:
    """An example at one length: its rows, cut to that length where they are longer."""

    example: Example
    length: int
    encodings: Sequence[Encoding]


def proof_inputs(
    task: Task, tokenizer: Tokenizer, lengths: Sequence[int], examples: Sequence[Example]
) -> list[ProofInput]:
    """At least 64 rows over all lengths: an empty text, short, padded, and at each length full and cut ones.

    Every fourth example is joined with those after it until the length is full.
    """
    rows_each = len(task.cut(examples[0], tokenizer, lengths[0]))
    per_length = math.ceil(MINIMUM_INPUTS / len(lengths) / rows_each) + 1
    wanted = per_length * len(lengths)
    spread = [examples[i * len(examples) // wanted] for i in range(wanted)]  # sentences and pairs alike
    inputs = []
    for index, length in enumerate(lengths):
        chosen = spread[index :: len(lengths)]
        for i, example in enumerate(chosen):
            if i == 0:
                shaped = Example("", None if example.pair is None else "", example.choices)
            elif i % 4 == 0:
                shaped = _joined([*chosen[i:], *examples], length)
            else:
                shaped = example
            inputs.append(ProofInput(shaped, length, task.cut(shaped, tokenizer, length)))
    return inputs


def _joined(examples: Sequence[Example], length: int) -> Example:
    """Texts one after another, more words than `length` tokens can hold."""
    texts: list[str] = []
    pairs: list[str] = []
    for example in examples:
        texts.append(example.text)
        pairs.append(example.pair or "")
        if sum(len(text.split()) for text in texts) > length:
            break
    first = examples[0]
    return Example(" ".join(texts), None if first.pair is None else " ".join(pairs), first.choices)


@dataclass
class _Proof:
    """One verification under way."""

    task: Task
    tokenizer: Tokenizer
    reference: Reference
    runner: Runner
    outputs: dict[str, Comparison] = field(default_factory=dict)
    rows: int = 0
    decisions: int = 0
    agreed: int = 0
    padding: dict[str, Comparison] = field(default_factory=dict)
    padding_decides: bool = False

    def compare(self, proof: ProofInput) -> None:
        """The reference on the tokens alone, the artifact on the padded row."""
        expected, found = [], []
        for encoding in proof.encodings:
            expected.append(self.task.row(encoding, self.reference(self._padded(encoding, len(encoding)))))
            found.append(self._run(encoding, proof.length))
            for name in self.task.outputs:
                comparison = self.outputs.setdefault(name, Comparison())
                comparison.add(expected[-1].outputs[name], found[-1].outputs[name])
        self.rows += len(proof.encodings)
        agree = self.task.decide(expected) == self.task.decide(found)
        self.decisions += agree.size
        self.agreed += int(agree.sum())

    def disturb(
        self, encoding: Encoding, length: int, longer: Sequence[int], random: np.random.Generator
    ) -> None:
        """Ask for the same answer with more padding, and with rubbish where the mask is 0."""
        base = self._run(encoding, length)
        rubbish = self._padded(encoding, length)
        padding = rubbish["attention_mask"] == 0
        rubbish["input_ids"][padding] = random.integers(0, len(self.tokenizer.vocab), int(padding.sum()))
        rubbish["token_type_ids"][padding] = 1
        others = [self._run(encoding, other) for other in longer]
        others.append(self.task.row(encoding, self.runner(rubbish)))
        for other in others:
            self.padding_decides |= bool((self.task.decide([base]) != self.task.decide([other])).any())
            for name in self.task.outputs:
                self.padding.setdefault(name, Comparison()).add(base.outputs[name], other.outputs[name])

    def finite_without_tokens(self, length: int) -> bool:
        """Whether a row that is all padding gives numbers."""
        nothing = {
            name: np.zeros((1, length), np.int32)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        }
        return all(bool(np.isfinite(value).all()) for value in self.runner(nothing).values())

    def _run(self, encoding: Encoding, length: int) -> Row:
        return self.task.row(encoding, self.runner(self._padded(encoding, length)))

    def _padded(self, encoding: Encoding, length: int) -> dict[str, Array]:
        return pad(encoding, length, self.tokenizer.special_ids["pad"])


def verify(
    checkpoint: Checkpoint,
    task: Task,
    runner: Runner,
    gates: Gates,
    *,
    examples: Sequence[Example] | None = None,
    progress: Progress = silent,
) -> Verification:
    """Compare an artifact with its reference at every length.

    Args:
        examples: real inputs, the task's built-in samples by default.
    """
    inputs = proof_inputs(task, checkpoint.tokenizer, runner.lengths, examples or task.built_in_examples())
    proof = _Proof(task, checkpoint.tokenizer, Reference(checkpoint.model, type(task)), runner)
    random = np.random.default_rng(0)
    failures: list[str] = []
    try:
        for done, item in enumerate(inputs):
            progress("verifying", done, len(inputs))
            proof.compare(item)
        for item in _shortest_of_each_length(inputs):
            longer = [length for length in runner.lengths if length > item.length]
            proof.disturb(item.encodings[0], item.length, longer, random)
        for length in runner.lengths:
            if not proof.finite_without_tokens(length):
                failures.append(f"a row that is all padding gives NaN or infinity at length {length}")
    except InputError:
        raise
    except EdgeError as error:
        return Verification(status="not verified", by=None, failures=[str(error)])
    progress("verifying", len(inputs), len(inputs))
    return _judge(proof, gates, failures)


def _shortest_of_each_length(inputs: Sequence[ProofInput]) -> Iterator[ProofInput]:
    """Two short but not empty inputs of each length."""
    for length in dict.fromkeys(item.length for item in inputs):
        with_text = [item for item in inputs if item.length == length and item.example.text]
        yield from sorted(with_text, key=lambda item: len(item.encodings[0]))[:2]


def _judge(proof: _Proof, gates: Gates, failures: list[str]) -> Verification:
    for name, output in proof.outputs.items():
        scale = max(1.0, output.max_reference)
        if gates.max_error is not None and output.max_error > gates.max_error * scale:
            failures.append(
                f"{name}: largest error {output.max_error:.3g} above {gates.max_error * scale:.3g}"
            )
        if gates.min_sqnr_db is not None and output.sqnr_db < gates.min_sqnr_db:
            failures.append(f"{name}: SQNR {output.sqnr_db:.1f} dB below {gates.min_sqnr_db:.1f}")
        change = proof.padding[name]
        if gates.max_padding_error is not None and change.max_error > gates.max_padding_error * scale:
            failures.append(
                f"{name}: padding changes it by {change.max_error:.3g}, "
                f"above {gates.max_padding_error * scale:.3g}"
            )
        if gates.min_padding_sqnr_db is not None and change.sqnr_db < gates.min_padding_sqnr_db:
            failures.append(
                f"{name}: padding leaves an SQNR of {change.sqnr_db:.1f} dB, "
                f"below {gates.min_padding_sqnr_db:.1f}"
            )
    if gates.min_padding_sqnr_db is not None and proof.padding_decides:
        failures.append("padding changes a decision")
    return Verification(
        status="failed" if failures else "verified",
        by=proof.runner.computed_by,
        max_abs_error=_finite(max(output.max_error for output in proof.outputs.values())),
        max_abs_reference=max(output.max_reference for output in proof.outputs.values()),
        sqnr_db=min(output.sqnr_db for output in proof.outputs.values()),
        agreement=proof.agreed / proof.decisions if proof.decisions else None,
        inputs=proof.rows,
        padding_error=_finite(max(change.max_error for change in proof.padding.values())),
        padding_sqnr_db=min(change.sqnr_db for change in proof.padding.values()),
        gates={name: value for name, value in asdict(gates).items() if value is not None},
        failures=failures,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
