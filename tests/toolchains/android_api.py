"""Reads a list of an Android API (signature format 2.0), of which android_stubs.py makes classes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

STATIC, VARARGS = 0x8, 0x80
MODIFIERS = {"public": 0x1, "protected": 0x4, "static": STATIC, "final": 0x10}
MODIFIERS |= {"volatile": 0x40, "transient": 0x80, "abstract": 0x400}
_SILENT = {"default", "native", "synchronized", "strictfp", "sealed"}  # nothing in a class file for a caller
_PRIMITIVES = {"void": "V", "boolean": "Z", "byte": "B", "char": "C", "short": "S", "int": "I", "long": "J"}
_PRIMITIVES |= {"float": "F", "double": "D"}
_TOKEN = re.compile(
    r'//[^\n]*|\s+|(?P<token>@interface|@[\w.]+|"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[\w$][\w.$]*\w|[\w$]|\.\.\.|.)'
)


@dataclass(frozen=True)
class Type:
    """A type as a class file has it: its descriptor, and its signature, which keeps type arguments."""

    descriptor: str
    signature: str


_OBJECT = Type("Ljava/lang/Object;", "Ljava/lang/Object;")


@dataclass(frozen=True)
class Parameter:
    type: Type
    annotations: frozenset[str]


@dataclass(frozen=True)
class Member:
    """kind: ctor, method, field or enum_constant. bounds: the signature of its type parameters."""

    kind: str
    name: str
    flags: int
    annotations: frozenset[str]
    bounds: str
    type: Type
    parameters: tuple[Parameter, ...] = ()
    throws: tuple[str, ...] = ()
    value: str | None = None
    implemented: bool = True


@dataclass
class Class:
    """name: internal, with / and $. parents: the superclass, then interfaces."""

    name: str
    kind: str
    flags: int
    annotations: frozenset[str]
    bounds: str
    parents: tuple[Type, ...]
    members: list[Member] = field(default_factory=list)


def read(text: str) -> dict[str, Class]:
    """The classes of a list, by internal name; an outer one comes before its nested ones.

    Raises:
        ValueError: what is not of the format.
    """
    reader = _Reader([found["token"] for found in _TOKEN.finditer(text) if found["token"]])
    return {found.name: found for found in reader.classes()}


def internal(name: str) -> str:
    """`android.os.Build.VERSION` as android/os/Build$VERSION; without a package it is java.lang's."""
    parts = name.split(".")
    top = next((place for place, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    package = "/".join(parts[:top]) or "java/lang"
    return f"{package}/{'$'.join(parts[top:])}"


class _Reader:
    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens, self._next = tokens, 0
        self._variables: dict[str, str] = {}  # a type variable's erasure

    def classes(self) -> Iterator[Class]:
        scopes: dict[str, dict[str, str]] = {}
        while self._next < len(self._tokens):
            self._expect("package")
            self._annotations()
            package = self._take()
            self._expect("{")
            while not self._skip("}"):
                yield self._class(package, scopes)

    def _class(self, package: str, scopes: dict[str, dict[str, str]]) -> Class:
        annotations, flags = self._annotations(), self._modifiers()[0]
        kind, name = self._take(), internal(f"{package}.{self._take()}")
        outer = name.rpartition("$")[0]
        nested = bool(outer) and (flags & STATIC or kind != "class")
        self._variables = {} if nested else dict(scopes.get(outer, {}))
        bounds = self._bounds()
        scopes[name] = dict(self._variables)
        above, interfaces = self._parents("extends"), self._parents("implements")
        if kind in ("interface", "@interface"):
            above, interfaces = [], above + interfaces
        if kind == "enum":
            above = [Type("Ljava/lang/Enum;", f"Ljava/lang/Enum<L{name};>;")]
        if kind == "@interface":
            interfaces = [Type("Ljava/lang/annotation/Annotation;", "Ljava/lang/annotation/Annotation;")]
        parents = (*(above or [_OBJECT]), *interfaces)
        found = Class(name, kind, flags, annotations, bounds, parents)
        self._expect("{")
        while not self._skip("}"):
            self._variables = dict(scopes[name])
            found.members.append(self._member())
        return found

    def _parents(self, word: str) -> list[Type]:
        found: list[Type] = []
        if self._skip(word):
            while self._peek() not in ("{", "implements"):
                found.append(self._type())
        return found

    def _member(self) -> Member:
        kind, annotations, (flags, words) = self._take(), self._annotations(), self._modifiers()
        if kind not in ("ctor", "method", "field", "enum_constant"):
            raise ValueError(f"a member of kind {kind}")
        bounds = self._bounds()
        if kind == "ctor":
            self._take()
            return self._callable(kind, "<init>", flags, annotations, bounds, Type("V", "V"), words)
        type_, name = self._type(), self._take()
        if kind == "method":
            return self._callable(kind, name, flags, annotations, bounds, type_, words)
        value = self._value() if self._skip("=") else None
        self._expect(";")
        return Member(kind, name, flags, annotations, bounds, type_, value=value)

    def _callable(
        self,
        kind: str,
        name: str,
        flags: int,
        annotations: frozenset[str],
        bounds: str,
        type_: Type,
        words: set[str],
    ) -> Member:
        self._expect("(")
        parameters: list[Parameter] = []
        while not self._skip(")"):
            marks, _ = self._annotations(), self._modifiers()
            parameters.append(Parameter(self._type(), marks))
            flags |= VARARGS if self._tokens[self._next - 1] == "..." else 0
            if self._peek() not in (",", ")"):
                self._take()  # its name
            self._skip(",")
        throws: list[str] = []
        if self._skip("throws"):
            while self._peek() != ";":
                throws.append(self._type().descriptor[1:-1])
                self._skip(",")
        if self._skip("default"):
            self._value()
        self._expect(";")
        implemented = bool(words & {"default", "static"})
        return Member(
            kind, name, flags, annotations, bounds, type_, tuple(parameters), tuple(throws), None, implemented
        )

    def _type(self) -> Type:
        self._annotations()
        name = self._take()
        if name in _PRIMITIVES:
            descriptor = signature = _PRIMITIVES[name]
        elif name in self._variables:
            descriptor, signature = self._variables[name], f"T{name};"
        else:
            descriptor, signature = self._reference(name)
        dimensions = ""
        while self._peek() in ("[", "..."):
            dimensions += "["
            if self._take() == "[":
                self._expect("]")
        return Type(dimensions + descriptor, dimensions + signature)

    def _reference(self, name: str) -> tuple[str, str]:
        whole, arguments = internal(name), ""
        if self._skip("<"):
            while not self._skip(">"):
                arguments += self._argument()
                self._skip(",")
        if self._skip("."):  # a class within a generic one, whose arguments a caller does not need
            whole, arguments = f"{whole}${self._take().replace('.', '$')}", ""
        return f"L{whole};", f"L{whole}<{arguments}>;" if arguments else f"L{whole};"

    def _argument(self) -> str:
        self._annotations()
        if not self._skip("?"):
            return self._type().signature
        if self._skip("extends"):
            return "+" + self._type().signature
        return "-" + self._type().signature if self._skip("super") else "*"

    def _bounds(self) -> str:
        """Type parameters, `<T extends A & B, U>`, as a signature; they are known from here on."""
        if not self._skip("<"):
            return ""
        found, start = "", self._next
        for declared in (True, False):  # a bound may name a parameter that comes later
            found, self._next = "", start
            while not self._skip(">"):
                self._annotations()
                name, bounds = self._take(), []
                if declared:
                    self._variables.setdefault(name, _OBJECT.descriptor)
                if self._skip("extends"):
                    bounds.append(self._type())
                    while self._skip("&"):
                        bounds.append(self._type())
                    self._variables[name] = bounds[0].descriptor
                found += name + "".join(f":{bound.signature}" for bound in bounds or [_OBJECT])
                self._skip(",")
        return f"<{found}>"

    def _annotations(self) -> frozenset[str]:
        found = set()
        while self._peek().startswith("@") and self._peek() != "@interface":
            found.add(self._take()[1:].rpartition(".")[2])
            if self._skip("("):
                depth = 1
                while depth:
                    token = self._take()
                    depth += (token == "(") - (token == ")")
        return frozenset(found)

    def _modifiers(self) -> tuple[int, set[str]]:
        words = set()
        while self._peek() in MODIFIERS or (self._peek() in _SILENT and self._peek() != ";"):
            words.add(self._take())
        return sum(MODIFIERS.get(word, 0) for word in words), words

    def _value(self) -> str:
        found = ""
        while self._peek() != ";":
            found += self._take()
        return found

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1]

    def _skip(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._next += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._skip(token):
            near = " ".join(self._tokens[max(0, self._next - 8) : self._next + 4])
            raise ValueError(f"{token} is missing in: {near}")
