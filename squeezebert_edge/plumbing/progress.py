"""How a long job reports its progress."""

from __future__ import annotations

from collections.abc import Callable

# Called with the stage, how much of it is done, and how much there is in all (0 if that is not known).
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """The progress of a caller who does not want to know."""


def with_prefix(prefix: str, progress: Progress) -> Progress:
    """The progress of one part of a job: the name of each stage is headed with the part's."""
    return lambda stage, done, total: progress(f"{prefix}: {stage}", done, total)
