"""Sentences whose words have tags: CoNLL's columns, and rows with named columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporters.errors import InputError
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.tables import TableRow, read_lines, read_table

WORD_COLUMNS, TAG_COLUMNS = ("words", "tokens"), ("tags", "ner_tags", "labels")
_TAG = re.compile(r"O|[BIESLU]-\S+")


def read_tagged(path: Path) -> list[Example]:
    """CoNLL columns: a word and, last, its tag a line; a blank line between sentences.

    Lines of -DOCSTART- and comments are skipped: a line before a sentence's first word that opens with # and
    does not end in a tag. Rows with the columns `words` and `tags` are read too: lists in JSON lines, words
    separated by spaces in a table.

    Raises:
        InputError: a word has no tag, and the message has its line; or nothing is tagged.
    """
    lines = read_lines(path)
    if lines[0].startswith("{") or {*re.split("[\t,]", lines[0])} & {*WORD_COLUMNS}:
        return [_example(row) for row in read_table(path)]
    examples: list[Example] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*lines, ""], start=1):
        columns = line.split()
        if not columns or columns[0] == "-DOCSTART-":
            if words:
                where = f"{path}:{number - len(words)}"
                examples.append(Example(" ".join(words), label=tuple(tags), words=tuple(words), where=where))
            words, tags = [], []
        elif columns[0].startswith("#") and not words and not _TAG.fullmatch(columns[-1]):
            continue
        elif len(columns) < 2:
            raise InputError(f"{path}:{number}: the word has no tag", allowed="`word tag` on each line")
        else:
            words.append(columns[0])
            tags.append(columns[-1])
    if not examples:
        raise InputError(f"{path} holds no tagged words", allowed="`word tag` on each line")
    return examples


def _example(row: TableRow) -> Example:
    words = _list_items(row, WORD_COLUMNS)
    tags = _list_items(row, TAG_COLUMNS) if row.first_value(TAG_COLUMNS) is not None else None
    if not words:
        raise InputError(f"{row.where}: the row has no words", allowed="at least one word")
    if tags is not None and len(tags) != len(words):
        raise InputError(
            f"{row.where}: the row has {len(words)} words and {len(tags)} tags", allowed="a tag for each word"
        )
    label = None if tags is None else tuple(tags)
    return Example(" ".join(words), label=label, words=tuple(words), where=row.where)


def _list_items(row: TableRow, columns: Sequence[str]) -> list[str]:
    value: Any = row.first_value(columns)
    items = value.split(" ") if isinstance(value, str) else value
    if not isinstance(items, list) or any(" " in str(item) or item == "" for item in items):
        raise InputError(
            f"{row.where}: {' or '.join(columns)} is {value!r}",
            allowed="a list of words without spaces, or words separated by single spaces",
        )
    return [str(item) for item in items]
