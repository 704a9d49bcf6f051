"""The GitHub Action's steps, in bash with what GitHub sets; but for the one that installs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from squeezebert_edge.checkpoint.checkpoint import save_checkpoint
from tests.kit.small import small_checkpoint
from tests.kit.warm import warm_python

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
SETUP, INSTALL, RUN, SUMMARY = ACTION["runs"]["steps"]
INPUTS: Mapping[str, Mapping[str, Any]] = ACTION["inputs"]
WORKFLOW = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "ci.md").read_text(), re.DOTALL)[0]
EXPRESSION = re.compile(r"\$\{\{ (.*?) \}\}")


@dataclass(frozen=True)
class Step:
    """A step that ran: its exit code, what it printed, and the files that GitHub reads."""

    code: int
    printed: str
    outputs: Mapping[str, str]
    summary: str


def run(step: Mapping[str, Any], given: Mapping[str, object], outputs: Mapping[str, str], room: Path) -> Step:
    """Run a step as GitHub does.

    Args:
        given: the action's inputs, in place of their defaults. outputs: of the step `run`.
        room: where GitHub's files and its temporary directory are.
    """
    known = {f"inputs.{name}": str(given.get(name, field.get("default"))) for name, field in INPUTS.items()}
    known |= {f"steps.run.outputs.{name}": value for name, value in outputs.items()}
    words = {
        name: EXPRESSION.sub(lambda found: known[found.group(1)], value)
        for name, value in step["env"].items()
    }
    files = {name: room / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    programs = room / "bin"
    programs.mkdir(exist_ok=True)
    command = programs / "squeezebert-edge"
    command.write_text(f'#!/bin/sh\nexec "{warm_python()}" -m squeezebert_edge "$@"\n')
    command.chmod(0o755)
    script = room / "script.sh"
    script.write_text(step["run"])
    for file in files.values():
        file.write_text("")
    assert step["shell"] == "bash"
    result = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
        env={
            **os.environ,
            **words,
            **{name: str(file) for name, file in files.items()},
            "RUNNER_TEMP": str(room),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
        cwd=room,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    lines = files["GITHUB_OUTPUT"].read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    return Step(
        result.returncode, result.stdout + result.stderr, found, files["GITHUB_STEP_SUMMARY"].read_text()
    )


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Inputs of a small checkpoint, its directory with a space in its name."""
    room = tmp_path_factory.mktemp("a model")
    small = small_checkpoint(id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1})
    save_checkpoint(room / "small", config=small.config, model=small.model, tokenizer=small.tokenizer)
    (room / "dev.tsv").write_text("sentence\tlabel\ngood film\t1\nbad\t0\nfood\t0\n")
    return {
        "checkpoint": room / "small",
        "formats": "tflite",
        "precisions": "fp32 fp16",
        "data": room / "dev.tsv",
        "dataset": "sst2",
        "latency": "none",
    }


@pytest.fixture(scope="module")
def measured(given: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Step:
    """The step that measures."""
    return run(RUN, given, {}, tmp_path_factory.mktemp("runner"))


def test_the_report_is_an_output_and_its_table_the_summary(
    given: dict[str, object], measured: Step, tmp_path: Path
) -> None:
    assert measured.code == 0, measured.printed
    report = json.loads(Path(measured.outputs["report"]).read_text())
    assert [row["precision"]["name"] for row in report["rows"]] == ["fp32", "fp16"]
    assert (Path(measured.outputs["directory"]) / "report.html").exists()
    shown = run(SUMMARY, given, measured.outputs, tmp_path)
    assert shown.code == 0, shown.printed
    assert shown.summary.startswith(f"### squeezebert-edge: {given['checkpoint']}\n\n| bundle |")
    assert "| LiteRT fp16 |" in shown.summary


def test_a_drop_since_the_baseline_fails_and_is_in_the_summary(
    given: dict[str, object], measured: Step, tmp_path: Path
) -> None:
    before = json.loads(Path(measured.outputs["report"]).read_text())
    for row in before["rows"]:
        row["bytes"] *= 2
    metric = before["rows"][0]["accuracy"]["metrics"][0]
    metric["artifact"] += 0.01
    (tmp_path / "before.json").write_text(json.dumps(before))
    limited = given | {"baseline": tmp_path / "before.json", "max-drop": "0.5"}
    shown = run(SUMMARY, limited, measured.outputs, tmp_path)
    assert shown.code == 1, shown.printed
    assert "| -50.0% |" in shown.summary
    assert "- **LiteRT fp32: the accuracy is worse than the baseline's by 1.00 points, more than 0.5**" in (
        shown.summary
    )
    assert run(SUMMARY, limited | {"max-drop": "1.5"}, measured.outputs, tmp_path).code == 0


def test_a_limit_that_nothing_compares_with_is_a_warning(
    given: dict[str, object], measured: Step, tmp_path: Path
) -> None:
    limited = given | {"baseline": measured.outputs["report"], "max-slowdown": "10"}
    shown = run(SUMMARY, limited, measured.outputs, tmp_path)
    assert shown.code == 0, shown.printed
    assert "::warning title=squeezebert-edge::A limit was not checked" in shown.printed
    assert "no latency compares with the baseline's" in shown.summary


@pytest.mark.parametrize("wrong", [{"baseline": "gone.json"}, {"max-drop": "0.5"}])
def test_a_baseline_that_is_missing_fails(
    given: dict[str, object], measured: Step, tmp_path: Path, wrong: dict[str, str]
) -> None:
    shown = run(SUMMARY, given | wrong, measured.outputs, tmp_path)
    assert shown.code == 2
    assert shown.summary == ""


def test_a_wrong_input_fails_before_there_is_a_report(given: dict[str, object], tmp_path: Path) -> None:
    failed = run(RUN, given | {"formats": "onnx"}, {}, tmp_path)
    assert failed.code == 2
    assert "onnx" in failed.printed
    assert failed.outputs == {}


def test_every_input_reaches_a_step_and_none_is_pasted_into_a_script() -> None:
    used = {
        expression.group(1)
        for step in ACTION["runs"]["steps"]
        for value in [*step.get("env", {}).values(), *step.get("with", {}).values()]
        for expression in EXPRESSION.finditer(value)
    }
    assert {name for name in used if name.startswith("inputs.")} == {f"inputs.{name}" for name in INPUTS}
    assert not any("${{" in step.get("run", "") for step in ACTION["runs"]["steps"])
    for output in ACTION["outputs"].values():
        assert EXPRESSION.fullmatch(output["value"])


def test_the_workflow_of_the_documentation_gives_inputs_that_exist() -> None:
    steps = yaml.safe_load(WORKFLOW)["jobs"]["edge"]["steps"]
    (step,) = (step for step in steps if "squeezebert-edge" in step["uses"])
    assert set(step["with"]) <= INPUTS.keys()
    required = {name for name, field in INPUTS.items() if field.get("required")}
    assert required <= set(step["with"])
    table = (ROOT / "docs" / "ci.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(INPUTS)


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not on the path")
def test_actionlint_passes_the_workflow_and_the_steps(tmp_path: Path) -> None:
    """actionlint reads no action.yml, so the steps are also checked as a job's."""
    inputs = {
        name: {"type": "string", "required": field.get("required", False)} for name, field in INPUTS.items()
    }
    steps = {
        "name": "steps",
        "on": {"workflow_call": {"inputs": inputs}},
        "jobs": {"steps": {"runs-on": "ubuntu-latest", "steps": ACTION["runs"]["steps"]}},
    }
    (tmp_path / "workflow.yml").write_text(WORKFLOW)
    (tmp_path / "steps.yml").write_text(yaml.safe_dump(steps, sort_keys=False))
    result = subprocess.run(
        ["actionlint", tmp_path / "workflow.yml", tmp_path / "steps.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
