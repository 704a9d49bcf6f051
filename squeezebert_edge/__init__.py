"""SqueezeBERT checkpoints on phones: export, proof and measurement.

    import squeezebert_edge as edge

    checkpoint = edge.load("default")
    bundle = edge.export(checkpoint, "tflite", "int8", out="out")
    bundle("a gorgeous, witty film")

Importing this loads neither torch nor a runtime: each call loads what it needs.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # typing would take half of the time before the command line catches Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from squeezebert_edge.face import benchmark, evaluate, export, load, open_bundle, verify

__version__ = "0.1.0"
__all__ = ["__version__", "benchmark", "evaluate", "export", "load", "open_bundle", "verify"]


def __getattr__(name: str) -> Any:
    """A call of the face, imported when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("squeezebert_edge.face"), name)


def __dir__() -> list[str]:
    return __all__
