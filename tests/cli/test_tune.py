"""`squeezebert-edge tune`: forms that a device chooses, as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exporters.errors import EdgeError, InputError, UnavailableError
from squeezebert_edge.bundle.manifest import Verification
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.cli.commands import app
from squeezebert_edge.devices.python import machine
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Samples
from squeezebert_edge.verbs import tune as verb
from squeezebert_edge.verbs.tune import Candidate, Decision, Skipped, Trial
from tests.kit.small import save_small

DEFAULT, OTHER = "group-batched", "group-resident"
VERIFIED = Verification(status="verified", by="runtime")
DIED = UnavailableError("the phone is gone", hint="plug it in")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("checkpoints") / "small", num_hidden_layers=1)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def decision(chosen: str | None, *trials: Trial) -> Decision:
    return Decision("tflite", "fp32", DEFAULT, trials, chosen, "a phone, Android 15")


def trial(form: str, *rounds: int, excluded: str | None = None) -> Trial:
    return Trial(Candidate("tflite", "fp32", form), VERIFIED if rounds else None, excluded, rounds)


CHOSEN = decision(
    OTHER,
    trial(DEFAULT, 12_000_000, 12_000_000, 13_000_000),
    trial(OTHER, 10_000_000, 10_000_000, 10_000_000),
    trial("conv2d", excluded="the delegate has no kernels for it\nand more"),
)


@pytest.fixture
def decides(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what is decided, without an export or a measurement; an error at the end is raised."""

    def decide(*found: Decision | Skipped | BaseException) -> None:
        def tune_forms(*arguments: object, **more: object) -> Any:
            for one in found:
                if isinstance(one, BaseException):
                    raise one
                yield one

        monkeypatch.setattr(verb, "tune_forms", tune_forms)

    return decide


def test_export_takes_the_forms_that_tune_chose(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Host.measure

    def slowed(self: Host, bundle: Bundle, *more: Any) -> record.Run:
        run = measure(self, bundle, *more)
        if bundle.manifest.form != DEFAULT:
            return run
        latencies = tuple(1000 * latency for latency in run.samples.latency_ns)
        samples = Samples(run.samples.row, run.samples.length, run.samples.start_ns, latencies)
        return run.model_copy(update={"samples": samples})

    monkeypatch.setattr(Host, "measure", slowed)
    monkeypatch.setattr(verb, "FORMS", {DEFAULT: None, OTHER: None})
    forms, out = tmp_path / "forms.json", tmp_path / "out"
    pair = (saved, "--to", "tflite", "--precision", "fp32", "--lengths", "16")
    result = call("tune", *pair, "--queries", 4, "--rounds", 1, "--out", forms)
    assert result.exit_code == 0, result.output
    assert f"next: squeezebert-edge export {saved} --forms {forms}" in result.stderr
    chosen = json.loads(forms.read_text())
    assert chosen["forms"] == {"tflite": {"fp32": OTHER}}
    assert call("export", *pair, "--forms", forms, "--out", out).exit_code == 0
    manifest = open_bundle(out / "tflite-fp32").manifest
    assert (manifest.form, manifest.form_decided_by) == (OTHER, chosen["device"])
    assert manifest.verification.status == "verified"


def test_the_table_has_every_form_and_why_it_is_taken_or_not(
    saved: Path, tmp_path: Path, decides: Any
) -> None:
    skipped = Skipped("coreml", UnavailableError("Core ML runs on macOS and iOS only"))
    decides(skipped, CHOSEN)
    result = call("tune", saved, "--out", tmp_path / "forms.json")
    assert result.exit_code == 0
    rows = [" ".join(line.split()) for line in result.stdout.splitlines() if line.startswith(" tflite")]
    assert rows == [
        f"tflite fp32 {DEFAULT} (default) 12.00 8.3% yes verified 20.0% slower",
        f"tflite fp32 {OTHER} 10.00 0.0% yes verified chosen",
        "tflite fp32 conv2d - - - not exported the delegate has no kernels for it",
    ]
    assert "a phone, Android 15" in result.stdout
    assert "coreml was skipped: Core ML runs on macOS and iOS only" in result.stderr
    assert f"the rounds of {DEFAULT} differ by more than 5%" in result.stderr


def test_json_has_it_all(saved: Path, tmp_path: Path, decides: Any) -> None:
    decides(CHOSEN)
    result = call("tune", saved, "--out", tmp_path / "forms.json", "--json")
    found = json.loads(result.stdout)
    assert found["forms"] == str(tmp_path / "forms.json")
    (one,) = found["decisions"]
    assert (one["chosen"], one["default"], one["device"]) == (OTHER, DEFAULT, "a phone, Android 15")
    assert [made["p50_ms"] for made in one["trials"]] == [12.0, 10.0, None]
    assert one["trials"][2]["excluded"].endswith("and more")


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([decision(None, trial(DEFAULT, excluded="no kernels"))], 1),
        ([CHOSEN, DIED], 3),
        ([DIED], 3),
        ([KeyboardInterrupt()], 130),
        ([CHOSEN, KeyboardInterrupt()], 130),
    ],
)
def test_an_end_before_the_end_writes_nothing(
    saved: Path, tmp_path: Path, decides: Any, found: Sequence[Any], status: int
) -> None:
    decides(*found)
    result = call("tune", saved, "--out", tmp_path / "forms.json")
    error = result.exception
    assert (error.exit_code if isinstance(error, EdgeError) else result.exit_code) == status
    assert list(tmp_path.iterdir()) == []
    if CHOSEN in found and DIED in found:
        assert "20.0% slower" in result.stdout
        assert "forms.json was not written" in result.stderr


def test_what_is_chosen_is_written_though_another_pair_has_no_form(
    saved: Path, tmp_path: Path, decides: Any
) -> None:
    decides(CHOSEN, decision(None, trial(DEFAULT, excluded="no kernels")))
    result = call("tune", saved, "--out", tmp_path / "forms.json")
    assert result.exit_code == 1
    assert "tflite fp32: no form can be chosen" in result.stderr
    assert json.loads((tmp_path / "forms.json").read_text())["forms"] == {"tflite": {"fp32": OTHER}}


def test_a_file_that_exists_is_replaced_when_asked(saved: Path, tmp_path: Path, decides: Any) -> None:
    decides(CHOSEN)
    (tmp_path / "forms.json").write_text("of another day")
    refused = call("tune", saved, "--out", tmp_path / "forms.json")
    assert isinstance(refused.exception, InputError)
    assert "--force" in str(refused.exception)
    assert (tmp_path / "forms.json").read_text() == "of another day"
    assert call("tune", saved, "--out", tmp_path / "forms.json", "--force").exit_code == 0
    assert OTHER in (tmp_path / "forms.json").read_text()


def test_how_long_it_takes_is_said_before(saved: Path, tmp_path: Path, decides: Any) -> None:
    decides(CHOSEN)
    pair = ("--to", "tflite", "--precision", "fp32", "--out", tmp_path / "forms.json")
    assert "up to 3 minutes: 18 runs of the quick protocol" in call("tune", saved, *pair, "--quick").stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--quick", "--rapid"], 2, "several of"),
        (["--out", "gone/forms.json"], 2, "there is no directory gone"),
        (["--to", "onnx"], 2, "unknown format"),
        (["--precision", "int3"], 2, "no precision"),
        (["--lengths", "65"], 2, "max_position_embeddings"),
        (["--data", "absent.tsv"], 2, "absent.tsv"),
        (["--device", "toaster"], 2, "names no kind of device"),
        (["--device", "android"], 3, "adb"),
        (["--to", "coreml", "--device", "host"], 3, "macOS"),
    ],
)
def test_a_wrong_call_ends_before_the_long_work(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "MAC", False)
    monkeypatch.setattr(verb, "export_bundles", None)
    error = call("tune", saved, *arguments).exception
    assert isinstance(error, EdgeError)
    assert error.exit_code == status
    assert says in str(error)
    assert list(tmp_path.iterdir()) == []
