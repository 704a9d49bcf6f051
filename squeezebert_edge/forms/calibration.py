"""Calibration: real text for precisions whose activations are quantized beforehand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.arrays import Array
from exporters.errors import InputError
from squeezebert_edge.plumbing.reading import CONTENTS, read_bytes
from squeezebert_edge.tasks.data import Example, read_lines
from squeezebert_edge.tasks.heads import Task
from squeezebert_edge.text.tokenizer import Tokenizer, pad

FEW_SAMPLES = 100  # under which a range is likely to miss what the data holds
BUILT_IN = "the built-in samples"


@dataclass(frozen=True)
class Calibration:
    """Rows of tokens without padding, and where they came from.

    source: the file's name, or BUILT_IN.
    sha256: of the file, or of the samples' texts.
    warnings: why the ranges that are found with them may not fit.
    """

    rows: Sequence[Mapping[str, Array]]
    source: str
    sha256: str
    warnings: tuple[str, ...]


def read(
    path: Path | None, task: Task, tokenizer: Tokenizer, *, samples: int, max_length: int
) -> Calibration:
    """Calibration data from a file of the task's form, or of one text a line (.txt), or built in.

    Args:
        path: the file; None takes the task's built-in samples.
        samples: how many examples to take, evenly spaced from the file's beginning to its end.
        max_length: of a row, in tokens.

    Raises:
        InputError: the file cannot be read, or holds no text.
    """
    if samples < 1:
        raise InputError(f"{samples} samples are too few to calibrate with", allowed="1 or more")
    if path is None:
        examples = task.built_in_examples()
        content = "\n".join(f"{example.text}\t{example.pair}\t{example.choices}" for example in examples)
        sha256 = hashlib.sha256(content.encode()).hexdigest()
    else:
        is_text = path.suffix == ".txt"
        examples = [Example(line) for line in read_lines(path)] if is_text else type(task).read(path)
        sha256 = hashlib.sha256(read_bytes(path, CONTENTS)).hexdigest()
    spread = [examples[i * len(examples) // samples] for i in range(samples)]
    chosen = examples if len(examples) <= samples else spread
    rows = []
    for example in chosen:
        if not f"{example.text}{example.pair or ''}{''.join(example.choices)}".strip():
            continue
        for encoding in task.cut(example, tokenizer, max_length):
            rows.append(pad(encoding, len(encoding), tokenizer.special_ids["pad"]))
    source = BUILT_IN if path is None else path.name
    if not rows:
        raise InputError(
            f"{source} holds nothing but padding to calibrate with", allowed="texts with words in them"
        )
    return Calibration(rows, source, sha256, tuple(_doubts(source, rows)))


def _doubts(source: str, rows: Sequence[Mapping[str, Array]]) -> list[str]:
    doubts = []
    lengths = {row["input_ids"].shape[1] for row in rows}
    if source == BUILT_IN:
        doubts.append("calibrated on the built-in samples, not on your data: --calibration FILE")
    if len(rows) < FEW_SAMPLES:
        doubts.append(
            f"calibrated on {len(rows)} texts: with fewer than {FEW_SAMPLES}, ranges come out too small"
        )
    if len(rows) > 1 and len(lengths) == 1:
        doubts.append(f"every calibration text has {lengths.pop()} tokens: real ones differ in length")
    return doubts
