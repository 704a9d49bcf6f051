"""LiteRT on the CPU in float16: what it computes, what it refuses, and what is said of the processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters import processor
from exporters.errors import GateError, UnavailableError
from exporters.process import ProcessError
from exporters.tflite import FORMAT, accelerator, half
from exporters.units import CPU_FP16
from tests.kit.exported import LENGTHS, Made, head, make, row


def in_form(directory: Path, form: str, precision: str = "fp32") -> Made:
    module, outputs = head("SqueezeBertForQuestionAnswering", form)
    return make("tflite", directory, module, outputs, precision=precision)


@pytest.mark.parametrize(("form", "precision"), [("group-resident", "fp32"), ("conv2d", "fp16")])
def test_it_computes_in_float16_at_every_length(tmp_path: Path, form: str, precision: str) -> None:
    made = in_form(tmp_path, form, precision)
    runner = half.load(CPU_FP16, dict.fromkeys(LENGTHS, made.path))
    assert runner.computed_by == ("runtime" if processor.has_float16() else "float16-rounding")
    assert runner.lengths == LENGTHS
    plain = FORMAT.load(made.path)
    for length in LENGTHS:
        inputs = row(length, 5)
        found, expected = runner(inputs), plain(inputs)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert not accelerator.is_float16(value)
            assert accelerator.is_float16(found[name])
            assert np.abs(found[name] - value).max() <= 0.01 * max(1.0, np.abs(value).max())


def test_batched_products_with_weights_are_refused_by_name(tmp_path: Path) -> None:
    made = in_form(tmp_path, "group-batched")
    with pytest.raises(GateError, match="XNNPACK does not compute .* BATCH_MATMUL in float16") as error:
        half.load(CPU_FP16, dict.fromkeys(LENGTHS, made.path))
    assert "group-resident" in str(error.value.allowed)


def test_a_runtime_that_does_something_else_gives_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = in_form(tmp_path, "group-resident")
    monkeypatch.setattr(accelerator, "FLOAT16_FLAGS", 0)
    with pytest.raises(RuntimeError, match=half.NOT_HALF) as found:
        accelerator.CompiledRunner(str(made.path), str(CPU_FP16))

    def failing(*_: Any, **__: Any) -> None:
        raise ProcessError(str(found.value), "")

    monkeypatch.setattr(half, "RunnerProcess", failing)
    with pytest.raises(UnavailableError, match=half.NOT_HALF) as error:
        half.load(CPU_FP16, dict.fromkeys(LENGTHS, made.path))
    assert error.value.exit_code == 3


def test_infinity_and_nan_are_float16_numbers() -> None:
    assert accelerator.is_float16(np.array([np.nan, np.inf, -np.inf, 0.5], np.float32))
    assert not accelerator.is_float16(np.array([0.1], np.float32))
    assert not accelerator.is_float16(np.array([1e6], np.float32))


@pytest.mark.parametrize(
    ("cpuinfo", "float16"),
    [
        ("processor: 0\nflags\t\t: fpu avx512f avx512_fp16\n", True),
        ("processor: 0\nflags\t\t: fpu avx512f avx512_bf16 f16c\n", False),
        ("Features\t: fp asimd fphp asimdhp\nFeatures\t: fp asimd fphp asimdhp\n", True),
        ("Features\t: fp asimd fphp asimdhp\nFeatures\t: fp asimd\n", False),
        ("Features\t: fp asimd fphp\n", False),
        ("processor: 0\n", None),
        ("", None),
    ],
)
def test_linux_lists_what_a_processor_computes_in(cpuinfo: str, float16: bool | None) -> None:
    assert processor.lists_float16(cpuinfo) is float16


def test_a_system_that_does_not_say_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor.sys, "platform", "linux")
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    assert processor.has_float16() is None


@pytest.mark.parametrize(("said", "float16"), [("1\n", True), ("0\n", False), ("", False)])
def test_macos_is_asked(monkeypatch: pytest.MonkeyPatch, said: str, float16: bool) -> None:
    monkeypatch.setattr(processor.sys, "platform", "darwin")
    monkeypatch.setattr(processor.platform, "machine", lambda: "arm64")
    done = processor.subprocess.CompletedProcess([], 0, said)
    monkeypatch.setattr(processor.subprocess, "run", lambda *_, **__: done)
    assert processor.has_float16() is float16
