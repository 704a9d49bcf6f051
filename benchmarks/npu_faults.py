"""The smallest networks that a tool gets wrong on the way to an NPU or a GPU: docs/npu_faults.md explains.

Needs numpy, ai-edge-litert, onnx, onnxruntime-qnn with the onnxruntime it was made for, a C compiler and a
Vulkan, which VK_DRIVER_FILES and LD_LIBRARY_PATH may name; nothing of this project.

    python benchmarks/npu_faults.py [SM8650]
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ai_edge_litert
import numpy as np
import onnx
import onnxruntime
import onnxruntime_qnn
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from flatbuffers import flexbuffers

SOC_MODELS = {"SM8450": "36", "SM8550": "43", "SM8650": "57", "SM8750": "69", "SM8850": "87"}
OPTIONS = {
    "BATCH_MATMUL": "BatchMatMul",
    "FULLY_CONNECTED": "FullyConnected",
    "MEAN": "Reducer",
    "SQUARED_DIFFERENCE": "SquaredDifference",
}
WITHOUT_OPTIONS = {"TANH"}


class Network:
    """A flatbuffer, tensor by tensor and operator by operator."""

    def __init__(self) -> None:
        self.graph, self.model = schema.SubGraphT(), schema.ModelT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.graph], []
        self.model.buffers = [schema.BufferT()]

    def tensor(
        self,
        kind: str,
        shape: Sequence[int],
        scale: Any = None,
        zero: int = 0,
        values: Any = None,
        axis: int = 0,
    ) -> int:
        """Add a tensor, a constant if it has values: its number."""
        tensor = schema.TensorT()
        tensor.type, tensor.shape, tensor.buffer = getattr(schema.TensorType, kind.upper()), list(shape), 0
        tensor.name = f"t{len(self.graph.tensors)}".encode()
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(np.float32(scale))
            tensor.quantization.zeroPoint = np.full(np.size(scale), zero, np.int64)
            tensor.quantization.quantizedDimension = axis
        if values is not None:
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(schema.BufferT())
            self.model.buffers[-1].data = np.frombuffer(np.asarray(values, kind).tobytes(), np.uint8)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], output: int, **options: Any) -> int:
        """Add an operator: its output."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 2
        operator.opcodeIndex, operator.inputs = len(self.model.operatorCodes), list(inputs)
        operator.outputs = [output]
        if kind not in WITHOUT_OPTIONS:
            name = f"{OPTIONS.get(kind, kind.capitalize())}Options"
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = getattr(schema, f"{name}T")()
            vars(operator.builtinOptions).update(options)
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)
        return output

    def content(self, input_: int, output: int) -> bytes:
        """The flatbuffer."""
        self.graph.inputs, self.graph.outputs = [input_], [output]
        return bytes(flatbuffer_utils.convert_object_to_bytearray(self.model))


def real(stored: Any, tensor: Any) -> Any:
    """Stored values as real ones."""
    if stored.dtype.kind == "f":
        return stored.astype(float)
    return (stored.astype(float) - tensor.quantization.zeroPoint[0]) * tensor.quantization.scale[0]


def on_cpu(network: Network, content: bytes, value: Any) -> Any:
    """The output by LiteRT's CPU."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(network.graph.inputs[0], value)
    interpreter.invoke()
    output = network.graph.outputs[0]
    return real(interpreter.get_tensor(output), network.graph.tensors[output])


def on_gpu(network: Network, content: bytes, value: Any) -> Any:
    """The output by LiteRT's GPU, of floats."""
    model: Any = CompiledModel.from_buffer(content, hardware_accel=HardwareAccelerator.GPU)
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    inputs[0].write(value)
    model.run_by_index(0, inputs, outputs)
    shape = network.graph.tensors[network.graph.outputs[0]].shape
    return np.array(outputs[0].read(int(np.prod(shape)), np.float32)).reshape(shape)


def in_emulator(network: Network, content: bytes, value: Any, soc: str) -> Any:
    """The output by Qualcomm's emulator, of the network compiled for a chip."""
    directory, litert = Path(tempfile.mkdtemp()), Path(ai_edge_litert.__file__).parent
    (directory / "in.tflite").write_bytes(content)
    # The plugin needs a library of this name and nothing of what is in it.
    stub = directory / "libQnnLpai.so"
    subprocess.run(["cc", "-shared", "-o", stub, "-x", "c", os.devnull], check=True)
    libraries = f"{directory}:{Path(onnxruntime_qnn.get_qnn_htp_path()).parent}"
    command = [
        *(litert / "tools/apply_plugin_main", "--cmd=apply", f"--model={directory}/in.tflite"),
        *(f"--o={directory}/out.tflite", "--soc_manufacturer=Qualcomm", f"--soc_model={soc}", "--err=--"),
        f"--libs={litert}/vendors/qualcomm/compiler",
    ]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"LD_LIBRARY_PATH": libraries})
    compiled = (directory / "out.tflite").read_bytes()
    graph = flatbuffer_utils.read_model_from_bytearray(bytearray(compiled)).subgraphs[0]
    (operator,) = graph.operators
    place = flexbuffers.Loads(bytes(operator.customOptions))
    start, size = place["bytecode_offset"], place["bytecode_size"]
    (directory / "context.bin").write_bytes(compiled[start : start + size])

    def declared(tensor: int) -> Any:
        names = {number: name for name, number in vars(schema.TensorType).items()}
        kind = getattr(onnx.TensorProto, names[graph.tensors[tensor].type].replace("FLOAT32", "FLOAT"))
        name = graph.tensors[tensor].name.decode()
        return onnx.helper.make_tensor_value_info(name, kind, list(graph.tensors[tensor].shape))

    inputs, outputs = [declared(one) for one in operator.inputs], [declared(one) for one in operator.outputs]
    node = onnx.helper.make_node(
        "EPContext",
        [inputs[0].name],
        [outputs[0].name],
        domain="com.microsoft",
        name=place["name"],
        main_context=1,
        embed_mode=0,
        ep_cache_context="context.bin",
        partition_name=place["name"],
        source="QNNExecutionProvider",
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", inputs, outputs), opset_imports=opsets, ir_version=8
    )
    onnx.save(model, directory / "context.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    devices = [one for one in onnxruntime.get_ep_devices() if one.ep_name == onnxruntime_qnn.EP_NAME]
    backend = {"backend_path": onnxruntime_qnn.get_qnn_htp_path(), "soc_model": SOC_MODELS[soc]}
    options.add_provider_for_devices(devices[:1], backend)
    session = onnxruntime.InferenceSession(directory / "context.onnx", options)
    (found,) = session.run(None, {inputs[0].name: value})
    return real(found, network.graph.tensors[network.graph.outputs[0]])


def floats_by_a_mean(kind: str, width: int) -> tuple[Network, bytes, Any, Any]:
    """Floats and the 16-bit mean of each row, in an operator: network, content, input, right output."""
    x = RANDOM.normal(0, 1, (1, 64, width))
    scale = abs(x).max() / 32767
    stored = np.rint(x / scale).astype(np.int16)
    x = stored * scale
    mean = x.mean(-1, keepdims=True)
    network = Network()
    entering, axis = network.tensor("int16", x.shape, scale), network.tensor("int32", (1,), values=[2])
    means = network.tensor("int16", mean.shape, abs(mean).max() / 32767)
    network.operator("MEAN", [entering, axis], means, keepDims=True)
    floats = [
        network.operator("DEQUANTIZE", [one], network.tensor("float32", shape))
        for one, shape in ((entering, x.shape), (means, mean.shape))
    ]
    output = network.operator(kind, floats, network.tensor("float32", x.shape))
    right = {"MUL": x * mean, "SQUARED_DIFFERENCE": (x - mean) ** 2, "SUB": x - mean}[kind]
    return network, network.content(entering, output), stored, right


def mean_of_widened(width: int) -> tuple[Network, bytes, Any, Any]:
    """The 16-bit mean of 8 bits."""
    stored = np.clip(RANDOM.normal(-70, 25, (1, 16, width)), -128, 127).astype(np.int8)
    x = (stored.astype(float) + 100) * 0.03
    mean = x.mean(-1, keepdims=True)
    network = Network()
    entering, axis = network.tensor("int8", x.shape, 0.03, -100), network.tensor("int32", (1,), values=[2])
    wide = network.operator("QUANTIZE", [entering], network.tensor("int16", x.shape, abs(x).max() / 32767))
    means = network.tensor("int16", mean.shape, abs(mean).max() / 32767)
    output = network.operator("MEAN", [wide, axis], means, keepDims=True)
    return network, network.content(entering, output), stored, mean


def product_by_a_constant(*, per_channel: bool) -> tuple[Network, bytes, Any, Any]:
    """8 bits in a batched product with a constant."""
    x, weight = RANDOM.normal(0, 1, (4, 8, 32)), RANDOM.normal(0, 1, (4, 32, 48))
    stored, scale = np.rint(x / 0.04).clip(-128, 127).astype(np.int8), abs(weight).max() / 127
    if per_channel:
        scale = abs(weight).max((0, 1)) / 127
    integers = np.rint(weight / scale)
    right = (stored * 0.04) @ (integers * scale)
    network = Network()
    entering = network.tensor("int8", x.shape, 0.04)
    constant = network.tensor("int8", weight.shape, scale, values=integers, axis=2 if per_channel else 0)
    output = network.tensor("int8", right.shape, abs(right).max() / 127)
    network.operator("BATCH_MATMUL", [entering, constant], output)
    return network, network.content(entering, output), stored, right


def tanh_of_a_product(*, apart: bool) -> tuple[Network, bytes, Any, Any]:
    """The tanh of a linear layer's result, between them nothing or a product by 1."""
    network, value = Network(), RANDOM.normal(size=(1, 512)).astype(np.float32)
    weight = (RANDOM.normal(size=(512, 512)) / np.sqrt(512)).astype(np.float32)
    into = network.tensor("float32", value.shape)
    operands = [into, network.tensor("float32", weight.shape, values=weight), -1]
    between = network.operator("FULLY_CONNECTED", operands, network.tensor("float32", value.shape))
    if apart:
        one = network.tensor("float32", (1,), values=[1])
        between = network.operator("MUL", [between, one], network.tensor("float32", value.shape))
    out = network.operator("TANH", [between], network.tensor("float32", value.shape))
    return network, network.content(into, out), value, np.tanh(value.astype(float) @ weight.T)


def softmax_of(keys: int) -> tuple[Network, bytes, Any, Any]:
    """What 64 rows give each of some keys."""
    network, value = Network(), RANDOM.normal(size=(1, 64, keys)).astype(np.float32)
    into = network.tensor("float32", value.shape)
    out = network.operator("SOFTMAX", [into], network.tensor("float32", value.shape), beta=1.0)
    shares = np.exp(value.astype(float))
    return network, network.content(into, out), value, shares / shares.sum(-1, keepdims=True)


def sum_of_groups(constants: int) -> tuple[Network, bytes, Any, Any]:
    """A constant of its own, or the same for all, added to each of four groups."""
    network, value = Network(), RANDOM.normal(size=(4, 64, 128)).astype(np.float32)
    constant = RANDOM.normal(size=(constants, 1, 128)).astype(np.float32)
    into = network.tensor("float32", value.shape)
    added = network.tensor("float32", constant.shape, values=constant)
    out = network.operator("ADD", [into, added], network.tensor("float32", value.shape))
    return network, network.content(into, out), value, value + constant


def error_of_a_device(chip_at: int) -> int:
    """What QnnDevice_create says of a chip whose number stands at this byte of its custom config."""
    library = ctypes.CDLL(onnxruntime_qnn.get_qnn_htp_path())
    providers, count = ctypes.POINTER(ctypes.c_void_p)(), ctypes.c_uint32()
    library.QnnInterface_getProviders(ctypes.byref(providers), ctypes.byref(count))

    def function(number: int) -> Any:
        """One of the interface's, which stand behind its name and versions."""
        kind = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_void_p] * 3)
        return kind(ctypes.c_void_p.from_address((providers[0] or 0) + 40 + 8 * number).value or 0)

    custom = (ctypes.c_uint32 * 16)()  # QNN_HTP_DEVICE_CONFIG_OPTION_SOC is 0
    custom[chip_at // 4] = int(SOC_MODELS["SM8650"])
    config = (ctypes.c_void_p * 4)(0, ctypes.addressof(custom))  # QNN_DEVICE_CONFIG_OPTION_CUSTOM is 0
    configs = (ctypes.c_void_p * 2)(ctypes.addressof(config), None)
    device = ctypes.c_void_p()
    create_backend, create_device = function(1), function(40)
    create_backend(None, None, ctypes.byref(ctypes.c_void_p()))
    return int(create_device(None, configs, ctypes.byref(device)))


def decibels(found: Any, right: Any) -> float:
    """Signal to noise."""
    error = max(((found.reshape(right.shape) - right) ** 2).mean(), 1e-20)
    return float(10 * np.log10((right**2).mean() / error))


RANDOM = np.random.default_rng(0)


def main() -> None:
    """Print each case."""
    soc = sys.argv[1] if len(sys.argv) > 1 else "SM8650"
    onnxruntime.register_execution_provider_library(
        onnxruntime_qnn.EP_NAME, onnxruntime_qnn.get_library_path()
    )
    cases = {
        "1 float MUL by a 16-bit mean of 512": floats_by_a_mean("MUL", 512),
        "1 float SQUARED_DIFFERENCE with it": floats_by_a_mean("SQUARED_DIFFERENCE", 512),
        "  float SUB of it": floats_by_a_mean("SUB", 512),
        "  float MUL by a 16-bit mean of 32": floats_by_a_mean("MUL", 32),
        "2 16-bit mean of 256 widened from 8": mean_of_widened(256),
        "  16-bit mean of 128 widened from 8": mean_of_widened(128),
        "3 BATCH_MATMUL, a scale per channel": product_by_a_constant(per_channel=True),
        "  BATCH_MATMUL, one scale": product_by_a_constant(per_channel=False),
        "6 float TANH of FULLY_CONNECTED": tanh_of_a_product(apart=False),
        "  the same with a MUL by 1 between": tanh_of_a_product(apart=True),
        "7 float SOFTMAX of 1 key": softmax_of(1),
        "  float SOFTMAX of 64 keys": softmax_of(64),
    }
    print(f"{'signal to noise, dB':36} {'LiteRT CPU':>12} {soc + ' emulator':>18}")
    for name, (network, content, value, right) in cases.items():
        cpu = decibels(on_cpu(network, content, value), right)
        emulated = decibels(in_emulator(network, content, value, soc), right)
        print(f"{name:36} {cpu:12.1f} {emulated:18.1f}", flush=True)
    print(
        "4 a device whose chip stands at byte 4 (8): error", error_of_a_device(4), f"({error_of_a_device(8)})"
    )
    print(f"{'':36} {'LiteRT CPU':>12} {'LiteRT GPU':>18}")
    for name, constants in {
        "5 ADD of (4, 1, 128) to four groups": 4,
        "  ADD of (1, 1, 128) to them": 1,
    }.items():
        network, content, value, right = sum_of_groups(constants)
        cpu = decibels(on_cpu(network, content, value), right)
        print(f"{name:36} {cpu:12.1f} {decibels(on_gpu(network, content, value), right):18.1f}")


if __name__ == "__main__":
    main()
