"""A model (.tflite) as the objects of its schema, from bytes and back."""

from __future__ import annotations

from typing import Any

import numpy as np


def unpack(content: bytes) -> Any:
    """The flatbuffer as the schema's objects (`ModelT`)."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(content)


def pack(model: Any) -> bytes:
    """The schema's objects as a flatbuffer; weights that stood behind it are inside."""
    from ai_edge_litert.tools import flatbuffer_utils

    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.data = np.frombuffer(buffer.data, np.uint8)  # packed at once, not byte by byte
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def operator_code(model: Any, builtin: int) -> int:
    """The index of an operator's code in a model, which is added if it is not there."""
    from ai_edge_litert import schema_py_generated as schema

    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == builtin:
            return index
    added = schema.OperatorCodeT()
    added.builtinCode, added.version = builtin, 1
    added.deprecatedBuiltinCode = min(builtin, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1
