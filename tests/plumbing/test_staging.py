"""Directories appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from exporters.errors import InputError
from squeezebert_edge.plumbing.staging import (
    CannotWriteError,
    scratch_directory,
    stage_directory,
    sweep,
    write_whole,
)
from tests.kit.processes import ROOT


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


KILLED = """
import os, signal, sys
from pathlib import Path
from squeezebert_edge.plumbing import staging

def die(*paths):
    os.kill(os.getpid(), signal.SIGKILL)

target, when = Path(sys.argv[1]), sys.argv[2]
if when == "file":
    os.replace = die
    staging.write_whole(target / "report.html", "half")
with staging.stage_directory(target / "b", marker=None, force=True) as directory:
    (directory / "manifest.json").write_text("half")
    if when == "making":
        die()
    rename = os.rename
    os.rename = lambda source, to: (rename(source, to), die())
"""


def kill(directory: Path, when: str) -> None:
    """A process that writes into a directory, killed."""
    command = [sys.executable, "-c", KILLED, str(directory), when]
    killed = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize("when", ["making", "replacing", "file"])
def test_what_a_killed_process_left_is_swept_by_the_next(tmp_path: Path, when: str) -> None:
    write(tmp_path / "b", "old")
    kill(tmp_path, when)
    assert [name for name in os.listdir(tmp_path) if name.endswith(".partial")]
    write(tmp_path / "another", "new")
    assert sorted(os.listdir(tmp_path)) == ["another", "b"]
    assert (tmp_path / "b" / "manifest.json").read_text() == "old"


def test_a_finished_file_sweeps_too(tmp_path: Path) -> None:
    kill(tmp_path, "making")
    write_whole(tmp_path / "report.md", "whole")
    assert os.listdir(tmp_path) == ["report.md"]


def test_a_place_that_takes_no_file_is_an_input_error(tmp_path: Path) -> None:
    """Such as /proc, or a directory that was deleted in the meantime."""
    with pytest.raises(CannotWriteError, match="cannot be written: No such file or directory"):
        write_whole(tmp_path / "gone" / "page.html", "x")


def test_what_a_living_process_makes_is_not_swept(tmp_path: Path) -> None:
    with stage_directory(tmp_path / "slow", marker=None, force=False) as staging:
        (staging / "manifest.json").write_text("whole")
        write(tmp_path / "fast", "whole")
        sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["fast", "slow"]


def test_what_only_looks_like_a_partial_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".thesis.0123abcd.partial" / "chapter1").mkdir(parents=True)
    (tmp_path / ".cache.partial").mkdir()
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".cache.partial", ".thesis.0123abcd.partial"]


def test_scratch_of_a_killed_process_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / ".squeezebert-edge.0123abcd.partial" / "new").mkdir(parents=True)
    with scratch_directory() as directory:
        (directory / "file").touch()
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_disk_without_writing_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    for name in ("open", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    with pytest.raises(InputError, match="cannot be written"):
        write_whole(tmp_path / "report.html", "page")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "b", "new")
