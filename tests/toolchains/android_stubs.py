"""Class files without code, to compile against, from a list of an API; nullability and deprecation are kept.

The format: https://docs.oracle.com/javase/specs/jvms/se8/html/jvms-4.html
"""

from __future__ import annotations

import ast
import re
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.toolchains.android_api import Class, Member, read

# The list uses these without listing them.
_ANNOTATIONS = """
package android.annotation {
  public @interface NonNull { }
  public @interface Nullable { }
}
"""
_NULLNESS = ("NonNull", "Nullable")
_STATIC, _FINAL, _SUPER, _INTERFACE = 0x8, 0x10, 0x20, 0x200
_ABSTRACT, _ANNOTATION, _ENUM = 0x400, 0x2000, 0x4000
_FIELDS, _METHODS = ("field", "enum_constant"), ("ctor", "method")
_KINDS = {"class": 0, "interface": _INTERFACE | _ABSTRACT, "enum": _ENUM}
_KINDS["@interface"] = _KINDS["interface"] | _ANNOTATION


def write_jar(api: Path, jar: Path) -> None:
    """A jar of every class that the list has."""
    classes = read(api.read_text(encoding="utf-8") + _ANNOTATIONS)
    nested: dict[str, list[str]] = {}
    for name in classes:
        nested.setdefault(name.rpartition("$")[0], []).append(name)
    with zipfile.ZipFile(jar, "w") as file:
        for name, found in classes.items():
            content = _ClassFile(found, classes, nested.get(name, [])).content
            file.writestr(zipfile.ZipInfo(f"{name}.class", (2020, 1, 1, 0, 0, 0)), content)


def _access(found: Class) -> int:
    """As InnerClasses has it; a nested interface or enum is static whether that is written or not."""
    implied = _STATIC if "$" in found.name and found.kind != "class" else 0
    final = _FINAL if found.kind == "enum" and not found.flags & _ABSTRACT else 0
    return found.flags | _KINDS[found.kind] | implied | final


class _ClassFile:
    def __init__(self, found: Class, classes: Mapping[str, Class], nested: Iterable[str]) -> None:
        self._class, self._classes = found, classes
        self._pool, self._places = bytearray(), dict[tuple[int, object], int]()
        self._count = 1
        self._seen = {found.name, *nested}
        fields = [self._field(member) for member in found.members if member.kind in _FIELDS]
        methods = [self._method(member) for member in found.members if member.kind in _METHODS]
        above, *interfaces = [self._named(parent.descriptor[1:-1]) for parent in found.parents]
        signature = found.bounds + "".join(parent.signature for parent in found.parents)
        attributes = self._attributes(signature, found.annotations)
        attributes.append(self._inner_classes())  # last: by now every name was seen
        access = _access(found) & ~(4 | _STATIC) | (1 if found.flags & 5 else 0)
        access |= 0 if access & _INTERFACE else _SUPER
        body = struct.pack(">HHHH", access, self._named(found.name), above, len(interfaces))
        body += b"".join(struct.pack(">H", place) for place in interfaces)
        body += _counted(fields) + _counted(methods) + _counted(attributes)
        self.content = struct.pack(">IHHH", 0xCAFEBABE, 0, 52, self._count) + bytes(self._pool) + body

    def _field(self, member: Member) -> bytes:
        flags = member.flags | (_ENUM if member.kind == "enum_constant" else 0)
        descriptor, signature = member.type.descriptor, member.type.signature
        attributes = self._attributes(signature if signature != descriptor else None, member.annotations)
        if member.value is not None and flags & (_STATIC | _FINAL) == _STATIC | _FINAL:
            place = self._constant(descriptor, member.value)
            if place is not None:
                attributes.append(self._attribute("ConstantValue", struct.pack(">H", place)))
        return self._member(flags, member.name, descriptor, attributes)

    def _method(self, member: Member) -> bytes:
        flags, types = member.flags, [parameter.type for parameter in member.parameters]
        if self._class.kind in ("interface", "@interface") and not member.implemented:
            flags |= _ABSTRACT
        shown = [found.descriptor for found in types]
        outer = self._class.name.rpartition("$")[0]
        if member.kind == "ctor" and outer in self._classes and not _access(self._class) & _STATIC:
            shown.insert(0, f"L{outer};")  # the object that an inner class belongs to
        descriptor = f"({''.join(shown)}){member.type.descriptor}"
        signature = f"{member.bounds}({''.join(found.signature for found in types)}){member.type.signature}"
        attributes = self._attributes(signature if signature != descriptor else None, member.annotations)
        if member.throws:
            places = struct.pack(f">{len(member.throws)}H", *map(self._named, member.throws))
            attributes.append(self._attribute("Exceptions", _counted([places], len(member.throws))))
        marks = [self._annotations(parameter.annotations, _NULLNESS) for parameter in member.parameters]
        if any(mark != _counted([]) for mark in marks):
            attributes.append(
                self._attribute("RuntimeInvisibleParameterAnnotations", bytes([len(marks)]) + b"".join(marks))
            )
        return self._member(flags, member.name, descriptor, attributes)

    def _member(self, flags: int, name: str, descriptor: str, attributes: list[bytes]) -> bytes:
        self._see(descriptor)
        return struct.pack(">HHH", flags, self._text(name), self._text(descriptor)) + _counted(attributes)

    def _attributes(self, signature: str | None, annotations: frozenset[str]) -> list[bytes]:
        found = []
        if signature is not None:
            self._see(signature)
            found.append(self._attribute("Signature", struct.pack(">H", self._text(signature))))
        if annotations & set(_NULLNESS):
            marks = self._annotations(annotations, _NULLNESS)
            found.append(self._attribute("RuntimeInvisibleAnnotations", marks))
        if "Deprecated" in annotations:
            marks = self._annotations(annotations, ("Deprecated",))
            found.append(self._attribute("Deprecated", b""))
            found.append(self._attribute("RuntimeVisibleAnnotations", marks))
        return found

    def _annotations(self, present: frozenset[str], wanted: Iterable[str]) -> bytes:
        packages = {"Deprecated": "java/lang"}
        names = [f"L{packages.get(name, 'android/annotation')}/{name};" for name in wanted if name in present]
        return _counted([struct.pack(">HH", self._text(name), 0) for name in names])

    def _inner_classes(self) -> bytes:
        inner = sorted({part for name in self._seen for part in _chain(name)})
        rows = [
            struct.pack(
                ">HHHH",
                self._named(name),
                self._named(name.rpartition("$")[0]),
                self._text(name.rpartition("$")[2]),
                _access(self._classes[name]) if name in self._classes else 1 | _STATIC,
            )
            for name in inner
        ]
        return self._attribute("InnerClasses", _counted(rows))

    def _attribute(self, name: str, content: bytes) -> bytes:
        return struct.pack(">HI", self._text(name), len(content)) + content

    def _see(self, types: str) -> None:
        self._seen |= set(re.findall(r"L([\w/$]+)", types))

    def _constant(self, descriptor: str, value: str) -> int | None:
        if descriptor == "Ljava/lang/String;":
            return self._entry(8, value, struct.pack(">H", self._text(ast.literal_eval(value))))
        if descriptor in ("F", "D"):
            # A quotient, (1.0f/0.0f), is how the list writes infinities and NaN, which no caller needs.
            if "/" in value:
                return None
            number = float(value.rstrip("fF"))
            packed = struct.pack(">f" if descriptor == "F" else ">d", number)
            return self._entry(4 if descriptor == "F" else 6, value, packed)
        if descriptor == "J":
            return self._entry(5, value, struct.pack(">q", int(value.rstrip("L"), 0)))
        if descriptor not in ("I", "S", "B", "C", "Z"):
            return None
        whole = _whole(value)
        return self._entry(3, whole, struct.pack(">i", whole))

    def _named(self, name: str) -> int:
        self._seen.add(name)
        return self._entry(7, name, struct.pack(">H", self._text(name)))

    def _text(self, text: str) -> int:
        encoded = text.encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")
        return self._entry(1, text, struct.pack(">H", len(encoded)) + encoded)

    def _entry(self, tag: int, key: object, content: bytes) -> int:
        if (tag, key) not in self._places:
            self._places[tag, key] = self._count
            self._pool += bytes([tag]) + content
            self._count += 2 if tag in (5, 6) else 1
        return self._places[tag, key]


def _counted(parts: list[bytes], count: int | None = None) -> bytes:
    return struct.pack(">H", len(parts) if count is None else count) + b"".join(parts)


def _whole(literal: str) -> int:
    if literal in ("true", "false"):
        return int(literal == "true")
    return ord(ast.literal_eval(literal)) if literal.startswith("'") else int(literal, 0)


def _chain(name: str) -> Iterable[str]:
    while "$" in name:
        yield name
        name = name.rpartition("$")[0]
