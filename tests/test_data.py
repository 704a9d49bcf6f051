"""Labelled files in their usual forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.errors import InputError
from squeezebert_edge import data
from squeezebert_edge.data import Example


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_glue_sentences_keep_their_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, 'sentence\tlabel\nso-called "art\t0\r\n" fun\t1\n')
    assert data.read_texts(path) == [Example('so-called "art', label="0"), Example('" fun', label="1")]


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ("index\tquestion\tsentence\tlabel", ("q", "s")),
        ("label\tsentence1\tsentence2", ("s1", "s2")),
        ("premise\thypothesis\tlabel", ("p", "h")),
        ("text\tlabel", ("t",)),
    ],
)
def test_columns_are_found_by_their_usual_names(tmp_path: Path, header: str, texts: tuple[str, ...]) -> None:
    short = {"question": "q", "sentence": "s", "sentence1": "s1", "sentence2": "s2"}
    short |= {"premise": "p", "hypothesis": "h", "text": "t", "label": "l", "index": "0"}
    row = "\t".join(short[name] for name in header.split("\t"))
    assert data.read_texts(written(tmp_path, f"{header}\n{row}\n")) == [Example(*texts, label="l")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("sentence\tlabel\n", "no examples"),
        ("sentence\tlabel\na\tb\nonly one\n", ":3: 1 columns"),
        ("words\tlabel\na\tb\n", "no column of texts"),
        (b"sentence\tlabel\n\xff\xfe\t0\n", "not UTF-8 at byte 15"),
    ],
)
def test_a_bad_table_says_where(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        data.read_texts(written(tmp_path, content))


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        data.read_texts(tmp_path / "absent")


def test_tagged_sentences(tmp_path: Path) -> None:
    path = written(tmp_path, "Ada B-PER\nwrote O\n\n\nParis NNP B-LOC\n")
    assert data.read_tagged(path) == [
        Example("Ada wrote", label=("B-PER", "O"), words=("Ada", "wrote")),
        Example("Paris", label=("B-LOC",), words=("Paris",)),
    ]
    with pytest.raises(InputError, match=":2: a word without a tag"):
        data.read_tagged(written(tmp_path, "Ada B-PER\nwrote\n"))


def test_json_lines(tmp_path: Path) -> None:
    path = written(tmp_path, '{"question": "q", "context": "c", "answers": [{"text": "c", "start": 0}]}\n')
    assert data.read_questions(path) == [Example("q", "c", label=("c",))]
    for row, says in (
        ('{"prompt": "p", "choices": ["one"]}', "two texts or more"),
        ('{"prompt": "p", "choices": ["a", "b"], "label": 2}', "a number from 0 to 1"),
        ('{"prompt": "p", "choices": "ab"}', "without choices"),
        ("[]", "not an object"),
    ):
        with pytest.raises(InputError, match=f"(?s):1: .*{says}"):
            data.read_choices(written(tmp_path, row + "\n"))
    with pytest.raises(InputError, match=":1: answers"):
        data.read_questions(
            written(tmp_path, '{"question": "q", "context": "c", "answers": {"text": ["c"]}}\n')
        )
    with pytest.raises(InputError, match=":1: without context"):
        data.read_questions(written(tmp_path, '{"question": "q"}\n'))
    with pytest.raises(InputError, match=":2: not JSON"):
        data.read_masked(written(tmp_path, '{"text": "a [MASK]"}\n{"text"\n'))
