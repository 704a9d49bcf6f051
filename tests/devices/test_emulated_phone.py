"""The command line over the real adbd, on an emulated arm64 phone: what is pushed answers there alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exporters.arrays import Array
from exporters.precision import FLOAT16_GATES
from exporters.tflite.accelerator import is_float16
from exporters.units import CPU_FP16
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.devices import native
from squeezebert_edge.latency import record, workload
from squeezebert_edge.proof.comparison import Comparison
from squeezebert_edge.proof.reference import Reference
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.planted import with_outliers
from tests.kit.small import small_checkpoint
from tests.toolchains.aarch64 import TOLERANCE

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "toolchains" / "emulated_phone.sh"
PHONE = os.environ.get("SQUEEZEBERT_EDGE_PHONE")

pytestmark = [
    pytest.mark.skipif(
        PHONE is None,
        reason="needs SQUEEZEBERT_EDGE_PHONE, made by `tests/toolchains/emulated_phone.sh make DIRECTORY`",
    ),
    pytest.mark.skipif(
        not (native.kit_directory() / native.KIT).exists(), reason=f"needs a kit, made by `{native.MAKE}`"
    ),
]

ROWS = 32

# Asked there: the logits of the first rows, through the interface that `evaluate --device` uses.
ANSWER = f"""
import sys, numpy
from pathlib import Path
from squeezebert_edge import devices
from squeezebert_edge.bundle.opened import open_bundle
from squeezebert_edge.latency import workload
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent
device, bundle = devices.open_device("android"), open_bundle(Path(sys.argv[1]))
rows = workload.of_bundle(bundle, None, None).rows[:{ROWS}]
answers = device.answer(bundle, rows, device.settle(bundle, Settings(unit=sys.argv[3])), silent)
numpy.save(sys.argv[2], [answer["logits"] for answer in answers])
"""


def beside_the_phone(*command: str) -> str:
    assert PHONE
    done = subprocess.run(
        [str(SCRIPT), "run", PHONE, *command],
        capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_emulated_phone_end_to_end(tmp_path: Path) -> None:
    small = small_checkpoint(num_hidden_layers=1)
    for name in ("tflite", "executorch"):  # one after the other: there is one phone
        (bundle,) = export_bundles(small, Plan([(name, "fp32")], (16, 32)), tmp_path / name)
        measures(bundle, tmp_path / name / "records")
        answers(bundle, tmp_path / f"{name}.npy", TOLERANCE["fp32"])


@pytest.mark.slow
def test_the_default_model_on_an_emulated_phone(tmp_path: Path) -> None:
    plan = Plan([("executorch", "int8")], (32, 64, 128))
    (bundle,) = export_bundles(load_checkpoint("default"), plan, tmp_path)
    measures(bundle, tmp_path / "records")
    answers(bundle, tmp_path / "logits.npy", TOLERANCE["int8"])


@pytest.mark.slow
@pytest.mark.parametrize("planted", [False, True])
def test_half_precision_keeps_its_gate_on_an_emulated_phone(tmp_path: Path, planted: bool) -> None:
    """A processor of Arm adds up in float16, as that of the host does not."""
    loaded = load_checkpoint("default")
    if planted:
        loaded = replace(loaded, model=with_outliers(loaded.model, factor=1000.0))
    (bundle,) = export_bundles(loaded, Plan([("executorch", "fp16")], (32, 64)), tmp_path)
    found, rows = answered(bundle, tmp_path / "logits.npy")
    compared, reference = Comparison(), Reference(loaded.model, type(bundle.task))
    for logits, row in zip(found, rows, strict=True):
        compared.add(reference(row)["logits"], logits)
    assert FLOAT16_GATES.min_sqnr_db
    assert compared.sqnr_db >= FLOAT16_GATES.min_sqnr_db


@pytest.mark.slow
def test_litert_computes_in_float16_on_an_emulated_phone(tmp_path: Path) -> None:
    """Its sums in float16 have no gate to keep here: docs/units.md says what they lose."""
    loaded = load_checkpoint("default")
    (bundle,) = export_bundles(loaded, Plan([("tflite", "fp32")], (32, 64), units=[CPU_FP16]), tmp_path)
    found, rows = answered(bundle, tmp_path / "logits.npy", "cpu-fp16")
    assert all(is_float16(logits) for logits in found)
    reference = Reference(loaded.model, type(bundle.task))
    for logits, row in zip(found, rows, strict=True):
        np.testing.assert_allclose(logits, reference(row)["logits"], rtol=0, atol=0.02)


def measures(bundle: Bundle, records: Path) -> None:
    said = beside_the_phone(
        sys.executable, "-m", "squeezebert_edge", "bench", str(bundle.directory),
        "--device", "android:127.0.0.1:6001", "--queries", "16", "--records", str(records), "--json",
    )  # fmt: skip
    (path,) = records.glob(f"*{record.SUFFIX}")
    found = record.read(path)
    assert (found.emulated, found.quotable, found.validity.valid) == (True, False, True)
    assert (found.device.kind, found.device.architecture) == ("android", "aarch64")
    assert (found.runtime.runner, found.runtime.libc) == ("native", "glibc")
    assert found.before.battery is None
    assert found.before.unknown["battery"]
    (shown,) = json.loads(said)["records"]
    assert (shown["id"], shown["standing"], shown["p50 ms"]) == (found.id, "emulated", None)


def answers(bundle: Bundle, logits: Path, tolerance: float) -> None:
    runner = bundle.load_runner()
    found, rows = answered(bundle, logits)
    expected = [runner(row)["logits"] for row in rows]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def answered(bundle: Bundle, logits: Path, unit: str = "cpu") -> tuple[Array, Sequence[Mapping[str, Array]]]:
    """The phone's logits of a bundle's first rows, written to a file, and the rows."""
    beside_the_phone(sys.executable, "-c", ANSWER, str(bundle.directory), str(logits), unit)
    assert list((Path(PHONE or "") / "phone" / "data" / "local" / "tmp").iterdir()) == []
    return np.load(logits), workload.of_bundle(bundle, None, None).rows[:ROWS]
