"""What a model (.tflite) says of itself: its signatures, `length_<S>` for each length, and its metadata."""

from __future__ import annotations

import copy
import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from exporters.errors import InputError


def signature_of(length: int) -> str:
    """The name of a length's signature."""
    return f"length_{length}"


def length_named(signature: str) -> int:
    """The length of a signature.

    Raises:
        InputError: another signature than `export` writes.
    """
    match = re.fullmatch(r"length_(\d+)", signature)
    if match is None:
        raise InputError(
            f"the model has a signature '{signature}'", allowed="signatures length_<S>, as export writes them"
        )
    return int(match[1])


def read_metadata(path: Path) -> dict[str, bytes]:
    """The entries of a model's metadata table, by name.

    Raises:
        InputError: not a model.
    """
    from ai_edge_litert import schema_py_generated as schema

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[4:8] != b"TFL3":
            raise InputError(f"{path} is not a LiteRT model", hint="the file is damaged: export it again")
        model = schema.Model.GetRootAs(bytearray(content), 0)
        entries = (model.Metadata(index) for index in range(model.MetadataLength()))
        return {
            entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes() for entry in entries
        }


def alone(model: Any, length: int) -> bytes:
    """The model with the signature of one length only, and the weights that this one uses.

    Args:
        model: as the schema's objects (`ModelT`); it is left as it is.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    key = signature_of(length).encode()
    (signature,) = (each for each in model.signatureDefs if each.signatureKey == key)
    graph = copy.copy(model.subgraphs[signature.subgraphIndex])
    graph.tensors = [copy.copy(tensor) for tensor in graph.tensors]
    entries = [copy.copy(entry) for entry in model.metadata or []]
    # A tensor's buffer and a metadata's; buffer 0 is the empty one.
    holders = [*graph.tensors, *entries]
    used = sorted({0, *(holder.buffer for holder in holders)})
    place = {old: new for new, old in enumerate(used)}
    for holder in holders:
        holder.buffer = place[holder.buffer]
    single = copy.copy(model)
    single.subgraphs, single.metadata = [graph], entries
    single.buffers = list(_packed(model.buffers[index] for index in used))
    single.signatureDefs = [copy.copy(signature)]
    single.signatureDefs[0].subgraphIndex = 0
    return bytes(flatbuffer_utils.convert_object_to_bytearray(single))


def _packed(buffers: Iterable[Any]) -> Iterator[Any]:
    """The buffers with their data as arrays, which are packed at once, not byte by byte."""
    for buffer in buffers:
        packed = copy.copy(buffer)
        if packed.data is not None:
            packed.data = np.frombuffer(bytes(packed.data), np.uint8)
        yield packed
