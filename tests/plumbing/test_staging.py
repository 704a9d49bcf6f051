"""Directories appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from exporters.errors import InputError
from squeezebert_edge.plumbing.staging import stage_directory


def write(target: Path, text: str, *, force: bool = False) -> None:
    with stage_directory(target, marker="manifest.json", force=force) as staging:
        (staging / "manifest.json").write_text(text)


def test_a_finished_directory_appears_with_its_parents(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", "whole")
    assert (tmp_path / "a" / "b" / "manifest.json").read_text() == "whole"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_interruption_leaves_nothing(tmp_path: Path, interruption: type[BaseException]) -> None:
    with (
        pytest.raises(interruption),
        stage_directory(tmp_path / "b", marker="manifest.json", force=False) as staging,
    ):
        (staging / "half").write_text("half")
        raise interruption
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_keeps_what_was_to_be_replaced(tmp_path: Path) -> None:
    write(tmp_path / "b", "old")
    with (
        pytest.raises(KeyboardInterrupt),
        stage_directory(tmp_path / "b", marker="manifest.json", force=True) as staging,
    ):
        (staging / "manifest.json").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "b" / "manifest.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    write(tmp_path / "b", "old")
    with pytest.raises(InputError, match="--force"):
        write(tmp_path / "b", "new")
    write(tmp_path / "b", "new", force=True)
    assert (tmp_path / "b" / "manifest.json").read_text() == "new"


def test_force_does_not_replace_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    for name in ("thesis", "file", "link"):
        with pytest.raises(InputError, match="does not replace"):
            write(tmp_path / name, "new", force=True)
    assert (tmp_path / "thesis" / "chapter1").read_text() == "years of work"


def test_the_slower_of_two_writers_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="another process"),
        stage_directory(tmp_path / "b", marker="manifest.json", force=False) as staging,
    ):
        (staging / "manifest.json").write_text("slow")
        write(tmp_path / "b", "fast")
    assert (tmp_path / "b" / "manifest.json").read_text() == "fast"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_more_is_an_input_error(tmp_path: Path, code: int) -> None:
    with (
        pytest.raises(InputError, match="cannot be written"),
        stage_directory(tmp_path / "b", marker="manifest.json", force=False),
    ):
        raise OSError(code, "disk")
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "file" / "b", "new")
