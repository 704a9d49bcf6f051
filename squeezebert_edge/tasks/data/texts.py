"""A text or a pair of texts with a label: GLUE's tables and their like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from exporters.errors import InputError, quote
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.tables import TableRow, read_lines, read_table
from squeezebert_edge.tasks.labels import NO_GOLD, holds, spell

# How labelled tables name their texts, GLUE's spellings among them; the first that a file has is taken.
TEXT_COLUMNS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("#1 String", "#2 String"),
    ("question", "passage"),
    ("text", "pair"),
    ("text", "text_pair"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence",),
    ("text",),
    ("review",),
    ("content",),
    ("comment_text",),
    ("tweet",),
    ("message",),
)
LABEL_COLUMNS = (
    "label",
    "labels",
    "gold_label",
    "is_duplicate",
    "Quality",
    "sentiment",
    "target",
    "class",
    "score",
)
NUMBER_COLUMNS = ("score", *LABEL_COLUMNS[:-1])  # the same, for a number to predict
_WORDS = re.compile(r"[^\W\d_]\s+[^\W\d_]")  # of which there are several

COLA_COLUMNS = 4  # source, label, the author's mark, sentence; no header
# What the challenges of 2005 to 2009 call GLUE's two classes.
RTE_LABELS = {
    **dict.fromkeys(("YES", "TRUE", "ENTAILMENT"), "entailment"),
    **dict.fromkeys(("NO", "FALSE", "UNKNOWN", "CONTRADICTION"), "not_entailment"),
}
STS_COLUMNS = 7  # genre, file, year, number, score and two sentences; no header


def read_texts(path: Path, label_columns: Sequence[str] = LABEL_COLUMNS) -> list[Example]:
    """A TSV, CSV or JSON of texts and labels, or CoLA's, the STS benchmark's or an RTE challenge's own file.

    Columns are found by their usual names, once for all rows. Where several labels may hold, they are in one
    column, or each has a column of its own with 0 or 1, or false or true: the label is then what those
    columns have, by their names.

    Args:
        label_columns: what the column of labels may be called; the first that the file has is taken.

    Raises:
        InputError: no column has texts, or a row is malformed; the message has its line.
    """
    lines = read_lines(path)
    first = next(line for line in lines if line.strip())
    if first.lstrip().startswith(("<?xml", "<!DOCTYPE", "<entailment-corpus")):
        pairs = list(_rte(path, "\n".join(lines)))
        if not pairs:
            raise InputError(f"{path} has no examples", allowed="<pair> elements of an RTE challenge")
        return pairs
    if _is_cola(first):
        return list(_cola(path, lines))
    if _is_sts(first):
        return list(_sts(path, lines))
    rows = read_table(path)
    header = TableRow(str(path), dict.fromkeys(name for row in rows for name in row.values))
    columns = _text_columns(path, header)
    own = header.find(label_columns)
    others = [name for name in header.columns if name not in {own, *map(header.find, zip(columns))}]
    indicators = () if own else _indicators(rows, others)
    unread = _unread(rows, others, label_columns) if len(columns) == 1 else ()
    examples = []
    for row in rows:
        text, *pair = (row.text(column) for column in columns)
        label = row.first_value((own,)) if own else None
        if indicators:
            label = {name: row.values.get(name) for name in indicators}
        examples.append(
            Example(
                text,
                pair[0] if pair else None,
                label=label,
                where=row.where,
                columns=row.columns,
                unread=unread,
            )
        )
    return examples


def _text_columns(path: Path, header: TableRow) -> tuple[str, ...]:
    """The columns of an example's one or two texts."""
    for names in TEXT_COLUMNS:
        if all(header.find((name,)) for name in names):
            return names
    raise InputError(
        f"{path} has no column of texts: its columns are {', '.join(header.columns)}",
        allowed=f"a label ({', '.join(LABEL_COLUMNS)}) and "
        + ", or ".join(" and ".join(names) for names in TEXT_COLUMNS),
    )


def _indicators(rows: Sequence[TableRow], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that say in most rows whether something holds, if there are several: those of labels.

    What the other rows have there is for whoever knows the labels to judge.
    """
    found = tuple(name for name in columns if _most(_says, rows, name))
    return found if len(found) > 1 else ()


def _unread(rows: Sequence[TableRow], columns: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Of columns that are not read, those of words and those that are called as labels are."""
    called = {name.casefold() for name in labels}
    return tuple(name for name in columns if name.casefold() in called or _most(_has_words, rows, name))


def _most(is_such: Callable[[Any], bool], rows: Sequence[TableRow], column: str) -> bool:
    """Whether most rows have such a value in a column."""
    return 2 * sum(is_such(row.values.get(column)) for row in rows) > len(rows)


def _says(value: Any) -> bool:
    """Whether a value is an indicator, or the mark of none."""
    return holds(value) is not None or spell(value) in NO_GOLD


def _has_words(value: Any) -> bool:
    return isinstance(value, str) and _WORDS.search(value) is not None


def tell_unread(examples: Sequence[Example]) -> str | None:
    """Which columns may hold another text or label and were not read, in a sentence; None if none does."""
    names = dict.fromkeys(name for example in examples for name in example.unread)
    if not names:
        return None
    return (
        f"the file's {' and '.join(names)} {'is' if len(names) == 1 else 'are'} not read, and may be a "
        "second text, which sentence2 would be after sentence1, or another label"
    )


def _rte(path: Path, text: str) -> Iterator[Example]:
    """The XML of the RTE challenges, its labels in GLUE's two classes.

    https://aclweb.org/aclwiki/Recognizing_Textual_Entailment
    """
    if "<!ENTITY" in text:
        raise InputError(f"{path} defines entities", allowed="pairs of an RTE challenge")
    try:
        corpus = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise InputError(f"{path}:{error.position[0]}: this is not XML: {error}") from None
    for pair in corpus.iter("pair"):
        where = f"{path}: pair {quote(pair.get('id'))}"
        texts = pair.findtext("t"), pair.findtext("h")
        label = RTE_LABELS.get((pair.get("entailment") or pair.get("value") or "").upper())
        if texts[0] is None or texts[1] is None or label is None:
            raise InputError(
                f"{where} is no example of RTE",
                allowed=f"<t>, <h>, and entailment or value of {', '.join(RTE_LABELS)}",
            )
        first, second = (" ".join(one.split()) for one in texts if one is not None)
        yield Example(first, second, label=label, where=where)


def _is_cola(line: str) -> bool:
    columns = line.split("\t")
    return (
        len(columns) == COLA_COLUMNS
        and columns[1] in ("0", "1")
        and re.fullmatch(r"\W*", columns[2]) is not None
    )


def _cola(path: Path, lines: Sequence[str]) -> Iterator[Example]:
    for number, line in enumerate(lines, start=1):
        columns = line.split("\t")
        if not line.strip():
            continue
        if len(columns) != COLA_COLUMNS or columns[1] not in ("0", "1"):
            raise InputError(
                f"{path}:{number}: this is not a row of CoLA",
                allowed="source, 0 or 1, the author's mark or nothing, and the sentence, separated by tabs",
            )
        yield Example(columns[3], label=columns[1], where=f"{path}:{number}")


def _is_sts(line: str) -> bool:
    columns = line.split("\t")
    return len(columns) >= STS_COLUMNS and re.fullmatch(r"[0-9]\.[0-9]+", columns[4]) is not None


def _sts(path: Path, lines: Sequence[str]) -> Iterator[Example]:
    for number, line in enumerate(lines, start=1):
        columns = line.split("\t")
        if not line.strip():
            continue
        if not _is_sts(line):
            raise InputError(
                f"{path}:{number}: this is not a row of the STS benchmark",
                allowed="genre, file, year, number, score and two sentences, separated by tabs",
            )
        yield Example(columns[5], columns[6], label=columns[4], where=f"{path}:{number}")
