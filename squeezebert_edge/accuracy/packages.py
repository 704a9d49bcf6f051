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


def require_packages() -> None:
    """Raise InputError if one of them is not installed."""
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise _missing(name)


def import_package(module: str) -> Any:
    """Import a module of one of them.

    Raises:
        InputError: the package is not installed; the hint names the extra that has it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise _missing(module.partition(".")[0]) from None


def _missing(package: str) -> InputError:
    return InputError(
        f"measuring accuracy needs {package}, which is not installed",
        hint="pip install 'squeezebert-edge[evaluate]'",
    )
