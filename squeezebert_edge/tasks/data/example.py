"""What every reader gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Example:
    """One thing to ask the model, with the right answer where it is known.

    text: the sentence, premise, question, prompt or text with [MASK].
    pair: the second text (hypothesis, context), if there is one.
    choices: the endings of `text`, for multiple choice.
    label: a class's name or number, a number for regression, several of the first, what the columns of
        several labels have, by their names, a choice's index, the tags of the words, the masked word, or the
        accepted answers of a question, none where it has no answer.
    words: the words of a tagged sentence, `text` being them joined by spaces.
    where: its place in a file, for messages.
    columns: what the file has at this place, for messages.
    unread: those of the file's columns that may hold another text or label.
    """

    text: str
    pair: str | None = None
    choices: tuple[str, ...] = ()
    label: Any = None
    words: tuple[str, ...] = ()
    where: str = field(default="", compare=False, repr=False)
    columns: tuple[str, ...] = field(default=(), compare=False, repr=False)
    unread: tuple[str, ...] = field(default=(), compare=False, repr=False)
