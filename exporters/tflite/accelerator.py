"""LiteRT's GPU accelerator as a process: `python -m exporters.tflite.accelerator SOCKET MODEL`.

https://ai.google.dev/edge/litert: CompiledModel with the GPU alone takes a model whole or refuses it.
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

if TYPE_CHECKING:
    from exporters.arrays import Array


class AcceleratedRunner:
    """A model on the GPU.

    Raises:
        RuntimeError: the accelerator leaves operators to the CPU, or there is no GPU.
    """

    computed_by: ComputedBy = "webgpu"

    def __init__(self, path: str) -> None:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator

        self._model: Any = CompiledModel.from_file(path, hardware_accel=HardwareAccelerator.GPU)
        if not self._model.is_fully_accelerated():
            raise RuntimeError("the GPU accelerator left operators to the CPU")
        signatures = self._model.get_signature_list()
        self._keys = by_length(signatures)
        self.lengths: tuple[int, ...] = tuple(self._keys)
        first = signatures[self._keys[self.lengths[0]]]
        self.inputs: tuple[str, ...] = tuple(first["inputs"])
        self.outputs: tuple[str, ...] = tuple(first["outputs"])

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


if __name__ == "__main__":
    serve(int(sys.argv[1]), lambda: AcceleratedRunner(sys.argv[2]))
