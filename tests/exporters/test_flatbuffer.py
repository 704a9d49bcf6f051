"""A FlatBuffers file is read where it lies, and a damaged one ends with an error that its readers expect."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from exporters.flatbuffer import Table


def table(field: bytes, offset: int = 4, back: int = 6) -> Table:
    """A table with one field, whose fields begin six bytes before it."""
    return Table.root(struct.pack("<IHHHi", 10, 6, 8, offset, back) + field)


def test_a_field_is_read() -> None:
    assert table(struct.pack("<II3s", 4, 3, b"abc")).text(0) == "abc"
    assert table(struct.pack("<IIii", 4, 2, 7, -7)).numbers(0) == [7, -7]
    assert table(b"\x05").kind(0) == 5
    assert table(b"", offset=0).kind(0) == 0


@pytest.mark.parametrize(
    ("damaged", "read"),
    [
        (table(struct.pack("<II3s", 4, 4, b"abc")), lambda it: it.text(0)),
        (table(struct.pack("<IIi", 4, 2, 7)), lambda it: it.numbers(0)),
        (table(b""), lambda it: it.kind(0)),
        (table(b"\x05" * 8, back=15), lambda it: it.kind(0)),
    ],
    ids=["text cut", "numbers cut", "field behind the end", "fields before the beginning"],
)
def test_a_damaged_file_is_an_error(damaged: Table, read: Callable[[Table], Any]) -> None:
    with pytest.raises((ValueError, struct.error)):
        read(damaged)
