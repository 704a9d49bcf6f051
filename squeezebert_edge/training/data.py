"""Labelled examples to batches, in an order that depends on the seed and the epoch and on nothing else."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from exporters.errors import InputError, UnavailableError
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import Task, TextClassification
from squeezebert_edge.tasks.labels import spell
from squeezebert_edge.text.tokenizer import Tokenizer

NO_LABEL = -100  # the class of a text that has none, which torch's cross entropy leaves out
BUCKET = 64  # batches: examples are sorted by length among so many, which leaves the order random enough
RANDOM_TOKENS = 64  # of a random text, at most
_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class EncodedExample:
    """An example's tokens, their types, and the number of its class, or NO_LABEL."""

    ids: list[int]
    token_types: list[int]
    label: int


@dataclass(frozen=True)
class Batch:
    """Examples padded to one length: three (B, S) integer tensors, and labels (B,)."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    labels: Tensor


def labels_in(examples: Sequence[Example]) -> list[str]:
    """The classes that examples name: whole numbers in their order, then names in the alphabet's.

    Raises:
        InputError: there are no labels, only one class, or numbers to predict instead of classes.
    """
    several = next((e for e in examples if isinstance(e.label, list | tuple | Mapping)), None)
    if several is not None:
        raise InputError(
            f"{several.where or 'the training data'} has several labels in a row: those are not trained here",
            allowed="one class a row, its name or a whole number in the column label",
        )
    labels = {spell(example.label) for example in examples if example.label is not None}
    if not labels:
        raise _without_labels("training data", examples)
    numbers = next((label for label in sorted(labels) if _NUMBER.fullmatch(label)), None)
    if numbers is not None:
        raise InputError(
            f"the training data has labels such as {numbers}: regression is not trained here, classes only",
            allowed="names of classes or whole numbers in the column label",
        )
    if len(labels) == 1:
        raise InputError(
            f"the training data has one class only, {labels.pop()!r}", allowed="two classes or more"
        )
    return sorted(
        labels, key=lambda label: (not label.isdecimal(), int(label) if label.isdecimal() else 0, label)
    )


def hold_out(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Split off a share of the examples, of each class alike.

    Raises:
        InputError: a class has a single example, or there are too few to have all classes on both sides.
        UnavailableError: scikit-learn is not installed.
    """
    try:
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise UnavailableError(
            "holding out validation data needs scikit-learn, which is not installed",
            hint="pip install 'squeezebert-edge[train]', or name validation data with --dev",
        ) from None
    classes = [spell(example.label) for example in examples]
    rarest, count = Counter(classes).most_common()[-1]
    if count < 2:
        raise InputError(
            f"class {rarest!r} has one example, so none can be held out for validation",
            hint="name validation data with --dev",
        )
    try:
        kept, held = train_test_split(list(examples), test_size=share, random_state=seed, stratify=classes)
    except ValueError as error:
        raise InputError(
            f"{len(examples)} examples cannot be split for validation: {error}",
            hint="name validation data with --dev",
        ) from None
    return kept, held


def _without_labels(what: str, examples: Sequence[Example]) -> InputError:
    """The error for a file, named by `what`, whose examples have no labels."""
    seen = next(
        (f": its columns are {', '.join(example.columns)}" for example in examples if example.columns), ""
    )
    return InputError(
        f"the {what} has no labels{seen}",
        allowed=f"a label in a column {' or '.join(TextClassification.label_columns)}",
    )


def read_classes(
    examples: Sequence[Example], labels: Sequence[str], what: str, hint: str | None = None
) -> Task:
    """The task that knows what the labels of a whole file mean; `what` names the file in errors.

    Args:
        hint: what to do about labels that are not among those given.

    Raises:
        InputError: an example has no label, or one that is not among `labels`.
    """
    if any(example.label is None for example in examples):
        raise _without_labels(what, examples)
    try:
        return TextClassification(labels, "single_label_classification").reads(examples)
    except InputError as error:
        raise InputError(
            f"the {what}: {error.problem}",
            allowed=error.allowed,
            hint=hint or "--labels names the classes; other classes than the checkpoint's begin a new head",
        ) from None


def encode(
    examples: Sequence[Example], tokenizer: Tokenizer, task: Task | None, max_length: int, what: str
) -> list[EncodedExample]:
    """Tokens and class numbers of every example, as `read_classes` reads them; `what` names them in errors.

    Without a task none has a label.

    Raises:
        InputError: there is none.
    """
    if not examples:
        raise InputError(f"the {what} is empty")
    encoded = []
    for example in examples:
        encoding = tokenizer.encode(example.text, example.pair, max_length=max_length)
        label = NO_LABEL if task is None else task.label_index(example.label)
        encoded.append(EncodedExample(encoding.ids, encoding.token_types, label))
    return encoded


def random_texts(count: int, vocabulary: int, max_length: int, seed: int) -> list[EncodedExample]:
    """Rows of words drawn at random, with both token types, for a teacher to judge."""
    random = np.random.default_rng([seed, count])
    rows = []
    for size in random.integers(4, min(max_length, RANDOM_TOKENS), count, endpoint=True).tolist():
        ids = random.integers(0, vocabulary, size).tolist()
        first = int(random.integers(1, size))
        rows.append(EncodedExample(ids, [0] * first + [1] * (size - first), NO_LABEL))
    return rows


def epoch_order(sizes: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of an epoch, as numbers of examples: shuffled, those of a batch alike in length.

    Args:
        sizes: tokens of each example.
    """
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(sizes)).tolist()
    span = batch_size * BUCKET
    buckets = [sorted(shuffled[at : at + span], key=sizes.__getitem__) for at in range(0, len(sizes), span)]
    batches = [bucket[at : at + batch_size] for bucket in buckets for at in range(0, len(bucket), batch_size)]
    return [batches[index] for index in random.permutation(len(batches)).tolist()]


def collate(examples: Sequence[EncodedExample], length: int, pad_id: int, device: torch.device) -> Batch:
    """Pad examples to `length` tokens."""
    rows = {
        "input_ids": torch.full((len(examples), length), pad_id),
        "attention_mask": torch.zeros(len(examples), length, dtype=torch.long),
        "token_type_ids": torch.zeros(len(examples), length, dtype=torch.long),
        "labels": torch.tensor([example.label for example in examples]),
    }
    for row, example in enumerate(examples):
        size = len(example.ids)
        rows["input_ids"][row, :size] = torch.tensor(example.ids)
        rows["attention_mask"][row, :size] = 1
        rows["token_type_ids"][row, :size] = torch.tensor(example.token_types)
    return Batch(**{name: tensor.to(device) for name, tensor in rows.items()})


def fingerprint(examples: Sequence[EncodedExample]) -> str:
    """A hash of encoded examples in their order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr((example.ids, example.token_types, example.label)).encode())
    return digest.hexdigest()
