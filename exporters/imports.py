"""Imports of one module of a package without all that the package imports for itself.

A tool's package often imports its converter, of which whoever only runs or reads a file needs nothing.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_one_at_a_time = threading.RLock()


@contextmanager
def without_init(package: str) -> Iterator[None]:
    """Meanwhile modules of the package are imported, and its own `__init__` is not run.

    Nothing changes for a package that is there already. One that is imported afterwards is whole, and takes
    over the modules that were imported meanwhile.
    """
    with _one_at_a_time:
        found = None if package in sys.modules else importlib.util.find_spec(package)
        if found is None:
            yield
            return
        stand_in = ModuleType(package)
        stand_in.__path__ = list(found.submodule_search_locations or ())
        sys.modules[package] = stand_in
        try:
            yield
        finally:
            del sys.modules[package]
