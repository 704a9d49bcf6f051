"""Questions over contexts: SQuAD's JSON, and rows with named columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporters.errors import InputError
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.records import Record, read_lines, read_records

ANSWERS = '[{"text": "...", "start": 0}, ...]'


def read_questions(path: Path) -> list[Example]:
    """SQuAD 1.1's JSON, or rows of `question`, `context` and, if they are known, `answers` or `answer`.

    `answers` is SQuAD's list of {text, ...}; `answer`, for tables, is one accepted text.

    Raises:
        InputError: a malformed file or row, or a question that has no answer, as SQuAD 2.0's do.
    """
    lines = read_lines(path)
    if '"data"' in lines[0] or len(lines[0].strip()) == 1:  # SQuAD is one line, or printed with indents
        return list(_squad(path, "\n".join(lines)))
    return [_example(record) for record in read_records(path)]


def _example(record: Record) -> Example:
    missing = [key for key in ("question", "context") if not isinstance(record.values.get(key), str)]
    if missing:
        raise InputError(
            f"{record.where}: without {', '.join(missing)}, or of another type",
            allowed="question, context and answers, or SQuAD 1.1's JSON",
        )
    answers = record.values.get("answers")
    if answers is None and "answer" in record.values:
        answers = [{"text": record.text("answer")}]
    texts = None if answers is None else _texts(record.where, answers)
    return Example(record.text("question"), record.text("context"), label=texts, where=record.where)


def _texts(where: str, answers: Any) -> tuple[str, ...]:
    """The accepted texts."""
    if not (
        isinstance(answers, list)
        and answers
        and all(isinstance(answer, dict) and isinstance(answer.get("text"), str) for answer in answers)
    ):
        raise InputError(f"{where}: answers {answers!r}", allowed=ANSWERS)
    return tuple(answer["text"] for answer in answers)


def _squad(path: Path, content: str) -> Iterator[Example]:
    """The questions of {data: [{paragraphs: [{context, qas: [{question, answers}]}]}]}."""
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
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
        reason = f"no {error}" if isinstance(error, KeyError) else "not SQuAD's structure"
        raise InputError(
            f"{where}: {reason}", allowed="data, paragraphs, context, qas, question, answers, as in SQuAD 1.1"
        ) from None
    if not found:
        raise InputError(f"{path}: no questions in it")
