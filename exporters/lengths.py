"""What an artifact's entry for a sequence length is called, where its runtime knows entries by name."""

from __future__ import annotations

import re
from collections.abc import Iterable


def entry_point(length: int) -> str:
    """The name of a length's method or signature."""
    return f"length_{length}"


def by_length(names: Iterable[str]) -> dict[int, str]:
    """Length -> its entry, ascending; other names are left out."""
    matches = (re.fullmatch(r"length_(\d+)", name) for name in names)
    return dict(sorted((int(match[1]), match[0]) for match in matches if match))
