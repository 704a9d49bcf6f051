"""The packages that measuring accuracy needs: those of the extra `evaluate`."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from exporters.errors import InputError

PACKAGES = ("sklearn", "scipy", "seqeval", "torchmetrics")


def can_measure_accuracy() -> bool:
    """Whether all of them are installed."""
    return all(importlib.util.find_spec(name) for name in PACKAGES)


def import_package(module: str) -> Any:
    """Import a module of one of them.

    Raises:
        InputError: the package is not installed; the hint names the extra that has it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"measuring accuracy needs {module.partition('.')[0]}, which is not installed",
            hint="pip install 'squeezebert-edge[evaluate]'",
        ) from None
