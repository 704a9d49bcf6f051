"""Packages that only some installations have."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from exporters.errors import InputError

_PACKAGES = ("sklearn", "scipy", "seqeval", "torchmetrics")


def can_measure_accuracy() -> bool:
    """Whether all packages that `imported` may be asked for are here."""
    return all(importlib.util.find_spec(name) for name in _PACKAGES)


def imported(module: str) -> Any:
    """A module of the packages that measuring accuracy takes.

    Raises:
        InputError: it is not installed; says which extra has it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"measuring accuracy needs {module.partition('.')[0]}, which is not installed",
            hint="pip install 'squeezebert-edge[evaluate]'",
        ) from None
