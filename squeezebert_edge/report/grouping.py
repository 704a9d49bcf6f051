"""Sentences that differ only in the bundle that they are about, said once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

_NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w-])")


def group(
    said: Iterable[tuple[str, str]], alone: Callable[[str, str], str], together: Callable[[str, str], str]
) -> list[str]:
    """One sentence for all that is said in the same words, whatever the numbers in them.

    Args:
        said: subjects, and what is said of each.
        alone: the sentence for one subject.
        together: the sentence for several subjects, listed; numbers that differ are given as a range.
    """
    by_words: dict[str, list[tuple[str, str]]] = {}
    for subject, text in said:
        by_words.setdefault(_NUMBER.sub("#", text), []).append((subject, text))
    sentences = []
    for same in by_words.values():
        subjects = list(dict.fromkeys(subject for subject, _ in same))
        text = _with_ranges([text for _, text in same])
        sentences.append(
            alone(subjects[0], text) if len(subjects) == 1 else together(", ".join(subjects), text)
        )
    return sentences


def _with_ranges(texts: Sequence[str]) -> str:
    """Texts of the same words as one, with the least and the greatest of each number."""
    columns = iter(zip(*(_NUMBER.findall(text) for text in texts), strict=True))

    def between(_: re.Match[str]) -> str:
        numbers = sorted(set(next(columns)), key=float)
        return numbers[0] if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"

    return _NUMBER.sub(between, texts[0])
