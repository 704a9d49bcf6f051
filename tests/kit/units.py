"""What it takes to run a phone's GPU and NPU here, and how a test says that it is missing."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from exporters.errors import EdgeError
from exporters.tflite import gpu, npu
from exporters.units import GPU, Unit

SM8650 = Unit("npu", "SM8650")


def _is_missing(module: object, unit: Unit) -> str | None:
    try:
        module.require([unit])  # type: ignore[attr-defined]
    except EdgeError as error:
        return str(error)
    return None


_no_gpu, _no_npu = _is_missing(gpu, GPU), _is_missing(npu, SM8650)
_no_emulator = [name for name in ("onnx", "onnxruntime", "onnxruntime_qnn") if find_spec(name) is None]

needs_gpu = pytest.mark.skipif(_no_gpu is not None, reason=_no_gpu or "")
needs_npu = pytest.mark.skipif(
    _no_npu is not None or bool(_no_emulator), reason=_no_npu or f"needs {', '.join(_no_emulator)}"
)
