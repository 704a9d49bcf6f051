"""Whoever only runs or reads an artifact does not wait for its compiler, and can compile afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.imports import without_init
from tests.kit.exported import Made

ROOT = Path(__file__).parents[2]

LOADS = """
import sys, exporters
from pathlib import Path
runner = exporters.get({format!r}).load(Path({path!r}))
print(*runner.lengths, *sorted(sys.modules))
"""
COMPILER = {"executorch": "executorch.exir", "coreml": "coremltools", "tflite": "litert_torch"}
AFTERWARDS = {
    "executorch": "import executorch.exir as whole; whole.to_edge_transform_and_lower",
    "coreml": "import coremltools as whole; whole.convert, whole.proto.Model_pb2.Model, whole.models.MLModel",
    "tflite": "",
}


@pytest.mark.parametrize("format_", COMPILER)
def test_what_runs_an_artifact_imports_no_compiler(small_of: Callable[[str], Made], format_: str) -> None:
    made = small_of(format_)
    code = LOADS.format(format=format_, path=str(made.path)) + AFTERWARDS[format_]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, *modules = done.stdout.split()
    assert (first, second) == ("8", "16")
    assert COMPILER[format_] not in modules


def test_a_package_that_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "__init__.py").write_text("from whole.part import VALUE\nFULL = True\n")
    (tmp_path / "whole" / "part.py").write_text("VALUE = object()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with without_init("whole"):
        from whole import part
    assert "whole" not in sys.modules
    import whole

    assert whole.FULL
    assert whole.VALUE is part.VALUE
    with without_init("whole"):
        import whole as again
    assert again is whole is sys.modules["whole"]
