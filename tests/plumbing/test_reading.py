"""The one reader takes what a file of its kind can be, and refuses the rest in a sentence."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from exporters.errors import LONGEST_PART, EdgeError, InputError
from squeezebert_edge.plumbing import reading


def test_a_file_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("\ufeffé\r\nb\n".encode())
    assert reading.read_bytes(path) == path.read_bytes()
    assert reading.read_text(path) == "\ufeffé\r\nb\n"
    assert reading.read_lines(path) == ["é", "b", ""]


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        started = time.monotonic()
        for name in ("pipe", "directory", "loop", "socket", "nothing", "/dev/zero", "a\0b", "n" * 300):
            with pytest.raises(InputError, match="cannot be"):
                reading.read_bytes(tmp_path / name)
    assert time.monotonic() - started < 1


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(InputError, match="at most 8 MB"):
        reading.read_bytes(path)


def test_text_is_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes("Köln".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8 at byte 1"):
        reading.read_text(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.5e3, "\\u00e9", null, true]}', {"a": [1, -2500.0, "é", None, True]}),
        ("1000000000000000019884624838656", 1000000000000000019884624838656),
        ('"\\ud83d\\ude00"', "😀"),
        ("[" * 60 + "]" * 60, json.loads("[" * 60 + "]" * 60)),
    ],
)
def test_json_is_read_as_the_standard_library_does(text: str, value: Any) -> None:
    assert reading.parse_json(text, "file") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 100 + "]" * 100, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("1" * 5000, "5000 characters"),
        ("1." + "1" * 5000, "5002 characters"),
        ("NaN", "not finite"),
        ('{"a": -Infinity}', "not finite"),
        ("1e400", "not finite"),
        ('["\\ud800"]', "surrogate"),
        ("[" + "[]," * reading.MOST_VALUES + "1]", "values"),
    ],
)
def test_json_that_nobody_means_is_refused_soon(text: str, reason: str) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match=reason) as refused:
        reading.parse_json(text, "file")
    assert time.monotonic() - started < 2
    assert len(str(refused.value)) < 400


def test_numbers_of_a_measurement_need_not_be_finite() -> None:
    assert reading.parse_json("[Infinity, 1e400]", "file", finite=False) == [float("inf")] * 2


class Point(BaseModel):
    """A record."""

    x: int


def test_a_record_says_where_it_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "point.json"
    kind = TypeAdapter(Point)
    path.write_text('{"x": 3}')
    assert reading.read_record(path, kind, allowed="a point") == Point(x=3)
    for content, where in (('{"x": "a"}', "x: "), ("[]", "the whole"), ('{"x": NaN}', "not finite")):
        path.write_text(content)
        with pytest.raises(InputError, match=where):
            reading.read_record(path, kind, allowed="a point")


def test_an_error_shows_no_value_whole_and_moves_no_cursor() -> None:
    error = EdgeError("x" * 10**7 + "\x1b[2J\u202e\ud800", allowed="y" * 10**6, hint="run\nit")
    assert len(str(error)) < 3 * LONGEST_PART
    assert "\\x1b[2J\\u202e\\ud800" in error.problem
    assert error.hint == "run\nit"
