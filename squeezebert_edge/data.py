"""Files of examples: what a user labels, tests or asks. One reader per shape of file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.errors import InputError


@dataclass(frozen=True)
class Example:
    """One thing to ask the model, with the right answer where it is known.

    text: the sentence, premise, question, prompt or text with [MASK].
    pair: the second text (hypothesis, context), if there is one.
    choices: the endings of `text`, for multiple choice.
    label: a class's name or number, a number for regression, a choice's index, the tags of the words, the
        masked word, or the accepted answers of a question.
    words: the words of a tagged sentence, `text` being them joined by spaces.
    """

    text: str
    pair: str | None = None
    choices: tuple[str, ...] = ()
    label: Any = None
    words: tuple[str, ...] = ()


# How labelled tables name their texts, GLUE's spellings among them; the first that a header holds is taken.
TEXT_COLUMNS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text", "pair"),
    ("sentence",),
    ("text",),
)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without their ends.

    Raises:
        InputError: the file is missing, unreadable, empty or not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}", hint="convert it to UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    lines = [line.removesuffix("\r") for line in lines]
    if not any(lines):
        raise InputError(f"{path}: the file is empty")
    return lines[:-1] if lines[-1] == "" else lines


def read_tsv(path: Path) -> list[Example]:
    """A tab-separated table with a header: GLUE's own form, which quotes nothing."""
    lines = read_lines(path)
    header = lines[0].split("\t")
    columns = _text_columns(path, header)
    label = header.index("label") if "label" in header else None
    examples = []
    for number, row in enumerate((line.split("\t") for line in lines[1:]), start=2):
        if len(row) != len(header):
            raise InputError(
                f"{path}:{number}: {len(row)} columns where the header has {len(header)}",
                allowed="one example a line, columns separated by tabs, nothing quoted",
            )
        text, *pair = (row[column] for column in columns)
        examples.append(Example(text, pair[0] if pair else None, label=None if label is None else row[label]))
    if not examples:
        raise InputError(f"{path}: a header and no examples")
    return examples


def _text_columns(path: Path, header: Sequence[str]) -> list[int]:
    """The columns of an example's one or two texts."""
    for names in TEXT_COLUMNS:
        if set(names) <= set(header):
            return [header.index(name) for name in names]
    raise InputError(
        f"{path}:1: no column of texts in the header {list(header)}",
        allowed="a header with label and " + ", or ".join(" and ".join(names) for names in TEXT_COLUMNS),
    )


def read_questions(path: Path) -> list[Example]:
    """JSON lines of `question`, `context` and `answers`, SQuAD's [{text, ...}, ...], if they are known."""
    examples = []
    for where, row in _json_lines(path, {"question": str, "context": str}):
        answers = row.get("answers")
        if answers is not None and not (
            isinstance(answers, list)
            and answers
            and all(isinstance(answer, dict) and isinstance(answer.get("text"), str) for answer in answers)
        ):
            raise InputError(f"{where}: answers {answers!r}", allowed='[{"text": "...", "start": 0}, ...]')
        texts = None if answers is None else tuple(answer["text"] for answer in answers)
        examples.append(Example(row["question"], row["context"], label=texts))
    return examples


def read_choices(path: Path) -> list[Example]:
    """JSON lines of `prompt`, `choices` and, if it is known, `label`, the index of the right one."""
    examples = []
    for where, row in _json_lines(path, {"prompt": str, "choices": list}):
        choices, label = row["choices"], row.get("label")
        if len(choices) < 2 or not all(isinstance(choice, str) for choice in choices):
            raise InputError(f"{where}: choices {choices!r}", allowed="two texts or more")
        if label is not None and not (type(label) is int and 0 <= label < len(choices)):
            raise InputError(f"{where}: label {label!r}", allowed=f"a number from 0 to {len(choices) - 1}")
        examples.append(Example(row["prompt"], choices=tuple(choices), label=label))
    return examples


def read_masked(path: Path) -> list[Example]:
    """JSON lines of `text` with [MASK] in it and, if it is known, `answer`, the word that stood there."""
    return [Example(row["text"], label=row.get("answer")) for _, row in _json_lines(path, {"text": str})]


def read_tagged(path: Path) -> list[Example]:
    """CoNLL columns: a word and, last, its tag a line; a blank line between sentences."""
    examples: list[Example] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*read_lines(path), ""], start=1):
        columns = line.split()
        if not columns:
            if words:
                examples.append(Example(" ".join(words), label=tuple(tags), words=tuple(words)))
            words, tags = [], []
        elif len(columns) < 2:
            raise InputError(f"{path}:{number}: a word without a tag", allowed="`word tag` on each line")
        else:
            words.append(columns[0])
            tags.append(columns[-1])
    return examples


def _json_lines(path: Path, required: Mapping[str, type]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's object with its place in the file."""
    for number, line in enumerate(read_lines(path), start=1):
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: not JSON: {error.msg}") from None
        allowed = "objects with " + ", ".join(f"{key} ({kind.__name__})" for key, kind in required.items())
        if not isinstance(row, dict):
            raise InputError(f"{where}: not an object", allowed=allowed)
        missing = [key for key, kind in required.items() if not isinstance(row.get(key), kind)]
        if missing:
            raise InputError(f"{where}: without {', '.join(missing)}, or of another type", allowed=allowed)
        yield where, row
