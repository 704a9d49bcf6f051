"""What the documentation shows is run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from squeezebert_edge.cli.commands import app
from squeezebert_edge.devices import native
from squeezebert_edge.devices.native import build
from tests.kit.warm import warm_python

ROOT = Path(__file__).parents[2]
COMMANDS = re.findall(r"^    squeezebert-edge (\w+)(.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)


BLOCKS = [
    (page, number, code)
    for page in ("README.md", "docs/quickstart.md")
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL))
]


def test_the_pages_show_python() -> None:
    assert [(page, number) for page, number, _ in BLOCKS] == [
        ("README.md", 0), *(("docs/quickstart.md", number) for number in range(4))
    ]  # fmt: skip


@pytest.mark.parametrize("code", [pytest.param(code, id=f"{page}-{n}") for page, n, code in BLOCKS])
def test_the_python_of_the_pages_runs_as_it_stands(tmp_path: Path, code: str) -> None:
    (tmp_path / "out").mkdir()
    result = subprocess.run(
        [warm_python(), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_the_notebook_runs_as_it_stands(tmp_path: Path) -> None:
    """Without its plot this is the quick start; what a cell shows stays out of the project."""
    notebook = ROOT / "examples" / "quickstart.ipynb"
    assert not any(cell.get("outputs") for cell in json.loads(notebook.read_text())["cells"])
    shutil.copy(notebook, tmp_path)
    result = subprocess.run(
        [str(Path(sys.executable).with_name("jupyter-execute")), "--inplace", notebook.name],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    ran = json.loads((tmp_path / notebook.name).read_text())
    shown = [output for cell in ran["cells"] for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)


def test_the_kit_that_is_written_by_hand_is_one() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "native_runner.md").read_text(), re.DOTALL)
    kit = native.Kit.model_validate_json(block)
    assert (kit.libc, kit.loader) == ("bionic", None)
    for made, by_hand in ((build.EXECUTORCH, "executorch"), (build.LITERT, "tflite")):
        assert kit.programs[by_hand].files == [*made, "libc++_shared.so"]


@pytest.mark.parametrize(("verb", "rest"), COMMANDS)
def test_the_readme_names_verbs_and_options_that_exist(verb: str, rest: str) -> None:
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[\w-]+", rest)) <= known
