"""A runtime from another package, made from docs/add_a_runtime.md alone: every verb takes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import exporters
from exporters.errors import InputError
from tests.kit.small import save_small
from tests.kit.warm import warm_python

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add_a_runtime.md").read_text()
FORMAT = "torch-program"


def install(directory: Path, entry_points: str) -> None:
    """What pip would leave of the package."""
    metadata = directory / "torch_program-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-program\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(entry_points)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of packages that holds the page's runtime."""
    directory = tmp_path_factory.mktemp("site")
    package = directory / "torch_program"
    package.mkdir()
    modules = re.findall(r"`torch_program/(\w+\.py)`.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in modules] == ["__init__.py", "export.py", "runner.py"]
    for name, content in modules:
        (package / name).write_text(content)
    (declared,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    group, rest = re.findall(r'\[project\.entry-points\."(.*)"\]\n(.*)', declared, re.DOTALL)[0]
    install(directory, f"[{group}]\n{rest.replace(chr(34), '')}")
    return directory


@pytest.fixture(scope="module")
def work(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a checkpoint and labelled examples."""
    directory = tmp_path_factory.mktemp("work")
    save_small(directory / "checkpoint", num_hidden_layers=1)
    texts = ("good film", "bad", "the food is bad", "good food and a good film")
    lines = [f"{text}\t{number % 2}" for number, text in enumerate(texts)]
    (directory / "dev.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    return directory


def call(site: Path, work: Path, *arguments: str) -> dict[str, Any]:
    paths = os.pathsep.join(filter(None, [str(site), str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [warm_python(), "-m", "squeezebert_edge", *arguments, "--json"],
        cwd=work, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_verb_takes_the_runtime_of_the_page(site: Path, work: Path) -> None:
    lengths = ("--lengths", "16,32")
    (made,) = call(site, work, "export", "checkpoint", "--to", FORMAT, *lengths, "--out", "out")["bundles"]
    assert made["verification"]["status"] == "verified"
    bundle = f"out/{FORMAT}-fp32"
    assert call(site, work, "verify", bundle)["status"] == "verified"
    assert call(site, work, "predict", bundle, "good film")["label"]
    (scored,) = call(site, work, "evaluate", bundle, "--data", "dev.tsv")["bundles"]
    assert scored["metrics"][0]["difference"] == 0
    ran = call(
        site, work, "run", "checkpoint", "--to", FORMAT, *lengths, "--data", "dev.tsv", "--latency", "rapid",
        "--out", "all",
    )  # fmt: skip
    assert [row["format"] for row in ran["bundles"]] == [FORMAT]
    page = (work / "all" / "report.html").read_text()
    assert "torch.export fp32" in page
    (shown,) = call(site, work, "report", "all")["bundles"]
    assert shown["verification"]["status"] == "verified"
    (record,) = call(site, work, "report", "all")["records"]
    assert record["format"] == FORMAT


def test_a_format_that_is_gone_is_still_shown(site: Path, work: Path) -> None:
    assert exporters.title(FORMAT) == FORMAT
    with pytest.raises(InputError, match=f"unknown format '{FORMAT}'\nallowed: executorch, coreml, tflite"):
        exporters.get(FORMAT)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("no_such_package:FORMAT", "cannot be loaded: No module named 'no_such_package'"),
        ("json:dumps", "is a function\nallowed: a Format"),
    ],
)
def test_a_package_that_is_broken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    install(tmp_path, f"[{exporters.ENTRY_POINTS}]\nbroken = {value}\ntflite = {value}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=f"format 'broken': {value} {says}"):
        exporters.get("broken")
    assert exporters.get("tflite").title == "LiteRT"  # its name is not to be taken
