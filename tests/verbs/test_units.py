"""A bundle made for a phone's GPU and NPU: proven for each, and every planted error found."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from exporters.errors import GateError, InputError, UnavailableError
from exporters.spec import Delegation
from exporters.tflite import npu
from exporters.tflite.chips import Chip
from exporters.units import CPU, GPU, Unit
from squeezebert_edge.bundle.manifest import MANIFEST, Manifest, write_manifest
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.proof.parity import FEWER_INPUTS
from squeezebert_edge.report.rows import collect
from squeezebert_edge.report.table import table, to_csv
from squeezebert_edge.verbs.evaluate import evaluate_bundles
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan, add_calibration, check_units
from squeezebert_edge.verbs.verify import verify_bundle
from tests.kit.processes import list_processes, needs_proc, wait_for
from tests.kit.sentiment import sentiment
from tests.kit.units import SM8650, needs_gpu, needs_npu

HALF = ("tflite", "fp16")
LENGTHS = (16, 32)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return sentiment()


@pytest.fixture(scope="module")
def made(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    plan = Plan([HALF], LENGTHS, units=[GPU, SM8650])
    (bundle,) = export_bundles(checkpoint, plan, tmp_path_factory.mktemp("units"), jobs=2)
    return bundle


@pytest.fixture
def copied(made: Bundle, tmp_path: Path) -> Bundle:
    """The bundle, to be damaged."""
    return open_bundle(Path(shutil.copytree(made.directory, tmp_path / made.directory.name)))


def seal(bundle: Bundle) -> Bundle:
    """The bundle as somebody who altered a file would leave it: its manifest and hashes made anew."""
    fields = bundle.manifest.model_dump(exclude={"schema_version", "files"})
    write_manifest(bundle.directory, fields, proven=True)
    return open_bundle(bundle.directory)


@needs_gpu
@needs_npu
def test_each_unit_has_a_proof_of_its_own(made: Bundle) -> None:
    assert made.manifest.unit == "cpu"
    assert list(made.manifest.units) == ["gpu", "npu:SM8650"]
    by = {name: unit.verification.by for name, unit in made.manifest.units.items()}
    assert by == {"gpu": "webgpu", "npu:SM8650": "qualcomm-emulator"}
    for unit in made.manifest.units.values():
        assert (unit.verification.status, unit.verification.failures) == ("verified", [])
        assert unit.verification.inputs >= FEWER_INPUTS
        assert unit.verification.gates["min_sqnr_db"] >= 50
        assert unit.delegation.delegated == unit.delegation.total
        assert list(unit.files) == list(LENGTHS)
    assert all(file.is_file() for file in made.files_of(SM8650).values())
    assert made.size_of(SM8650) > made.size == made.size_of(GPU)


@needs_gpu
@needs_npu
@pytest.mark.parametrize("unit", [CPU, GPU, SM8650], ids=str)
def test_it_is_proven_again_and_answers_the_same(made: Bundle, unit: Unit) -> None:
    found = verify_bundle(made, unit=unit)
    assert (found.status, found.failures) == ("verified", [])
    text = "a gorgeous , witty , seductive movie ."
    answer = made.answer(made.task.ask([text]), runner=made.load_runner(unit=unit))
    expected = made(text)
    assert answer["label"] == expected["label"]
    assert answer["score"] == pytest.approx(expected["score"], abs=0.01)


@needs_npu
def test_accuracy_is_measured_on_a_unit(made: Bundle, tmp_path: Path) -> None:
    data = tmp_path / "dev.tsv"
    data.write_text("sentence\tlabel\na gorgeous film\t1\nawful\t0\na bore\t0\n")
    (found,) = evaluate_bundles([made], data, unit=SM8650)
    assert found.examples == 3
    assert not found.flips


@needs_gpu
@needs_npu
def test_a_report_has_a_row_for_each_unit_and_mixes_none(made: Bundle) -> None:
    report = collect([made.directory])
    assert [row.unit for row in report.rows] == ["cpu", "gpu", "npu:SM8650"]
    shown = table(report)
    unit, proof = shown.columns.index("unit"), shown.columns.index("proof")
    assert [(cells[unit], cells[proof]) for cells in shown.cells] == [
        ("cpu", "verified"),
        ("gpu", "verified (WebGPU)"),
        ("npu:SM8650", "verified (emulator)"),
    ]
    assert "npu:SM8650" in to_csv(report)


def test_the_phone_decides_about_core_ml_s_unit(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (bundle,) = export_bundles(checkpoint, Plan([("coreml", "fp16")], (16,)), tmp_path)
    assert bundle.manifest.unit is None
    shown = table(collect([bundle.directory]))
    assert shown.cells[0][shown.columns.index("unit")] == "decided on the phone"


def test_a_manifest_of_before_is_of_the_cpu(made: Bundle) -> None:
    fields = json.loads((made.directory / MANIFEST).read_text())
    del fields["unit"], fields["units"]
    assert Manifest.model_validate(fields).unit == "cpu"
    assert Manifest.model_validate(fields | {"format": "coreml"}).unit is None


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "int8-dynamic"])
def test_biases_are_right_on_the_gpu(checkpoint: Checkpoint, tmp_path: Path, precision: str) -> None:
    """The form that the CPU has alone is wrong there: docs/npu_faults.md."""
    plan = Plan([("tflite", precision)], LENGTHS, units=[GPU])
    (bundle,) = export_bundles(checkpoint, plan, tmp_path)
    assert bundle.manifest.verification.failures == []
    assert bundle.manifest.units["gpu"].verification.failures == []
    assert (bundle.manifest.form, bundle.manifest.units["gpu"].form) == ("group-resident", "group-resident")


@needs_npu
@pytest.mark.parametrize("precision", ["int8-static", "int16x8"])
def test_a_chip_of_integers_is_proven_with_integers(
    checkpoint: Checkpoint, tmp_path: Path, precision: str
) -> None:
    pairs = [("tflite", precision)]
    plan = Plan(pairs, LENGTHS, units=check_units([Unit("npu", "SM7675")], pairs))
    (bundle,) = export_bundles(checkpoint, add_calibration(plan, checkpoint, None, 32), tmp_path)
    assert bundle.manifest.verification.failures == []
    (unit,) = bundle.manifest.units.values()
    assert (unit.verification.status, unit.verification.failures) == ("verified", [])
    assert unit.delegation.delegated == unit.delegation.total
    assert (unit.partitions, unit.form) == (1, "conv2d")
    assert unit.arithmetic.startswith("int")


@needs_gpu
@needs_npu
def test_units_proven_one_by_one_are_found_alike(
    made: Bundle, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    plan = Plan([HALF], LENGTHS, units=[GPU, SM8650])
    (alone,) = export_bundles(checkpoint, plan, tmp_path, jobs=1)
    assert alone.manifest.units == made.manifest.units


@needs_gpu
@needs_npu
@needs_proc
def test_an_interruption_ends_the_proofs_of_units(tmp_path: Path) -> None:
    words = "-m squeezebert_edge export default --to tflite --precision fp16 --unit gpu --unit npu:SM8650"
    process = subprocess.Popen(
        [sys.executable, *words.split(), "--jobs", "2", "--out", "out"],
        stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip

    def runners() -> list[str]:
        return [said for _, said, where in list_processes() if where == str(tmp_path) and "exporters" in said]

    wait_for(lambda: len({said.split()[2] for said in runners()}) == 2, 300, while_runs=process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith("interrupted; no half-written output was left\n")
    wait_for(lambda: not runners())
    assert list((tmp_path / "out").iterdir()) == []


# Planted errors


@needs_npu
def test_the_file_of_another_checkpoint_fails(copied: Bundle, tmp_path: Path) -> None:
    """The same network with one layer's weights doubled."""
    other = sentiment()
    other.model.base_model.encoder.layers[0].attention.value.weight.data.mul_(2)
    (foreign,) = export_bundles(other, Plan([HALF], LENGTHS, units=[SM8650]), tmp_path / "other")
    for length, file in copied.files_of(SM8650).items():
        shutil.copyfile(foreign.files_of(SM8650)[length], file)
    with pytest.raises(InputError, match="altered"):
        open_bundle(copied.directory)
    found = verify_bundle(seal(copied), unit=SM8650)
    assert found.status == "failed"
    assert any("SQNR" in failure for failure in found.failures)


@needs_npu
def test_the_file_of_a_checkpoint_of_another_name_is_refused(
    checkpoint: Checkpoint, copied: Bundle, tmp_path: Path
) -> None:
    other = replace(checkpoint, sha256="1" * 64)
    (foreign,) = export_bundles(other, Plan([HALF], LENGTHS, units=[SM8650]), tmp_path / "other")
    shutil.copyfile(foreign.files_of(SM8650)[16], copied.files_of(SM8650)[16])
    with pytest.raises(InputError, match=r"the file model.SM8650.16.tflite contradict.*source_sha256"):
        seal(copied)


@needs_npu
def test_a_truncated_file_fails(copied: Bundle) -> None:
    file = copied.files_of(SM8650)[LENGTHS[0]]
    file.write_bytes(file.read_bytes()[:-20_000])
    with pytest.raises(InputError, match="altered"):
        open_bundle(copied.directory)
    with pytest.raises(GateError):
        verify_bundle(seal(copied), unit=SM8650)


@needs_npu
def test_a_unit_whose_file_is_not_there_is_refused(copied: Bundle) -> None:
    fields = copied.manifest.model_dump(exclude={"schema_version", "files"})
    fields["units"]["npu:SM8650"]["files"][LENGTHS[0]] = "model.SM8650.tflite"
    write_manifest(copied.directory, fields)
    with pytest.raises(InputError, match=r"npu:SM8650 has model.SM8650.tflite, which is not there"):
        open_bundle(copied.directory)


@needs_npu
def test_the_file_of_another_length_is_refused(copied: Bundle) -> None:
    shorter, longer = copied.files_of(SM8650).values()
    shutil.copyfile(shorter, longer)
    with pytest.raises(InputError, match="entry_points"):
        seal(copied)


# What is refused before anything is made


@pytest.mark.parametrize(
    ("pair", "unit", "message", "allowed"),
    [
        (
            ("tflite", "int8-dynamic"),
            "SM8650",
            "'npu:SM8650' does not compute tflite int8-dynamic",
            "tflite fp16",
        ),
        (("executorch", "fp32"), "SM8650", "does not compute executorch fp32", "tflite fp16"),
        (HALF, "SM9999", "does not compile for a chip 'SM9999'", "SM8650"),
        (HALF, "SM7675", "SM7675 does not compute in float16", "int8-static, int16x8"),
    ],
)
def test_a_unit_that_cannot_be_is_refused(
    pair: tuple[str, str], unit: str, message: str, allowed: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        check_units([Unit("npu", unit)], [pair])
    assert allowed in str(error.value)


def test_a_unit_is_made_where_it_can_be() -> None:
    pairs = [HALF, ("tflite", "fp32"), ("executorch", "fp32")]
    plan = Plan(pairs, LENGTHS, units=check_units([CPU, GPU, SM8650, GPU], pairs))
    assert plan.units == (GPU, SM8650)
    assert plan.units_of(*HALF) == {"gpu": [GPU], "npu": [SM8650]}
    assert plan.units_of("tflite", "fp32") == {"gpu": [GPU]}
    assert plan.units_of("executorch", "fp32") == {}


def test_without_the_sdk_nothing_is_made(checkpoint: Checkpoint, tmp_path: Path) -> None:
    plan = Plan([HALF], LENGTHS, units=[Unit("npu", "MT6991")])
    with pytest.raises(UnavailableError) as error:
        list(export_bundles(checkpoint, plan, tmp_path))
    assert error.value.exit_code == 3
    assert "ai-edge-litert-sdk-mediatek" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@needs_npu
def test_an_operator_outside_fails_the_export(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chip of integers only, asked for float16: its compiler leaves most to the CPU and exits with 0."""
    monkeypatch.setattr(Chip, "takes", lambda chip, precision: True)
    units = [Unit("npu", "SM7675")]
    with pytest.raises(
        GateError, match=r"npu:SM7675 takes \d+ of \d+ operators of tflite fp16, not .*GATHER x2"
    ):
        list(export_bundles(checkpoint, Plan([HALF], (16,), units=units), tmp_path))
    assert list(tmp_path.iterdir()) == []
    plan = Plan([HALF], (16,), units=units, allow_undelegated=True)
    (bundle,) = export_bundles(checkpoint, plan, tmp_path)
    unit = bundle.manifest.units["npu:SM7675"]
    assert unit.delegation.outside
    assert unit.verification.status == "not verified"
    assert "leaves to the CPU" in unit.verification.failures[0]


@needs_npu
def test_an_operator_that_no_log_names_fails_the_export_too(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = npu.Compiled(Delegation(9, 10), 1, "2.50")
    monkeypatch.setattr(npu, "compile_length", lambda model, length, chip, out: compiled)
    with pytest.raises(GateError, match="takes 9 of 10 operators of tflite fp16, not others"):
        list(export_bundles(checkpoint, Plan([HALF], (16,), units=[SM8650]), tmp_path))
    assert list(tmp_path.iterdir()) == []


@needs_npu
def test_a_unit_that_refuses_its_own_file_has_failed(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(unit: Unit, files: object) -> None:
        raise GateError("QNN_CONTEXT_ERROR_INVALID_ARGUMENT")

    monkeypatch.setattr(npu, "load", refuse)
    (bundle,) = export_bundles(checkpoint, Plan([HALF], (16,), units=[SM8650]), tmp_path)
    found = bundle.manifest.units["npu:SM8650"].verification
    assert (found.status, found.failures) == ("failed", ["QNN_CONTEXT_ERROR_INVALID_ARGUMENT"])


def test_a_bundle_without_a_chip_s_files_says_so(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (bundle,) = export_bundles(checkpoint, Plan([HALF], (16,)), tmp_path)
    with pytest.raises(InputError, match="holds no files for npu:SM8650") as error:
        verify_bundle(bundle, unit=SM8650)
    assert "--unit npu:SM8650" in str(error.value)
    (exact,) = export_bundles(checkpoint, Plan([("executorch", "fp32")], (16,)), tmp_path)
    with pytest.raises(InputError, match="the unit 'gpu' does not compute executorch fp32"):
        verify_bundle(exact, unit=GPU)
