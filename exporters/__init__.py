"""Exporters from torch modules to phone runtimes: a folder each, found by its row.

A package elsewhere brings another format with an entry point (docs/add_a_runtime.md).
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from exporters.errors import InputError, UnavailableError, quote

if TYPE_CHECKING:
    from exporters.spec import Format

BUILT_IN = {
    "executorch": "exporters.executorch:FORMAT",
    "coreml": "exporters.coreml:FORMAT",
    "tflite": "exporters.tflite:FORMAT",
}
ENTRY_POINTS = "squeezebert_edge.formats"  # the group that other packages name their formats in


def names() -> tuple[str, ...]:
    """The names of all formats, this project's own first."""
    return tuple(_entries())


def format_named(name: str) -> Format:
    """The row of a format, whether what it takes is installed or not.

    Raises:
        InputError: no such format, or the package that brings it cannot be loaded.
    """
    entry = _own().get(name) or _entries().get(name)
    if entry is None:
        raise InputError(f"unknown format {quote(name)}", allowed=", ".join(names()))
    from exporters.spec import Format  # a board that times artifacts has this file without it

    try:
        row = entry.load()
    except Exception as error:
        raise InputError(
            f"format '{name}': {entry.value} cannot be loaded: {error}",
            hint="repair or uninstall the package that brings it",
        ) from error
    if not isinstance(row, Format):
        raise InputError(f"format '{name}': {entry.value} is a {type(row).__name__}", allowed="a Format")
    return row


def title(name: str) -> str:
    """A format's name as people write it; its short name where the package that brings it is not here."""
    return format_named(name).title if name in BUILT_IN or name in names() else name


def get(name: str, *, to_export: bool = False) -> Format:
    """The row of a format that can be used here.

    Args:
        to_export: whether artifacts are to be made, or only run.

    Raises:
        InputError: no such format, or its packages are not installed; says what to install.
        UnavailableError: the packages exist, but not for this machine.
    """
    row = format_named(name)
    wanted = row.makes if to_export else row.runs
    missing = [package for package in wanted if importlib.util.find_spec(package) is None]
    if missing:
        on_linux_arm = sys.platform == "linux" and platform.machine() != "x86_64"
        if on_linux_arm and not row.makes_on_linux_arm:
            raise UnavailableError(
                f"{name}: {', '.join(missing)} does not exist for Linux on {platform.machine()}",
                hint="export on Linux x86-64 or macOS",
            )
        raise InputError(
            f"{name}: {', '.join(missing)} is not installed",
            hint=f"pip install '{row.extra or f'squeezebert-edge[{name}]'}'",
        )
    return row


def _own() -> dict[str, EntryPoint]:
    """This project's own formats, which to find takes no look at what is installed."""
    return {name: EntryPoint(name, value, ENTRY_POINTS) for name, value in BUILT_IN.items()}


def _entries() -> dict[str, EntryPoint]:
    """Where each format's row is. A name of this project's own is nobody else's to take."""
    own = _own()
    foreign = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS) if entry.name not in own}
    return own | foreign
