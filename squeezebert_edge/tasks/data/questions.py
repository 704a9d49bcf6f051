"""Questions over contexts: SQuAD's JSON, and rows with named columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporters.errors import InputError, quote
from squeezebert_edge.plumbing.reading import parse_json
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.tables import TableRow, read_lines, read_table, whole_document
from squeezebert_edge.tasks.labels import holds

LABEL_COLUMNS = ("answers", "answer")
ANSWERS = '[{"text": "...", "start": 0}, ...], {"text": ["..."]} or ["..."]'


def read_questions(path: Path) -> list[Example]:
    """SQuAD's JSON, or rows of `question`, `context` and, if they are known, `answers` or `answer`.

    `answers` is SQuAD's list of {text, ...}, or {text: [...], ...} as the Hugging Face hub has it; `answer`,
    for tables, is one accepted text. A question without an answer, as some of SQuAD 2.0's, has an empty list,
    or `is_impossible` is true.
    A table's cell that opens as a list or an object is read as JSON; an empty one says nothing.

    Raises:
        InputError: the file or a row is malformed.
    """
    lines = read_lines(path)
    if next(line for line in lines if line.strip()).lstrip().startswith("{"):
        document = whole_document(path, lines)
        if isinstance(document, dict) and not _has_rows(document):
            return list(_squad(path, document))
    return [_example(row) for row in read_table(path)]


def _has_rows(document: dict[str, Any]) -> bool:
    """Whether a document is rows of questions, and not SQuAD's articles."""
    data = document.get("data")
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict) and "question" in data[0]


def _example(row: TableRow) -> Example:
    missing = [key for key in ("question", "context") if not isinstance(row.first_value((key,)), str)]
    if missing:
        raise InputError(
            f"{row.where}: the row has no text as {' and '.join(missing)}: its columns are "
            f"{', '.join(row.columns)}",
            allowed="question, context and answers, or SQuAD's JSON",
        )
    answers = row.first_value(LABEL_COLUMNS)
    texts = None if answers in (None, "") else _texts(row.where, answers)
    if holds(row.first_value(("is_impossible",))):
        texts = ()
    return Example(
        row.text("question"), row.text("context"), label=texts, where=row.where, columns=row.columns
    )


def _texts(where: str, answers: Any) -> tuple[str, ...]:
    """The accepted texts."""
    found = answers
    if isinstance(answers, str):  # a table's
        found = _cell(where, answers)
    if isinstance(found, dict):
        found = found.get("text")
    if isinstance(found, list):
        found = [answer.get("text") if isinstance(answer, dict) else answer for answer in found]
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise InputError(f"{where}: the answers are {quote(answers)}", allowed=ANSWERS)
    return tuple(found)


def _cell(where: str, text: str) -> Any:
    """A table's cell: the JSON that it opens as, or else one accepted text."""
    if not text.lstrip().startswith(("[", "{")):
        return [text]
    try:
        return parse_json(text, f"{where}: the cell of answers, {quote(text)},")
    except InputError as error:  # such as what pandas writes of a list or an array
        raise InputError(error.problem, allowed=f"a text, or as JSON {ANSWERS}") from None


def _squad(path: Path, document: dict[str, Any]) -> Iterator[Example]:
    """The questions of {data: [{paragraphs: [{context, qas: [{question, answers}]}]}]}."""
    where = str(path)
    found = False
    try:
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    found = True
                    where = f"{path}: question {question.get('id', question['question'])}"
                    if not isinstance(question["question"], str) or not isinstance(paragraph["context"], str):
                        raise TypeError
                    texts = () if question.get("is_impossible") else _texts(where, question["answers"])
                    yield Example(question["question"], paragraph["context"], label=texts, where=where)
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else "this is not SQuAD's structure"
        raise InputError(
            f"{where}: {reason}", allowed="data, paragraphs, context, qas, question, answers, as in SQuAD"
        ) from None
    if not found:
        raise InputError(f"{path} holds no questions")
