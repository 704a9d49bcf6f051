"""LiteRT's compiled model as a process: `python -m exporters.tflite.accelerator SOCKET MODEL UNIT`.

https://ai.google.dev/edge/litert: with the GPU alone it takes a model whole or refuses it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.lengths import by_length
from exporters.process import serve
from exporters.spec import ComputedBy
from exporters.tensors import length_of
from exporters.tflite.half import NOT_HALF
from exporters.units import CPU_FP16, GPU

if TYPE_CHECKING:
    from exporters.arrays import Array

# TFLITE_XNNPACK_DELEGATE_FLAG_QS8, QU8 and FORCE_FP16 (tflite/delegates/xnnpack/xnnpack_delegate.h): flags
# take the place of the default ones, which are the first two.
FLOAT16_FLAGS = 1 | 2 | 4


class CompiledRunner:
    """A model that a unit computes, or refuses.

    Raises:
        RuntimeError: the GPU leaves operators to the CPU, or there is none; XNNPACK refuses the model in
            float16, or ignores that it was asked for.
    """

    computed_by: ComputedBy = "runtime"

    def __init__(self, path: str, unit: str) -> None:
        from ai_edge_litert.compiled_model import CompiledModel

        self._model: Any = CompiledModel.from_file(path, options=_options(unit))
        if unit == str(GPU) and not self._model.is_fully_accelerated():
            raise RuntimeError("the GPU accelerator left operators to the CPU")
        signatures = self._model.get_signature_list()
        self._keys = by_length(signatures)
        self.lengths: tuple[int, ...] = tuple(self._keys)
        first = signatures[self._keys[self.lengths[0]]]
        self.inputs: tuple[str, ...] = tuple(first["inputs"])
        self.outputs: tuple[str, ...] = tuple(first["outputs"])
        if unit == str(CPU_FP16):
            self._require_float16()

    def _require_float16(self) -> None:
        """Compute a row at each length: XNNPACK prepares itself no sooner, and shows then what it did."""
        for length in self.lengths:
            outputs = self({name: np.zeros((1, length), np.int32) for name in self.inputs})
            if not all(map(is_float16, outputs.values())):
                raise RuntimeError(f"LiteRT {NOT_HALF} here: its outputs have more digits")

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for one row: name -> (1, length) int32 in, name -> float32 out."""
        key = self._keys[length_of(inputs, self.inputs, self.lengths)]
        index = self._model.get_signature_index(key)
        buffers = self._model.create_input_buffers(index), self._model.create_output_buffers(index)
        for name, buffer in zip(self.inputs, buffers[0], strict=True):
            buffer.write(np.ascontiguousarray(inputs[name]))
        self._model.run_by_index(index, *buffers)
        details = self._model.get_output_tensor_details(key)
        outputs = {}
        for name, buffer in zip(self.outputs, buffers[1], strict=True):
            shape = tuple(int(size) for size in details[name]["shape"])
            outputs[name] = np.array(buffer.read(int(np.prod(shape)), np.float32)).reshape(shape)
        return outputs


def is_float16(value: Array) -> bool:
    """Whether all numbers of an array are float16's, as a computation in float16 gives them."""
    with np.errstate(over="ignore"):
        return np.array_equal(value.astype(np.float16).astype(value.dtype), value, equal_nan=True)


def _options(unit: str) -> Any:
    from ai_edge_litert.cpu_options import CpuOptions
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import Options

    if unit == str(GPU):
        return Options(hardware_accelerators=HardwareAccelerator.GPU)
    cpu = CpuOptions(num_threads=1, xnnpack_flags=FLOAT16_FLAGS)
    return Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=cpu)


if __name__ == "__main__":
    serve(int(sys.argv[1]), lambda: CompiledRunner(*sys.argv[2:]))
