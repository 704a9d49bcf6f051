"""LiteRT on a phone's GPU and NPU: what they take, what they compute, and what is refused."""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import stat
import subprocess
import sys
import time
import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import exporters
from exporters.errors import GateError, InputError, UnavailableError
from exporters.process import ProcessError, RunnerProcess
from exporters.spec import ComputedBy, Delegation, Runner, UnitArtifact
from exporters.tflite import FORMAT, gpu, npu
from exporters.tflite.chips import CHIPS
from exporters.tflite.model import unpack
from exporters.tflite.powers import compile_powers, quick_powers
from exporters.tflite.signatures import alone
from exporters.units import GPU, Unit, parse_unit
from squeezebert_edge.model.heads import ARCHITECTURES
from tests.kit.exported import LENGTHS, Made, Small, computed, head, make, request, row
from tests.kit.units import SM8650, needs_gpu, needs_npu

HALF = FORMAT.precisions["fp16"]

needs_cc = pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler on Linux"
)


def made_for(made: Made, kind: str, unit: Unit) -> UnitArtifact:
    asked = request(made.module, (), "fp16")
    ((found, artifact),) = (
        exporters.format_named("tflite").unit(kind).export(asked, made.artifact, [unit], lambda stage: None)
    )
    assert found == unit
    return artifact


def assert_answers(runner: Runner, by: ComputedBy, made: Made) -> None:
    """A unit's runner gives what the CPU gives."""
    assert (runner.lengths, runner.computed_by) == (LENGTHS, by)
    cpu = FORMAT.load(made.path)
    for length in LENGTHS:
        inputs = row(length, 5)
        assert_near(runner(inputs), cpu(inputs))


def assert_near(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """Equal as far as float16 goes."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert np.abs(found[name] - value).max() <= 0.02 * max(1, np.abs(value).max()), name


@pytest.fixture(scope="module", params=ARCHITECTURES)
def half(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Each head in the form and precision that suit a GPU and an NPU."""
    module, outputs = head(request.param, "conv2d")
    return make("tflite", tmp_path_factory.mktemp("half"), module, outputs, precision="fp16")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make("tflite", tmp_path_factory.mktemp("small"), Small(), Small.outputs, precision="fp16")


# The GPU


@needs_gpu
def test_the_gpu_takes_every_operator_of_every_head(half: Made) -> None:
    made = made_for(half, "gpu", GPU)
    assert made.delegation == Delegation(made.delegation.total, made.delegation.total)
    assert set(made.files.values()) == {half.path}
    runner = gpu.load(GPU, made.files)
    assert_answers(runner, "webgpu", half)


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "int8-dynamic", "int4"])
def test_the_gpu_takes_other_precisions_too(tmp_path: Path, precision: str) -> None:
    module, outputs = head("SqueezeBertForSequenceClassification", "group-resident")
    made = made_for(make("tflite", tmp_path, module, outputs, precision=precision), "gpu", GPU)
    assert not made.delegation.outside


@needs_gpu
def test_what_the_gpu_leaves_to_the_cpu_is_named(tmp_path: Path) -> None:
    """A table that is dequantized as a whole before rows are looked up, as the quantizer writes it."""
    from ai_edge_quantizer import qtyping, recipe_manager

    from exporters.tflite.quantization import rewritten

    whole = make("tflite", tmp_path, Small(), Small.outputs)
    recipe = recipe_manager.RecipeManager()
    recipe.add_weight_only_config(
        ".*", qtyping.TFLOperationName.ALL_SUPPORTED, 16, algorithm_key="float_casting"
    )
    whole.path.write_bytes(rewritten(unpack(whole.path.read_bytes()), recipe))
    made = made_for(whole, "gpu", GPU)
    assert made.delegation.outside == ("DEQUANTIZE", "EMBEDDING_LOOKUP")
    with pytest.raises(GateError, match="the GPU leaves DEQUANTIZE, EMBEDDING_LOOKUP to the CPU"):
        gpu.load(GPU, made.files)


def test_without_a_vulkan_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: Made
) -> None:
    monkeypatch.setattr(gpu, "SOFTWARE_VULKAN", ())
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpu, "SYSTEM_VULKAN", ())
    with pytest.raises(UnavailableError, match="no Vulkan") as error:
        gpu.require([GPU])
    assert "chromium" in str(error.value)
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "none.json"))
    with pytest.raises(UnavailableError, match="no Vulkan on this machine serves"):
        gpu.load(GPU, {8: small.path})


# The NPU


@needs_npu
@pytest.mark.parametrize("chip", ["SM8650", "SM8750", "SM8850"])
def test_the_npu_takes_every_operator_of_every_head(half: Made, chip: str) -> None:
    unit = Unit("npu", chip)
    made = made_for(half, "npu", unit)
    assert made.delegation == Delegation(made.delegation.total, made.delegation.total)
    assert made.partitions == 1
    assert made.arithmetic == "float16"
    assert [file.name for file in made.files.values()] == [
        f"model.{chip}.{length}.tflite" for length in LENGTHS
    ]
    assert "Qualcomm SDK" in made.versions
    runner = npu.load(unit, made.files)
    assert_answers(runner, "qualcomm-emulator", half)


class Activated(nn.Module):
    """Activations of linear layers' and of a convolution's results."""

    outputs = ("gelu", "sigmoid", "tanh", "of_a_convolution")

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(50, 32)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))
        self.convolution = nn.Conv2d(32, 32, kernel_size=1)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """(1, S) each -> (1, S, 32) and three of (1, 32)."""
        x = self.words(input_ids) + (attention_mask - token_type_ids)[..., None]
        first, second, third = self.layers
        row = x[:, :1]
        convolved = self.convolution(row[:, None].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (1, 1, 1, 32)
        return (
            F.gelu(first(x)),
            torch.sigmoid(second(row))[:, 0],
            torch.tanh(third(row))[:, 0],
            torch.tanh(convolved)[:, 0, 0],
        )


@needs_cc
def test_a_quick_power_is_the_c_library_s_bit_for_bit(tmp_path: Path) -> None:
    library = tmp_path / "powers.so"
    assert compile_powers(library)
    power = ctypes.CDLL(str(library)).pow
    power.argtypes, power.restype = [ctypes.c_double, ctypes.c_double], ctypes.c_double
    whole = [(2.0, float(exponent)) for exponent in range(-1080, 1030)]
    fractions = np.random.default_rng(0).normal(0, 9, 20)
    others = [(base, exponent) for base in (0.0, 2.0, -2.0, 10.0, 1.5) for exponent in fractions]
    odd = [(2.0, value) for value in (math.inf, -math.inf, math.nan, 0.5, -0.0, 1e300)]
    for base, exponent in [*whole, *others, *odd]:
        assert np.float64(power(base, exponent)).tobytes() == libm_power(base, exponent).tobytes()


def libm_power(base: float, exponent: float) -> np.float64:
    power = ctypes.CDLL("libm.so.6").pow
    power.argtypes, power.restype = [ctypes.c_double, ctypes.c_double], ctypes.c_double
    return np.float64(power(base, exponent))


@needs_npu
@needs_cc
def test_the_emulator_computes_the_same_without_quick_powers(
    half: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = made_for(half, "npu", SM8650).files
    inputs = row(LENGTHS[-1], 5)
    quick = npu.load(SM8650, files)(inputs)
    monkeypatch.setenv("PATH", "")
    with quick_powers() as environment:
        assert environment == {}
    slow = npu.load(SM8650, files)(inputs)
    for name, value in slow.items():
        assert quick[name].tobytes() == value.tobytes()


@needs_npu
def test_activations_of_products_are_as_exact_as_float16(tmp_path: Path) -> None:
    """Qualcomm's compiler fuses the two into something of 43 dB (docs/npu_faults.md, case 6)."""
    made = make("tflite", tmp_path, Activated(), Activated.outputs, precision="fp16", lengths=(8,))
    asked = request(made.module, Activated.outputs, "fp16", lengths=(8,))
    ((_, compiled),) = npu.export(asked, made.artifact, [SM8650], lambda stage: None)
    inputs = row(8, 8)
    found = npu.load(SM8650, compiled.files)(inputs)
    for name, expected in zip(Activated.outputs, computed(made.module, inputs), strict=True):
        noise = ((found[name] - expected) ** 2).mean()
        assert 10 * np.log10((expected**2).mean() / noise) > 60, name


@needs_npu
def test_a_file_of_another_chip_or_a_truncated_one_is_refused(small: Made) -> None:
    made = made_for(small, "npu", SM8650)
    with pytest.raises(InputError, match="is made for SM8650, not for SM8750"):
        npu.load(Unit("npu", "SM8750"), made.files)
    file = made.files[LENGTHS[0]]
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(GateError):
        npu.load(SM8650, made.files)(row(LENGTHS[0], 4))
    file.write_bytes(b"no model at all")
    with pytest.raises(InputError, match="is not a LiteRT model"):
        npu.load(SM8650, made.files)


@needs_npu
def test_operators_left_to_the_cpu_are_named(small: Made) -> None:
    """SM7675 computes with integers only: a float16 file is compiled in pieces, with exit code 0."""
    made = made_for(small, "npu", Unit("npu", "SM7675"))
    assert made.delegation.delegated is not None
    assert made.delegation.total is not None
    assert made.delegation.delegated < made.delegation.total
    assert any(name.startswith("GATHER") for name in made.delegation.outside)
    with pytest.raises(ProcessError, match="leaves operators to the CPU"):
        npu.load(Unit("npu", "SM7675"), made.files)


def test_chips_are_chosen_by_what_they_compute() -> None:
    integers = FORMAT.precisions["int8-static"]
    assert npu.choose("sm8650", HALF) == [SM8650]
    with pytest.raises(InputError, match="does not compile for a chip 'SM1'") as error:
        npu.choose("SM1", HALF)
    assert all(chip in str(error.value) for chip in ("SM8650", "MT6991", "Tensor_G5", "E9965", "PTL"))
    with pytest.raises(InputError, match="SM7675 does not compute in float16") as error:
        npu.choose("SM7675", HALF)
    assert "int8-static, int16x8" in str(error.value)
    with pytest.raises(InputError, match="SM8450 does not compute with int16 activations") as error:
        npu.choose("SM8450", FORMAT.precisions["int16x8"])
    assert "fp16, int8-static" in str(error.value)
    assert npu.choose("SM7675", integers) == [Unit("npu", "SM7675")]
    every = [unit.chip for unit in npu.choose("all", HALF)]
    assert "SM8850" in every
    assert "SM7675" not in every
    assert "SM7675" in [unit.chip for unit in npu.choose("all", integers)]


@pytest.mark.parametrize(
    ("chip", "package"),
    [
        ("MT6991", "ai-edge-litert-sdk-mediatek"),
        ("Tensor_G5", "ai-edge-litert-sdk-google-tensor"),
        ("E9965", "ai-edge-litert-sdk-samsung"),
    ],
)
def test_without_a_vendor_s_sdk_it_names_the_package(chip: str, package: str) -> None:
    with pytest.raises(UnavailableError, match="is not installed") as error:
        npu.require([Unit("npu", chip)])
    assert f"pip install '{package}'" in str(error.value)


def test_without_qualcomm_s_libraries_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    there = npu.find_spec
    monkeypatch.setattr(npu, "find_spec", lambda name: None if name == "onnxruntime_qnn" else there(name))
    with pytest.raises(UnavailableError, match="Qualcomm") as error:
        npu.require([SM8650])
    assert "squeezebert-edge[qualcomm]" in str(error.value)


# The compilers


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program in the place of LiteRT's, to be written by the test."""
    path = tmp_path / "tool"
    monkeypatch.setattr(npu, "_tool", lambda: path)
    return path


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@needs_npu
@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("echo 'ERROR: no memory' ; exit 6", "failed (exit code 6):\nERROR: no memory"),
        ("kill -9 $$", "failed (exit code -9)"),
        ("echo 'selected 3 ops, from a total of 3 ops. resulted in 1 partitions'", "failed (exit code 0)"),
        ("sleep 60", "was ended after 0.5 s"),
    ],
)
def test_a_compiler_that_fails_leaves_nothing(
    small: Made, tool: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    monkeypatch.setattr(npu, "COMPILE_SECONDS", 0.5)
    write_program(tool, program)
    before = set(small.path.parent.iterdir())
    with pytest.raises(GateError) as error:
        made_for(small, "npu", Unit("npu", "SM8550"))
    assert message in str(error.value)
    assert set(small.path.parent.iterdir()) == before


def test_another_vendor_goes_through_the_same_door(
    small: Made, tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MediaTek's backend of LiteRT with an SDK that is a directory, and a compiler that copies its input."""
    sdk = types.ModuleType("ai_edge_litert_sdk_mediatek")
    sdk.path_to_sdk_libs = lambda version: tmp_path / f"sdk-{version}"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, sdk.__name__, sdk)
    said = tmp_path / "said"
    write_program(
        tool,
        f'echo "$LD_LIBRARY_PATH" "$@" > {said}\n'
        'for each in "$@"; do case $each in --model=*) cp ${each#--model=} copied;; esac; done\n'
        'for each in "$@"; do case $each in --o=*) mv copied ${each#--o=};; esac; done\n'
        "echo 'WARNING: [manager.cc:2] Library version 9.9 is used. The version LiteRT using is 9.8.'\n"
        "echo 'WARNING: [gpu_registry.cc:160] GPU accelerator could not be loaded and registered.'\n"
        "echo 'Applying plugin with SDK version: v9.9'\n"
        "echo 'selected 3 ops, from a total of 3 ops. resulted in 1 partitions'",
    )
    monkeypatch.chdir(tmp_path)
    unit = Unit("npu", "MT6993")
    npu.require([unit])
    made = made_for(small, "npu", unit)
    assert made.versions["MediaTek SDK"] == "9.9"
    assert made.warnings == ("Library version 9.9 is used. The version LiteRT using is 9.8.",)
    assert made.delegation == Delegation(3, 3)
    words = said.read_text().split()
    assert words[0].startswith(str(tmp_path / "sdk-v9"))
    assert "--soc_manufacturer=MediaTek" in words
    assert "--soc_model=mt6993" in words
    assert "--mediatek_sdk_version_type=version9" in words
    with pytest.raises(UnavailableError, match="no emulator of the NPUs of MediaTek"):
        npu.load(unit, made.files)


def test_a_signature_alone_computes_what_it_did(small: Made, tmp_path: Path) -> None:
    single = tmp_path / "single.tflite"
    single.write_bytes(alone(unpack(small.path.read_bytes()), LENGTHS[0]))
    assert single.stat().st_size < small.path.stat().st_size
    runner = FORMAT.load(single)
    assert runner.lengths == LENGTHS[:1]
    inputs = row(LENGTHS[0], 5)
    for name, value in FORMAT.load(small.path)(inputs).items():
        assert np.array_equal(runner(inputs)[name], value)


# The process


def run(program: Path, **options: float) -> RunnerProcess:
    """A runner's process that is a program of the test's own, found as a module beside it."""
    return RunnerProcess(
        program.stem,
        [],
        environment={"PYTHONPATH": f"{program.parent}{os.pathsep}{Path(__file__).parents[2]}"},
        computed_by="webgpu",
        **options,
    )


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    """Gives its input back; sleeps for 9, dies of 7, has no room for 6, fails for 5."""
    program = tmp_path / "echo_runner.py"
    program.write_text(
        "import os, signal, sys, time\n"
        "from exporters.process import serve\n"
        "class Echo:\n"
        "    inputs = outputs = ('x',)\n"
        "    lengths = (1,)\n"
        "    def __call__(self, inputs):\n"
        "        number = int(inputs['x'][0, 0])\n"
        "        print('asked for', number, flush=True)\n"
        "        if number == 9: time.sleep(60)\n"
        "        if number == 7: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        if number == 5: raise ValueError('no fives')\n"
        "        if number == 6: raise OSError(28, 'No space left on device')\n"
        "        return {'x': inputs['x'].astype('float32')}\n"
        "serve(int(sys.argv[1]), Echo)\n"
    )
    return program


def number(value: int) -> dict[str, np.ndarray]:
    return {"x": np.full((1, 1), value, np.int32)}


def test_a_process_answers_fails_and_dies_with_what_it_said(echo: Path) -> None:
    runner = run(echo)
    assert runner(number(3))["x"] == 3
    with pytest.raises(ProcessError, match="no fives"):
        runner(number(5))
    with pytest.raises(UnavailableError, match="No space left on device") as full:
        runner(number(6))
    assert "TMPDIR" in str(full.value.hint)
    assert runner(number(4))["x"] == 4
    with pytest.raises(ProcessError, match="was killed by SIGSEGV") as error:
        runner(number(7))
    assert "asked for 7" in error.value.log
    with pytest.raises(ProcessError, match="was killed by SIGSEGV"):
        runner(number(3))


def test_a_process_that_hangs_is_ended(echo: Path) -> None:
    runner = run(echo, answer_seconds=0.5)
    process = runner._process.pid
    with pytest.raises(GateError, match="gave no answer within 0.5 s"):
        runner(number(9))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_process_ends_with_its_runner(echo: Path) -> None:
    runner = run(echo)
    process = runner._process.pid
    del runner
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_process_ends_when_its_parent_is_killed(echo: Path, tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from exporters.process import RunnerProcess\n"
        "search = {'PYTHONPATH': sys.argv[2]}\n"
        "runner = RunnerProcess(sys.argv[1], [], environment=search, computed_by='webgpu')\n"
        "print(runner._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    path = f"{echo.parent}{os.pathsep}{Path(__file__).parents[2]}"
    command = [sys.executable, "-c", program, echo.stem, path]
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        status = Path("/proc", parent.stdout.readline().strip(), "status")
        parent.kill()
    until = time.monotonic() + 30
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < until, "the runner outlived its parent"
        time.sleep(0.05)


# Names


@pytest.mark.parametrize("text", ["cpu", "gpu", "ane", "npu:SM8650", "npu:all"])
def test_a_unit_is_named_as_it_is_read(text: str) -> None:
    assert str(parse_unit(text)) == text


@pytest.mark.parametrize("text", ["npu", "npu:", "tpu", "", "gpu:Adreno", "cpu:"])
def test_a_unit_that_there_is_not(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_unit(text)
    assert "npu:SM8650" in str(error.value)


def test_every_chip_has_what_its_vendor_s_tools_want() -> None:
    for chip in CHIPS.values():
        assert chip.vendor in npu.TITLES
        assert (chip.soc is not None) == (chip.vendor == "qualcomm") == (chip.float16 is not None)
