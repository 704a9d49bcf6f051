"""Work done side by side: each piece in a process of its own, all of them ended when one fails.

A process computes one call and ends with it, or with its parent, however that ended.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from exporters.errors import UnavailableError
from exporters.process import how_it_ended
from squeezebert_edge.plumbing.progress import Progress, silent

AWAKE = 0.2  # seconds after which the main thread sees what it was asked meanwhile
MODULE = "squeezebert_edge.plumbing.processes"

A = TypeVar("A")
T = TypeVar("T")


class Team:
    """Processes that compute calls for the threads of this one.

    threads: that each of them may compute with.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def call(self, what: str, function: Callable[..., T], *arguments: Any, progress: Progress = silent) -> T:
        """Call a function in a process of its own.

        Args:
            what: the process does, for the message of how it died.
            function: of a module; takes the arguments, and `progress` by name. All of them, and what it
                gives back, are pickled.

        Raises:
            KeyboardInterrupt: the team was ended.
            UnavailableError: the process died.
            Exception: what the function raised.
        """
        ours, theirs = socket.socketpair()
        with Connection(ours.detach()) as connection:
            process = self._start(theirs)
            try:
                return cast("T", self._converse(connection, process, what, (function, arguments), progress))
            finally:
                _kill(process)
                process.wait()
                self._running.discard(process)

    def end(self) -> None:
        """End every process, and let none begin."""
        with self._lock:
            self._ended = True
            for process in self._running:
                _kill(process)

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        with theirs, self._lock:
            if self._ended:
                raise KeyboardInterrupt
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what is printed is this process's to print
                process_group=0,  # Ctrl-C is for this process, which ends the others
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": str(self._threads),
                    "OMP_WAIT_POLICY": "passive",  # a thread that waits leaves its core to the others
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
            )
            self._running.add(process)
        return process

    def _converse(
        self,
        connection: Connection,
        process: subprocess.Popen[bytes],
        what: str,
        call: Any,
        progress: Progress,
    ) -> Any:
        try:
            connection.send_bytes(pickle.dumps(call))
            while True:
                kind, value = connection.recv()
                if kind == "progress":
                    progress(*value)
                elif kind == "error":
                    raise value
                else:
                    return value
        except (EOFError, ConnectionError):
            code = process.wait()
        if self._ended:
            raise KeyboardInterrupt
        raise UnavailableError(
            f"the process that was {what} {how_it_ended(code)}",
            hint="if it had too little memory: fewer at the same time, --jobs 1",
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it began: an emulator would compute its row to the end."""
    if process.returncode is None:  # else its number may be another's by now
        with suppress(ProcessLookupError, PermissionError):  # what has ended but was not waited for; on a Mac
            os.killpg(process.pid, signal.SIGKILL)


def take(results: SimpleQueue[T]) -> T:
    """The next result. Ctrl-C ends the wait also where another thread than the main one took the signal."""
    while True:
        with suppress(Empty):
            return results.get(timeout=AWAKE)


def side_by_side(
    work: Callable[[A], T], items: Iterable[A], threads: int, end: Callable[[], None]
) -> Iterator[T]:
    """The work's results for each item, as they come, computed in several threads.

    Items are taken in this thread, while work is done on those before. The first error, and whoever leaves
    the loop early, ends the rest.

    Args:
        end: makes work that is being done in other threads stop.
    """
    waiting: SimpleQueue[tuple[A] | None] = SimpleQueue()  # None: no more
    found: SimpleQueue[tuple[T] | BaseException] = SimpleQueue()
    stopped = threading.Event()

    def do() -> None:
        while (item := waiting.get()) is not None and not stopped.is_set():
            try:
                found.put((work(*item),))
            except BaseException as error:
                found.put(error)

    team = [threading.Thread(target=do) for _ in range(threads)]
    left = 0
    try:
        for thread in team:
            thread.start()
        for item in items:
            waiting.put((item,))
            left += 1
            while not found.empty():
                left -= 1
                yield _result(found)
        for _ in range(left):
            yield _result(found)
    finally:
        stopped.set()
        end()
        for _ in team:
            waiting.put(None)
        for thread in team:
            if thread.ident is not None:
                thread.join()


def _result(found: SimpleQueue[tuple[T] | BaseException]) -> T:
    result = take(found)
    if isinstance(result, BaseException):
        raise result
    return result[0]


def _serve(descriptor: int) -> None:
    """Be a process of a Team: compute the call that is sent."""
    with Connection(descriptor) as connection:
        content = connection.recv_bytes()
        threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
        try:
            function, arguments = pickle.loads(content)
            one_at_a_time = threading.Lock()

            def tell(stage: str, done: int, total: int) -> None:
                with one_at_a_time:  # the function may have threads of its own
                    connection.send(("progress", (stage, done, total)))

            answer = ("result", function(*arguments, progress=tell))
        except BaseException as error:
            error.add_note(f"in a process of its own:\n{traceback.format_exc()}")
            answer = ("error", _portable(error))
        connection.send(answer)


def _portable(error: BaseException) -> BaseException:
    """An error as it can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _end_with_parent(connection: Connection) -> None:
    """Wait for the end of the socket, which is that of the parent."""
    try:
        connection.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
