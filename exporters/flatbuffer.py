"""Tables of a FlatBuffers file, read where they lie: https://flatbuffers.dev/internals.

Only what an artifact says of itself is read so; no runtime has to be installed for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Table:
    """A table at a place in a file; its fields are numbered as the schema lists them, a union taking two.

    Whatever a damaged file says, reading it ends with struct.error or ValueError.
    """

    content: bytes | mmap
    position: int

    @classmethod
    def root(cls, content: bytes | mmap, identifier: bytes = b"") -> Table:
        """The table that a file begins with.

        Args:
            identifier: how the file's identifier, from its fifth byte on, begins.

        Raises:
            ValueError: another kind of file.
        """
        if content[4 : 4 + len(identifier)] != identifier:
            raise ValueError(f"a file without the identifier {identifier.decode()}")
        return cls(content, _uint(content, 0))

    def number(self, field: int) -> int:
        """An unsigned integer of 32 bits, 0 where it is left out."""
        place = self._place(field)
        return _uint(self.content, place) if place else 0

    def value(self, field: int, kind: str) -> Any:
        """A number of a type that `struct` knows ("<q"), 0 where it is left out."""
        place = self._place(field)
        return struct.unpack_from(kind, self.content, place)[0] if place else 0

    def kind(self, field: int) -> int:
        """Which of a union's types the field after this one has, 0 for none."""
        return int(self.value(field, "<B"))

    def table(self, field: int) -> Table | None:
        """A table, None where it is left out."""
        place = self._place(field)
        return Table(self.content, place + _uint(self.content, place)) if place else None

    def tables(self, field: int) -> Iterator[Table]:
        """A vector's tables."""
        start, count = self.vector(field)
        for place in range(start, start + 4 * count, 4):
            yield Table(self.content, place + _uint(self.content, place))

    def numbers(self, field: int) -> list[int]:
        """A vector's integers of 32 bits."""
        start, count = self.vector(field)
        return [value for (value,) in struct.iter_unpack("<i", self._slice(start, 4 * count))]

    def data(self, field: int) -> bytes:
        """A vector's bytes."""
        return self._slice(*self.vector(field))

    def text(self, field: int) -> str:
        """A string, empty where it is left out."""
        return self.data(field).decode()

    def _slice(self, start: int, size: int) -> bytes:
        """Bytes, all of which the file has."""
        if start + size > len(self.content):
            raise ValueError(f"a vector ends at byte {start + size} of {len(self.content)}")
        return self.content[start : start + size]

    def _place(self, field: int) -> int:
        """Where a field lies; 0 where it is left out."""
        (back,) = struct.unpack_from("<i", self.content, self.position)
        table = self.position - back
        if table < 0:  # which would be counted from the file's end
            raise ValueError(f"a table's fields begin at byte {table}")
        (size,) = struct.unpack_from("<H", self.content, table)
        entry = 4 + 2 * field
        if entry + 2 > size:
            return 0
        (offset,) = struct.unpack_from("<H", self.content, table + entry)
        return self.position + int(offset) if offset else 0

    def vector(self, field: int) -> tuple[int, int]:
        """Where a vector's elements begin, and how many there are."""
        place = self._place(field)
        if not place:
            return 0, 0
        vector = place + _uint(self.content, place)
        return vector + 4, _uint(self.content, vector)


@contextmanager
def open_root(path: Path, identifier: bytes) -> Iterator[Table]:
    """The root table of a file, as long as the block runs; as `Table.root` takes and refuses it."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield Table.root(content, identifier)


def _uint(content: bytes | mmap, place: int) -> int:
    (value,) = struct.unpack_from("<I", content, place)
    return int(value)
