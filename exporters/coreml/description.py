"""What a package (.mlpackage) says of itself, read without coremltools.

The schema is coremltools' mlmodel/format/Model.proto, the encoding https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from exporters.spec import Description

DESCRIPTION, METADATA, USER_DEFINED = 2, 100, 100  # fields of Model, ModelDescription and Metadata
KEY, VALUE = 1, 2  # of an entry of a map


def describe(path: Path) -> Description:
    """The model's user-defined metadata; it has no entry points, Core ML chooses by shape.

    Raises:
        ValueError: not a package.
    """
    files = list(path.glob("Data/*/*.mlmodel"))
    if len(files) != 1:
        raise ValueError(f"{path} is not a Core ML package")
    entries = [files[0].read_bytes()]
    for field in (DESCRIPTION, METADATA, USER_DEFINED):
        entries = [value for message in entries for number, value in _fields(message) if number == field]
    pairs = (dict(_fields(entry)) for entry in entries)
    metadata = {pair.get(KEY, b"").decode(): pair.get(VALUE, b"").decode() for pair in pairs}
    return Description(metadata, dict.fromkeys(json.loads(metadata.get("lengths", "[]")), ""))


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a protobuf message that have a length: number and content."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            _, place = _varint(message, place)
        elif kind == 2:
            size, place = _varint(message, place)
            if size > len(message) - place:
                raise ValueError("a protobuf message ends inside a field")
            yield key >> 3, message[place : place + size]
            place += size
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a protobuf message has no fields of kind {kind}")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """An integer, and where it ends."""
    value = 0
    for index, byte in enumerate(message[place : place + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, place + index + 1
    raise ValueError("a protobuf message ends inside a number")
