"""Keeps what the tools below us say off the user's terminal, and their hands off the user's logging."""

from __future__ import annotations

import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr


@contextmanager
def quiet_tools() -> Iterator[None]:
    """Mute Python's warnings, and its log below ERROR, while a tool is imported or works.

    Some of them call logging.basicConfig, which would hand the user's root logger a handler for good: it does
    nothing while there is one.
    """
    root, disabled = logging.getLogger(), logging.root.manager.disable
    placeholder = logging.NullHandler()
    root.addHandler(placeholder)
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.removeHandler(placeholder)


@contextmanager
def quiet_runtime() -> Iterator[None]:
    """Mute what C++ code writes to stderr, for the short time of one call: it has no level to be set.

    Everything the process writes to stderr meanwhile is lost, so no long work belongs in here.
    """
    try:
        kept = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    try:
        with tempfile.TemporaryFile() as sink, redirect_stderr(io.StringIO()):
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
