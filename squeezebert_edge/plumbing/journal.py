"""What a long measurement has found so far, kept as it comes, so that an interrupted one continues."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from exporters.errors import InputError


class Journal:
    """Numbered findings in a file, a JSON line each under a line that names the measurement.

    done: what is known already, by number.
    """

    def __init__(self, file: IO[str], done: dict[int, Any]) -> None:
        self._file, self.done = file, done

    def add(self, number: int, finding: Any) -> None:
        """Keep a finding; it is in the file when this returns."""
        self.done[number] = finding
        self._file.write(json.dumps([number, finding]) + "\n")
        self._file.flush()

    def forget(self) -> None:
        """Remove the file: the measurement is finished."""
        Path(self._file.name).unlink(missing_ok=True)


@contextmanager
def opened(path: Path, key: str, *, resume: bool) -> Iterator[Journal]:
    """The journal of a measurement, held by this process alone until the block ends.

    Args:
        key: names everything that the findings depend on.
        resume: continue what is there; otherwise it is begun anew.

    Raises:
        InputError: another process holds it, it is of another measurement, or it cannot be written.
    """
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{path}: another process is measuring this", hint="wait until it ends"
            ) from None
        file.seek(0)
        lines = file.read().split("\n")
        whole, done = [json.dumps({"key": key})], {}
        if resume and lines != [""]:
            if lines[0] != whole[0]:
                raise InputError(
                    f"{path} holds answers of another evaluation: its bundle, data or settings differ",
                    hint="without --resume it begins anew",
                )
            whole += lines[1:-1]  # what follows the last line's end was cut off while it was written
            done = dict(json.loads(line) for line in whole[1:])
        os.ftruncate(file.fileno(), 0)
        file.write("".join(line + "\n" for line in whole))
        file.flush()
        yield Journal(file, done)
