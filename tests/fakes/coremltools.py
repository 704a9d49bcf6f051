"""A package that stands for coremltools as far as its benchmark is called; it checks what it is told."""

from __future__ import annotations

from pathlib import Path

COREMLTOOLS = """
import enum
from . import models
ComputeUnit = enum.Enum("ComputeUnit", "ALL CPU_ONLY CPU_AND_GPU CPU_AND_NE")
"""
MODELS = """
import os
class MLModel:
    def __init__(self, package, compute_units, skip_model_load):
        assert skip_model_load and os.path.isdir(package)
        assert compute_units.name == "CPU_AND_NE"
"""
EXPERIMENTAL = {
    "perf_utils": """
import numpy as np
from types import SimpleNamespace as Of
class MLCPUComputeDevice: pass
class MLNeuralEngineComputeDevice: pass
class MLModelBenchmarker:
    def __init__(self, model, device):
        assert device.ready
    async def benchmark_predict(self, inputs, iterations, warmup):
        ((name, packed),) = inputs.items()
        assert (packed.dtype, packed.shape[-1], warmup) == (np.int32, 32, True)
        return Of(statistics=Of(average=2.5, median=2.25))
    async def benchmark_operation_execution(self, inputs):
        devices = (MLCPUComputeDevice, MLNeuralEngineComputeDevice, MLNeuralEngineComputeDevice)
        return [Of(compute_device_usage=None)] + [
            Of(compute_device_usage=Of(preferred_compute_device=device())) for device in devices
        ]
""",
    "remote_device": """
import os, time
class AppSigningCredentials:
    def __init__(self, development_team, bundle_identifier):
        assert development_team.lower() in bundle_identifier
class Device:
    ready = False
    def __init__(self, udid):
        self.udid = udid
    @staticmethod
    def get_devices():
        assert "Xcode.app" in os.environ["PATH"]
        return [Device("ANOTHER"), Device("UDID")]
    async def prepare_for_model_debugging(self, credentials, directory):
        assert directory.is_dir()
        #FAULT
        self.ready, self.session = True, self
        return self
    def stop(self):
        pass
""",
}


def write_package(directory: Path, udid: str, fault: str) -> None:
    """Write the package, with a line of Python that goes wrong when it prepares the phone."""
    package = directory / "coremltools"
    experimental = package / "models" / "ml_program" / "experimental"
    experimental.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(COREMLTOOLS)
    (package / "models" / "__init__.py").write_text(MODELS)
    for part in (experimental.parent, experimental):
        (part / "__init__.py").write_text("")
    for name, text in EXPERIMENTAL.items():
        (experimental / f"{name}.py").write_text(text.replace("UDID", udid).replace("#FAULT", fault))
