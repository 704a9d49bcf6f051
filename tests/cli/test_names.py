"""`--task` is the head and `--dataset` the data set, whatever the verb; earlier spellings still work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exporters.errors import InputError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.cli.commands import app
from squeezebert_edge.cli.names import Names, read_names, read_unit
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.small import save_small

HEAD = "text-classification"
DATA = "sentence\tlabel\ngood film\tgood\nbad\tbad\nfood\tbad\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("names")
    save_small(directory / "checkpoint", id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1})
    (directory / "dev.tsv").write_text(DATA)
    return directory


@pytest.fixture(scope="module")
def bundle(saved: Path) -> Bundle:
    loaded = load_checkpoint(str(saved / "checkpoint"))
    (made,) = export_bundles(loaded, Plan([("tflite", "fp32")], (16,)), saved)
    return made


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize(
    ("given", "names", "note"),
    [
        ({"task": None}, Names(None, None), ""),
        ({"task": HEAD}, Names(HEAD, HEAD), ""),
        ({"task": None, "dataset": "sst2"}, Names(HEAD, "sst2"), ""),
        ({"task": HEAD, "dataset": "sst2"}, Names(HEAD, "sst2"), ""),
        (
            {"task": "sst2", "task_may_be_dataset": True},
            Names(HEAD, "sst2"),
            "note: --task sst2 names a data set; write --dataset sst2\n",
        ),
        (
            {"task": None, "scored": "squad"},
            Names("question-answering", "squad"),
            "note: --scored squad names a data set; write --dataset squad\n",
        ),
        (
            {"task": None, "scored": HEAD},
            Names(HEAD, HEAD),
            f"note: --scored {HEAD} names a head; write --task {HEAD}\n",
        ),
    ],
)
def test_a_head_and_a_data_set(
    capsys: pytest.CaptureFixture[str], given: dict[str, Any], names: Names, note: str
) -> None:
    assert read_names(**given) == names
    assert capsys.readouterr().err == note


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"task": "translation"}, "no head named 'translation'\nallowed: text-classification, "),
        ({"task": "sst2"}, "no head named 'sst2'\n.*\nnext: --dataset sst2 names a data set"),
        ({"task": "glue", "task_may_be_dataset": True}, "no head named 'glue'"),
        ({"task": None, "dataset": "glue"}, "no data set named 'glue'\nallowed: sst2, mrpc"),
        (
            {"task": None, "dataset": HEAD},
            f"no data set named '{HEAD}'\n.*\nnext: --task {HEAD} names a head",
        ),
        ({"task": None, "scored": "glue"}, "no data set named 'glue'"),
        (
            {"task": "sst2", "dataset": "mrpc", "task_may_be_dataset": True},
            "--task sst2 and --dataset mrpc are both given\nallowed: --dataset alone",
        ),
        ({"task": "sst2", "dataset": "sst2", "task_may_be_dataset": True}, "--task sst2 and --dataset sst2"),
        ({"task": None, "dataset": "mrpc", "scored": "sst2"}, "--scored sst2 and --dataset mrpc are both"),
        ({"task": None, "dataset": "mrpc", "scored": HEAD}, f"--scored {HEAD} and --dataset mrpc are both"),
        (
            {"task": "question-answering", "dataset": "sst2"},
            f"the data set sst2 is for {HEAD}, and --task names question-answering\n"
            f"allowed: --task {HEAD}, or one of squad",
        ),
        ({"task": "fill-mask", "dataset": "sst2"}, f"\nallowed: --task {HEAD}$"),
    ],
)
def test_names_that_contradict_each_other_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_names(**given)


@pytest.mark.parametrize(
    ("given", "unit", "note"),
    [
        ({}, None, ""),
        ({"unit": "ane"}, "ane", ""),
        ({"unit": "npu"}, "npu", ""),
        ({"unit": "npu:SM8650"}, "npu:SM8650", ""),
        ({"arithmetic": "fp16"}, "cpu-fp16", ""),
        ({"unit": "cpu", "arithmetic": "fp16"}, "cpu-fp16", ""),
        ({"delegate": "gpu"}, "gpu", "note: --delegate gpu names a compute unit; write --unit gpu\n"),
        (
            {"compute_units": "cpu_and_ne"},
            "ane",
            "note: --compute-units cpu_and_ne names a compute unit; write --unit ane\n",
        ),
        ({"compute_units": "all"}, None, "note: --compute-units all names a compute unit; leave it out\n"),
    ],
)
def test_a_unit(
    capsys: pytest.CaptureFixture[str], given: dict[str, str], unit: str | None, note: str
) -> None:
    assert read_unit(**{"unit": None, **given}) == unit
    assert capsys.readouterr().err == note


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"unit": "tpu"}, "no compute unit 'tpu'\nallowed: cpu, cpu-fp16, gpu, ane, npu:CHIP .* or npu$"),
        ({"unit": "npu:"}, "without its chip"),
        ({"unit": None, "arithmetic": "bf16"}, "no arithmetic 'bf16'\nallowed: fp16"),
        ({"unit": "npu", "arithmetic": "fp16"}, "with the unit npu"),
        ({"unit": "gpu:SM8650"}, "names a chip"),
        ({"unit": None, "delegate": "npu"}, "--delegate npu names no compute unit\nallowed: --unit"),
        ({"unit": None, "compute_units": "gpu"}, "--compute-units gpu names no compute unit"),
        (
            {"unit": "gpu", "delegate": "gpu"},
            "--unit gpu and --delegate gpu are given\nallowed: --unit alone",
        ),
    ],
)
def test_a_unit_that_there_is_not(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_unit(**given)


def test_evaluate_answers_alike_to_both_spellings(bundle: Bundle, saved: Path) -> None:
    base = ("evaluate", bundle.directory, "--data", saved / "dev.tsv", "--labels", "bad,good", "--json")
    today = call(*base, "--dataset", "cola")
    earlier = call(*base, "--task", "cola")
    assert today.exit_code == earlier.exit_code == 0
    assert today.stdout == earlier.stdout
    assert json.loads(today.stdout)["bundles"][0]["metrics"][0]["name"] == "matthews"
    assert "note:" not in today.stderr
    assert "note: --task cola names a data set; write --dataset cola\n" in earlier.stderr
    head = call(*base, "--task", HEAD)
    assert head.exit_code == 0
    assert json.loads(head.stdout)["bundles"][0]["metrics"][0]["name"] == "accuracy"
    wrong = call(*base, "--task", "fill-mask")
    assert isinstance(wrong.exception, InputError)


def test_answers_kept_under_one_spelling_serve_the_other(
    bundle: Bundle, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ("evaluate", bundle.directory, "--data", saved / "dev.tsv", "--labels", "bad,good", "--json")
    expected = call(*base, "--dataset", "cola").stdout
    load = Bundle.load_runner
    left = 2

    def load_runner(bundle: Bundle, **settings: Any) -> Any:
        runner = load(bundle)

        def count(inputs: Any) -> Any:
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            return runner(inputs)

        count.lengths = runner.lengths  # type: ignore[attr-defined]
        return count

    monkeypatch.setattr(Bundle, "load_runner", load_runner)
    assert call(*base, "--task", "cola").exit_code == 130
    left = 1
    continued = call(*base, "--dataset", "cola", "--resume")
    assert continued.exit_code == 0, continued.output
    assert continued.stdout == expected
    assert left == 0


def test_run_answers_alike_to_both_spellings(saved: Path, tmp_path: Path) -> None:
    base = (
        *("run", saved / "checkpoint", "--data", saved / "dev.tsv", "--to", "tflite", "--precision", "fp32"),
        *("--lengths", "16", "--latency", "none", "--labels", "bad,good", "--json", "--force"),
        *("--out", tmp_path / "out"),
    )
    today, earlier = call(*base, "--dataset", "cola"), call(*base, "--task", "cola")
    assert today.exit_code == earlier.exit_code == 0, (today.output, earlier.output)
    assert json.loads(today.stdout) == json.loads(earlier.stdout)
    assert "note: --task cola names a data set; write --dataset cola\n" in earlier.stderr
    (row,) = json.loads(today.stdout)["bundles"]
    assert [metric["name"] for metric in row["accuracy"]["metrics"]] == ["matthews"]
    assert call(*base, "--task", HEAD).exit_code == 0


def test_export_and_sensitivity_answer_alike_to_both_spellings(saved: Path, tmp_path: Path) -> None:
    data = ("--data", saved / "dev.tsv", "--labels", "bad,good", "--json")
    made = ("--to", "tflite", "--precision", "fp32", "--lengths", "16", "--max-drop", "100", "--force")
    calls = (
        ("export", saved / "checkpoint", *data, *made, "--out", tmp_path / "out"),
        ("sensitivity", saved / "checkpoint", *data, "--length", "16"),
    )
    for base in calls:
        today, earlier = call(*base, "--dataset", "cola"), call(*base, "--scored", "cola")
        assert today.exit_code == earlier.exit_code == 0, (today.output, earlier.output)
        assert today.stdout == earlier.stdout
        assert "matthews" in today.stdout
        assert "note: --scored cola names a data set; write --dataset cola\n" in earlier.stderr
        both = call(*base, "--scored", "cola", "--dataset", "cola")
        assert isinstance(both.exception, InputError)


@pytest.mark.parametrize("verb", ["run", "export", "evaluate", "sensitivity"])
def test_help_names_today_s_options_only(verb: str) -> None:
    shown = call(verb, "--help").stdout
    assert "--dataset" in shown
    assert "--task" in shown
    assert "--scored" not in shown
