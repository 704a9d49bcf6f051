"""Reads an Xcode project, an old-style property list: Python's plistlib knows the later kinds only."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"""
    \s* (?: //[^\n]* | /\*.*?\*/
    | (?P<mark>[{}()=;,]) | "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<plain>[\w./$]+) )
    """,
    re.VERBOSE | re.DOTALL,
)


def parse(text: str) -> Any:
    """The dictionaries, lists and strings of a file.

    Raises:
        ValueError: it is no such list, or something follows it.
    """
    tokens = _tokens(text)
    value = _value(tokens)
    if tokens:
        raise ValueError(f"after the end: {tokens[-1]}")
    return value


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and content of each token, the first one last."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"not of a property list: {text[at : at + 40]!r}")
        if match.lastgroup:
            found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found[::-1]


def _value(tokens: list[tuple[str, str]]) -> Any:
    kind, content = tokens.pop()
    if kind != "mark":
        return re.sub(r"\\(.)", r"\1", content)
    if content == "{":
        fields = {}
        while tokens[-1] != ("mark", "}"):
            key = _value(tokens)
            _expect(tokens, "=")
            if key in fields:
                raise ValueError(f"twice: {key}")
            fields[key] = _value(tokens)
            _expect(tokens, ";")
        tokens.pop()
        return fields
    if content == "(":
        items = []
        while tokens[-1] != ("mark", ")"):
            items.append(_value(tokens))
            _expect(tokens, ",")
        tokens.pop()
        return items
    raise ValueError(f"not a value: {content}")


def _expect(tokens: list[tuple[str, str]], mark: str) -> None:
    if tokens.pop() != ("mark", mark):
        raise ValueError(f"no {mark}")
