"""Devices import no torch: they run on boards, and where they do not, they measure without its memory."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from squeezebert_edge import devices

ROOT = Path(__file__).parents[2]
MODULES = [
    "squeezebert_edge.latency.protocol",
    "squeezebert_edge.latency.record",
    devices.__name__,
    *(
        module.name
        for module in pkgutil.walk_packages(devices.__path__, f"{devices.__name__}.")
        if not module.name.endswith(".__main__")  # importing it makes a kit
    ),
]


@pytest.mark.parametrize("module", MODULES)
def test_a_device_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "False\n", done.stderr


def test_every_module_is_looked_at() -> None:
    files = Path(devices.__file__).parent.rglob("*.py")
    assert len(MODULES) - 2 == sum(path.name != "__main__.py" for path in files)
