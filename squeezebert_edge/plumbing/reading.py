"""The one reader of files: everything that a user or a stranger wrote is opened and parsed here.

A file must be a regular one of a size that its kind can have, UTF-8 where it is text, and strict JSON where
it is JSON. Whatever else stands there, an InputError says so in a sentence, soon and in little memory.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from exporters.errors import InputError, quote

SETTINGS = 8 << 20  # bytes of a file about one thing: a configuration, a manifest, an index
CONTENTS = 256 << 20  # bytes of a file of many: examples, words, the samples of measurements

MOST_LINES = 4_000_000  # the largest sets of labelled sentences have fewer
MOST_VALUES = 8_000_000  # in one JSON document; SQuAD has a tenth of that
DEEPEST = 64  # a SQuAD is 7 deep, a configuration fewer
LONGEST_NUMBER = 64  # characters; transformers writes 10^30 for a length without a limit

T = TypeVar("T")


class NotJsonError(InputError):
    """A text is no JSON at all. line: the one that shows it, counted from 1. reason: what is wrong there."""

    def __init__(self, where: object, error: json.JSONDecodeError) -> None:
        super().__init__(f"{where} is not JSON: {error}", hint="fetch or write it again")
        self.line, self.reason = error.lineno, error.msg


@contextmanager
def open_regular(path: Path, most: int | None = None) -> Iterator[IO[bytes]]:
    """Open a regular file to read its bytes; never waits for one that is something else.

    Args:
        most: bytes that it may have; None for any number.

    Raises:
        InputError: it is not there, not ours to read, too large, or a directory, pipe, socket or device.
    """
    try:
        # Opening a pipe would otherwise wait for somebody who writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InputError(f"{path} cannot be read: it does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{quote(str(path))} cannot be the name of a file") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            kind = "a directory" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
            raise InputError(f"{path} cannot be read: it is {kind}", allowed="a regular file")
        if most is not None and found.st_size > most:
            raise InputError(
                f"{path} cannot be read: it has {found.st_size} bytes, too many for what it should be",
                allowed=f"at most {most >> 20} MB",
            )
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read_bytes(path: Path, most: int = SETTINGS) -> bytes:
    """The content of a regular file.

    Args:
        most: bytes that it may have.

    Raises:
        InputError: as `open_regular`, or the disk fails.
    """
    with open_regular(path, most) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise InputError(f"{path} cannot be read: it grows", allowed="a file that nobody is writing")
    return content


def read_text(path: Path, most: int = SETTINGS) -> str:
    """The text of a regular file in UTF-8, every character as it stands there.

    Raises:
        InputError: as `read_bytes`, or it is not UTF-8.
    """
    return decode(read_bytes(path, most), path)


def decode(content: bytes, where: object) -> str:
    """UTF-8 as text; `where` it stands is for the message.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 at byte {error.start}", hint="convert it to UTF-8") from None


def read_lines(path: Path, most: int = CONTENTS) -> list[str]:
    """The lines of a UTF-8 file without their ends: LF, CR LF or, where there is no LF, CR.

    A byte order mark is left out.

    Raises:
        InputError: as `read_text`, or it has too many lines.
    """
    text = read_text(path, most).removeprefix("\ufeff")
    if max(text.count("\n"), text.count("\r")) > MOST_LINES:
        raise InputError(
            f"{path} has more lines than can be read at once",
            allowed=f"at most {MOST_LINES:,}",
            hint=f"split it: split -l {MOST_LINES // 4} FILE",
        )
    lines = text.split("\n" if "\n" in text else "\r")
    return [line.removesuffix("\r") for line in lines]


def read_json(path: Path, most: int = SETTINGS) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: as `read_text`, or as `parse_json`.
    """
    return parse_json(read_text(path, most), path)


def read_object(path: Path, most: int = SETTINGS) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        InputError: as `read_json`, or it holds something else.
    """
    content = read_json(path, most)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {quote(content)}", allowed="a JSON object")
    return content


def read_record(
    path: Path, kind: TypeAdapter[T], *, allowed: str, hint: str | None = None, most: int = SETTINGS
) -> T:
    """A JSON file as a record.

    Args:
        kind: the record's.
        allowed, hint: of the error where it is another.

    Raises:
        InputError: as `read_json`, or it is no such record.
    """
    return parse_record(read_bytes(path, most), path, kind, allowed=allowed, hint=hint)


def parse_record(
    content: bytes, where: object, kind: TypeAdapter[T], *, allowed: str, hint: str | None = None
) -> T:
    """JSON as a record, as `read_record` takes it from a file.

    Raises:
        InputError: not UTF-8, not strict JSON, or no such record.
    """
    try:
        parse_json(decode(content, where), where)  # strictly, as pydantic does not
        return kind.validate_json(content)
    except InputError as error:
        problem = error.problem
    except ValidationError as error:
        problem = f"{where} is not as expected: {first_error(error)}"
    raise InputError(problem, allowed=allowed, hint=hint)


def first_error(error: ValidationError) -> str:
    """Where a record is wrong first, and how."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = quote(".".join(map(str, first["loc"])))[1:-1]
    return f"{place or 'the whole'}: {first['msg']}"


def parse_json(text: str, where: object, *, finite: bool = True, unique: bool = False) -> Any:
    """What a JSON text says, read strictly.

    Args:
        where: it stands, for the message.
        finite: refuse NaN, Infinity and numbers too large for a float.
        unique: refuse an object that has a name twice, of which the last would count.

    Raises:
        InputError: it is not JSON, or nested too deeply, too long a number or too many values are in it.
    """
    if text.count(",") + text.count("[") + text.count("{") > MOST_VALUES:
        raise InputError(f"{where} holds more than {MOST_VALUES:,} values", hint="split it")

    def number(digits: str) -> float:
        value = float(_short(digits))
        return _refuse(digits) if finite and math.isinf(value) else value

    try:
        value = json.loads(
            text,
            parse_int=lambda digits: int(_short(digits)),
            parse_float=number,
            parse_constant=_refuse if finite else float,
            object_pairs_hook=_unique if unique else None,
        )
    except json.JSONDecodeError as error:
        raise NotJsonError(where, error) from None
    except ValueError as error:
        raise InputError(f"{where} is not JSON that can be used: {error}") from None
    except RecursionError:
        raise InputError(f"{where} is nested too deeply", allowed=f"{DEEPEST} levels") from None
    _check_depth(value, where)
    _check_characters(text, value, where)
    return value


def _short(digits: str) -> str:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number in it has {len(digits)} characters")
    return digits


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"a number in it is {number}, which is not finite")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        seen = Counter(name for name, _ in pairs)
        raise ValueError(f"it has {quote(seen.most_common(1)[0][0])[1:-1]} twice")
    return names


def _check_depth(value: Any, where: object) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [child for outer in level for child in _children(outer) if isinstance(child, dict | list)]
        if not level:
            return
    raise InputError(f"{where} is nested too deeply", allowed=f"{DEEPEST} levels")


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _check_characters(text: str, value: Any, where: object) -> None:
    """Refuse an escaped half of a surrogate pair: it is no character, and cannot be written again."""
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(f"{where} has half a surrogate pair in it", allowed="Unicode text") from None
