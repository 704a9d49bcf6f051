"""A phone's side of the adb protocol, with faults on demand; the real `adb` client talks to it.

Protocol: packages/modules/adb, protocol.txt, SYNC.TXT and shell_protocol.h. Commands run in a shell here,
with /data/local/tmp and /sdcard moved into a directory of the test, and scripts for Android's own commands.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

VERSION, MOST = 0x01000000, 256 * 1024
TEMPORARY, SDCARD = "/data/local/tmp", "/sdcard"
AWAKE = "mWakefulness=Awake\n  mWakefulnessChanging=false\n  mDreamingLockscreen=false"
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)  # of the shell protocol


class CablePulledError(Exception):
    """The connection is to end at once."""


class Stream:
    """One opened service: bytes both ways, one packet at a time."""

    def __init__(self, link: Link, mine: int, theirs: int) -> None:
        self.link, self.mine, self.theirs = link, mine, theirs
        self._received, self._closed = bytearray(), False
        self._changed, self._acknowledged = threading.Condition(), threading.Semaphore(0)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), self.link.most):
            self.link.send(b"WRTE", self.mine, self.theirs, data[start : start + self.link.most])
            self._acknowledged.acquire()
            if self._closed:
                raise EOFError

    def read(self, size: int) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: len(self._received) >= size or self._closed)
            if len(self._received) < size:
                raise EOFError
            found = bytes(self._received[:size])
            del self._received[:size]
            return found

    def feed(self, data: bytes) -> None:
        with self._changed:
            self._received += data
            self._changed.notify_all()

    def acknowledge(self) -> None:
        self._acknowledged.release()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._acknowledged.release()


class Link:
    """One connection of adb's server."""

    def __init__(self, connection: socket.socket, phone: FakePhone) -> None:
        self.connection, self.phone, self.most = connection, phone, 4096
        self._lock, self._streams = threading.Lock(), dict[int, Stream]()

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        number = struct.unpack("<I", command)[0]
        header = struct.pack("<6I", number, first, second, len(data), sum(data), number ^ 0xFFFFFFFF)
        with self._lock:
            self.connection.sendall(header + data)

    def serve(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, first, second, size, _, _ = struct.unpack("<6I", self._exactly(24))
                self._packet(struct.pack("<I", number), first, second, self._exactly(size))
        self.hang_up()

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        for stream in list(self._streams.values()):
            stream.close()

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self.connection.recv(size - len(found))
            if not part:
                raise EOFError
            found += part
        return found

    def _packet(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command in (b"CNXN", b"AUTH"):
            if self.phone.fault == "unauthorized":
                self.send(b"AUTH", 1, 0, bytes(20))  # another token, for ever: nobody taps "allow"
            elif self.phone.fault != "offline":
                self.most = min(MOST, second)
                self.send(b"CNXN", VERSION, MOST, self.phone.banner)
        elif command == b"OPEN":
            stream = Stream(self, len(self._streams) + 1, first)
            self._streams[stream.mine] = stream
            service = data.rstrip(b"\0").decode()
            threading.Thread(target=self._serve, args=(stream, service), daemon=True).start()
        elif stream := self._streams.get(second):
            if command == b"OKAY":
                stream.acknowledge()
            elif command == b"WRTE":
                stream.feed(data)
                self.send(b"OKAY", second, first)
            elif command == b"CLSE":
                stream.close()

    def _serve(self, stream: Stream, service: str) -> None:
        try:
            self.send(b"OKAY", stream.mine, stream.theirs)
            kind, _, argument = service.partition(":")
            if kind.startswith("shell"):
                self.phone.shell(stream, argument)
            elif kind == "sync":
                self.phone.sync(stream)
            self.send(b"CLSE", stream.mine, stream.theirs)
        except CablePulledError:
            self.phone.unplug()
        except (EOFError, OSError):
            pass


class FakePhone:
    """A phone on loopback.

    Args:
        root: a directory that stands for its storage.
        fault: unauthorized, offline, full, or where the cable is pulled: push, run, wait or pull.
    """

    def __init__(self, root: Path, fault: str | None = None, abi: str = "arm64-v8a") -> None:
        self.root, self.fault = root, fault
        self.temporary = root / TEMPORARY.lstrip("/")
        self.temporary.mkdir(parents=True)
        properties = {
            "ro.product.cpu.abi": abi,
            "ro.product.cpu.abilist": abi,
            "ro.product.manufacturer": "Fake",
            "ro.product.model": "Phone 1",
            "ro.build.version.release": "14",
            "ro.build.version.sdk": "34",
            "ro.soc.model": "FK1",
        }
        listed = "\n".join(f"[{name}]: [{value}]" for name, value in properties.items())
        self.script("getprop", f"[ $# -gt 0 ] && echo {abi} || cat <<'END'\n{listed}\nEND")
        self.says("dumpsys", f"  status: 2\n  level: 80\n  scale: 100\nThermal Status: 1\n{AWAKE}")
        self.says("settings", "0")
        self.script("pm", "exit 1")
        self.banner = b"device::ro.product.model=Phone_1;features=shell_v2,cmd"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._links: list[Link] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def unplug(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes accept, which would hold the port
        self._listening.close()
        for link in self._links:
            link.hang_up()

    def shell(self, stream: Stream, command: str) -> None:
        """The shell protocol, version 2."""
        at = "run" if " exec " in command else "wait" if " read " in command else None
        for path in (TEMPORARY, SDCARD):
            command = command.replace(path, f"{self.root}{path}")
        process = subprocess.Popen(
            ["bash", "-c", command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=self.root, env={**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}"},
        )  # fmt: skip
        assert process.stdout
        assert process.stderr
        threading.Thread(target=self._stdin, args=(stream, process), daemon=True).start()
        copiers = [
            threading.Thread(target=self._output, args=(stream, ident, pipe), daemon=True)
            for ident, pipe in ((STDOUT, process.stdout), (STDERR, process.stderr))
        ]
        for copier in copiers:
            copier.start()
        if at and self.fault == at:
            raise CablePulledError
        for copier in copiers:
            copier.join()
        status = process.wait()
        stream.write(struct.pack("<BIB", EXIT, 1, status if status >= 0 else 128 - status))

    def sync(self, stream: Stream) -> None:
        """Files: STAT, SEND and RECV of the first version."""
        while True:
            command, size = struct.unpack("<4sI", stream.read(8))
            if command == b"QUIT":
                return
            path = stream.read(size).decode()
            if command == b"STAT":
                stream.write(b"STAT" + struct.pack("<3I", *self._stat(path)))
            elif command == b"SEND":
                self._receive(stream, *path.rsplit(",", 1))
            elif command == b"RECV":
                self._give(stream, path)

    def _receive(self, stream: Stream, path: str, mode: str) -> None:
        if self.fault == "push":
            stream.read(8)
            raise CablePulledError
        with self._here(path).open("wb") as file:
            while True:
                command, size = struct.unpack("<4sI", stream.read(8))
                if command == b"DONE":
                    break
                file.write(stream.read(size))
        if self.fault == "full":
            return self._fail(stream, "couldn't write: No space left on device")
        self._here(path).chmod(int(mode) & 0o777)
        stream.write(b"OKAY" + bytes(4))
        return None

    def _give(self, stream: Stream, path: str) -> None:
        if self.fault == "pull":
            raise CablePulledError
        try:
            content = self._here(path).read_bytes()
        except OSError as error:
            return self._fail(stream, str(error.strerror))
        for start in range(0, len(content), 65536):
            part = content[start : start + 65536]
            stream.write(b"DATA" + struct.pack("<I", len(part)) + part)
        stream.write(b"DONE" + bytes(4))
        return None

    @staticmethod
    def _fail(stream: Stream, reason: str) -> None:
        stream.write(b"FAIL" + struct.pack("<I", len(reason)) + reason.encode())

    def _stat(self, path: str) -> tuple[int, int, int]:
        try:
            found = self._here(path).stat()
        except OSError:
            return 0, 0, 0
        return found.st_mode, found.st_size, int(found.st_mtime)

    def _here(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def says(self, name: str, text: str) -> None:
        """Gives it a command that says so, whatever it is asked."""
        self.script(name, f"cat <<'END'\n{text}\nEND")

    def script(self, name: str, text: str) -> None:
        """Gives it a command."""
        program = self.root / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._links.append(Link(connection, self))
                threading.Thread(target=self._links[-1].serve, daemon=True).start()

    @staticmethod
    def _stdin(stream: Stream, process: subprocess.Popen[bytes]) -> None:
        """What comes from the other end; when that closes or is gone the program's input ends, as in adbd."""
        with contextlib.suppress(EOFError, OSError, ValueError):
            while True:
                ident, size = struct.unpack("<BI", stream.read(5))
                data = stream.read(size)
                if ident == CLOSE_STDIN:
                    break
                if ident == STDIN and process.stdin:
                    process.stdin.write(data)
                    process.stdin.flush()
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()
        process.wait()

    @staticmethod
    def _output(stream: Stream, ident: int, pipe: object) -> None:
        with contextlib.suppress(EOFError, OSError), pipe:  # type: ignore[attr-defined]
            while data := pipe.read1(65536):  # type: ignore[attr-defined]
                stream.write(struct.pack("<BI", ident, len(data)) + data)


Plug = Callable[..., FakePhone]
needs_adb = pytest.mark.skipif(shutil.which("adb") is None, reason="needs adb (Debian: apt-get install adb)")


@contextlib.contextmanager
def run_adb_server() -> Iterator[None]:
    """Run a server of the test's own, which knows nothing of the user's devices and is gone afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ["ANDROID_ADB_SERVER_PORT"] = str(port)
    try:
        yield
    finally:
        subprocess.run(["adb", "kill-server"], capture_output=True, timeout=30, check=False)
        del os.environ["ANDROID_ADB_SERVER_PORT"]


@contextlib.contextmanager
def plugging(directory: Path) -> Iterator[Plug]:
    """A function that plugs phones in, each with its fault; all are unplugged afterwards."""
    phones: list[FakePhone] = []

    def plug(fault: str | None = None, **options: Any) -> FakePhone:
        phone = FakePhone(directory / f"phone{len(phones)}", fault, **options)
        phones.append(phone)
        subprocess.run(["adb", "connect", phone.serial], capture_output=True, timeout=30, check=False)
        return phone

    yield plug
    subprocess.run(["adb", "disconnect"], capture_output=True, timeout=30, check=False)
    for phone in phones:
        phone.unplug()
