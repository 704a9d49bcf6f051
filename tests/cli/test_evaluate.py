"""`squeezebert-edge evaluate`: bundles on labelled files, as a user calls it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from exporters.errors import EdgeError
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.cli.commands import app
from squeezebert_edge.devices import answering as runner
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.tasks.heads import TextClassification
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.evaluated import DATA, LENGTHS, TEXTS, answered, bundle_of, call
from tests.kit.small import TorchRunner, small_checkpoint
from tests.kit.warm import warm_python


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tmp_path_factory.mktemp("bad-good"), id2label={0: "bad", 1: "good"})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "dev.tsv"
    path.write_text(DATA)
    return path


def test_a_head_of_one_output_is_a_regression(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, num_labels=1)
    assert open_bundle(bundle).manifest.problem_type == "regression"
    data = tmp_path / "sts.tsv"
    data.write_text("sentence1\tsentence2\tscore\n" + "".join(f"good {n}\tfilm\t{n}.5\n" for n in range(6)))
    (row,) = answered(bundle, "--data", data, "--dataset", "stsb")["bundles"]
    assert [metric["name"] for metric in row["metrics"]] == ["pearson", "spearman"]
    asked = CliRunner().invoke(app, ["predict", str(bundle), "good film", "--json"])
    assert isinstance(json.loads(asked.stdout)["value"], float)


def test_several_labels_in_columns_of_their_own(tmp_path: Path) -> None:
    labels = {0: "toxic", 1: "insult"}
    bundle = bundle_of(tmp_path, id2label=labels, problem_type="multi_label_classification")
    data = tmp_path / "jigsaw.csv"
    data.write_text(
        "id,comment_text,toxic,insult\n" + "".join(f"x{n},good {n},{n % 2},1\n" for n in range(6))
    )
    (row,) = answered(bundle, "--data", data)["bundles"]
    assert [metric["name"] for metric in row["metrics"]] == ["micro_f1", "macro_f1", "exact_match"]
    assert row["agreement"] == 1.0


def test_a_second_text_that_is_not_read_is_told(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "pairs.csv"
    data.write_text("text,text2,label\n" + "".join(f"good {n},bad film,{n % 2}\n" for n in range(4)))
    (row,) = answered(bundle, "--data", data)["bundles"]
    assert any("the file's text2 is not read" in warning for warning in row["warnings"])


def test_minus_one_as_a_class_is_given_by_labels(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "opinions.tsv"
    data.write_text("text\tlabel\ngood\t1\nbad\t-1\n")
    refused = call(bundle, "--data", data)
    assert "--labels -1,1 if it is a class" in str(refused.exception)
    (row,) = answered(bundle, "--data", data, "--labels", "-1,1")["bundles"]
    assert (row["examples"], row["unlabelled"]) == (2, 0)


def test_a_checkpoint_s_own_names_win_over_a_data_set_s(tmp_path: Path) -> None:
    names = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    bundle = bundle_of(tmp_path, id2label=names)
    asked = CliRunner().invoke(app, ["predict", str(bundle), "good", "--pair", "film", "--json"])
    label = json.loads(asked.stdout)["label"].lower()
    data = tmp_path / "mnli.tsv"
    data.write_text(f"sentence1\tsentence2\tgold_label\ngood\tfilm\t{label}\ngood\tfilm\t-\n")
    (row,) = answered(bundle, "--data", data, "--dataset", "mnli")["bundles"]
    assert row["metrics"][0]["artifact"] == 1.0
    assert (row["examples"], row["unlabelled"]) == (1, 1)
    data.write_text("sentence1\tsentence2\tlabel\ngood\tfilm\tmaybe\n")
    refused = call(bundle, "--data", data, "--dataset", "mnli")
    assert "no label 'maybe'\nallowed: CONTRADICTION, NEUTRAL, ENTAILMENT" in str(refused.exception)


class Wrong(TorchRunner):
    """Says the opposite of what the checkpoint would."""

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"logits": -super().__call__(inputs)["logits"]}


def test_both_sides_in_json_and_in_a_table(bundle: Path, data: Path) -> None:
    found = answered(bundle, "--data", data)
    (row,) = found["bundles"]
    (metric,) = row["metrics"]
    assert row["bundle"] == str(bundle)
    assert row["examples"] == 5
    assert (row["agreement"], row["flips"], row["passed"]) == (1.0, 0, True)
    assert metric["reference"] == metric["artifact"]
    assert metric["low"] < 0 < metric["high"]
    assert row["mcnemar_p"] == 1.0
    result = call(bundle, "--data", data, "--limit", 3)
    assert result.exit_code == 0
    assert "3 examples" in result.stdout
    assert "examples are few" in result.stderr
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["checkpoint", "tflite-fp32"]


def test_a_device_answers_as_this_process_does(bundle: Path, data: Path) -> None:
    here, there = (answered(bundle, "--data", data, *more)["bundles"] for more in ((), ("--device", "host")))
    assert here == there


def test_a_device_is_asked_for_what_is_left_after_an_interruption(
    bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answered(bundle, "--data", data)["bundles"]
    monkeypatch.setattr(runner, "MOST_ROWS", 2)
    answer, errands = Host.answer, []

    def interrupted(self: Host, of: Bundle, rows: Any, *more: Any) -> Any:
        errands.append(len(rows))
        if len(errands) == 2:
            raise KeyboardInterrupt
        return answer(self, of, rows, *more)

    monkeypatch.setattr(Host, "answer", interrupted)
    assert call(bundle, "--data", data, "--device", "host").exit_code == 130
    assert answered(bundle, "--data", data, "--device", "host", "--resume")["bundles"] == whole
    assert errands == [2, 2, 2, 1]


def test_several_bundles_of_several_checkpoints(
    bundle: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = bundle_of(tmp_path_factory.mktemp("other"), id2label={0: "no", 1: "yes"}, num_hidden_layers=1)
    found = answered(bundle, other, bundle, "--data", data, "--max-drop", 0)
    assert [row["bundle"] for row in found["bundles"]] == [str(bundle), str(other)]
    assert all(row["sqnr_db"] > 60 and row["passed"] for row in found["bundles"])


def test_a_drop_beyond_the_gate_exits_with_1(
    bundle: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = answered(bundle, "--data", data)["bundles"][0]["metrics"][0]["reference"]
    labels = "0,1" if reference > 0.5 else "1,0"  # so that saying the opposite is worse
    model = load_checkpoint(str(bundle.parent / "checkpoint")).model

    def load_runner(bundle: Bundle, **settings: Any) -> Wrong:
        return Wrong(model, TextClassification, LENGTHS)

    monkeypatch.setattr(Bundle, "load_runner", load_runner)
    flips = tmp_path / "flips.jsonl"
    result = call(bundle, "--data", data, "--labels", labels, "--max-drop", 0.3, "--flips", flips)
    assert result.exit_code == 1
    assert "accuracy dropped by" in result.stderr
    written = [json.loads(line) for line in flips.read_text().splitlines()]
    assert [flip["text"] for flip in written] == list(TEXTS)
    assert written[1]["where"] == f"{data}:3"
    assert all(flip["reference"] != flip["artifact"] for flip in written)
    assert {*map(str, written[0])} >= {"bundle", "index", "label", "pair"}
    assert call(bundle, "--data", data, "--labels", labels, "--max-drop", 100).exit_code == 0
    answers = [row.split("\t")[0] for row in data.read_text().splitlines()[1:]]
    right = tmp_path / "right.tsv"
    decided = (f"{text}\t{flip['reference'][0]}\n" for text, flip in zip(answers, written, strict=True))
    right.write_text("sentence\tlabel\n" + "".join(decided) * 8)
    silent = call(bundle, "--data", right)
    assert silent.exit_code == 0
    assert "accuracy dropped by 100.00, which is more than chance" in silent.stderr


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        (None, ["--data", "absent.tsv"], "absent.tsv cannot be read"),
        ("", [], "dev.tsv is empty"),
        ("sentence\tlabel\n", [], "dev.tsv has a header and no examples"),
        ("sentence\tlabel\ngood\n", [], "dev.tsv:2: the row has 1 columns, the header 2"),
        ("words\tlabel\ngood\t1\n", [], "dev.tsv has no column of texts: its columns are words, label"),
        (
            "sentence\tkind\ngood\t1\n",
            [],
            "dev.tsv:2: the example has no label: its columns are sentence, kind\n"
            "allowed: a label in a column label or labels or",
        ),
        (DATA, ["--columns", "word=1,tag=2"], "text-classification have no columns to choose from"),
        (DATA, ["--columns", "word=1"], "--columns word=1 does not say where"),
        (DATA, ["--null-threshold", "1"], "allowed: --null-threshold for question-answering"),
        (
            "sentence\tlabel\ngood\t1\nbad\tawful\n",
            [],
            "dev.tsv:3: the model has no label 'awful'\nallowed: bad, good",
        ),
        (b"sentence\tlabel\n\xe9t\xe9\t1\n", [], "dev.tsv is not UTF-8 at byte 15"),
        *(
            (
                DATA,
                [option, "squad"],
                "a head for text-classification cannot be scored as squad\nallowed: sst2",
            )
            for option in ("--dataset", "--task")
        ),
        (DATA, ["--task", "glue"], "there is no head named 'glue'"),
        (DATA, ["--labels", "a,b,c"], "allowed: 2 different names"),
        (DATA, ["--checkpoint", "gone"], "gone"),
        (DATA, ["--flips", "exists"], "exists exists"),
    ],
)
def test_bad_input_says_what_and_where(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes | None,
    arguments: list[str], says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exists").touch()
    if content is not None:
        (tmp_path / "dev.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())
        arguments = [*arguments, "--data", "dev.tsv"]
    result = call(bundle, *arguments)
    assert isinstance(result.exception, EdgeError)
    assert result.exception.exit_code == 2
    assert says in str(result.exception)


def test_a_gate_without_data_is_a_wrong_call(bundle: Path) -> None:
    result = call(bundle, "--max-drop", 0.3)
    assert result.exit_code == 2
    assert "--data" in result.output


def test_bundles_of_different_tasks_are_refused(bundle: Path, data: Path, tmp_path: Path) -> None:
    small = small_checkpoint("SqueezeBertForMultipleChoice")
    (other,) = export_bundles(small, Plan([("tflite", "fp32")], LENGTHS), tmp_path)
    result = call(bundle, other.directory, "--data", data)
    assert "allowed: bundles of one task" in str(result.exception)


def test_an_interrupted_evaluation_continues(
    bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answered(bundle, "--data", data)
    load, calls, left = Bundle.load_runner, 0, 2

    def load_runner(bundle: Bundle, **settings: Any) -> Any:
        runner = load(bundle)

        def count(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            nonlocal calls
            if calls == left:
                raise KeyboardInterrupt
            calls += 1
            return runner(inputs)

        count.lengths = runner.lengths  # type: ignore[attr-defined]
        return count

    monkeypatch.setattr(Bundle, "load_runner", load_runner)
    result = call(bundle, "--data", data)
    assert result.exit_code == 130
    assert "--resume continues" in result.stderr
    answers = bundle.with_name("tflite-fp32.answers.jsonl")
    assert len(answers.read_text().splitlines()) == 1 + 2  # the measurement's name and two answers
    refused = call(bundle, "--data", data, "--limit", 3, "--resume")
    assert "another evaluation" in str(refused.exception)
    left = 5
    assert answered(bundle, "--data", data, "--resume") == expected
    assert calls == 5
    assert not answers.exists()


def test_it_is_a_verb_of_the_command_line(bundle: Path, data: Path) -> None:
    command = [
        warm_python(),
        "-m",
        "squeezebert_edge",
        "evaluate",
        str(bundle),
        "--data",
        str(data),
        "--dataset",
        "cola",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "matthews" in result.stdout
    assert "Traceback" not in result.stderr
