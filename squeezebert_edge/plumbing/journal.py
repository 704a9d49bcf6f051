"""The results of a long measurement, kept in a file as they come, so that an interrupted one can continue."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from exporters.errors import InputError, quote
from squeezebert_edge.plumbing.reading import CONTENTS, parse_json, read_text

_AGAIN = "start again without --resume"


class Journal:
    """Numbered results in a file: a line of JSON each, below a line that names the measurement.

    done: the results so far, by number.
    """

    def __init__(self, file: IO[str], done: dict[int, Any]) -> None:
        self._file, self.done = file, done

    def add(self, number: int, result: Any) -> None:
        """Keep a result; it is in the file when this returns."""
        self.done[number] = result
        self._file.write(json.dumps([number, result]) + "\n")
        self._file.flush()

    def delete(self) -> None:
        """Delete the file, once the measurement is finished."""
        Path(self._file.name).unlink(missing_ok=True)


@contextmanager
def open_journal(path: Path, key: str, *, resume: bool) -> Iterator[Journal]:
    """Open the journal of a measurement; no other process can open it until the block ends.

    Args:
        key: names everything that the results depend on.
        resume: keep the results that are there. Otherwise the journal starts empty.

    Raises:
        InputError: another process has it open, it belongs to another measurement, it is no journal, or it
            cannot be written.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: cannot be written: it is not a file", hint="remove it")
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{path}: another process is measuring this", hint="wait until it ends"
            ) from None
        lines = read_text(path, CONTENTS).split("\n")
        whole, done = [json.dumps({"key": key})], {}
        if resume and lines != [""]:
            if lines[0] != whole[0]:
                raise InputError(
                    f"{path} holds answers of another evaluation: its bundle, data or settings differ",
                    hint=_AGAIN,
                )
            whole += lines[1:-1]  # what follows the last newline is empty, or was cut off
            done = dict(_read_entry(line, path) for line in whole[1:])
        os.ftruncate(file.fileno(), 0)
        file.write("".join(line + "\n" for line in whole))
        file.flush()
        yield Journal(file, done)


def _read_entry(line: str, path: Path) -> tuple[int, Any]:
    entry = parse_json(line, path, finite=False)
    if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], int)):
        raise InputError(f"{path} has {quote(entry)} in it, which is no result", hint=_AGAIN)
    return entry[0], entry[1]
