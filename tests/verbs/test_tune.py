"""Forms chosen by what a device measures: fairly, by the rules, and with a clear end whatever happens."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from exporters.units import Unit
from squeezebert_edge.bundle.manifest import UnitRecord, Verification
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.forms.choices import Choice, form_of, read_forms, write_forms
from squeezebert_edge.latency.protocol import Protocol, exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.plumbing.staging import CannotWriteError
from squeezebert_edge.verbs import tune
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from squeezebert_edge.verbs.tune import (
    Candidate,
    Decision,
    Skipped,
    Trial,
    Tuning,
    choose,
    forms_file,
    tune_forms,
)
from tests.kit.paced import Paced
from tests.kit.small import small_checkpoint

CHECKPOINT = small_checkpoint(num_hidden_layers=1)
LENGTHS = (16, 32)
PLAN = Plan([("tflite", "fp32")], LENGTHS)
EVEN = dict.fromkeys(tune.FORMS, 10.0)
VERIFIED = Verification(status="verified", by="runtime")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    (made,) = export_bundles(CHECKPOINT, PLAN, tmp_path_factory.mktemp("out"))
    return made


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


Exported = Callable[[str, Any], None]


@pytest.fixture
def exported(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, temporary: Path) -> Exported:
    """Bundles without the seconds that each takes; sets what exporting a form gives."""
    results: dict[str, Any] = {}

    def export(
        checkpoint: Checkpoint, plan: Plan, out: Path, *, progress: Progress = silent
    ) -> Iterator[Bundle]:
        ((name, _),) = plan.pairs
        result = results.get(str(plan.form), VERIFIED)
        if isinstance(result, BaseException):
            raise result
        out.mkdir()
        progress("exporting", 0, 0)
        changes = {"form": plan.form, "format": name, "verification": result}
        yield Bundle(out, bundle.manifest.model_copy(update=changes))

    monkeypatch.setattr(tune, "export_bundles", export)
    return results.__setitem__


def tuning(rounds: int = 2, **changes: Any) -> Tuning:
    return Tuning(exactly(4), rounds=rounds, **changes)


def decide(device: Paced, plan: Plan = PLAN, how: Tuning | None = None) -> Decision:
    (decision,) = tune_forms(CHECKPOINT, plan, device, how or tuning())
    assert isinstance(decision, Decision)
    return decision


def trial(form: str, *rounds: int, excluded: str | None = None) -> Trial:
    return Trial(Candidate("tflite", "fp32", form), VERIFIED, excluded, rounds)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([trial("plain", 90, 90, 90)], "plain"),
        ([trial("plain", 96, 96, 96)], "group-batched"),  # within the noise
        ([trial("plain", 80, 80, 101)], "group-batched"),  # not in every round
        ([trial("plain", 90, 90, 90), trial("conv2d", 80, 80, 80)], "conv2d"),
        ([trial("plain", 90, 90, 90), trial("conv2d", 10, 10, 101)], "plain"),
        ([trial("plain", 90, 90, 90, excluded="it died")], "group-batched"),
        ([trial("plain", 120, 120, 120)], "group-batched"),
        ([], "group-batched"),
    ],
)
def test_the_default_gives_way_to_what_is_faster_beyond_the_noise(others: list[Trial], chosen: str) -> None:
    assert choose([trial("group-batched", 100, 100, 100), *others], "group-batched") == chosen


def test_candidates_of_a_unit_are_made_and_proven_for_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    asked = []

    def export(
        checkpoint: Checkpoint, plan: Plan, out: Path, *, progress: Progress = silent
    ) -> Iterator[Bundle]:
        ((name, precision),) = plan.pairs
        asked.append([str(unit) for unit in plan.units])
        out.mkdir()
        proof = Verification(status="failed", by="qualcomm-emulator", failures=["the NPU differs"])
        made = UnitRecord.model_construct(files={}, verification=proof if plan.form == "plain" else VERIFIED)
        units = {str(unit): made for unit in plan.units} if precision == "fp16" else {}
        changes = {"form": plan.form, "format": name, "verification": VERIFIED, "units": units}
        yield Bundle(out, bundle.manifest.model_copy(update=changes))

    monkeypatch.setattr(tune, "export_bundles", export)
    settled = []

    class Phone(Paced):
        def settle(self, bundle: Bundle, settings: Settings) -> Settings:
            settled.append(bundle.manifest.units.keys())
            bundle.files_of(Unit("npu", "SM8650"))
            return settings.model_copy(update={"unit": "npu:SM8650"})

    plan = Plan([("tflite", "fp16"), ("tflite", "fp32")], LENGTHS)
    how = tuning(settings=Settings(unit="npu"))
    half, single = tune_forms(CHECKPOINT, plan, Phone(EVEN | {"plain": 1.0, "group-batched": 5.0}), how)
    assert {"gpu", "npu:SM8650", "npu:SM8750"} <= set(*settled)
    assert set(map(tuple, asked)) == {("npu:SM8650",)}
    assert isinstance(half, Decision)
    assert isinstance(single, Decision)
    assert (half.chosen, half.device) == ("group-batched", "a host, Linux 6, npu:SM8650")
    assert [one.excluded for one in half.trials if one.excluded] == ["the NPU differs"]
    assert single.chosen is None
    assert {one.excluded for one in single.trials} == {"npu:SM8650 does not compute tflite fp32"}


def test_without_the_default_the_fastest_is_taken() -> None:
    out = trial("group-batched", excluded="no kernels")
    assert choose([out, trial("plain", 100), trial("conv2d", 99)], "group-batched") == "conv2d"
    assert choose([out, trial("plain", excluded="no kernels")], "group-batched") is None


def test_candidates_are_measured_in_turn_there_and_back(exported: Exported) -> None:
    device = Paced(EVEN)
    decision = decide(device)
    order = [one.candidate.form for one in decision.trials]
    assert order[0] == decision.default == "group-batched"
    assert sorted(order) == sorted(tune.FORMS)
    assert device.asked == [*order, *reversed(order)]
    assert decision.chosen == "group-batched"


@pytest.mark.parametrize("fastest", ["plain", "neural-engine-groups"])
def test_a_device_that_slows_down_does_not_choose(exported: Exported, fastest: str) -> None:
    device = Paced(EVEN | {fastest: 9.0}, drift=0.01)
    assert decide(device, how=tuning(rounds=4)).chosen == fastest
    assert decide(Paced(EVEN, drift=0.05), how=tuning(rounds=4)).chosen == "group-batched"


def test_what_fails_is_told_and_measured_no_more(exported: Exported) -> None:
    exported("plain", GateError("the delegate has no kernels for it", hint="another form"))
    unsafe = Verification(status="failed", by="runtime", failures=["logits: padding changes it by 1"])
    exported("conv2d", unsafe)
    coarse = Verification(status="failed", by="runtime", failures=["logits: SQNR 9.0 dB below 45.0"])
    exported("group-resident", coarse)
    exported("neural-engine", Verification(status="not verified", by=None, failures=["an unknown op"]))
    device = Paced(EVEN, fails={"group-batched": GateError("the measuring process died")})
    decision = decide(device)
    found = {one.candidate.form: one for one in decision.trials}
    assert {form: one.excluded for form, one in found.items()} == {
        "group-batched": "the measuring process died",
        "plain": "the delegate has no kernels for it",
        "group-resident": "logits: SQNR 9.0 dB below 45.0",
        "conv2d": "logits: padding changes it by 1",
        "neural-engine": "an unknown op",
        "neural-engine-groups": None,
    }
    assert {form: one.padding_safe for form, one in found.items()} == {
        "group-batched": True,
        "plain": None,
        "group-resident": True,
        "conv2d": False,
        "neural-engine": None,
        "neural-engine-groups": True,
    }
    assert decision.chosen == "neural-engine-groups"
    assert device.asked == ["group-batched", *["neural-engine-groups"] * 2]
    assert found["group-batched"].latency_ns is found["group-batched"].spread is None


def test_a_run_that_breaks_a_rule_has_no_latency(exported: Exported) -> None:
    slow = Protocol("quick", 4, 10.0, 60.0, cool_down=0.0, quoted=True)
    decision = decide(Paced(EVEN), how=Tuning(slow, rounds=1))
    assert {one.excluded for one in decision.trials} == {"too short"}
    assert decision.chosen is None


def test_latencies_are_weighed_as_the_texts_have_the_lengths(exported: Exported, tmp_path: Path) -> None:
    data = tmp_path / "texts.tsv"
    data.write_text(
        "sentence\n" + "good\n" * 3 + "good film food the is of and good film food the is of and is the\n"
    )
    decision = decide(Paced(EVEN), how=tuning(rounds=1, data=data))
    assert {one.latency_ns for one in decision.trials} == {(3 * 10e6 + 1 * 40e6) / 4}


def test_a_rest_comes_before_every_run(exported: Exported) -> None:
    rested: list[float] = []
    protocol = Protocol("queries", 4, 0.0, None, cool_down=1.5, quoted=False)
    device = Paced(EVEN)
    list(tune_forms(CHECKPOINT, PLAN, device, Tuning(protocol, rounds=2), sleep=rested.append))
    assert rested == [1.0, 0.5] * len(device.asked)


def test_an_alias_and_what_it_stands_for_are_one_pair(exported: Exported) -> None:
    plan = Plan([("tflite", "int8"), ("tflite", "int8-dynamic"), ("tflite", "int4")], LENGTHS)
    decisions = tune_forms(CHECKPOINT, plan, Paced(EVEN), tuning(rounds=1))
    assert [(one.format, one.precision) for one in decisions if isinstance(one, Decision)] == [
        ("tflite", "int8-dynamic"),
        ("tflite", "int4"),
    ]


def test_a_format_that_the_device_does_not_run_is_skipped_before_anything_is_exported(
    exported: Exported,
) -> None:
    plan = Plan([("coreml", "fp32"), ("tflite", "fp32"), ("coreml", "fp16")], LENGTHS)
    device = Paced(EVEN)
    found = tune_forms(CHECKPOINT, plan, device, tuning())
    skipped = next(found)
    assert isinstance(skipped, Skipped)
    assert (skipped.format, skipped.error.problem) == ("coreml", "it runs no coreml")
    assert device.asked == []
    assert [one.format for one in found] == ["tflite"]
    with pytest.raises(UnavailableError, match="it runs no tflite"):
        next(tune_forms(CHECKPOINT, PLAN, Paced(EVEN, runs=()), tuning()))


@pytest.mark.parametrize("end", [UnavailableError("it is gone"), KeyboardInterrupt()])
def test_a_device_that_goes_away_ends_it_and_leaves_nothing(
    exported: Exported, temporary: Path, end: BaseException
) -> None:
    plan = Plan([("tflite", "fp32"), ("tflite", "fp16")], LENGTHS)
    device = Paced(EVEN)
    found = tune_forms(CHECKPOINT, plan, device, tuning())
    assert isinstance(next(found), Decision)
    device.fails = {"conv2d": end}
    with pytest.raises(type(end)):
        next(found)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("full", ["an export", "a measurement"])
def test_a_full_disk_is_no_form_s_fault(exported: Exported, temporary: Path, full: str) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    if full == "an export":
        exported("conv2d", CannotWriteError("conv2d: cannot be written: No space left on device"))
    device = Paced(EVEN, fails={"conv2d": error})
    with pytest.raises(CannotWriteError, match="No space left on device"):
        decide(device)
    assert list(temporary.iterdir()) == []


def test_no_rounds_are_refused_and_wrong_texts_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 rounds are too few"):
        decide(Paced(EVEN), how=tuning(rounds=0))
    with pytest.raises(EdgeError, match=r"absent.tsv"):
        decide(Paced(EVEN), how=tuning(data=tmp_path / "absent.tsv"))


def test_what_was_decided_is_read_by_export_with_the_device_s_name(
    exported: Exported, tmp_path: Path
) -> None:
    device, how = Paced(EVEN | {"conv2d": 5.0}), tuning()
    decision = decide(device, how=how)
    written = forms_file(CHECKPOINT, PLAN, device, how, [decision])
    write_forms(written, tmp_path / "forms.json")
    forms = read_forms(tmp_path / "forms.json")
    assert form_of("tflite", "fp32", forms) == Choice("conv2d", "a host, Linux 6")
    assert form_of("tflite", "int8-dynamic", forms) == form_of("tflite", "int8-dynamic")
    assert written.measured is not None
    assert (written.measured.protocol, written.measured.lengths) == ("queries", [16, 32])
    assert len(written.measured.trials) == len(tune.FORMS)
    assert decide(device, Plan([("tflite", "fp32")], LENGTHS, forms=forms)).default == "conv2d"
    with pytest.raises(ValueError, match="no form was chosen"):
        forms_file(CHECKPOINT, PLAN, device, how, [])
