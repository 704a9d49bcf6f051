"""Both runtimes in an emulated Arm processor: what they compute there is what they compute on x86.

Times of an emulator say nothing. On an Arm machine the other tests show the same without one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.devices.python import worker
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency import workload
from squeezebert_edge.latency.protocol import exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent
from squeezebert_edge.verbs.bench import Request, benchmark_bundles
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.toolchains.aarch64 import TOLERANCE

NAMED = "SQUEEZEBERT_EDGE_AARCH64"
USERLAND = Path(os.environ.get(NAMED, "absent"))
COMPILER = "aarch64-linux-gnu-g++"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (USERLAND / "root").exists(),
        reason="no Arm userland: run tests/toolchains/aarch64_userland.sh DIRECTORY "
        f"and set {NAMED}=DIRECTORY",
    ),
]

ROOT = USERLAND / "root"
PACKAGES = ROOT / "usr" / "lib" / "python3" / "dist-packages"
EMULATED = (str(USERLAND / "qemu-aarch64"), "-cpu", "cortex-a76", "-L", str(ROOT))
LENGTHS = (32, 128)
PAIRS = [(name, precision) for name in ("tflite", "executorch") for precision in TOLERANCE]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], Bundle]:
    made = export_bundles(load_checkpoint("default"), Plan(PAIRS, LENGTHS), tmp_path_factory.mktemp("out"))
    return {(bundle.manifest.format, bundle.manifest.precision.name): bundle for bundle in made}


def litert(bundle: Bundle) -> list[np.ndarray]:
    """The logits of the built-in sample there, by the worker that measures."""
    device = Host((*EMULATED, str(ROOT / "usr" / "bin" / "python3.11"), "-m", worker.__name__))
    answers = device.answer(bundle, workload.of_bundle(bundle, None, None).rows, Settings(threads=1), silent)
    return [answer["logits"] for answer in answers]


def executorch(bundle: Bundle, program: Path) -> list[np.ndarray]:
    """The logits of the built-in sample there, by ExecuTorch's C++ API."""
    lines = []
    for row in workload.of_bundle(bundle, None, None).rows:
        length = len(next(iter(row.values()))[0])
        numbers = [str(number) for value in row.values() for number in value[0]]
        lines.append(" ".join([bundle.manifest.entry_points[length], str(length), *numbers]) + "\n")
    done = subprocess.run(
        [*EMULATED, str(program), str(bundle.artifact)], input="".join(lines), capture_output=True, text=True,
        timeout=600, check=True,
    )  # fmt: skip
    return [np.array([line.split()], np.float32) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner of aarch64_executorch.cpp, linked with the wheel's libraries."""
    if not shutil.which(COMPILER):
        pytest.skip("no compiler for Arm: install g++-aarch64-linux-gnu")
    wheel = PACKAGES / "executorch"
    made = tmp_path_factory.mktemp("program") / "executorch"
    libraries = ("", "_kernels_optimized", "_kernels_quantized", "_backend_xnnpack", "_threadpool")
    subprocess.run(
        [
            *(COMPILER, "-O1", "-std=c++17", "-DC10_USING_CUSTOM_GENERATED_MACROS"),
            *("-isystem", f"{wheel}/include"),
            *("-isystem", f"{wheel}/include/executorch/runtime/core/portable_type/c10"),
            str(Path(__file__).with_name("aarch64_executorch.cpp")),
            *(
                "-Wl,--no-as-needed",
                "-Wl,--allow-shlib-undefined",
                f"-Wl,-rpath,{wheel}/lib",
                f"-L{wheel}/lib",
            ),
            *(f"-lexecutorch{library}" for library in libraries),
            *("-o", str(made)),
        ],
        check=True,
        timeout=300,
    )
    return made


@pytest.mark.parametrize(("name", "precision"), PAIRS)
def test_an_arm_processor_computes_the_same(
    bundles: Mapping[tuple[str, str], Bundle], program: Path, name: str, precision: str
) -> None:
    bundle = bundles[name, precision]
    found = litert(bundle) if name == "tflite" else executorch(bundle, program)
    runner = bundle.load_runner()
    expected = [runner(row)["logits"] for row in workload.of_bundle(bundle, None, None).rows]
    assert len(found) == len(expected) > 10
    for here, there in zip(expected, found, strict=True):
        assert here.argmax() == there.argmax()
        np.testing.assert_allclose(there, here, rtol=0, atol=TOLERANCE[precision])


def test_its_record_says_that_it_is_emulated(bundles: Mapping[tuple[str, str], Bundle]) -> None:
    device = Host((*EMULATED, str(ROOT / "usr" / "bin" / "python3.11"), "-m", worker.__name__))
    (found,) = benchmark_bundles([bundles["tflite", "int8"]], device, Request(exactly(4)))
    assert (found.emulated, found.quotable, found.device.architecture) == (True, False, "aarch64")
    assert "emulated" in found.label
