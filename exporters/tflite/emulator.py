"""Qualcomm's HTP emulator as a process: `python -m exporters.tflite.emulator SOCKET SOC FILE...`.

A compiled file holds a context binary of Qualcomm's. ONNX Runtime's QNN provider runs one that stands in an
EPContext node, on a phone's NPU or, on Linux, in the emulator.
https://onnxruntime.ai/docs/execution-providers/EP-Context-Design.html
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.lengths import by_length
from exporters.process import serve
from exporters.spec import ComputedBy
from exporters.tensors import length_of
from exporters.tflite.model import unpack

if TYPE_CHECKING:
    from exporters.arrays import Array


class EmulatedRunner:
    """Files compiled for one chip, a length each; each is loaded when it is first asked for.

    Args:
        soc: Qualcomm's number of the chip.

    Raises:
        ValueError: a file that leaves operators to the CPU, which only a phone would compute.
    """

    computed_by: ComputedBy = "qualcomm-emulator"

    def __init__(self, soc: str, paths: Sequence[str]) -> None:
        import onnxruntime
        import onnxruntime_qnn

        onnxruntime.register_execution_provider_library(
            onnxruntime_qnn.EP_NAME, onnxruntime_qnn.get_library_path()
        )
        self._soc = soc
        self._directory = tempfile.TemporaryDirectory()
        graphs = [_CompiledGraph(Path(path)) for path in paths]
        self._graphs = {graph.length: graph for graph in sorted(graphs, key=lambda each: each.length)}
        self._sessions: dict[int, Any] = {}
        self.lengths: tuple[int, ...] = tuple(self._graphs)
        first = next(iter(self._graphs.values()))
        self.inputs: tuple[str, ...] = tuple(first.inputs)
        self.outputs: tuple[str, ...] = tuple(first.outputs)
        self._session(self.lengths[0])  # so that a file of another chip or SDK is refused at once

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for one row: name -> (1, length) int32 in, name -> float32 out."""
        length = length_of(inputs, self.inputs, self.lengths)
        graph = self._graphs[length]
        feeds = {graph.inputs[name].name: inputs[name] for name in self.inputs}
        values = self._session(length).run([tensor.name for tensor in graph.outputs.values()], feeds)
        return {
            name: graph.outputs[name].dequantize(value)
            for name, value in zip(self.outputs, values, strict=True)
        }

    def _session(self, length: int) -> Any:
        if length not in self._sessions:
            import onnxruntime
            import onnxruntime_qnn

            options = onnxruntime.SessionOptions()
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            devices = [
                device for device in onnxruntime.get_ep_devices() if device.ep_name == onnxruntime_qnn.EP_NAME
            ]
            settings = {"backend_path": onnxruntime_qnn.get_qnn_htp_path(), "soc_model": self._soc}
            options.add_provider_for_devices(devices[:1], settings)
            model = self._graphs[length].to_onnx(Path(self._directory.name))
            self._sessions[length] = onnxruntime.InferenceSession(str(model), options)
        return self._sessions[length]


class _Tensor:
    """An input or output of a compiled graph."""

    def __init__(self, tensor: Any) -> None:
        self.name = re.sub(r"\W", "_", tensor.name.decode(), flags=re.ASCII)  # as QNN spells it
        self.type, self.shape = tensor.type, [int(size) for size in tensor.shape]
        quantization = tensor.quantization
        scaled = quantization is not None and quantization.scale is not None
        self.scale = float(quantization.scale[0]) if scaled else None
        self.zero = int(quantization.zeroPoint[0]) if scaled and quantization.zeroPoint is not None else 0

    def dequantize(self, value: Array) -> Array:
        """The value as float32."""
        if value.dtype.kind == "f" or self.scale is None:
            return value.astype(np.float32)
        return ((value.astype(np.float32) - self.zero) * self.scale).astype(np.float32)


class _CompiledGraph:
    """A compiled file: one signature that is one call of the NPU."""

    def __init__(self, path: Path) -> None:
        from flatbuffers import flexbuffers

        self._path = path
        model = unpack(path.read_bytes())
        (graph,), (signature,) = model.subgraphs, model.signatureDefs
        codes = [model.operatorCodes[operator.opcodeIndex].customCode for operator in graph.operators]
        if codes != [b"DISPATCH_OP"]:
            raise ValueError(
                f"{path.name} leaves operators to the CPU, so the emulator does not run it whole"
            )
        (call,) = graph.operators
        (self.length,) = by_length([signature.signatureKey.decode()])
        tensors = {index: _Tensor(graph.tensors[index]) for index in [*call.inputs, *call.outputs]}
        self.inputs = {each.name.decode(): tensors[each.tensorIndex] for each in signature.inputs}
        self.outputs = {each.name.decode(): tensors[each.tensorIndex] for each in signature.outputs}
        self._entering = [tensors[index] for index in call.inputs]
        self._leaving = [tensors[index] for index in call.outputs]
        where = flexbuffers.Loads(bytes(call.customOptions))
        self._part = str(where["name"])
        self._offset, self._size = int(where["bytecode_offset"]), int(where["bytecode_size"])

    def to_onnx(self, directory: Path) -> Path:
        """An ONNX model of one EPContext node, and beside it the context binary."""
        import onnx
        from ai_edge_litert import schema_py_generated as schema
        from onnx import helper

        types = {
            schema.TensorType.FLOAT32: onnx.TensorProto.FLOAT,
            schema.TensorType.INT32: onnx.TensorProto.INT32,
            schema.TensorType.INT16: onnx.TensorProto.INT16,
            schema.TensorType.INT8: onnx.TensorProto.INT8,
        }
        binary = directory / f"{self.length}.bin"
        with self._path.open("rb") as file:
            file.seek(self._offset)
            binary.write_bytes(file.read(self._size))
        entering, leaving = (
            [helper.make_tensor_value_info(each.name, types[each.type], each.shape) for each in tensors]
            for tensors in (self._entering, self._leaving)
        )
        node = helper.make_node(
            "EPContext",
            [each.name for each in self._entering],
            [each.name for each in self._leaving],
            domain="com.microsoft",
            name=self._part,
            partition_name=self._part,
            source="QNNExecutionProvider",
            main_context=1,
            embed_mode=0,
            ep_cache_context=binary.name,
        )
        model = helper.make_model(
            helper.make_graph([node], "compiled", entering, leaving),
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
            ir_version=8,
        )
        path = directory / f"{self.length}.onnx"
        onnx.save(model, str(path))
        return path


if __name__ == "__main__":
    serve(int(sys.argv[1]), lambda: EmulatedRunner(sys.argv[2], sys.argv[3:]))
