"""Advice that the command line prints can be pasted."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from exporters.errors import EdgeError, InputError
from squeezebert_edge.cli.commands import app
from tests.kit.evaluated import DATA
from tests.kit.small import save_small

ROOT = Path(__file__).parents[2]


def called(*arguments: object) -> Any:
    """What a call raises; None if it is done."""
    return CliRunner().invoke(app, [*map(str, arguments)]).exception


def pasted(text: str, files: dict[str, Path]) -> list[str]:
    """A command as it stands in a text, its names in capitals replaced."""
    return [str(files.get(word, word)) for word in shlex.split(text)]


def without_head(directory: Path) -> Path:
    file = directory / "model.safetensors"
    save_file({n: t for n, t in load_file(file).items() if not n.startswith("classifier.")}, file)
    return directory


def nameless(directory: Path) -> Path:
    config = directory / "config.json"
    config.write_text(re.sub(r'"architectures": \[[^]]*\]', '"architectures": null', config.read_text()))
    return directory


@pytest.mark.parametrize("kind", ["bare", "headless", "nameless", "nameless and headless"])
def test_what_a_checkpoint_without_a_plain_head_is_told(tmp_path: Path, kind: str) -> None:
    architecture = "SqueezeBertModel" if kind == "bare" else "SqueezeBertForSequenceClassification"
    directory = save_small(tmp_path / "it is here", architecture=architecture)
    directory = without_head(directory) if "headless" in kind else directory
    directory = nameless(directory) if "nameless" in kind else directory
    problem = called("inspect", directory)
    assert isinstance(problem, InputError)
    tasks = re.findall(r"--task (\S+)", f"{problem.allowed}")
    assert tasks
    for task in tasks:  # each is a name that --task knows, whether or not there are weights for it
        assert "no head named" not in str(called("inspect", directory, "--task", task))
    working = re.findall(r"--task (\S+)", str(problem.hint) if kind != "headless" else str(problem.allowed))
    for task in working:
        assert called("inspect", directory, "--task", task) is None
    assert working
    train = re.search("squeezebert-edge (train .*)", str(problem.hint))
    assert (train is None) == (kind == "nameless")
    if train:
        data = tmp_path / "train.tsv"
        data.write_text(DATA * 1 + "".join(f"good {n}\t{n % 2}\n" for n in range(40)))
        command = pasted(train[1], {"TRAIN_TSV": data, "DIRECTORY": tmp_path / "out"})
        assert called(*command, "--epochs", 1, "--max-length", 16) is None
        assert called("inspect", tmp_path / "out") is None


def advice() -> Iterator[tuple[str, str]]:
    """Every text in an error's arguments, and where it stands."""
    for room in ("squeezebert_edge", "exporters"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ERRORS:
                    for part in ast.walk(call):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            yield f"{file.relative_to(ROOT)}:{part.lineno}", part.value


ERRORS = [error.__name__ for error in EdgeError.__subclasses__()]
OTHERS = {"--nproc-per-node", "--version"}  # torchrun's and python3's


def test_every_option_and_verb_that_an_error_names_exists() -> None:
    command: Any = typer.main.get_command(app)
    verbs = command.commands
    known = {name for verb in verbs.values() for option in verb.params for name in option.opts} | OTHERS
    named = 0
    for where, text in advice():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text):
            named += 1
            assert option in known, where
        for verb in re.findall(r"squeezebert-edge ([a-z]+) [A-Z-]", text):
            assert verb in verbs, where
    assert named > 50
