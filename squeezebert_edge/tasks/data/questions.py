"""Questions over contexts: SQuAD's JSON, and rows with named columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporters.errors import InputError
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.tables import TableRow, read_lines, read_table

ANSWERS = '[{"text": "...", "start": 0}, ...]'


def read_questions(path: Path) -> list[Example]:
    """SQuAD 1.1's JSON, or rows of `question`, `context` and, if they are known, `answers` or `answer`.

    `answers` is SQuAD's list of {text, ...}; `answer`, for tables, is one accepted text.

    Raises:
        InputError: the file or a row is malformed, or a question has no answer, as some of SQuAD 2.0's.
    """
    lines = read_lines(path)
    if '"data"' in lines[0] or len(lines[0].strip()) == 1:  # SQuAD is one line, or printed with indents
        return list(_squad(path, "\n".join(lines)))
    return [_example(row) for row in read_table(path)]


def _example(row: TableRow) -> Example:
    missing = [key for key in ("question", "context") if not isinstance(row.values.get(key), str)]
    if missing:
        raise InputError(
            f"{row.where}: the row has no text as {' and '.join(missing)}",
            allowed="question, context and answers, or SQuAD 1.1's JSON",
        )
    answers = row.values.get("answers")
    if answers is None and "answer" in row.values:
        answers = [{"text": row.text("answer")}]
    texts = None if answers is None else _texts(row.where, answers)
    return Example(row.text("question"), row.text("context"), label=texts, where=row.where)


def _texts(where: str, answers: Any) -> tuple[str, ...]:
    """The accepted texts."""
    if not (
        isinstance(answers, list)
        and answers
        and all(isinstance(answer, dict) and isinstance(answer.get("text"), str) for answer in answers)
    ):
        raise InputError(f"{where}: the answers are {answers!r}", allowed=ANSWERS)
    return tuple(answer["text"] for answer in answers)


def _squad(path: Path, content: str) -> Iterator[Example]:
    """The questions of {data: [{paragraphs: [{context, qas: [{question, answers}]}]}]}."""
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: this is not JSON: {error.msg}") from None
    where = str(path)
    found = False
    try:
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    found = True
                    where = f"{path}: question {question.get('id', question['question'])}"
                    texts = _texts(where, question["answers"])
                    yield Example(question["question"], paragraph["context"], label=texts, where=where)
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else "this is not SQuAD's structure"
        raise InputError(
            f"{where}: {reason}", allowed="data, paragraphs, context, qas, question, answers, as in SQuAD 1.1"
        ) from None
    if not found:
        raise InputError(f"{path} holds no questions")
