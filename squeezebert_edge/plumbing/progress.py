"""How a long job says where it is."""

from __future__ import annotations

from collections.abc import Callable

# Told what is being done, how much of it is done, and how much there is (0 if that is not known).
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """The progress of a caller who does not want to know."""


def of(name: str, progress: Progress) -> Progress:
    """The progress of one part of a job, its stages headed with the part's name."""
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)
