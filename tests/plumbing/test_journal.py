"""A measurement's journal is its own, and one process's at a time."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize("content", [b"\xff", b"[1]", b"{}", b'["a", 1]', b"[" * 10**5, b"1" * 5000])
def test_a_journal_of_another_shape_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"key": "k"}\n' + content + b"\n")
    with pytest.raises(InputError), open_journal(path, "k", resume=True):
        pass


def test_a_journal_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a file"), open_journal(tmp_path / "pipe", "k", resume=True):
        pass
