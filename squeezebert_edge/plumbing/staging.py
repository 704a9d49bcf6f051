"""Directories and files that appear whole or not at all, and replace nothing without being told to."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporters.errors import InputError

ELSEWHERE = "choose another place"
ROOM = "free space there, or choose another place"

# Errors that a user's disk can cause, and what helps. Any other OSError is our defect, so it goes through.
DISK_ERRORS = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: "allow larger files (ulimit -f), or choose another place",
    errno.EROFS: ELSEWHERE,
    errno.EACCES: ELSEWHERE,
    errno.EPERM: ELSEWHERE,
    errno.EIO: ELSEWHERE,
    errno.ENAMETOOLONG: ELSEWHERE,
}


class CannotWriteError(InputError):
    """Nothing can be written at a place: its disk is full, or it is not ours to write to."""


@contextmanager
def stage_directory(target: Path, *, marker: str | None, force: bool) -> Iterator[Path]:
    """Give a directory to fill; it becomes `target` when the block ends well, and is deleted otherwise.

    Args:
        target: the directory to make; missing parents are made too.
        marker: a file that only our own directories have, so that no other directory is replaced. None allows
            replacing any directory.
        force: replace an existing directory.

    Raises:
        InputError: `target` exists and may not be replaced.
        CannotWriteError: nothing can be written there.
    """
    refuse_existing(target, marker=marker, force=force)
    # Named before it is made, so that an interruption at any moment deletes it.
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            staging.mkdir(mode=0o700)
        except OSError as error:
            raise _cannot_write(target, error) from None
        yield staging
        staging.chmod(0o755)
        _publish(staging, target, force=force)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise _cannot_write(target, error) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for what is needed only as long as the block runs.

    Raises:
        CannotWriteError: there is no room for it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="squeezebert-edge-") as directory:
            yield Path(directory)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise CannotWriteError(
            f"{tempfile.gettempdir()}: cannot be written: {error.strerror}",
            hint="free space there, or name another place with TMPDIR",
        ) from error


def write_whole(target: Path, text: str) -> None:
    """Write a file of UTF-8 text, replacing one that exists.

    Raises:
        CannotWriteError: nothing can be written there.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, target)
    except OSError as error:
        if error.errno in {*DISK_ERRORS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}:
            raise CannotWriteError(f"{target}: cannot be written: {error.strerror}") from None
        raise
    finally:
        partial.unlink(missing_ok=True)


def refuse_existing(target: Path, *, marker: str | None, force: bool) -> None:
    """Raise InputError if `target` exists, unless `force` is set and it is empty or has the marker.

    Args:
        marker: as for `stage_directory`.
    """
    if not os.path.lexists(target):
        return
    if not force:
        raise InputError(f"{target} exists", hint="replace it with --force, or choose another --out")
    if (
        not target.is_dir()
        or target.is_symlink()
        or (marker is not None and any(target.iterdir()) and not (target / marker).exists())
    ):
        kind = f"a directory with {marker}" if marker else "a directory"
        raise InputError(
            f"{target} exists and is not {kind}, so --force does not replace it",
            hint="remove it yourself, or choose another place",
        )


def refuse_existing_file(target: Path, *, force: bool) -> None:
    """Raise InputError if `target` exists, unless `force` is set and it is a file."""
    if not os.path.lexists(target):
        return
    if not force:
        raise InputError(f"{target} exists", hint="replace it with --force, or choose another name")
    if not target.is_file():
        raise InputError(f"{target} exists and is not a file, so --force does not replace it")


def require_directory(target: Path) -> None:
    """Raise CannotWriteError if the directory that a file is to be written to is not there, or not ours."""
    directory = target.absolute().parent
    if not directory.is_dir():
        raise CannotWriteError(
            f"{target}: there is no directory {target.parent}", hint=f"mkdir -p {target.parent}"
        )
    if not os.access(directory, os.W_OK):
        raise CannotWriteError(f"{target}: {target.parent} cannot be written to", hint=ELSEWHERE)


def _publish(staging: Path, target: Path, *, force: bool) -> None:
    """Move the finished directory into place; if that fails, put back the one that it was to replace."""
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    replaced = aside / "replaced"
    try:
        if force and target.exists():
            os.rename(target, replaced)
        os.rename(staging, target)
    except BaseException as error:
        if replaced.exists() and not target.exists():
            os.rename(replaced, target)
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise InputError(f"another process wrote {target} in the meantime") from None
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _cannot_write(target: Path, error: OSError) -> CannotWriteError:
    hint = DISK_ERRORS.get(error.errno or 0, ELSEWHERE)
    return CannotWriteError(f"{target}: cannot be written: {error.strerror}", hint=hint)
