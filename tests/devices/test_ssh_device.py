"""Measuring behind ssh, against OpenSSH's own server; nothing is left behind, whatever fails."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge import devices
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices.python import errand, ssh
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from tests.kit.devices import sample_rows
from tests.kit.processes import list_processes, start_cli, wait_for

ROOT = Path(__file__).parents[2]
FORMATS = ("tflite", "executorch")
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(not SSHD or not shutil.which("ssh"), reason="install openssh-server")


@dataclass(frozen=True)
class Server:
    """A server of this user's.

    address: for --device. temporary, commands: its TMPDIR, and the first directory of its PATH.
    configuration: of the client that the key, the known hosts and the port are for.
    """

    address: str
    process: subprocess.Popen[bytes]
    temporary: Path
    commands: Path
    configuration: Path

    def configure(self, **changes: str) -> None:
        """Other settings for the client."""
        settings = {
            "IdentityFile": f"{self.configuration.parent}/user_key",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": f"{self.configuration.parent}/known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
        }
        lines = [f"{name} {value}\n" for name, value in (settings | changes).items()]
        self.configuration.write_text("".join(lines))

    def python(self, text: str) -> None:
        """What `python3` is there."""
        script = self.commands / "python3"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)


REAL = f'exec {sys.executable} "$@"'


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    home = tmp_path / "ssh"
    temporary, commands, here = home / "tmp", home / "commands", home / "here"
    for directory in (home, temporary, commands, here):
        directory.mkdir(mode=0o700)
    for name in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True, timeout=30
        )
    shutil.copy(home / "user_key.pub", home / "authorized_keys")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    key = (home / "host_key.pub").read_text()
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
    # Not by SetEnv: the scripts of a login shell come after that.
    environment = f"exec env TMPDIR={temporary} PATH={commands}:/usr/bin:/bin"
    (home / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {home}/host_key\nPidFile {home}/pid\nUsePAM no\n"
        f"AuthorizedKeysFile {home}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n"
        f'ForceCommand {environment} sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    # Where the server runs as root it insists on a directory that only an installed service makes.
    with contextlib.suppress(PermissionError):
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    client = here / "ssh"
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {home}/config "$@"\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    process = subprocess.Popen([str(SSHD), "-D", "-f", str(home / "sshd_config"), "-E", str(home / "log")])
    address = f"ssh:{getpass.getuser()}@127.0.0.1:{port}"
    made = Server(address, process, temporary, commands, home / "config")
    made.configure()
    made.python(REAL)
    try:
        wait_for(lambda: _listens(port) or process.poll() is not None)
        assert process.poll() is None, (home / "log").read_text()
        yield made
        wait_for(lambda: not list(temporary.iterdir()) and not _alive(str(temporary)))
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _alive(directory: str) -> list[int]:
    """Processes that work in a directory, workers there."""
    return [number for number, _, where in list_processes() if where.startswith(directory)]


def failure(server: Server, bundle: Bundle) -> EdgeError:
    """What a measurement fails with."""
    with pytest.raises(EdgeError) as raised:
        list(benchmark_bundles([bundle], devices.open_device(server.address), Request(exactly(2))))
    return raised.value


@pytest.mark.parametrize("name", FORMATS)
def test_a_bundle_is_measured_over_there(bundles: Mapping[str, Bundle], server: Server, name: str) -> None:
    settings = Settings(threads=1, cpus=[min(os.sched_getaffinity(0))])
    (found,) = benchmark_bundles(
        [bundles[name]], devices.open_device(server.address), Request(exactly(24), settings)
    )
    assert (found.validity.valid, found.quotable, found.device.kind) == (True, False, "ssh")
    assert len(found.samples.latency_ns) == 24
    assert found.before.allowed_cpus == settings.cpus
    assert found.cold_start.unknown == {}
    assert found.label.startswith("ssh: ")


@pytest.mark.parametrize("name", FORMATS)
def test_it_answers_what_the_bundle_does(bundles: Mapping[str, Bundle], server: Server, name: str) -> None:
    device, rows = devices.open_device(server.address), sample_rows(bundles[name], 6)
    answers = device.answer(bundles[name], rows, device.settle(bundles[name], Settings()), silent)
    runner = bundles[name].load_runner()
    for row, answer in zip(rows, answers, strict=True):
        for output, expected in runner(row).items():
            np.testing.assert_array_equal(answer[output], expected)


def test_the_command_writes_a_record(bundle: Bundle, server: Server, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "squeezebert_edge", "bench", str(bundle.directory), "--device", server.address,
         "--queries", "3", "--records", str(tmp_path / "records"), "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = [Path(found["record"]) for found in json.loads(done.stdout)["records"]]
    assert record.read(path).device.kind == "ssh"


def test_what_it_says_of_itself_is_the_machine_s(server: Server) -> None:
    device = devices.open_device(server.address)
    described = device.describe()
    assert described.model_copy(update={"kind": "host"}) == devices.open_device("host").describe()
    assert device.state().allowed_cpus


def test_login_scripts_may_talk(bundle: Bundle, server: Server) -> None:
    server.python(f"echo Welcome; {REAL}")
    (found,) = benchmark_bundles([bundle], devices.open_device(server.address), Request(exactly(2)))
    assert found.validity.valid


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("tflite", Settings(unit="gpu"), "--unit gpu is not possible for a bundle of tflite on ssh:"),
        ("tflite", Settings(cpus=[4096]), "--cpus 4096 on ssh:"),
        ("executorch", Settings(runtime="tflite-runtime"), "--runtime"),
    ],
)
def test_what_it_cannot_honour_is_refused(
    bundles: Mapping[str, Bundle], server: Server, name: str, settings: Settings, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        devices.open_device(server.address).settle(bundles[name], settings)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "-oProxyCommand=x",
        "me@-oProxyCommand=x",
        "me@board:0",
        "me@board:99999",
        "me@board:x",
        "a b",
        "me@",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"allowed: ssh:USER@HOST\[:PORT\]"):
        devices.open_device(f"ssh:{address}")


def test_an_unknown_host_key_is_refused(bundle: Bundle, server: Server) -> None:
    server.configure(UserKnownHostsFile="/dev/null")
    error = failure(server, bundle)
    assert isinstance(error, UnavailableError)
    assert "host key is not known" in error.problem
    assert "compare the fingerprint" in (error.hint or "")


def test_another_host_key_is_refused(bundle: Bundle, server: Server) -> None:
    known = server.configuration.parent / "known_hosts"
    other = (server.configuration.parent / "user_key.pub").read_text()
    known.write_text(f"{known.read_text().split()[0]} {other}")
    error = failure(server, bundle)
    assert "not the one that is known" in error.problem
    assert "ssh-keygen -R" in (error.hint or "")


def test_without_a_key_that_is_let_in_it_is_said_how(bundle: Bundle, server: Server) -> None:
    (server.configuration.parent / "authorized_keys").write_text("")
    error = failure(server, bundle)
    assert isinstance(error, UnavailableError)
    assert "does not let us in" in error.problem
    assert "ssh-copy-id -p" in (error.hint or "")


def test_nothing_that_listens(bundle: Bundle, server: Server) -> None:
    server.process.terminate()
    server.process.wait(30)
    assert "no ssh server answers" in failure(server, bundle).problem


def test_no_python(bundle: Bundle, server: Server) -> None:
    server.python("exit 127")
    error = failure(server, bundle)
    assert isinstance(error, UnavailableError)
    assert "no python3" in error.problem


def test_an_old_python(bundle: Bundle, server: Server) -> None:
    code = "import sys; sys.version_info = (3, 9, 2, 'final', 0); sys.argv = sys.argv[1:]; exec(sys.argv[0])"
    server.python(f'shift; exec {sys.executable} -c "{code}" "$@"')
    assert "python3 is 3.9, which is too old: 3.11" in failure(server, bundle).problem


@pytest.mark.parametrize(("name", "package"), [("tflite", "ai-edge-litert"), ("executorch", "executorch")])
def test_a_runtime_that_is_not_installed_there(
    bundles: Mapping[str, Bundle], server: Server, tmp_path: Path, name: str, package: str
) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    server.python(f'exec {tmp_path}/bare/bin/python3 "$@"')
    error = failure(server, bundles[name])
    assert isinstance(error, InputError)
    assert package in error.problem
    assert (error.hint or "").startswith("ssh -p ")
    assert (error.hint or "").endswith(f"python3 -m pip install {package}")


def test_a_full_disk(bundle: Bundle, server: Server) -> None:
    """A limit on the size of files fails a write as a full disk does."""
    device = devices.open_device(server.address)
    settings = device.settle(bundle, Settings())
    server.python(f"ulimit -f 20; {REAL}")
    with pytest.raises(UnavailableError, match="File too large"):
        device.measure(bundle, sample_rows(bundle, 6), exactly(2), settings, silent)


FAULTS: Mapping[str, tuple[str, type[EdgeError], str]] = {
    "rubbish": ("echo rubbish", GateError, "something else than results"),
    "a failure": ("echo a reason >&2; exit 3", GateError, "status 3 .*a reason"),
    "a truncated result": (f"{REAL[5:]} | head -c 300", GateError, "something else than results"),
    "a hang": ("exec sleep 600", GateError, "hung"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_machine_that_fails_is_explained_in_time(
    bundle: Bundle, server: Server, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    script, kind, says = FAULTS[fault]
    device = devices.open_device(server.address)
    settings = device.settle(bundle, Settings())
    server.python(script)
    monkeypatch.setattr(Protocol, "time_limit", 3.0 if fault == "a hang" else 60.0)
    monkeypatch.setattr(ssh, "FAREWELL", 1.0)
    start = time.monotonic()
    with pytest.raises(kind, match=says):
        device.measure(bundle, sample_rows(bundle, 6), exactly(2), settings, silent)
    assert time.monotonic() - start < 30


class Meanwhile:
    """Progress that does something once a worker runs over there."""

    def __init__(self, server: Server, act: Callable[[int], object]) -> None:
        self.server, self.act, self.acted = server, act, False

    def __call__(self, stage: str, done: int, total: int) -> None:
        running = _alive(str(self.server.temporary))
        if running and not self.acted:
            self.acted = True
            self.act(running[0])


def measure_meanwhile(bundle: Bundle, server: Server, act: Callable[[int], object]) -> None:
    device, meanwhile = devices.open_device(server.address), Meanwhile(server, act)
    device.measure(
        bundle, sample_rows(bundle, 6), exactly(10_000_000), device.settle(bundle, Settings()), meanwhile
    )


def test_a_worker_that_is_killed_there(bundle: Bundle, server: Server) -> None:
    with pytest.raises(GateError, match="by signal 9"):
        measure_meanwhile(bundle, server, lambda worker: os.kill(worker, signal.SIGKILL))


def test_a_connection_that_breaks(bundle: Bundle, server: Server) -> None:
    def cut(_: int) -> None:
        # Named before any is killed: the child of a server that is gone is nobody's.
        serving = [
            number
            for number, words, _where in list_processes()
            if words.startswith("sshd") and _ancestor(number, server.process.pid)
        ]
        for number in serving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    with pytest.raises(UnavailableError, match="connection was lost"):
        measure_meanwhile(bundle, server, cut)


def _ancestor(number: int, of: int) -> bool:
    with contextlib.suppress(OSError):  # gone meanwhile
        while number > 1 and number != of:
            number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    return number == of


def test_our_end_that_is_gone_without_a_word_is_noticed_there(tmp_path: Path) -> None:
    """A cable that is pulled closes nothing: silence must do."""
    with subprocess.Popen(
        [sys.executable, errand.__file__, "1.5", "-c", "import time; time.sleep(600)"],
        stdin=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(bytes(10240))  # an archive of nothing
        process.stdin.flush()
        assert process.wait(30) == errand.ABANDONED
    assert list(tmp_path.iterdir()) == []
    assert _alive(str(tmp_path)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_nothing_here_or_there(
    bundle: Bundle, server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    here = tmp_path / "temporary"
    here.mkdir()
    options = ("--device", server.address, "--queries", 10**7, "--records", tmp_path / "records")
    process = start_cli("bench", bundle.directory, *options, TMPDIR=str(here))
    wait_for(lambda: any((path / "model.tflite").exists() for path in server.temporary.iterdir()))
    process.send_signal(number)
    assert process.wait(30) == (-9 if number == signal.SIGKILL else 130)
    wait_for(lambda: not list(server.temporary.iterdir()))
    user = server.address.split("@")[0]
    wait_for(lambda: not any(user in words and "BatchMode" in words for _, words, _ in list_processes()))
    assert not (tmp_path / "records").exists()
    assert number == signal.SIGKILL or list(here.iterdir()) == []
