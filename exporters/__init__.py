"""Exporters from torch modules to phone runtimes, each loaded only when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from exporters.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from exporters.spec import Exporter


@dataclass(frozen=True)
class Format:
    """Where a format's exporter lives and what making and running its artifacts takes."""

    module: str
    makes: tuple[str, ...]
    runs: tuple[str, ...]
    makes_on_linux_arm: bool


FORMATS: dict[str, Format] = {
    "executorch": Format(
        "exporters.executorch.export", ("executorch",), ("executorch",), makes_on_linux_arm=True
    ),
    "coreml": Format("exporters.coreml.export", ("coremltools",), ("coremltools",), makes_on_linux_arm=False),
    "tflite": Format(
        "exporters.tflite.export", ("litert_torch", "ai_edge_quantizer"), (), makes_on_linux_arm=False
    ),
}


def get(name: str, *, to_export: bool = False) -> Exporter:
    """The exporter of a format.

    Raises:
        InputError: no such format, or its packages are not installed; says which extra to install.
        UnavailableError: the packages exist, but not for this machine.
    """
    if name not in FORMATS:
        raise InputError(f"unknown format '{name}'", allowed=", ".join(FORMATS))
    chosen = FORMATS[name]
    missing = [p for p in (chosen.makes if to_export else chosen.runs) if importlib.util.find_spec(p) is None]
    if missing:
        on_linux_arm = sys.platform == "linux" and platform.machine() != "x86_64"
        if on_linux_arm and not chosen.makes_on_linux_arm:
            raise UnavailableError(
                f"{name}: {', '.join(missing)} does not exist for Linux on {platform.machine()}",
                hint="export on Linux x86-64 or macOS",
            )
        raise InputError(
            f"{name}: {', '.join(missing)} is not installed",
            hint=f"pip install 'squeezebert-edge[{name}]'",
        )
    return cast("Exporter", importlib.import_module(chosen.module))
