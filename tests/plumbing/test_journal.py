"""A measurement's journal is its own, and one process's at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.errors import InputError
from squeezebert_edge.plumbing.journal import open_journal


def test_a_journal_is_of_one_measurement_and_one_process(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with open_journal(path, "k", resume=False) as kept:
        kept.add(3, {"x": float("inf")})
        with pytest.raises(InputError, match="another process"), open_journal(path, "k", resume=True):
            pass
    with (
        pytest.raises(InputError, match="another evaluation"),
        open_journal(path, "other", resume=True),
    ):
        pass
    with open_journal(path, "k", resume=True) as kept:
        assert kept.done == {3: {"x": float("inf")}}
    with open_journal(path, "other", resume=False) as kept:
        assert kept.done == {}
    with (
        pytest.raises(InputError, match="cannot be written"),
        open_journal(tmp_path, "k", resume=False),
    ):
        pass
