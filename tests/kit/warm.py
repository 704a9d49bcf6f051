"""Python processes that begin with everything imported: most of a command's time is imports, alike each time.

`warm_python()` is a program that takes a Python's arguments. What it runs is forked from a process that has
imported the tools and computed nothing, and has the arguments, environment, directory, files and signals of
whoever started it. Its command line in /proc is not its own, and its memory is not either: what looks at
those, or measures a start, takes `sys.executable`.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from exporters.quiet import quiet_tools

ROOT = Path(__file__).parents[2]
IMPORTS = (
    "torch",
    "squeezebert_edge.cli.commands",
    "squeezebert_edge.verbs.run",
    "executorch.exir",
    "executorch.runtime",
    "torchao.quantization.pt2e",
    "litert_torch",
    "ai_edge_litert.compiled_model",
    "coremltools",
    "scipy.stats",
)
MODULES = ("squeezebert_edge", "squeezebert_edge.plumbing.processes")  # others get a Python of their own
# A Python and its libraries read these when they start, so that one that is to have others is started anew.
AT_START = (
    "OMP_NUM_THREADS",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "PYTHONIOENCODING",
    "PYTHONUTF8",
    "PYTHONWARNINGS",
)
STREAMS = (("stdin", 0, "r", "strict"), ("stdout", 1, "w", "strict"), ("stderr", 2, "w", "backslashreplace"))
FIRST_FREE = 64  # descriptors are kept from here on, until they have the numbers that they had

LAUNCHER = """#!/bin/sh
'''exec' "{python}" -IS "$0" "$@"
' '''
# Has a process of the server beside this file do what this one was started for. Its first lines are as pip
# writes them, for paths that are long or have spaces.
import json, os, signal, socket, sys
PYTHON, MODULES, STARTED_WITH = {python!r}, {modules!r}, {started_with!r}
words = [word for word in sys.argv[1:] if word != "-P"]
known = words[:1] == ["-c"] or words[:1] == ["-m"] and words[1] in MODULES
files = []
for number in map(int, os.listdir("/dev/fd")):
    try:
        os.fstat(number)
        files.append(number)
    except OSError:
        pass  # the directory that was read
as_started = all(os.environ.get(name) == value for name, value in STARTED_WITH.items())
if not (known and as_started and {{0, 1, 2}} <= set(files)):
    os.execv(PYTHON, [PYTHON, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect(os.path.join(os.path.dirname(__file__), "socket"))
fields = [__file__, sys.argv[1:], os.getcwd(), dict(os.environ), files]
request = json.dumps(fields).encode()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
socket.send_fds(server, [len(request).to_bytes(8, "big")], files)
server.sendall(request)
process = int.from_bytes(server.recv(8), "big")
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(process, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])
code = int.from_bytes(server.recv(8), "big", signed=True)
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@cache
def warm_python() -> str:
    """The path of a program to use in the place of `sys.executable`, which it is where it cannot be had."""
    if not hasattr(os, "pidfd_open"):
        return sys.executable
    directory = Path(tempfile.mkdtemp(prefix="warm-"))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(directory / "socket"))
    listening.listen(64)
    ours, theirs = socket.socketpair()
    with listening, theirs:
        server = subprocess.Popen(
            [sys.executable, "-m", __name__, str(listening.fileno()), str(theirs.fileno())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[listening.fileno(), theirs.fileno()], start_new_session=True, cwd=ROOT,
        )  # fmt: skip
    started_with = {name: os.environ.get(name) for name in AT_START}
    launcher = directory / "python"
    launcher.write_text(LAUNCHER.format(python=sys.executable, modules=MODULES, started_with=started_with))
    launcher.chmod(0o700)

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return str(launcher)


class Asked(NamedTuple):
    """What a process is to do, and its files: the number that each shall have -> the one that it has."""

    launcher: str
    words: list[str]
    directory: str
    environment: dict[str, str]
    files: dict[int, int]


class Running(NamedTuple):
    """A forked process, a file that can be read when it has ended, and the connection to its launcher."""

    process: int
    ending: int
    launcher: socket.socket


def _receive(connection: socket.socket) -> Asked | None:
    """What a launcher asks for; None if it is gone."""
    head, files, _, _ = socket.recv_fds(connection, 8, 253)
    with connection.makefile("rb") as stream:
        content = stream.read(int.from_bytes(head, "big"))
    try:
        *fields, numbers = json.loads(content)
    except ValueError:
        for file in files:
            os.close(file)
        return None
    return Asked(*fields, dict(zip(numbers, files, strict=True)))


def _serve(listening: socket.socket, parent: socket.socket) -> Asked:
    """Fork for each launcher until the parent is gone. Comes back in the forked process only."""
    waiting = selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ)
    waiting.register(parent, selectors.EVENT_READ)
    running: set[Running] = set()
    while True:
        for key, _ in waiting.select():
            if key.fileobj is parent:
                for each in running:
                    os.kill(each.process, signal.SIGKILL)
                shutil.rmtree(Path(listening.getsockname()).parent)
                os._exit(0)
            elif key.fileobj is listening:
                launcher, _ = listening.accept()
                asked = _receive(launcher)
                if asked is None:
                    launcher.close()
                    continue
                process = os.fork()
                if not process:
                    waiting.close()
                    for connection in (listening, parent, launcher, *(each.launcher for each in running)):
                        connection.close()
                    return asked
                for file in asked.files.values():
                    os.close(file)
                begun = Running(process, os.pidfd_open(process), launcher)
                running.add(begun)
                waiting.register(begun.ending, selectors.EVENT_READ, begun)
                waiting.register(launcher, selectors.EVENT_READ, begun)
                launcher.sendall(process.to_bytes(8, "big"))
            elif key.data in running and key.fd == key.data.ending:
                running.remove(key.data)
                waiting.unregister(key.data.ending)
                waiting.unregister(key.data.launcher)
                _report(key.data)
            elif key.data in running:  # its launcher was killed, and is seen until the process has ended
                os.kill(key.data.process, signal.SIGKILL)


def _report(ended: Running) -> None:
    """Tell a launcher how its process ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(ended.process, 0)[1])
    os.close(ended.ending)
    with ended.launcher, suppress(OSError):  # it was killed
        ended.launcher.sendall(code.to_bytes(8, "big", signed=True))


def _become(asked: Asked) -> None:
    """Have the files, the environment and the directory of who asked."""
    free = max(FIRST_FREE, *asked.files, *asked.files.values()) + 1
    kept = {number: fcntl.fcntl(file, fcntl.F_DUPFD, free) for number, file in asked.files.items()}
    os.closerange(0, free)
    for number, file in kept.items():
        os.dup2(file, number)
        os.close(file)
    for name, number, mode, errors in STREAMS:
        buffering = 1 if number == 2 else -1
        stream = open(number, mode, buffering, "utf-8", errors)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.chdir(asked.directory)
    os.environ.clear()
    os.environ.update(asked.environment)
    sys.executable = asked.launcher


def _compute(words: list[str]) -> None:
    """Do what a Python of these arguments does."""
    safe = words[0] == "-P"
    kind, what, *arguments = words[safe:]
    first = [] if safe else [""] if kind == "-c" else [os.getcwd()]
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*first, *paths, *sys.path[1:]]
    sys.argv = [kind, *arguments]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), main.__dict__)


def _exit_code(words: list[str]) -> int:
    """The exit code of a Python of these arguments."""
    try:
        _compute(words)
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def main() -> None:
    """Import, be the server, and be whatever it forks."""
    listening, parent = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    with quiet_tools():
        for module in IMPORTS:
            with suppress(ImportError):  # a machine without it
                importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what is there is not copied just to be looked at
    asked = _serve(listening, parent)
    _become(asked)
    code = _exit_code(asked.words)
    # Python's own end, but for taking apart what the server still has.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError):  # it was closed
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
