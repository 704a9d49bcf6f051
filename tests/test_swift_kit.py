"""The iOS demo's kit gives Python's ids, offsets, inputs, answers and records; its own tests pass."""

from __future__ import annotations

import fcntl
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import swift
from tests.demo_cases import DemoCases
from tests.tokenizer_cases import as_lines


@dataclass(frozen=True)
class Kit:
    """The package, built; scratch is seen by what runs there."""

    programs: Path
    scratch: Path

    def ask(self, lines: list[Any], verb: str, *bundle: Path) -> list[Any]:
        """What the command line prints for JSON lines."""
        command = [str(self.programs / "squeezebert-kit"), verb, *map(str, bundle)]
        done = swift.run(command, self.scratch, as_lines(lines).encode())
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]

    def refusal(self, verb: str, bundle: Path) -> str:
        """Why the command line does not open a bundle."""
        done = swift.run([str(self.programs / "squeezebert-kit"), verb, str(bundle)], self.scratch, b"")
        assert done.returncode == 2
        return done.stderr.decode()


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Kit:
    """Built once, whatever the number of processes the tests run in."""
    if not swift.has_swift():
        pytest.skip(swift.HINT)
    base = tmp_path_factory.getbasetemp()
    shared_base = base if worker_id == "master" else base.parent
    scratch = shared_base / "swift"
    scratch.mkdir(exist_ok=True)
    with (shared_base / "swift.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Kit(swift.build(scratch), shared_base)


class TestKit(DemoCases):
    """The cases of both demos."""

    @pytest.fixture
    def demo(self, kit: Kit) -> Kit:
        return kit


def test_its_own_tests_pass(kit: Kit) -> None:
    command = ["swift", "test", "--skip-build", *swift.OPTIONS, "--scratch-path", str(kit.programs.parent)]
    assert re.search(r"Executed \d+ tests, with 0 failures", swift.checked(command, kit.scratch))


def test_it_is_formatted(kit: Kit) -> None:
    # The tables hold one literal each, whose lines are another program's.
    files = [name for name in swift.sources() if "UnicodeTables" not in name]
    swift.checked(["swift", "format", "lint", "--strict", *files], kit.scratch)


def test_it_parses_for_an_iphone(kit: Kit) -> None:
    files = [name for name in swift.sources() if name.startswith("Sources/SqueezeBertKit")]
    swift.checked(["swiftc", "-frontend", "-parse", "-target", "arm64-apple-ios17.0", *files], kit.scratch)


def test_the_core_ml_runner_has_the_types_of_core_ml(kit: Kit) -> None:
    stub = swift.ROOT / "tests" / "stubs" / "CoreML.swift"
    out = kit.scratch / "stubs"
    out.mkdir(exist_ok=True)
    module = ["-emit-module", "-module-name", "CoreML", "-emit-module-path", str(out / "CoreML.swiftmodule")]
    swift.checked(["swiftc", "-swift-version", "6", *module, str(stub)], kit.scratch)
    files = [name for name in swift.sources() if name.startswith("Sources/SqueezeBertKit")]
    options = [
        "-swift-version",
        "6",
        "-package-name",
        "kit",
        "-module-name",
        "SqueezeBertKit",
        "-I",
        str(out),
    ]
    swift.checked(["swiftc", "-typecheck", "-warnings-as-errors", *options, *files], kit.scratch)
