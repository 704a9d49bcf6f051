"""What the documentation shows is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from squeezebert_edge.cli import app
from squeezebert_edge.devices import native
from squeezebert_edge.devices.native import build

ROOT = Path(__file__).parents[2]
COMMANDS = re.findall(r"^    squeezebert-edge (\w+)(.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("block", range(2))
def test_the_quick_start_runs_as_it_stands(tmp_path: Path, block: int) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "quickstart.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "out").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", blocks[block]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


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
