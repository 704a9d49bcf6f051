"""Builds the iOS demo's Swift with a Swift of the system, or one in a Debian directory named by SWIFT_ROOT.

Such a directory is made by

    debootstrap --variant=minbase --include=swiftlang,libc6-dev,libstdc++-14-dev,git trixie DIRECTORY

Its compiler looks for its libraries through /proc, so that and the checkout are mounted into it, which wants
root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ios_demo" / "SqueezeBertKit"
HINT = (
    "needs Swift 6: on the PATH, or in a Debian directory that SWIFT_ROOT names "
    "(tests/toolchains/swift.py says how)"
)
# Optimized for the thousands of texts, and yet open to the package's tests, so that one build does for both.
OPTIONS = ("--disable-sandbox", "--configuration", "release", "-Xswiftc", "-enable-testing")
_ENTER = """
for each in "$3" "$4"; do mkdir -p "$1$each"; mount --bind "$each" "$1$each"; done
mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev"
directory="$2" root="$1"; shift 4
exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
"""


@dataclass(frozen=True)
class Kit:
    """The package, built; scratch is seen by what runs there."""

    programs: Path
    scratch: Path
    formats = ("coreml", "executorch")

    def ask(self, lines: list[Any], verb: str, *bundle: Path) -> list[Any]:
        """What the command line prints for JSON lines."""
        command = [str(self.programs / "squeezebert-kit"), verb, *map(str, bundle)]
        asked = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        done = run(command, self.scratch, asked.encode())
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]

    def do(self, *command: object) -> None:
        """Have the command line do something that answers nothing."""
        checked([str(self.programs / "squeezebert-kit"), *map(str, command)], self.scratch)

    def refusal(self, *command: object) -> str:
        """Why the command line does not do something."""
        done = run([str(self.programs / "squeezebert-kit"), *map(str, command)], self.scratch, b"")
        assert done.returncode == 2
        return done.stderr.decode()


def has_swift() -> bool:
    """Whether there is a Swift here."""
    return shutil.which("swift") is not None or _root() is not None


def run(
    command: Sequence[str], scratch: Path, stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in the package's directory, where Swift and what it built can run.

    Args:
        command: what to run.
        scratch: a directory for what is built and read, at the same path there.
        stdin: what the command reads.
    """
    root = None if shutil.which("swift") else _root()
    if root is not None:
        enter = ["unshare", "--mount", "sh", "-euc", _ENTER, "sh"]
        command = [*enter, str(root), str(PACKAGE), str(ROOT), str(scratch), *command]
    environment = os.environ | {"HOME": str(scratch)}
    return subprocess.run(
        command, input=stdin, capture_output=True, check=False, cwd=PACKAGE, env=environment
    )


def build(scratch: Path) -> Path:
    """Build the kit, its command line and its tests; the directory of programs.

    Raises:
        RuntimeError: what the compiler says.
    """
    checked(["swift", "build", "--build-tests", *OPTIONS, "--scratch-path", str(scratch)], scratch)
    return scratch / "release"


def checked(command: Sequence[str], scratch: Path) -> str:
    """What a command prints; it must succeed."""
    done = run(command, scratch)
    printed = done.stdout.decode() + done.stderr.decode()
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{printed}")
    return printed


def sources(directory: str = "") -> list[str]:
    """Every Swift file below a directory of the demo, as a path from the package."""
    demo = PACKAGE.parent
    return sorted(
        f"../{path.relative_to(demo)}"
        for path in (demo / directory).rglob("*.swift")
        if not any(part.startswith(".") for part in path.relative_to(demo).parts)
    )


def _root() -> Path | None:
    named = os.environ.get("SWIFT_ROOT")
    return Path(named) if named and Path(named, "usr/libexec/swift/bin/swift").exists() else None
