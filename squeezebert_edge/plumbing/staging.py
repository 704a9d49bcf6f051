"""Directories and files that appear whole or not at all, and replace nothing without being told to."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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


# What is not whole yet lies beside the target that it is to become, locked by the process that makes it: one
# that nobody holds is of a process that is gone.
_PARTIAL = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{8}\.partial", re.DOTALL)
_NEW, _OLD = "new", "old"  # in the partial of a directory: what is made, and what it replaces


@contextmanager
def stage_directory(target: Path, *, marker: str | None, force: bool) -> Iterator[Path]:
    """Give a directory to fill; it becomes `target` when the block ends well, and is deleted otherwise.

    What processes that were killed left beside it is deleted first.

    Args:
        target: the directory to make; missing parents are made too.
        marker: a file that only our own directories have, so that no other directory is replaced. None allows
            replacing any directory.
        force: replace an existing directory.

    Raises:
        InputError: `target` exists and may not be replaced.
        CannotWriteError: nothing can be written there.
    """
    sweep(target.parent)
    refuse_existing(target, marker=marker, force=force)
    # Named before it is made, so that an interruption at any moment deletes it.
    partial = _partial_of(target)
    try:
        with ExitStack() as held:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                staging = held.enter_context(_locked_directory(partial))
            except OSError as error:
                raise _cannot_write(target, error) from None
            yield staging
            _publish(partial, target, force=force)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise _cannot_write(target, error) from error
        raise
    finally:
        _remove(partial, target)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for what is needed only as long as the block runs.

    Raises:
        CannotWriteError: there is no room for it.
    """
    place = Path(tempfile.gettempdir())
    sweep(place)
    partial = _partial_of(place / "squeezebert-edge")
    try:
        with _locked_directory(partial) as directory:
            yield directory
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise CannotWriteError(
            f"{place}: cannot be written: {error.strerror}",
            hint="free space there, or name another place with TMPDIR",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_whole(target: Path, content: str | bytes | memoryview) -> None:
    """Write a file, text as UTF-8, replacing one that exists.

    Raises:
        CannotWriteError: nothing can be written there.
    """
    sweep(target.parent)
    partial = _partial_of(target)
    try:
        with open(_make_locked(partial, directory=False), "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.replace(partial, target)
    except OSError as error:
        if error.errno in {*DISK_ERRORS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}:
            raise _cannot_write(target, error) from None
        raise
    finally:
        with suppress(OSError):  # it may be gone already, or the disk take no change at all
            partial.unlink()


def sweep(directory: Path) -> None:
    """Delete what processes that are gone left half-written in a directory, and undo half a replacement."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        found = _PARTIAL.fullmatch(name)
        if found:
            with suppress(OSError):  # another user's, or one that another process sweeps
                _sweep_one(directory / name, directory / found["target"])


def _sweep_one(partial: Path, target: Path) -> None:
    lock = os.open(partial, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if partial.is_file():
            partial.unlink()
        elif {path.name for path in partial.iterdir()} <= {_NEW, _OLD}:  # whatever else there is, is not ours
            _remove(partial, target)
    finally:
        os.close(lock)


def _partial_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")


@contextmanager
def _locked_directory(partial: Path) -> Iterator[Path]:
    lock = _make_locked(partial, directory=True)
    try:
        (partial / _NEW).mkdir()
        yield partial / _NEW
    finally:
        os.close(lock)


def _make_locked(partial: Path, *, directory: bool) -> int:
    """Make a partial, locked as long as the descriptor that this gives is open."""
    kind = os.O_RDONLY if directory else os.O_WRONLY | os.O_CREAT | os.O_EXCL
    while True:
        if directory:
            partial.mkdir(mode=0o700)
        try:
            lock = os.open(partial, kind | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            if not directory:  # it cannot be made at all
                raise
            continue  # another process that sweeps was there before the lock
        with suppress(OSError):  # where the file system has no locks, nothing is swept
            fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # likewise
            if os.path.samestat(os.fstat(lock), os.stat(partial)):
                return lock
        os.close(lock)


def _remove(partial: Path, target: Path) -> None:
    """Delete a directory's partial; what it was to replace goes back if nothing has taken its place."""
    with suppress(OSError):
        if (partial / _OLD).exists() and not os.path.lexists(target):
            os.rename(partial / _OLD, target)
    shutil.rmtree(partial, ignore_errors=True)


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


def _publish(partial: Path, target: Path, *, force: bool) -> None:
    """Move the finished directory into place."""
    try:
        if force and target.exists():
            os.rename(target, partial / _OLD)
        os.rename(partial / _NEW, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise InputError(f"another process wrote {target} in the meantime") from None
        raise


def _cannot_write(target: Path, error: OSError) -> CannotWriteError:
    hint = DISK_ERRORS.get(error.errno or 0, ELSEWHERE)
    return CannotWriteError(f"{target}: cannot be written: {error.strerror}", hint=hint)
