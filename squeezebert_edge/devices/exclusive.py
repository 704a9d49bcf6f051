"""One measurement at a time on a device: two at once would each slow the other down."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exporters.errors import UnavailableError


@contextmanager
def exclusive(device: str) -> Iterator[None]:
    """Keep every other process and thread of this user off a device, for the time of a block.

    Args:
        device: which one, by a name that is the same however it is reached.

    Raises:
        UnavailableError: another process or thread has it.
    """
    named = hashlib.sha256(f"{getpass.getuser()} {device}".encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"squeezebert-edge-{named}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError(
                f"another measurement runs on {device}", hint="wait until it has ended"
            ) from None
        try:
            yield
        finally:
            with suppress(OSError):
                os.unlink(path)
