"""Where Core ML would compute each operation of a package, from its compute plan; a Mac alone can tell.

The names are those of coremltools.models.compute_plan (coremltools 9).
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from exporters.coreml.mil import program as mil
from exporters.spec import Delegation

ONLY_ON_A_MAC = "what the Neural Engine takes is known only from Core ML's compute plan on a Mac"


def placement(package: Path) -> Delegation:
    """What the Neural Engine of this Mac takes when it may, and which device has the rest.

    The placement is the system's own and no fault of the package, so that no product counts as left out.
    """
    on_mac = sys.platform == "darwin"
    if not on_mac:
        return Delegation(None, None, reason=ONLY_ON_A_MAC)
    try:
        return _of_plan(package)
    except Exception as error:  # a macOS without compute plans, or one too old for the package
        return Delegation(None, None, reason=f"this Mac makes no compute plan of the package: {error}")


def _of_plan(package: Path) -> Delegation:
    ct = mil.import_coremltools()
    units = ct.ComputeUnit.CPU_AND_NE
    model = ct.models.MLModel(str(package), compute_units=units)  # compiled for as long as it lives
    plan = ct.models.compute_plan.MLComputePlan.load_from_path(
        model.get_compiled_model_path(), compute_units=units
    )
    devices = ct.models.compute_device
    delegated, outside = 0, Counter[str]()
    for operation in plan.model_structure.program.functions["main"].block.operations:
        usage: Any = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is None:  # a constant
            continue
        if isinstance(usage.preferred_compute_device, devices.MLNeuralEngineComputeDevice):
            delegated += 1
        else:
            outside[operation.operator_name.rpartition(".")[2]] += 1  # "ios17.conv"
    return Delegation.of(delegated, outside, lambda name: False)
