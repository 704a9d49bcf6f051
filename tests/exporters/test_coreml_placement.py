"""What Core ML's compute plan says, read through a stand-in with the installed package's own names."""

from __future__ import annotations

import inspect
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exporters.coreml import placement as coreml_placement
from exporters.coreml.mil import program as mil
from exporters.spec import Delegation

PACKAGE = Path("model.mlpackage")


class NeuralEngine:
    pass


class FakeModel:
    """A compiled package."""

    def __init__(self, path: str, compute_units: Any) -> None:
        assert (path, compute_units.name) == (str(PACKAGE), "CPU_AND_NE")

    def get_compiled_model_path(self) -> str:
        return "compiled.mlmodelc"


class FakePlan:
    """A plan of three operations; a constant has no device."""

    devices = (("const", None), ("ios17.conv", NeuralEngine()), ("ios17.gather", object()))

    def __init__(self) -> None:
        operations = [SimpleNamespace(operator_name=name, device=device) for name, device in self.devices]
        main = SimpleNamespace(block=SimpleNamespace(operations=operations))
        self.model_structure = SimpleNamespace(program=SimpleNamespace(functions={"main": main}))

    @classmethod
    def load_from_path(cls, path: str, compute_units: Any) -> FakePlan:
        assert (path, compute_units.name) == ("compiled.mlmodelc", "CPU_AND_NE")
        return cls()

    def get_compute_device_usage_for_mlprogram_operation(self, operation: Any) -> Any:
        return operation.device and SimpleNamespace(preferred_compute_device=operation.device)


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    models = mil.import_coremltools().models
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(models, "MLModel", FakeModel)
    monkeypatch.setattr(models.compute_plan, "MLComputePlan", FakePlan)
    monkeypatch.setattr(models.compute_device, "MLNeuralEngineComputeDevice", NeuralEngine)


@pytest.mark.usefixtures("mac")
def test_a_mac_says_which_operations_its_neural_engine_takes() -> None:
    assert coreml_placement.placement(PACKAGE) == Delegation(1, 2, outside=("gather x1",))


@pytest.mark.usefixtures("mac")
def test_a_mac_without_compute_plans_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, compute_units: Any) -> FakePlan:
        raise ValueError("MLComputePlan is not supported.")

    monkeypatch.setattr(FakePlan, "load_from_path", refuse)
    found = coreml_placement.placement(PACKAGE)
    assert (found.delegated, found.total) == (None, None)
    assert "not supported" in (found.reason or "")


def test_elsewhere_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert "compute plan on a Mac" in (coreml_placement.placement(PACKAGE).reason or "")


def test_the_stand_in_has_the_names_of_coremltools() -> None:
    models = mil.import_coremltools().models
    plan = models.compute_plan
    for name in ("load_from_path", "get_compute_device_usage_for_mlprogram_operation"):
        theirs = inspect.signature(getattr(plan.MLComputePlan, name)).parameters
        assert list(theirs) == list(inspect.signature(getattr(FakePlan, name)).parameters)
    assert isinstance(plan.MLComputePlan.model_structure, property)
    for kind, name in (
        (plan.MLModelStructure, "program"),
        (plan.MLModelStructureProgram, "functions"),
        (plan.MLModelStructureProgramFunction, "block"),
        (plan.MLModelStructureProgramBlock, "operations"),
        (plan.MLModelStructureProgramOperation, "operator_name"),
        (plan.MLComputePlanDeviceUsage, "preferred_compute_device"),
    ):
        assert name in {field.name for field in fields(kind)}
    assert hasattr(models.compute_device, "MLNeuralEngineComputeDevice")
    assert "compute_units" in inspect.signature(models.MLModel.__init__).parameters
