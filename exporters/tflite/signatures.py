"""What a model (.tflite) says of itself: its signatures, `length_<S>` for each length, and its metadata."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from exporters.flatbuffer import Table, open_root
from exporters.lengths import by_length, entry_point
from exporters.spec import Description
from exporters.tflite.model import pack

METADATA_NAME = "squeezebert_edge"  # of the entry that export writes

IDENTIFIER = b"TFL3"

# Fields of Model, Metadata, Buffer and SignatureDef, by number (ai_edge_litert's schema.fbs).
BUFFERS, METADATA, SIGNATURES = 4, 6, 7
ENTRY_NAME, ENTRY_BUFFER = 0, 1
SIGNATURE_KEY = 2


def read_metadata(path: Path) -> dict[str, bytes]:
    """The entries of a model's metadata table, by name; read without LiteRT.

    Raises:
        ValueError, struct.error: not a model.
    """
    with open_root(path, IDENTIFIER) as model:
        return {name: buffer.data(0) for name, buffer in _metadata(model).items()}


def _metadata(model: Table) -> dict[str, Table]:
    buffers = list(model.tables(BUFFERS))
    entries = {entry.text(ENTRY_NAME): entry.number(ENTRY_BUFFER) for entry in model.tables(METADATA)}
    return {name: buffers[index] for name, index in entries.items() if index < len(buffers)}


def describe(path: Path) -> Description:
    """What `export` wrote into the metadata table, and the signatures of lengths; read without LiteRT.

    Raises:
        ValueError, struct.error: not a model.
    """
    with open_root(path, IDENTIFIER) as model:
        own = _metadata(model).get(METADATA_NAME)
        metadata = json.loads(own.data(0)) if own else {}
        return Description(metadata, by_length(each.text(SIGNATURE_KEY) for each in model.tables(SIGNATURES)))


def alone(model: Any, length: int) -> bytes:
    """The model with the signature of one length only, and the weights that this one uses.

    Args:
        model: as the schema's objects (`ModelT`); it is left as it is.
    """
    key = entry_point(length).encode()
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
    single.buffers = [copy.copy(model.buffers[index]) for index in used]
    single.signatureDefs = [copy.copy(signature)]
    single.signatureDefs[0].subgraphIndex = 0
    return pack(single)
