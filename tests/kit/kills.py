"""Commands that write, ended by a signal at any moment: nothing half-made, no traceback, nothing left over.

python -m tests.kit.kills --seed 7 --kills 500
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from squeezebert_edge.bundle.opened import open_bundle
from tests.kit.fuzzing import make_bundle
from tests.kit.processes import ROOT
from tests.kit.records import measured

EARLIEST = 0.05  # seconds
NOISE = ("Traceback", "Exception ignored", "Fatal", "Aborted")


@dataclass(frozen=True)
class Command:
    """A command that writes into a directory, and what must be whole of what is there afterwards.

    words: {} is the directory that it reads, [] the one that it writes into.
    weight: how often it is taken.
    """

    name: str
    words: str
    check: Callable[[Path], None]
    weight: int


def check_page(out: Path) -> None:
    for path in out.glob("[!.]*"):
        assert path.read_text().rstrip().endswith("</html>"), f"{path} is half a page"


def check_bundles(out: Path) -> None:
    for path in out.rglob("manifest.json"):
        if ".partial" not in str(path):
            open_bundle(path.parent)


COMMANDS = (
    Command("report", "report {}/a.record.json --out []/page.html --force", check_page, 9),
    Command("demo", "demo android {}/bundle --project []", check_bundles, 9),
    Command("export", "export {}/checkpoint --to executorch --lengths 8 --out [] --force", check_bundles, 1),
)


class Killing:
    """Directories for the commands, and what became of the kills.

    found: what went wrong.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.found: list[str] = []
        self.ends: Counter[str] = Counter()
        self.times: dict[str, float] = {}
        make_bundle(root)
        (root / "a.record.json").write_text(measured(9.0, queries=130).model_dump_json())
        (root / "tmp").mkdir()

    def say(self, wrong: str) -> None:
        """Say what went wrong, at once."""
        self.found.append(wrong)
        print(wrong, flush=True)

    def out(self, command: Command) -> Path:
        """Where a command writes."""
        out = self.root / "out" / command.name
        if not out.exists():
            out.mkdir(parents=True)
            if command.name == "demo":
                (out / "core").mkdir()
                (out / "core" / "build.gradle.kts").touch()
        return out

    def start(self, command: Command) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        words = command.words.replace("{}", str(self.root)).replace("[]", str(self.out(command))).split()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.root / "tmp")}
        return subprocess.Popen(
            [sys.executable, "-m", "squeezebert_edge", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def finish(self, command: Command) -> None:
        """Let a command end by itself; then nothing may be left over."""
        started = time.monotonic()
        process = self.start(command)
        _, errors = process.communicate()
        self.times.setdefault(command.name, time.monotonic() - started)
        if process.returncode:
            self.say(f"{command.name} ends with {process.returncode}: {errors[-500:]}")
        command.check(self.out(command))
        left = [*self.out(command).rglob(".*.partial"), *(self.root / "tmp").glob(".*.partial")]
        if left:
            self.say(f"{command.name} leaves {', '.join(map(str, left))}")

    def kill(self, command: Command, number: signal.Signals, after: float) -> None:
        """End a command by a signal, so many seconds after its start."""
        process = self.start(command)
        time.sleep(after)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        what = f"{command.name}, {number.name} after {after:.3f} s"
        try:
            command.check(self.out(command))
        except Exception as error:
            self.say(f"{what}: {error}")
        allowed = (0, 130) if number == signal.SIGINT else (0, -signal.SIGKILL)
        if number == signal.SIGINT and process.returncode == -signal.SIGINT and not errors:
            self.ends["before Python was there"] += 1  # which a shell calls 130 too
        elif process.returncode not in allowed or any(word in errors for word in NOISE):
            self.say(f"{what} ends with {process.returncode}: {errors[-1500:]}")
        else:
            self.ends[f"{number.name} {process.returncode}"] += 1


def main(words: Sequence[str] | None = None) -> int:
    """Kill; prints what went wrong, and the seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--command", help="only this one")
    asked = parser.parse_args(words)
    choose = random.Random(asked.seed)
    commands = [command for command in COMMANDS if asked.command in (None, command.name)]
    with tempfile.TemporaryDirectory(prefix="kills-") as root:
        killing = Killing(Path(root))
        for command in commands:
            killing.finish(command)
        for number in range(asked.kills):
            (command,) = choose.choices(commands, [command.weight for command in commands])
            killing.kill(
                command,
                choose.choice((signal.SIGKILL, signal.SIGINT)),
                choose.uniform(EARLIEST, killing.times[command.name]),
            )
            if number % 25 == 24:
                killing.finish(command)
                print(f"{number + 1} kills", file=sys.stderr, flush=True)
        for command in commands:
            killing.finish(command)
    print(f"seed {asked.seed}: {asked.kills} kills, {dict(killing.ends)}, {len(killing.found)} wrong")
    return bool(killing.found)


if __name__ == "__main__":
    sys.exit(main())
