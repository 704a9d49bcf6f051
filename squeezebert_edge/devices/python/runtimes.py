"""Each runtime opens its artifacts itself: what is timed is the runtime, not a layer around it.

This module needs numpy and the one runtime, and torch for ExecuTorch alone, whose Python API takes its
tensors. It runs on boards that have no more than that.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import exporters
from exporters.errors import InputError, UnavailableError
from exporters.imports import without_init

if TYPE_CHECKING:
    from exporters.arrays import Array

    Outputs = list[Array]
    Query = Callable[[], Outputs]

FLOAT16_FLAGS = 1 | 2 | 4  # of XNNPACK: its default ones for 8 bits, signed and not, and FORCE_FP16
PACKAGES = ("ai-edge-litert", "tflite-runtime")  # those that run a .tflite, the preferred one first
# What Core ML may use, by the unit that is asked for: the CPU always stays for what that does not take.
COMPUTE_UNITS = {"cpu": "CPU_ONLY", "gpu": "CPU_AND_GPU", "ane": "CPU_AND_NE", None: "ALL"}


class Runtime(Protocol):
    """A runtime that is installed; it opens one artifact.

    name, version: as record.Runtime has them.
    """

    name: str
    version: str

    def open(self, path: Path, threads: int | None, unit: str | None) -> None:
        """Load an artifact.

        Args:
            unit: the compute unit, as record.Settings has it.
        """
        ...

    def query(self, entry_point: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Query:
        """A function that computes these inputs, (1, length) int32 by name, each time it is called."""
        ...


def litert(package: str | None) -> Runtime:
    """The runtime of a .tflite: ai-edge-litert or, where that is not installed or not wanted, tflite-runtime.

    Args:
        package: the one that is wanted, of PACKAGES.

    Raises:
        InputError: it is not installed.
    """
    known: Mapping[str, tuple[str, Callable[[], Runtime]]] = {
        "ai-edge-litert": ("ai_edge_litert", CompiledModel),
        "tflite-runtime": ("tflite_runtime", TfliteRuntime),
    }
    wanted = [package] if package else list(PACKAGES)
    for name in wanted:
        module, runtime = known[name]
        if _is_installed(module):
            return runtime()
    raise InputError(f"{' or '.join(wanted)} is not installed", hint=f"pip install {wanted[0]}")


class TfliteRuntime:
    """Runs a .tflite by the interpreter of tflite-runtime."""

    name = "tflite-runtime"

    def __init__(self) -> None:
        self.version = version("tflite-runtime")
        self._interpreter = importlib.import_module("tflite_runtime.interpreter").Interpreter
        self._runners: dict[str, Any] = {}

    def open(self, path: Path, threads: int | None, unit: str | None) -> None:
        """Load the model and make room for its tensors."""
        self._model = self._interpreter(str(path), num_threads=threads)
        self._model.allocate_tensors()

    def query(self, entry_point: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Query:
        """A function that computes these inputs each time it is called."""
        if entry_point not in self._runners:
            self._runners[entry_point] = self._model.get_signature_runner(entry_point)
        runner = self._runners[entry_point]

        def compute() -> Outputs:
            found = runner(**inputs)
            return [found[name] for name in outputs]

        return compute


class CompiledModel:
    """Runs a .tflite by the compiled model of ai-edge-litert, as LiteRT's apps run it."""

    name = "litert"

    def __init__(self) -> None:
        from ai_edge_litert import compiled_model, cpu_options, hardware_accelerator, options

        self.version = version("ai-edge-litert")
        self._model_type, self._cpu = compiled_model.CompiledModel, cpu_options.CpuOptions
        self._options, self._accelerator = options.Options, hardware_accelerator.HardwareAccelerator.CPU
        self._buffers: dict[str, tuple[list[Any], list[Any]]] = {}

    def open(self, path: Path, threads: int | None, unit: str | None) -> None:
        """Load the model; its weights are packed once for all signatures, not once for each.

        In float16 they are packed for each: the cache ends the process over weights that are rounded for it.
        """
        how = (
            {"xnnpack_flags": FLOAT16_FLAGS}
            if unit == "cpu-fp16"
            else {"xnnpack_weight_cache_path": ":memory"}
        )
        cpu = self._cpu(num_threads=threads or 0, **how)
        options = self._options(hardware_accelerators=self._accelerator, cpu_options=cpu)
        self._model = self._model_type.from_file(str(path), options=options)

    def query(self, entry_point: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Query:
        """A function that computes these inputs each time it is called."""
        import numpy as np

        index = self._model.get_signature_index(entry_point)
        signature = self._model.get_signature_by_index(index)
        if entry_point not in self._buffers:
            self._buffers[entry_point] = (
                self._model.create_input_buffers(index),
                self._model.create_output_buffers(index),
            )
        given, found = self._buffers[entry_point]
        values = [np.ascontiguousarray(inputs[name]) for name in signature["inputs"]]
        details = self._model.get_output_tensor_details(entry_point)
        shapes = [tuple(details[name]["shape"]) for name in outputs]
        wanted = [found[signature["outputs"].index(name)] for name in outputs]

        def compute() -> Outputs:
            for buffer, value in zip(given, values, strict=True):
                buffer.write(value)
            self._model.run_by_index(index, given, found)
            return [
                buffer.read(math.prod(shape), np.float32).reshape(shape)
                for buffer, shape in zip(wanted, shapes, strict=True)
            ]

        return compute


class ExecuTorch:
    """Runs a .pte by ExecuTorch's own Python API."""

    name = "executorch"

    def __init__(self, package: str | None) -> None:
        if not _is_installed("executorch"):
            raise InputError("executorch is not installed", hint="pip install executorch")
        with without_init("executorch.exir"):  # the compiler, imported by the runtime for one kind of warning
            import executorch.kernels.quantized  # noqa: F401  # registers the kernels of quantized embeddings
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime, Verification

        self.version = version("executorch")
        self._pool, self._runtime = portable_lib, Runtime.get()
        self._checked = Verification.InternalConsistency

    def open(self, path: Path, threads: int | None, unit: str | None) -> None:
        """Load the program; a length's method is loaded by its first query."""
        if threads is not None:
            self._pool._unsafe_reset_threadpool(threads)
        self._program = self._runtime.load_program(path, verification=self._checked)

    def query(self, entry_point: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Query:
        """A function that computes these inputs each time it is called."""
        import torch

        tensors = [torch.from_numpy(value) for value in inputs.values()]
        load = self._program.load_method

        def compute() -> Outputs:
            return [output.numpy() for output in load(entry_point).execute(tensors)]

        return compute


class CoreML:
    """Runs a .mlpackage by Core ML, through coremltools, on a Mac."""

    name = "coreml"

    def __init__(self, package: str | None) -> None:
        if platform.system() != "Darwin":
            raise UnavailableError(
                "Core ML runs on macOS and iOS only", hint="run this on a Mac, or measure another format here"
            )
        import coremltools

        self.version = f"macOS {platform.mac_ver()[0]}"
        self._tools: Any = coremltools

    def open(self, path: Path, threads: int | None, unit: str | None) -> None:
        """Compile and load the package."""
        units = self._tools.ComputeUnit[COMPUTE_UNITS[unit]]
        self._model = self._tools.models.MLModel(str(path), compute_units=units)

    def query(self, entry_point: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Query:
        """A function that computes these inputs each time it is called."""
        import numpy as np

        packed = {"inputs": np.stack(list(inputs.values()), axis=1)}  # rows of (1, S) -> (1, rows, S)

        def compute() -> Outputs:
            found = self._model.predict(packed)
            return [found[name] for name in outputs]

        return compute


RUNTIMES: Mapping[str, Callable[[str | None], Runtime]] = {
    "tflite": litert,
    "executorch": ExecuTorch,
    "coreml": CoreML,
}


def find_runtime(format_: str, package: str | None) -> Runtime:
    """The runtime of a format: this project's own, or what the package that brings the format names.

    Args:
        package: one of several that run a .tflite, as record.Settings has it.

    Raises:
        InputError: there is no such format here, or its runtime is not installed.
        UnavailableError: the package that brings the format has nothing to time it with.
    """
    if format_ in RUNTIMES:
        return RUNTIMES[format_](package)
    named = exporters.format_named(format_).runtime
    if named is None:
        raise UnavailableError(
            f"{format_} bundles cannot be timed: the package that brings the format names no runtime",
            hint="its answers are measured by `evaluate` without --device",
        )
    module, _, name = named.partition(":")
    runtime: Callable[[str | None], Runtime] = getattr(importlib.import_module(module), name)
    return runtime(package)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
