"""The built-in samples are what their README says: well-formed, balanced, varied and original."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

SAMPLES = files("squeezebert_edge") / "assets" / "samples"
NAMES = ["sentences.tsv", "pairs.tsv", "questions.jsonl", "choices.jsonl", "tagged.conll", "masked.jsonl"]


def read(name: str) -> str:
    return (SAMPLES / name).read_bytes().decode("utf-8", errors="strict")


def read_tsv(name: str) -> tuple[list[str], list[list[str]]]:
    header, *rows = [line.split("\t") for line in read(name).removesuffix("\n").split("\n")]
    return header, rows


def read_jsonl(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read(name).removesuffix("\n").split("\n")]


def read_conll() -> list[list[tuple[str, str]]]:
    sentences = []
    for block in read("tagged.conll").removesuffix("\n").split("\n\n"):
        rows = [line.split(" ") for line in block.split("\n")]
        assert all(len(row) == 2 for row in rows), block
        sentences.append([(token, tag) for token, tag in rows])
    return sentences


def strings(value: object) -> list[str]:
    """Every string inside a decoded JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return []


def fields(name: str) -> list[str]:
    """Every text field of a file."""
    if name.endswith(".tsv"):
        return [field for row in read_tsv(name)[1] for field in row]
    if name.endswith(".jsonl"):
        return [text for record in read_jsonl(name) for text in strings(record)]
    return [token for sentence in read_conll() for token, _ in sentence]


def words(text: str) -> int:
    return len(text.split())


def letters(text: str) -> str:
    """What is left of a text when case, spaces and punctuation do not count."""
    return "".join(c for c in text.casefold() if c.isalnum())


def assert_distinct(texts: list[str]) -> None:
    repeated = [text for text, n in Counter(map(letters, texts)).items() if n > 1]
    assert repeated == []


def assert_mixed(labels: list[Any], *, within: int) -> None:
    """Every prefix holds about as many of each label: a run over the first N lines is a fair one."""
    kinds = set(labels)
    for n in range(8, len(labels), 8):
        counts = Counter(labels[:n])
        assert all(abs(counts[kind] - n / len(kinds)) <= within for kind in kinds), (n, counts)


@pytest.mark.parametrize("name", NAMES)
def test_plain_text_everywhere(name: str) -> None:
    text = read(name)
    assert unicodedata.is_normalized("NFC", text)
    assert not text.startswith("\ufeff")
    assert "\r" not in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    for field in fields(name):
        assert field, "an empty field"
        assert field == field.strip()
        assert "  " not in field
        controls = [c for c in field if unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cn", "Co", "Cs"}]
        assert controls == [], field


def test_readme_names_every_file_and_no_other() -> None:
    readme = read("README.md")
    present = {item.name for item in SAMPLES.iterdir()} - {"README.md"}
    assert present == set(NAMES)
    assert set(re.findall(r"^\| `([^`]+)`", readme, flags=re.MULTILINE)) == present
    assert "Apache-2.0" in readme


@pytest.mark.parametrize("name", ["sentences.tsv", "pairs.tsv"])
def test_tsv_reads_the_same_with_and_without_quoting(name: str) -> None:
    header, rows = read_tsv(name)
    lines = read(name).splitlines()
    assert list(csv.reader(lines, delimiter="\t")) == [header, *rows]
    assert list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)) == [header, *rows]


def test_sentences() -> None:
    header, rows = read_tsv("sentences.tsv")
    assert header == ["sentence", "label"]
    assert all(len(row) == 2 for row in rows)
    texts, labels = [row[0] for row in rows], [row[1] for row in rows]
    assert Counter(labels) == {"negative": 100, "positive": 100}
    assert_distinct(texts)
    assert_mixed(labels, within=5)


def test_sentences_vary() -> None:
    _, rows = read_tsv("sentences.tsv")
    lengths = [words(text) for text, _ in rows]
    assert min(lengths) == 2
    assert max(lengths) <= 62
    assert sum(n <= 4 for n in lengths) >= 10
    assert sum(10 <= n <= 25 for n in lengths) >= 80
    assert sum(n >= 35 for n in lengths) >= 10
    for label in ("negative", "positive"):  # length must not give the label away
        own = [words(text) for text, kind in rows if kind == label]
        assert min(own) <= 3
        assert max(own) >= 50
    openings = Counter(" ".join(text.lower().split()[:3]) for text, _ in rows)
    assert max(openings.values()) <= 4
    everything = " ".join(text for text, _ in rows)
    assert len(set(re.findall(r"\w+", everything.casefold()))) > 1000
    for kind, pattern in {
        "accent": "[à-öø-ÿ]",
        "digit": r"\d",
        "hyphen": r"\w-\w",
        "quotation mark": '"',
        "emoji": "[\U0001f300-\U0001faff]",
        "Hangul": "[가-힣]",
        "negation": r"(?i)n't|\bnot\b",
    }.items():
        assert re.search(pattern, everything), kind


def test_pairs() -> None:
    header, rows = read_tsv("pairs.tsv")
    assert header == ["premise", "hypothesis", "label"]
    assert all(len(row) == 3 for row in rows)
    labels = [row[2] for row in rows]
    assert Counter(labels) == {"entailment": 22, "neutral": 21, "contradiction": 21}
    assert_distinct([f"{premise} {hypothesis}" for premise, hypothesis, _ in rows])
    assert_distinct([hypothesis for _, hypothesis, _ in rows])
    assert_mixed(labels, within=4)
    lengths = [words(premise) for premise, _, _ in rows]
    assert min(lengths) <= 4
    assert sum(n >= 30 for n in lengths) >= 4
    assert max(lengths) >= 60


def test_questions() -> None:
    records = read_jsonl("questions.jsonl")
    assert len(records) == 64
    for record in records:
        assert list(record) == ["id", "question", "context", "answers"]
    assert_distinct([record["id"] for record in records])
    assert_distinct([record["question"] for record in records])
    assert_distinct([record["context"] for record in records])


def test_answers_are_cut_from_their_contexts() -> None:
    several = repeated = beyond_ascii = 0
    for record in read_jsonl("questions.jsonl"):
        context, answers = record["context"], record["answers"]
        assert answers, record["id"]
        for answer in answers:
            assert list(answer) == ["text", "start"]
            text, start = answer["text"], answer["start"]
            assert text == text.strip() != ""
            assert type(start) is int
            assert start >= 0
            assert context[start : start + len(text)] == text, record["id"]
            repeated += context.find(text) != start
            beyond_ascii += len(context[:start].encode("utf-16-le")) != 2 * start
        lengths = [len(answer["text"]) for answer in answers]
        assert lengths == sorted(set(lengths), reverse=True)
        several += len(answers) > 1
    assert several >= 8
    assert repeated >= 1  # the first place where the text stands is not always the answer
    assert beyond_ascii >= 1  # code points are told from UTF-16 units


def test_contexts_vary() -> None:
    records = read_jsonl("questions.jsonl")
    lengths = [words(record["context"]) for record in records]
    assert sum(n < 50 for n in lengths) >= 6
    assert sum(n >= 150 for n in lengths) >= 10
    assert max(lengths) <= 200
    places = [record["answers"][0]["start"] / len(record["context"]) for record in records]
    assert sum(place < 1 / 3 for place in places) >= 8
    assert sum(place > 2 / 3 for place in places) >= 8


def test_choices() -> None:
    records = read_jsonl("choices.jsonl")
    assert len(records) == 64
    for record in records:
        assert list(record) == ["prompt", "choices", "label"]
        assert len(record["choices"]) == 4
        assert_distinct(record["choices"])
    labels = [record["label"] for record in records]
    assert Counter(labels) == {0: 16, 1: 16, 2: 16, 3: 16}
    assert_mixed(labels, within=3)
    assert_distinct([record["prompt"] for record in records])
    assert {words(record["prompt"]) <= 8 for record in records} == {True, False}
    assert max(words(record["prompt"]) for record in records) >= 25


def test_right_choice_is_not_the_longest() -> None:
    records = read_jsonl("choices.jsonl")
    longest = sum(max(r["choices"], key=len) == r["choices"][r["label"]] for r in records)
    assert longest <= 24  # 16 by chance


def test_tagged() -> None:
    sentences = read_conll()
    assert len(sentences) == 64
    assert_distinct([" ".join(token for token, _ in sentence) for sentence in sentences])
    kinds: Counter[str] = Counter()
    for sentence in sentences:
        before = "O"
        for token, tag in sentence:
            assert re.fullmatch(r"O|[BI]-(PER|LOC|ORG|MISC)", tag), (token, tag)
            if tag.startswith("I-"):
                assert before[2:] == tag[2:], (token, tag)  # an entity begins with B-
            kinds[tag] += 1
            before = tag
    assert min(kinds[f"B-{kind}"] for kind in ("PER", "LOC", "ORG", "MISC")) >= 20
    assert min(kinds[f"I-{kind}"] for kind in ("PER", "LOC", "ORG", "MISC")) >= 10
    assert any(all(tag == "O" for _, tag in sentence) for sentence in sentences)
    lengths = [len(sentence) for sentence in sentences]
    assert min(lengths) <= 4
    assert max(lengths) >= 25


def test_masked() -> None:
    records = read_jsonl("masked.jsonl")
    assert len(records) == 64
    for record in records:
        assert list(record) == ["text", "answer"]
        assert record["text"].count("[MASK]") == 1
        assert re.fullmatch("[a-z]+", record["answer"]), record
    assert_distinct([record["text"] for record in records])
    assert_distinct([record["answer"] for record in records])
    places = [r["text"].index("[MASK]") / len(r["text"]) for r in records]
    assert sum(place < 1 / 3 for place in places) >= 8
    assert max(words(record["text"]) for record in records) >= 40


def test_masked_answers_are_single_words_of_the_vocabulary(shared: Path) -> None:
    vocabulary = set((shared / "data/bert-base-uncased/vocab.txt").read_text(encoding="utf-8").splitlines())
    assert [r["answer"] for r in read_jsonl("masked.jsonl") if r["answer"] not in vocabulary] == []


def test_sentences_are_not_in_the_data_of_the_default_model(shared: Path) -> None:
    known: set[str] = set()
    for part in ("train", "dev"):
        lines = (shared / "data/sst2" / f"{part}.tsv").read_text(encoding="utf-8").split("\n")
        known |= {letters(line.split("\t")[0]) for line in lines}
    _, rows = read_tsv("sentences.tsv")
    assert [text for text, _ in rows if letters(text) in known] == []
