"""Computes a saved Core ML program on any machine: op by op, in torch, in the program's own precision.

Every operation is computed in float32; where the program declares a float16 result, it is rounded to float16,
which is what a device gives that accumulates in float32.

The file formats: Model.proto and MIL.proto (https://apple.github.io/coremltools/mlmodel/), and for the
weights mlmodel/src/MILBlob/Blob/StorageFormat.hpp in coremltools' sources.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exporters.constants import unpack
from exporters.coreml.mil.operations import OPERATIONS, not_verified
from exporters.errors import EdgeError, InputError
from exporters.imports import without_init
from exporters.quiet import quiet_tools
from exporters.spec import TensorSpec

Value = Tensor | str

# What a program's types are held as here; a result is rounded to its declared type in a step of its own.
HELD_AS = {
    "float32": torch.float32,
    "float16": torch.float32,
    "int32": torch.int32,
    "int16": torch.int32,
    "uint16": torch.int32,
    "uint32": torch.int64,
    "bool": torch.bool,
    "int8": torch.int8,
    "int4": torch.int8,
    **dict.fromkeys(("uint8", "uint6", "uint4", "uint3", "uint2", "uint1"), torch.uint8),
}


def import_coremltools() -> ModuleType:
    """coremltools, without what it and the packages it imports remark on each other's versions."""
    with quiet_tools():
        import coremltools
    return coremltools  # type: ignore[no-any-return]


def import_messages() -> tuple[ModuleType, ModuleType]:
    """The messages of Model.proto and MIL.proto, without coremltools' converters, which take seconds."""
    with quiet_tools(), without_init("coremltools"):
        from coremltools.proto import MIL_pb2, Model_pb2
    return Model_pb2, MIL_pb2


def model_file(package: Path) -> Path:
    """Where a Core ML package keeps its model; the weights lie beside it.

    Raises:
        InputError: not a package.
    """
    try:
        manifest = json.loads((package / "Manifest.json").read_text(encoding="utf-8"))
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
        return package / "Data" / str(entry["path"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(package, error) from error


def read_model(file: Path) -> Any:
    """The `Model` message of Model.proto in a model file.

    Raises:
        InputError: missing, damaged, or not an ML Program.
    """
    model = import_messages()[0].Model()
    try:
        model.ParseFromString(file.read_bytes())
    except Exception as error:  # protobuf's own kind is not part of coremltools' interface
        raise _unreadable(file, error) from error
    if "main" not in model.mlProgram.functions:
        raise InputError(f"{file} is not an ML Program with a function 'main'")
    return model


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is not a readable Core ML package: {type(error).__name__}: {error}", hint="export it again"
    )


@dataclass(frozen=True)
class Operation:
    """A step of a program: parameter -> names of the values bound to it, and what it declares to give."""

    type: str
    arguments: Mapping[str, tuple[str, ...]]
    results: tuple[TensorSpec, ...]

    @property
    def is_constant(self) -> bool:
        """Whether it makes a constant from constants: a weight is stored compressed."""
        return self.type.startswith("constexpr_")


class Program:
    """The function 'main' of a Core ML model, callable on tensors.

    Args:
        model: a `Model` message, as read by `read_model`.
        directory: where `@model_path` in it points to, which is where it was read from.

    Raises:
        InputError: the weights are missing or damaged.
    """

    def __init__(self, model: Any, directory: Path) -> None:
        function = model.mlProgram.functions["main"]
        block = function.block_specializations[function.opset]
        reader = _Reader(directory)
        self.inputs = tuple(reader.declared(value.name, value.type) for value in function.inputs)
        self.operations = reader.operations(block)
        self.types: Mapping[str, TensorSpec] = reader.types
        self.outputs = tuple(reader.types[name] for name in block.outputs)
        self._constants, self._unknown = reader.constants, reader.unknown
        self._compressed = [step for step in self.operations if step.is_constant]
        self._steps = [step for step in self.operations if not step.is_constant]
        self._spent = self._last_uses()

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the outputs, each float32, int32 or bool.

        Raises:
            UnavailableError: something in the program is not known here; nothing is computed then.
            InputError: an input's shape is not the declared one, or its values reach outside a table.
        """
        if self._unknown:
            raise not_verified(", ".join(sorted(self._unknown)))
        self._decompress()
        values: dict[str, Value] = dict(self._constants)
        for spec in self.inputs:
            if not _fits(inputs[spec.name], spec):
                raise InputError(
                    f"input '{spec.name}' has shape {tuple(inputs[spec.name].shape)}, not {spec.shape}"
                )
            values[spec.name] = inputs[spec.name]
        with torch.inference_mode():
            for step, spent in zip(self._steps, self._spent, strict=True):
                values.update(_compute(step, values))
                for name in spent:
                    del values[name]
        return {spec.name: values[spec.name] for spec in self.outputs}  # type: ignore[misc]

    @property
    def constants(self) -> Mapping[str, Value]:
        """The constants by name, as they are stored; once the program has computed, decompressed."""
        return self._constants

    def _decompress(self) -> None:
        """Compute the compressed constants, once; what only they were made of is given up."""
        with torch.inference_mode():
            for step in self._compressed:
                self._constants.update(_compute(step, self._constants))
        if self._compressed:
            needed = {name for step in self._steps for names in step.arguments.values() for name in names}
            needed.update(spec.name for spec in self.outputs)
            self._constants = {name: self._constants[name] for name in needed & self._constants.keys()}
            self._compressed = []

    def _last_uses(self) -> list[list[str]]:
        """For each step the names of computed values that nothing needs after it."""
        kept = {spec.name for spec in self.outputs} | self._constants.keys()
        spent: list[list[str]] = []
        for step in reversed(self._steps):
            used = {name for names in step.arguments.values() for name in names}
            used.update(spec.name for spec in step.results)
            spent.append(sorted(used - kept))
            kept |= used
        return spent[::-1]


def _compute(step: Operation, values: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    """Name and value of each result of a step, rounded to the declared type."""
    bound = {parameter: [values[name] for name in names] for parameter, names in step.arguments.items()}
    # Only the parameter `values` (of concat and its like) takes several.
    arguments = {
        parameter: found if parameter == "values" else found[0] for parameter, found in bound.items()
    }
    try:
        computed = OPERATIONS[step.type](**arguments)
    except EdgeError:
        raise
    except Exception as error:  # whatever torch says of arguments it cannot work with
        raise not_verified(f"{step.type} '{step.results[0].name}' as it is used here ({error})") from error
    results = [computed] if isinstance(computed, Tensor) else computed
    for result, spec in zip(results, step.results, strict=True):
        if result.dtype != HELD_AS[spec.dtype] or not _fits(result, spec):
            raise not_verified(
                f"{step.type} '{spec.name}' as it is used here "
                f"(computed {result.dtype} {tuple(result.shape)}, declared {spec.dtype} {spec.shape})"
            )
        yield spec.name, _rounded(result, spec.dtype)


def _fits(tensor: Tensor, spec: TensorSpec) -> bool:
    return tensor.ndim == len(spec.shape) and all(
        declared in (None, size) for size, declared in zip(tensor.shape, spec.shape, strict=True)
    )


def _rounded(tensor: Tensor, dtype: str) -> Tensor:
    match dtype:
        case "float16":
            return tensor.half().float()
        case "int16":
            return tensor.short().int()
        case "uint16":
            return tensor & 0xFFFF
        case _:
            return tensor


class _Reader:
    """Turns messages of MIL.proto into plain values; collects constants, and what is not known here."""

    def __init__(self, directory: Path) -> None:
        self.types: dict[str, TensorSpec] = {}
        self.constants: dict[str, Value] = {}
        self.unknown: set[str] = set()
        self._mil = import_messages()[1]
        self._directory = directory
        self._files: dict[str, np.ndarray[Any, np.dtype[np.uint8]]] = {}

    def operations(self, block: Any) -> tuple[Operation, ...]:
        """The steps of a block; constants are put aside."""
        steps = []
        for operation in block.operations:
            results = tuple(self.declared(value.name, value.type) for value in operation.outputs)
            if operation.type == "const":
                self._keep(results[0].name, operation.attributes["val"])
                continue
            if operation.type not in OPERATIONS:
                self.unknown.add(f"the operation {operation.type}")
            arguments = {
                parameter: tuple(
                    self._bound(f"{results[0].name}.{parameter}.{index}", binding)
                    for index, binding in enumerate(argument.arguments)
                )
                for parameter, argument in operation.inputs.items()
            }
            if operation.type.startswith("constexpr_"):  # before iOS 18 these have attributes for inputs
                for parameter, value in operation.attributes.items():
                    if parameter != "name":
                        place = f"{results[0].name}.{parameter}"
                        self._keep(place, value)
                        arguments[parameter] = (place,)
            steps.append(Operation(operation.type, arguments, results))
        return tuple(steps)

    def declared(self, name: str, kind: Any) -> TensorSpec:
        """A value's type; a dimension that is not fixed is None."""
        tensor = kind.tensorType
        dtype = self._mil.DataType.Name(tensor.dataType).lower()
        if kind.WhichOneof("type") != "tensorType" or tensor.rank != len(tensor.dimensions):
            self.unknown.add(f"the type of '{name}'")
        elif dtype not in HELD_AS and dtype != "string":
            self.unknown.add(f"the type {dtype}")
        sizes = (size.constant.size if size.HasField("constant") else None for size in tensor.dimensions)
        self.types[name] = TensorSpec(name, dtype, tuple(sizes))
        return self.types[name]

    def _bound(self, place: str, binding: Any) -> str:
        """The name of a bound value; one that stands in the operation itself is named after its place."""
        if binding.WhichOneof("binding") == "name":
            return str(binding.name)
        self._keep(place, binding.value)
        return place

    def _keep(self, name: str, value: Any) -> None:
        """Read a constant, unless its type is not known here."""
        spec = self.declared(name, value.type)
        where = value.WhichOneof("value")
        if spec.dtype == "string":
            self.constants[name] = str(value.immediateValue.tensor.strings.values[0])
        elif spec.dtype in HELD_AS:
            flat = (
                self._blob(spec, value.blobFileValue) if where == "blobFileValue" else _immediate(spec, value)
            )
            shape = tuple(size or 0 for size in spec.shape)
            self.constants[name] = torch.from_numpy(flat).to(HELD_AS[spec.dtype]).reshape(shape)

    def _blob(self, spec: TensorSpec, blob: Any) -> np.ndarray[Any, Any]:
        """A constant from a weights file: a header of 64 bytes says where its data lie."""
        if blob.fileName not in self._files:
            file = self._directory / blob.fileName.removeprefix("@model_path/")
            try:
                self._files[blob.fileName] = np.fromfile(file, np.uint8)
            except OSError as error:
                raise InputError(
                    f"the Core ML package lacks its weights: {error}", hint="export it again"
                ) from error
        data = self._files[blob.fileName]
        count = math.prod(size or 0 for size in spec.shape)
        header = data[blob.offset : blob.offset + 64].tobytes()
        sentinel, _, size, offset = struct.unpack_from("<IIQQ", header.ljust(64, b"\0"))
        wanted = math.ceil(count * _bits(spec.dtype) / 8)
        if sentinel != 0xDEADBEEF or size != wanted or offset + size > len(data):
            raise InputError(
                f"the weights of the Core ML package are damaged at '{spec.name}'", hint="export it again"
            )
        return _plain(data[offset : offset + size], spec)


def _immediate(spec: TensorSpec, value: Any) -> np.ndarray[Any, Any]:
    """A constant that stands in the program; types that protobuf lacks stand there as bytes."""
    tensor = value.immediateValue.tensor
    kind = tensor.WhichOneof("value")
    if kind == "bytes":
        return _plain(np.frombuffer(bytearray(tensor.bytes.values), np.uint8), spec)
    return np.array(getattr(tensor, kind).values, np.dtype(spec.dtype))


def _bits(dtype: str) -> int:
    """How many bits a value takes in a file."""
    return 8 if dtype == "bool" else int(dtype.lstrip("abcdefghijklmnopqrstuvwxyz"))


def _plain(raw: np.ndarray[Any, np.dtype[np.uint8]], spec: TensorSpec) -> np.ndarray[Any, Any]:
    """Bytes as a flat array of their type; what has fewer than 8 bits is packed."""
    bits = _bits(spec.dtype)
    if bits < 8:
        count = math.prod(size or 0 for size in spec.shape)
        return unpack(raw, bits, count, signed=spec.dtype.startswith("int"))
    return raw.view(np.dtype(spec.dtype))
