"""The state of an unfinished training on disk, so that it can be resumed; and stopping between two steps."""

from __future__ import annotations

import io
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from exporters.errors import InputError
from squeezebert_edge.plumbing.reading import open_regular
from squeezebert_edge.plumbing.staging import write_whole


def state_path(out: Path) -> Path:
    """The file beside the output that holds the state until the output is there."""
    return out.with_name(f"{out.name}.training.pt")


def check_start(out: Path, *, resume: bool, force: bool) -> None:
    """Raise InputError if there is nothing to resume, or a training's state would be lost."""
    path = state_path(out)
    if resume and not path.is_file():
        raise InputError(f"{path} does not exist: there is no training to resume", hint="leave out --resume")
    if path.exists() and not (resume or force):
        raise InputError(
            f"{path} is the state of an unfinished training",
            hint="--resume to continue it, --force to begin anew, or another --out",
        )


def write_state(path: Path, settings: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write the state, whole or not at all, in place of an earlier one.

    Raises:
        InputError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"settings": dict(settings), "state": dict(state)}, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", hint="another --out") from error
    write_whole(path, buffer.getbuffer())


def read_state(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The state in a file; tensors on the CPU.

    Raises:
        InputError: it is damaged, or belongs to a training with other settings, which the message lists.
    """
    try:
        with open_regular(path) as file:
            stored = torch.load(file, map_location="cpu", weights_only=True)
        before, state = stored["settings"], stored["state"]
    except InputError:
        raise
    except Exception as error:  # the unpickler meets damaged bytes with whatever they lead it to
        raise InputError(
            f"{path} is damaged, or not the state of a training", hint="--force to begin anew"
        ) from error
    other = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
    if other:
        listed = "\n  ".join(f"{name}: {settings.get(name)}, was {before.get(name)}" for name in other)
        raise InputError(
            f"{path} belongs to a training with other settings:\n  {listed}",
            allowed="the settings it was begun with",
            hint="repeat them to continue, or begin anew with --force, without --resume",
        )
    return dict(state)


@contextmanager
def catch_stop() -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGINT or SIGTERM has come, so that a loop can stop between two steps.

    A second signal acts as usual. Outside the main thread, which alone may handle signals, none is caught.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    stop = threading.Event()
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, note)
    try:
        yield stop.is_set
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
