"""The rooms of the house: which there are, who may import whom, and that the linter sees a broken rule."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")


def contracts() -> list[dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[dict[str, object]] = settings["tool"]["importlinter"]["contracts"]
    return found


def test_every_room_has_its_place_among_the_layers() -> None:
    (layers,) = [contract["layers"] for contract in contracts() if contract["type"] == "layers"]
    placed = {name.removeprefix("squeezebert_edge.") for layer in layers for name in layer.split(" | ")}
    package = ROOT / "squeezebert_edge"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert placed == rooms | {"face", "exporters"}
    assert len([path for path in package.iterdir() if path.is_file()]) <= 5


def test_no_room_hides_a_call_of_the_face() -> None:
    import squeezebert_edge

    rooms = {path.parent.name for path in (ROOT / "squeezebert_edge").glob("*/__init__.py")}
    assert not rooms & set(squeezebert_edge.__all__)


def test_nothing_imports_in_a_circle() -> None:
    graph = grimp.build_graph(
        "squeezebert_edge", "exporters", exclude_type_checking_imports=True, cache_dir=None
    )
    TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    ).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        (
            "squeezebert_edge/model/config.py",
            "from squeezebert_edge.forms import plain",
            "A room imports only",
        ),
        ("squeezebert_edge/accuracy/trust.py", "from squeezebert_edge import devices", "A room imports only"),
        ("exporters/errors.py", "from squeezebert_edge.plumbing import progress", "A room imports only"),
        ("exporters/tflite/export.py", "from exporters.coreml import FORMAT", "A runtime knows no other"),
        (
            "squeezebert_edge/devices/ios/app.py",
            "from squeezebert_edge.devices.android import adb",
            "Android and iOS know nothing",
        ),
        ("squeezebert_edge/verbs/verify.py", "import rich", "Only the command line prints"),
        ("squeezebert_edge/latency/protocol.py", "import torch", "What runs on a board imports no torch"),
        ("squeezebert_edge/devices/python/host.py", "import torch", "What runs on a board imports no torch"),
    ],
)
def test_a_rule_that_is_broken_fails_the_linter(tmp_path: Path, file: str, line: str, broken: str) -> None:
    for package in ("squeezebert_edge", "exporters"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "assets")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    changed = tmp_path / file
    changed.write_text(changed.read_text() + f"\n{line}\n")
    found = subprocess.run(
        [str(LINTER), "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1, found.stdout + found.stderr
    assert any(row.startswith(broken) and "BROKEN" in row for row in found.stdout.splitlines())
