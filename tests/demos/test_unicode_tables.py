"""The demos' tokenizers see characters as `tokenizers` does."""

from __future__ import annotations

from pathlib import Path

from tests.demos import unicode_tables

ROOT = Path(__file__).parents[2]


def test_the_unicode_tables_are_those_of_the_installed_tokenizers() -> None:
    for path, content in unicode_tables.files().items():
        assert (ROOT / path).read_text(encoding="ascii") == content, (
            f"{path} is not what tests/demos/unicode_tables.py writes"
        )
