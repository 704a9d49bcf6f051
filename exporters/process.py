"""A runner in a process of its own: for runtimes that may crash, hang, or want an environment of their own.

The process computes what it is sent over a socket and ends when the socket does, however its parent ended.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from exporters.errors import GateError, UnavailableError
from exporters.spec import ComputedBy

if TYPE_CHECKING:
    from exporters.arrays import Array
    from exporters.spec import Runner

READY_SECONDS = 600.0  # for opening an artifact
ANSWER_SECONDS = 300.0  # for one row
LOG_BYTES = 1_000_000  # of what the process said last that is read


class RunnerProcess:
    """A runner that another process runs.

    Args:
        module: what to run with `python -m`; it calls `serve`.
        arguments: of that module.
        environment: variables to be set beside those of this process.
        computed_by: as a proof is to name it.

    Raises:
        GateError: the process could not open what it was given, or died, or took too long.
        UnavailableError: the system failed it, such as a full disk.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        computed_by: ComputedBy,
        ready_seconds: float = READY_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.computed_by: ComputedBy = computed_by
        self._module, self._answer_seconds = module, answer_seconds
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the runner
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno()), *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_search_path()), **environment},
            )
        self._connection = Connection(ours.detach())
        self.close = weakref.finalize(self, _end, self._connection, self._process, self._said)
        try:
            self.inputs, self.outputs, self.lengths = self._receive(ready_seconds)
        except BaseException:
            self.close()
            raise

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for one row: name -> (1, length) int32 in, name -> float32 out.

        Raises:
            GateError: the process failed, died or took too long.
            UnavailableError: the system failed it.
        """
        with suppress(OSError):  # of a dead process; how it ended is found below
            self._connection.send(dict(inputs))
        return cast("dict[str, Array]", self._receive(self._answer_seconds))

    def _receive(self, seconds: float) -> Any:
        if not self._connection.poll(seconds):
            self.close()
            raise GateError(f"{self._module} gave no answer within {seconds:g} s and was ended")
        try:
            good, value = self._connection.recv()
        except (EOFError, OSError):
            raise ProcessError(f"{self._module} {how_it_ended(self._process.wait())}", self.log()) from None
        if isinstance(value, UnavailableError):
            raise value
        if not good:
            raise ProcessError(str(value), self.log())
        return value

    def log(self) -> str:
        """What the process has written to stdout and stderr."""
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - LOG_BYTES))
        return self._said.read().decode(errors="replace")


class ProcessError(GateError):
    """A runner's process failed.

    Args:
        log: what it wrote before.
    """

    def __init__(self, problem: str, log: str) -> None:
        super().__init__(problem)
        self.log = log


def how_it_ended(code: int) -> str:
    """How a process ended, from its exit code, which is negative for a signal."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _end(connection: Connection, process: subprocess.Popen[bytes], said: Any) -> None:
    connection.close()
    process.kill()
    process.wait()
    said.close()


def _search_path() -> list[str]:
    """Where the process finds this package, however this process found it."""
    root = str(Path(__file__).resolve().parents[1])
    return [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def serve(descriptor: int, open_runner: Callable[[], Runner]) -> None:
    """Be the process of a `RunnerProcess`: open a runner, then compute what is sent until the socket ends."""
    with Connection(descriptor) as connection:
        try:
            runner = open_runner()
        except Exception as error:
            connection.send((False, _failure(error)))
            return
        connection.send((True, (runner.inputs, runner.outputs, runner.lengths)))
        while True:
            try:
                inputs = connection.recv()
            except (EOFError, OSError):
                return
            try:
                connection.send((True, runner(inputs)))
            except Exception as error:
                connection.send((False, _failure(error)))


def _failure(error: Exception) -> str | UnavailableError:
    """What is told of an error: one of the system, such as a full disk, says nothing against the artifact."""
    if isinstance(error, OSError):
        hint = f"temporary files are in {tempfile.gettempdir()}; TMPDIR names another place"
        return UnavailableError(f"it cannot be computed here: {error}", hint=hint)
    return str(error)
