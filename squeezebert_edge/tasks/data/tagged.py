"""Sentences whose words have tags: CoNLL's columns, and rows with named columns."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.errors import InputError, quote
from squeezebert_edge.plumbing.reading import parse_json
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.tables import TableRow, read_lines, read_table

WORD_COLUMNS, TAG_COLUMNS = ("words", "tokens"), ("tags", "ner_tags", "pos_tags", "labels", "label")
# What a table may call them that has one word a row.
SINGLE_WORD, SINGLE_TAG = {"word", "token"}, {"tag", "ner_tag", "ner", "pos", "label", "labels"}
ALLOWED = "`word tag` on each line"
_TAG = re.compile(r"O|[BIESLU]-\S+")
# What CoNLL-U calls 1-2 and 1.1: a contraction, whose parts have lines of their own, and an omitted word.
_BETWEEN = re.compile(r"[0-9]+[-.][0-9]+")
_DOCUMENT = "-DOCSTART-"
_JSON = re.compile(r'\s*(?:\{\s*(?:"|$)|\[\s*(?:\{|$))')  # where a word [ or { has a tag behind it


@dataclass(frozen=True)
class _Line:
    """A line with columns; `number` counts the file's lines from 1."""

    number: int
    text: str
    columns: list[str]


def read_tagged(path: Path, columns: Mapping[str, int] | None = None) -> list[Example]:
    """CoNLL columns: a word first and its tag last in a line, a blank line between sentences.

    Tabs separate the columns of a file that has them, and otherwise spaces do; a word may then be of several
    words. A column that counts the words of each sentence is left out. If several are left beside the word's,
    or the first is the same in every line, nothing is tagged until columns are said to have words and tags.
    Lines of -DOCSTART- are skipped, and comments: lines that open with # and can be no word. Rows with the
    columns `words` and `tags` are read too: lists in JSON; in a table lists written as JSON, or words
    separated by spaces.

    Args:
        columns: where the `word` and the `tag` stand, counted from 0, in a file where that is not plain.

    Raises:
        InputError: a word has no tag, and the message has its line; there are no words; or a table has a word
            in each row.
    """
    lines = read_lines(path)
    first = next((line for line in lines if line.strip()), "")
    header = {name.strip().casefold() for name in re.split("[\t,]", first)}
    is_json = _JSON.match(first) is not None
    if is_json or header & {*WORD_COLUMNS}:
        if columns is not None:
            raise InputError(f"{path} has named columns", allowed="--columns with a file that has no header")
        examples = [_example(row) for row in read_table(path)]
        if not is_json and len(examples) > 1 and all(len(example.words) == 1 for example in examples):
            raise _torn(path)
        return examples
    if header & SINGLE_WORD and header & SINGLE_TAG:
        raise _torn(path)
    sentences = list(_sentences(lines))
    if not sentences:
        raise InputError(f"{path} holds no tagged words", allowed=ALLOWED)
    word, tag = _places(sentences, columns)
    return [_sentence(path, sentence, word, tag) for sentence in sentences]


def _torn(path: Path) -> InputError:
    """The error for a table whose rows are words, each of which would be asked as a sentence."""
    return InputError(
        f"{path} has a header over one word a row, which says nowhere that a sentence ends",
        allowed=f"{ALLOWED} without a header, and a blank line between sentences; or a row for each "
        "sentence, with all its words and all its tags",
    )


def _sentences(lines: Sequence[str]) -> Iterator[list[_Line]]:
    """The lines with words, by sentence."""
    tabs = _has_tabs(lines)
    separator = "\t" if tabs else "[ \t]+"
    cut = [
        _Line(number, line, re.split(separator, line if tabs else line.strip(" \t")))
        for number, line in enumerate(lines, start=1)
    ]
    others = [
        line.columns for line in cut if line.text.strip() and not line.text.startswith(("#", _DOCUMENT))
    ]
    usual = Counter(map(len, others)).most_common(1)[0][0] if others else 2
    tags = {columns[-1] for columns in others}
    sentence: list[_Line] = []
    for line in cut:
        if not line.text.strip() or line.columns[0].split(" ")[0] == _DOCUMENT:
            if sentence:
                yield sentence
            sentence = []
        elif not line.text.startswith("#") or not _is_comment(line.columns, usual, tags, begins=not sentence):
            sentence.append(line)
    if sentence:
        yield sentence


def _has_tabs(lines: Sequence[str]) -> bool:
    """Whether tabs separate the columns, as the first line shows that is no comment and no document."""
    first = next((line for line in lines if line.strip() and not line.startswith(("#", _DOCUMENT))), "")
    return "\t" in (first or "".join(lines))


def _is_comment(columns: Sequence[str], usual: int, tags: set[str], *, begins: bool) -> bool:
    """Whether a line that opens with # can be no word.

    Args:
        usual: how many columns the other lines have.
        tags: their last columns.
        begins: it stands where a sentence begins.
    """
    if len(columns) < 2 or (begins and len(columns) > usual):
        return True
    if columns[-1] in tags or _TAG.fullmatch(columns[-1]) or not begins:
        return False
    return len(columns) != usual or (columns[0] == "#" and usual > 2)


def _places(
    sentences: Sequence[Sequence[_Line]], columns: Mapping[str, int] | None
) -> tuple[int, int | None]:
    """The columns of the words and of the tags, where they are plain; -1 is the last."""
    if columns is not None:
        return columns["word"], columns["tag"]
    count = len(sentences[0][0].columns)
    if count < 3:
        return 0, -1
    if _is_counted(sentences):
        return 1, 2 if count == 3 else None
    return (1, None) if _is_one_value(sentences) else (0, -1)


def _is_one_value(sentences: Sequence[Sequence[_Line]]) -> bool:
    """Whether the first column says the same of all lines of a sentence, such as its number or document."""
    values = [{line.columns[0] for line in sentence} for sentence in sentences]
    parts = min(len(sentences), len(set().union(*values)))
    return max(map(len, values)) == 1 and sum(map(len, sentences)) - parts > 1


def _is_counted(sentences: Sequence[Sequence[_Line]]) -> bool:
    """Whether the first column counts the words, of each sentence or of the whole file, from 0 or from 1."""
    if not any(len(sentence) > 1 for sentence in sentences):
        return False
    numbers = [
        [line.columns[0] for line in sentence if not _BETWEEN.fullmatch(line.columns[0])]
        for sentence in sentences
    ]
    return all(map(_counts, numbers)) or _counts([*itertools.chain(*numbers)])


def _counts(numbers: Sequence[str]) -> bool:
    return any(
        all(number == str(place) for place, number in enumerate(numbers, start=start)) for start in (0, 1)
    )


def _sentence(path: Path, lines: Sequence[_Line], word: int, tag: int | None) -> Example:
    words, tags = [], []
    for line in lines:
        if word > 0 and _BETWEEN.fullmatch(line.columns[0]):
            continue
        if len(line.columns) <= max(word, tag or 1, 1) or not line.columns[tag or 0].strip():
            raise InputError(f"{path}:{line.number}: the word has no tag", allowed=ALLOWED)
        words.append(line.columns[word].strip(" "))
        if not words[-1]:
            raise InputError(f"{path}:{line.number}: there is no word", allowed=ALLOWED)
        tags.append(line.columns[tag or 0].strip())
    return Example(
        " ".join(words),
        label=None if tag is None else tuple(tags),
        words=tuple(words),
        where=f"{path}:{lines[0].number}",
        columns=tuple(f"{place}={value}" for place, value in enumerate(lines[0].columns)),
    )


def _example(row: TableRow) -> Example:
    written = row.first_value(TAG_COLUMNS)
    is_list = isinstance(written, str) and written.startswith("[")  # no tag does
    words = _list_items(row, WORD_COLUMNS, is_list=is_list)
    tags = None if written is None else _list_items(row, TAG_COLUMNS, is_list=is_list)
    if not words:
        raise InputError(f"{row.where}: the row has no words", allowed="at least one word")
    if tags is not None and len(tags) != len(words):
        raise InputError(
            f"{row.where}: the row has {len(words)} words and {len(tags)} tags", allowed="a tag for each word"
        )
    label = None if tags is None else tuple(tags)
    return Example(" ".join(words), label=label, words=tuple(words), where=row.where, columns=row.columns)


def _list_items(row: TableRow, columns: Sequence[str], *, is_list: bool) -> list[str]:
    """The words or tags of a row; of a table's cell those that spaces separate, or `is_list`: JSON's."""
    name = row.find(columns)
    if name is None:
        raise InputError(
            f"{row.where}: the row has no {' or '.join(columns)}: its columns are {', '.join(row.columns)}",
            allowed=f"a column {' or '.join(WORD_COLUMNS)}, and one {' or '.join(TAG_COLUMNS)}",
        )
    value: Any = row.values[name]
    items = value
    if isinstance(value, str):
        items = parse_json(value, f"{row.where}: {name}") if is_list else value.split(" ")
    if not isinstance(items, list) or not all(str(item).strip(" ") for item in items):
        raise InputError(
            f"{row.where}: {' or '.join(columns)} is {quote(value)}",
            allowed="a list, as JSON in a table, or words separated by single spaces",
        )
    return [str(item).strip(" ") for item in items]
