"""The base of every error a user sees: what was wrong, what is allowed, what to do next."""

from __future__ import annotations

import re
from typing import Any

LONGEST_VALUE = 80  # characters of a value that an error shows
LONGEST_PART = 4000  # characters of a problem, of what is allowed, or of a hint

# What would move a terminal's cursor, colour or reverse the text after it, or cannot be encoded at all.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def quote(value: object) -> str:
    """A value that a stranger's file holds, as Python writes it, cut to what a sentence can take."""
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def escape(text: str) -> str:
    """A text without characters that would do something to a terminal: they are shown by their numbers."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _shorten(text: str) -> str:
    """A part of a message that can be shown, its middle left out where it is too long."""
    if len(text) > LONGEST_PART:
        half = LONGEST_PART // 2
        text = f"{text[:half]} ... ({len(text) - 2 * half} characters) ... {text[-half:]}"
    return escape(text)


class EdgeError(Exception):
    """An error that explains itself; the command line prints it without a traceback.

    Args:
        problem: what was wrong, with the value that was seen.
        allowed: what would have been accepted.
        hint: what to do or run next.
    """

    exit_code = 2

    def __init__(self, problem: str, *, allowed: str | None = None, hint: str | None = None) -> None:
        self.problem = _shorten(problem)
        self.allowed, self.hint = (part and _shorten(part) for part in (allowed, hint))
        lines = [self.problem]
        if self.allowed:
            lines.append(f"allowed: {self.allowed}")
        if self.hint:
            lines.append(f"next: {self.hint}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle: of the parts, whatever else an error's class is made of."""
        return _remake, (type(self), self.problem, self.allowed, self.hint), self.__dict__


def _remake(kind: type[EdgeError], problem: str, allowed: str | None, hint: str | None) -> EdgeError:
    error = kind.__new__(kind)
    EdgeError.__init__(error, problem, allowed=allowed, hint=hint)
    return error


class InputError(EdgeError):
    """The input or the call is wrong (exit code 2)."""


class GateError(EdgeError):
    """A gate failed: parity, accuracy, delegation, an invalid measurement (exit code 1)."""

    exit_code = 1


class UnavailableError(EdgeError):
    """It cannot be done, checked or measured on this machine (exit code 3); the hint says what would."""

    exit_code = 3
