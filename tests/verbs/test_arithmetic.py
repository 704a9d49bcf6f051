"""A bundle computed on the CPU in float16: made, proven, scored, measured, and never mistaken for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.errors import GateError, InputError
from exporters.processor import has_float16
from exporters.units import CPU_FP16, with_arithmetic
from squeezebert_edge import face
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import native
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency import record, workload
from squeezebert_edge.latency.protocol import exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.proof.parity import NO_FLOAT16
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from squeezebert_edge.verbs.evaluate import evaluate_bundles
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan, check_units
from tests.kit.sentiment import DIRECTORY, sentiment
from tests.kit.small import small_checkpoint

PAIRS = [("tflite", "fp32")]
STATUS, BY, FAILURES = (
    ("verified", "runtime", []) if has_float16() else ("not verified", "float16-rounding", [NO_FLOAT16])
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    plan = Plan(PAIRS, (16, 32), units=[CPU_FP16])
    (made,) = export_bundles(sentiment(), plan, tmp_path_factory.mktemp("out"))
    return made


def test_it_is_made_in_a_form_that_float16_takes_and_has_a_proof_of_its_own(bundle: Bundle) -> None:
    assert (bundle.manifest.form, bundle.manifest.form_decided_by) == (
        "group-resident",
        "XNNPACK refuses group-batched in float16",
    )
    made = bundle.manifest.units["cpu-fp16"]
    proof = made.verification
    assert (proof.status, proof.by, proof.failures) == (STATUS, BY, FAILURES)
    assert proof.gates["min_sqnr_db"] == 60
    assert proof.sqnr_db is not None
    assert 60 <= proof.sqnr_db < 100  # float32 has more than 120
    assert proof.inputs >= 64
    assert set(made.files.values()) == {"model.tflite"}


def test_it_is_proven_again_by_the_arithmetic_s_name(bundle: Bundle) -> None:
    found = face.verify(bundle, arithmetic="fp16", checkpoint=DIRECTORY)
    assert (found.status, found.by, found.failures) == (STATUS, BY, FAILURES)
    assert found.words == STATUS + ("" if has_float16() else " (float32 sums)")


def test_it_answers_labelled_data_in_float16(bundle: Bundle, tmp_path: Path) -> None:
    data = tmp_path / "dev.tsv"
    data.write_text("sentence\tlabel\na gorgeous film\t1\nawful\t0\na bore\t0\n")
    here, on_host = (
        evaluate_bundles([bundle], data, unit=CPU_FP16, device=device)[0] for device in (None, Host())
    )
    assert not here.flips
    assert here.sqnr_db == pytest.approx(on_host.sqnr_db)
    assert here.sqnr_db < 100


def test_its_record_says_so_and_whether_the_processor_has_it(bundle: Bundle, tmp_path: Path) -> None:
    (half,) = benchmark_bundles([bundle], Host(), Request(exactly(4), Settings(unit="cpu-fp16")))
    (plain,) = benchmark_bundles([bundle], Host(), Request(exactly(4)))
    assert (half.settings.unit, half.settings.threads, half.unit) == ("cpu-fp16", 1, "cpu-fp16")
    assert half.float16 is plain.float16 is has_float16()
    assert "cpu-fp16" in half.place
    doubt = "the processor has no float16: it rounded to it, and computed in float32"
    assert (doubt in half.doubts) is (has_float16() is False)
    assert doubt not in plain.doubts
    assert record.read(record.write(half, tmp_path)) == half
    earlier = plain.model_dump(exclude={"float16"})
    assert record.Record.model_validate(earlier).float16 is None


def test_what_does_not_compute_in_float16_is_refused(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="does not compute executorch fp16"):
        check_units([CPU_FP16], [("executorch", "fp16")])
    with pytest.raises(InputError, match="does not compute tflite int8-dynamic"):
        check_units([CPU_FP16], [("tflite", "int8")])
    with pytest.raises(InputError, match="--unit cpu-fp16 is not possible"):
        Host().settle(bundle, Settings(unit="cpu-fp16", runtime="tflite-runtime"))


def test_a_form_that_float16_does_not_take_is_explained(tmp_path: Path) -> None:
    small = small_checkpoint(num_hidden_layers=1)
    (batched,) = export_bundles(small, Plan(PAIRS, (8,), form="group-batched"), tmp_path)
    request = Request(exactly(2), Settings(unit="cpu-fp16"))
    with pytest.raises(InputError, match="litert cannot run it"):
        list(benchmark_bundles([batched], Host(), request))
    with pytest.raises(GateError, match="XNNPACK does not compute the network's BATCH_MATMUL in float16"):
        batched.load_runner(unit=CPU_FP16)


def test_the_native_runner_is_told(bundle: Bundle) -> None:
    rows = workload.of_bundle(bundle, None, None).rows
    plain, half = (native.job_of(bundle, rows, Settings(unit=unit), None) for unit in ("cpu", "cpu-fp16"))
    assert half.splitlines()[1] == "float16"
    assert half.replace("float16\n", "", 1) == plain


def test_an_arithmetic_is_the_cpu_s() -> None:
    assert with_arithmetic("gpu", None) == "gpu"
    assert with_arithmetic(None, "fp16") == with_arithmetic("cpu", "fp16") == "cpu-fp16"
    with pytest.raises(InputError, match="there is no arithmetic 'bf16'"):
        with_arithmetic(None, "bf16")
    with pytest.raises(InputError, match="with the unit gpu"):
        with_arithmetic("gpu", "fp16")
