"""What a model (.tflite) says of itself: its signatures, `length_<S>` for each length, and its metadata."""

from __future__ import annotations

import copy
import json
import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from exporters.errors import InputError
from exporters.flatbuffer import Table
from exporters.spec import Description


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


METADATA_NAME = "squeezebert_edge"  # of the entry that export writes

# Fields of Model, Metadata, Buffer and SignatureDef, by number (ai_edge_litert's schema.fbs).
BUFFERS, METADATA, SIGNATURES = 4, 6, 7
ENTRY_NAME, ENTRY_BUFFER = 0, 1
SIGNATURE_KEY = 2


def read_metadata(path: Path) -> dict[str, bytes]:
    """The entries of a model's metadata table, by name; read without LiteRT.

    Raises:
        InputError: not a model.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[4:8] != b"TFL3":
            raise InputError(f"{path} is not a LiteRT model", hint="the file is damaged: export it again")
        return _metadata(Table.root(content))


def _metadata(model: Table) -> dict[str, bytes]:
    buffers = list(model.tables(BUFFERS))
    entries = {entry.text(ENTRY_NAME): entry.number(ENTRY_BUFFER) for entry in model.tables(METADATA)}
    return {name: buffers[index].data(0) for name, index in entries.items() if index < len(buffers)}


def describe(path: Path) -> Description:
    """What `export` wrote into the metadata table, and the signatures `length_<S>`; read without LiteRT.

    Raises:
        ValueError, struct.error: not a model.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[4:8] != b"TFL3":
            raise ValueError(f"{path} is not a LiteRT model")
        model = Table.root(content)
        metadata = json.loads(_metadata(model).get(METADATA_NAME, b"{}"))
        signatures = [signature.text(SIGNATURE_KEY) for signature in model.tables(SIGNATURES)]
    return Description(metadata, {length_named(signature): signature for signature in signatures})


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
