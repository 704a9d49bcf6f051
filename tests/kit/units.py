"""What it takes to run a phone's GPU and NPU here, and how a test says that it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import pytest

from exporters.errors import EdgeError
from exporters.spec import ComputedBy, Delegation
from exporters.tflite import gpu, npu
from exporters.units import GPU, Unit
from squeezebert_edge.bundle.manifest import UnitRecord, Verification

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


def unit_record(files: Mapping[int, str], by: ComputedBy | None = None) -> UnitRecord:
    """A unit that was proven, for what runs none."""
    fields: dict[str, Any] = {"form": "conv2d", "form_decided_by": "a test", "arithmetic": "float16"}
    return UnitRecord(
        files=dict(files),
        delegation=Delegation(3, 3),
        partitions=1,
        versions={},
        verification=Verification(status="verified", by=by),
        **fields,
    )
