"""LiteRT: a model (.tflite) with one signature per length over one set of weights.

Its metadata is JSON in the flatbuffer's metadata table, under METADATA_NAME. fp16 stores the weights of
embeddings, convolutions and linear layers in half precision, laid out so that LiteRT's GPU accelerator and
Qualcomm's compiler take all of it; inputs and outputs stay as they are, and CPUs compute in float32.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from exporters.capture import captures
from exporters.errors import InputError
from exporters.lengths import entry_point
from exporters.quiet import quiet_runtime, quiet_tools
from exporters.spec import Artifact, Delegation, ExportRequest
from exporters.tensors import describe
from exporters.tflite import FORMAT, quantization
from exporters.tflite.integer import integer_only
from exporters.tflite.model import pack, unpack
from exporters.tflite.shortcuts import operators_lowered_once
from exporters.tflite.signatures import METADATA_NAME
from exporters.tflite.unfolding import with_own_products

PRODUCTS = {"FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D"}


class NamedModule(nn.Module):
    """A module with named inputs and outputs, which become those of the signatures.

    Args:
        module: takes tensors by position and gives a tuple of them.
        outputs: names of the module's outputs.
    """

    def __init__(self, module: nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.outputs = module, outputs

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Compute the outputs; inputs are in the order of the module's arguments."""
        return dict(zip(self.outputs, self.module(*inputs.values()), strict=True))


def export(request: ExportRequest, path: Path) -> Artifact:
    """Write a LiteRT model.

    Raises:
        InputError: an unknown precision, a module that litert-torch cannot convert, or weights too large for
            half precision.
    """
    precision = FORMAT.precision(request.precision)
    half = precision.weights == "float16"
    if half:
        _require_half_range(request.module)
    entry_points = {length: entry_point(length) for length in request.lengths}
    inputs, outputs = describe(request)
    packages = ["torch", "litert-torch", "litert-converter", "jax", "ai-edge-litert"]
    with quiet_tools():
        content = convert(request)
        calibrated: list[str] = []
        if half:
            content = quantization.with_half_weights(content)
        elif precision.for_npus:
            content, calibrated = integer_only(content, request, bits=16, float_softmax=True)
        elif precision.rounding:
            content, calibrated = quantization.quantized(content, request)
        if half or (precision.rounding and not precision.for_npus):
            packages.append("ai-edge-quantizer")
        path.write_bytes(finished(content, request.metadata))
        float_operators = quantization.float_operators(content)
    return Artifact(
        path=path,
        inputs=inputs,
        outputs=outputs,
        entry_points=entry_points,
        delegation=_delegation(path),
        versions={package: version(package) for package in packages},
        float_operators=float_operators,
        calibrated=tuple(calibrated),
    )


def _require_half_range(module: nn.Module) -> None:
    largest = torch.finfo(torch.float16).max
    for name, parameter in module.named_parameters():
        if parameter.abs().max() > largest:
            raise InputError(
                f"{name} holds {parameter.abs().max():.3g}, which float16 does not",
                allowed=f"weights up to {largest:.0f}",
                hint="export it as fp32",
            )


def convert(request: ExportRequest) -> bytes:
    """The flatbuffer with float32 weights.

    Raises:
        InputError: a module that litert-torch cannot convert.
    """
    with _no_progress_shown(), quiet_runtime():  # its C++ library greets on stderr
        from litert_torch import signature

    module = NamedModule(request.module, tuple(request.outputs)).eval()
    (first, example), *others = request.examples.items()
    converter = signature(entry_point(first), module, sample_kwargs=dict(example))
    for length, example in others:
        converter.signature(entry_point(length), module, sample_kwargs=dict(example))
    try:
        with _no_progress_shown(), captures(), operators_lowered_once():
            model = converter.convert()
            with quiet_runtime():
                content: bytes = model.model_content()
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"litert-torch {version('litert-torch')} cannot convert this model: {error}",
            hint="export it to another format",
        ) from error
    return with_own_products(content, request.module)


@contextmanager
def _no_progress_shown() -> Iterator[None]:
    """Stop litert-torch from printing its progress to stdout: it looks at a variable of the environment."""
    name = "LITERT_TORCH_SHOW_PROGRESS"
    shown = os.environ.get(name)
    os.environ[name] = "n"
    try:
        yield
    finally:
        del os.environ[name]
        if shown is not None:
            os.environ[name] = shown


def finished(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """The same model with an entry in its metadata table, short names, and all weights inside the flatbuffer.

    litert-torch names a tensor by the Python classes it passed through, a twentieth of a small file. The
    quantizer puts weights behind the flatbuffer, where runtimes from before 2023 do not look.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = unpack(content)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = json.dumps(dict(metadata)).encode()
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            tensor.name = re.sub(rb"(\w+\.)+[A-Za-z0-9]+[_/]", b"", tensor.name)  # package.Class_attribute
    return pack(model)


def _delegation(path: Path) -> Delegation:
    """What XNNPACK takes when this machine's runtime loads the model, in the shortest length's signature.

    Raises:
        InputError: the runtime refuses what the converter made.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet_runtime():
            interpreter = Interpreter(str(path))
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"LiteRT cannot run what litert-torch {version('litert-torch')} made of this model: {error}",
            hint="another form: --form",
        ) from error
    everything = interpreter._get_ops_details()
    delegates = [operator for operator in everything if operator["op_name"] == "DELEGATE"]
    operators = {operator["index"]: operator for operator in everything if operator["op_name"] != "DELEGATE"}
    producers = {tensor: index for index, operator in operators.items() for tensor in operator["outputs"]}
    delegated: set[int] = set()
    for delegate in delegates:
        # A delegate stands beside the operators it replaces: those between its inputs and its outputs.
        inputs, wanted = set(delegate["inputs"]), list(delegate["outputs"])
        while wanted:
            tensor = wanted.pop()
            index = producers.get(tensor)
            if index is not None and index not in delegated and tensor not in inputs:
                delegated.add(index)
                wanted.extend(operators[index]["inputs"])
    outside = Counter(operator["op_name"] for index, operator in operators.items() if index not in delegated)
    return Delegation.of(len(delegated), outside, PRODUCTS.__contains__)
