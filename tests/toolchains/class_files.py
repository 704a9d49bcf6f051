"""Reads of class files what they have and what they refer to.

The format: https://docs.oracle.com/javase/specs/jvms/se8/html/jvms-4.html
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# Bytes behind the tag of an entry of the constant pool: all but text, whose length is in it.
_SIZES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 18: 4}
_TEXT, _CLASS, _REFERENCES, _PAIR, _WIDE = 1, 7, (9, 10, 11), 12, (5, 6)


@dataclass(frozen=True)
class ClassFile:
    """A class: its name with slashes, what it extends and implements, what it declares and what it refers to.

    members: name and descriptor, a space between. references: the same with the class that is named.
    classes: all that are named.
    """

    name: str
    parents: tuple[str, ...]
    members: frozenset[str]
    references: frozenset[tuple[str, str]]
    classes: frozenset[str]


def in_jar(path: Path) -> dict[str, ClassFile]:
    """The classes of a jar, by name."""
    with zipfile.ZipFile(path) as jar:
        found = [read(jar.read(name)) for name in jar.namelist() if name.endswith(".class")]
    return {one.name: one for one in found}


def in_directory(path: Path) -> dict[str, ClassFile]:
    """The classes below a directory, by name."""
    found = [read(file.read_bytes()) for file in path.rglob("*.class")]
    return {one.name: one for one in found}


def unknown(own: Mapping[str, ClassFile], platform: Mapping[str, ClassFile], package: str) -> set[str]:
    """Classes and members of a package of the platform that `own` refers to and the platform lacks."""
    everything = {**platform, **own}
    missing = set()
    for one in own.values():
        missing |= {name for name in one.classes if name.startswith(package) and name not in platform}
        for owner, member in one.references:
            above = list(_ancestors(owner, everything))
            declared = any(member in everything[name].members for name in above if name in everything)
            if not declared and any(name.startswith(package) for name in above):
                missing.add(f"{owner}.{member.partition(' ')[0]}")
    return missing


def read(content: bytes) -> ClassFile:
    """A class file."""
    pool = _Pool(content)
    at = pool.end
    _, this, above, count = struct.unpack_from(">HHHH", content, at)
    parents = [above, *struct.unpack_from(f">{count}H", content, at + 8)]
    at += 8 + 2 * count
    members = set()
    for _ in ("fields", "methods"):
        (count,) = struct.unpack_from(">H", content, at)
        at += 2
        for _ in range(count):
            _, name, descriptor, attributes = struct.unpack_from(">HHHH", content, at)
            members.add(f"{pool.texts[name]} {pool.texts[descriptor]}")
            at += 8
            for _ in range(attributes):
                at += 6 + struct.unpack_from(">I", content, at + 2)[0]
    return ClassFile(
        pool.class_name(this),
        tuple(pool.class_name(place) for place in parents if place),
        frozenset(members),
        frozenset(pool.references()),
        frozenset(pool.class_name(place) for place in pool.classes),
    )


class _Pool:
    """A constant pool: what stands at each place, of the kinds that are asked for, and where it ends."""

    def __init__(self, content: bytes) -> None:
        self.texts: dict[int, str] = {}
        self.classes: dict[int, int] = {}
        self._pairs: dict[int, tuple[int, int]] = {}
        self._references: list[tuple[int, int]] = []
        (count,) = struct.unpack_from(">H", content, 8)
        at, place = 10, 1
        while place < count:
            tag, size = content[at], _SIZES.get(content[at], 0)
            if tag == _TEXT:
                size = 2 + struct.unpack_from(">H", content, at + 1)[0]
                # Names are ASCII; other texts need not be UTF-8.
                self.texts[place] = content[at + 3 : at + 1 + size].decode("latin-1")
            elif tag == _CLASS:
                (self.classes[place],) = struct.unpack_from(">H", content, at + 1)
            elif tag == _PAIR:
                self._pairs[place] = struct.unpack_from(">HH", content, at + 1)
            elif tag in _REFERENCES:
                self._references.append(struct.unpack_from(">HH", content, at + 1))
            at += 1 + size
            place += 2 if tag in _WIDE else 1
        self.end = at

    def class_name(self, place: int) -> str:
        """A class's name; of an array, its element's."""
        name = self.texts[self.classes[place]]
        return name.lstrip("[").removeprefix("L").rstrip(";") if name.startswith("[") else name

    def references(self) -> Iterator[tuple[str, str]]:
        for owner, pair in self._references:
            name, descriptor = self._pairs[pair]
            yield self.class_name(owner), f"{self.texts[name]} {self.texts[descriptor]}"


def _ancestors(name: str, classes: Mapping[str, ClassFile]) -> Iterator[str]:
    yield name
    for parent in classes[name].parents if name in classes else ():
        yield from _ancestors(parent, classes)
