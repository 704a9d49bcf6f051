"""stdout and stderr, which may be a terminal of ASCII, a full disk, or a pipe that nobody reads any more."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

from exporters.errors import InputError

EXIT_CODE_OF_CLOSED_PIPE = 141  # 128 + SIGPIPE, as other programs end there


class CannotPrintError(InputError):
    """Nothing more can be printed."""


class ClosedPipeError(CannotPrintError):
    """The reader of a pipe has what it wanted, such as `head`; there is nothing to explain, and to nobody."""

    exit_code = EXIT_CODE_OF_CLOSED_PIPE


class Output(io.TextIOWrapper):
    """stdout, whose errors explain themselves. It shows characters that it cannot encode by their numbers."""

    def write(self, text: str) -> int:
        """Write a text.

        Raises:
            CannotPrintError: it cannot be written.
        """
        try:
            return super().write(text)
        except OSError as error:
            raise self._failure(error) from None

    def flush(self) -> None:
        """Pass on what was written.

        Raises:
            CannotPrintError: it cannot be written.
        """
        try:
            super().flush()
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error: OSError) -> CannotPrintError:
        # What is still in a buffer would fail again when the process ends.
        _redirect_to_nothing(self.fileno())
        if error.errno == errno.EPIPE:
            return ClosedPipeError("stdout is a pipe that nobody reads")
        return CannotPrintError(
            f"stdout cannot be written: {error.strerror}", hint="free space there, or send it elsewhere"
        )


class Remarks(Output):
    """stderr: where it cannot be written, what would have been said is left unsaid."""

    def write(self, text: str) -> int:
        """Write a text if that is possible."""
        try:
            return super().write(text)
        except CannotPrintError:
            return len(text)

    def flush(self) -> None:
        """Pass on what was written if that is possible."""
        try:
            super().flush()
        except CannotPrintError:
            return


def take_over() -> None:
    """Make stdout and stderr those of this module."""
    sys.stdout, sys.stderr = _made_of(sys.stdout, Output), _made_of(sys.stderr, Remarks)


def _made_of(stream: TextIO | None, kind: type[Output]) -> Output:
    if stream is None:  # the process was started without one
        return kind(open(os.devnull, "wb"), encoding="utf-8")
    return kind(
        stream.buffer,  # which the original keeps open
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.isatty() or kind is Remarks,
    )


def _redirect_to_nothing(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)
