"""What the demos' tokenizers are asked, and what Python answers: the same cases for Kotlin and for Swift.

A case is a line of JSON for the demos' command-line programs: `text`, `pair`, `max_length` and `truncate`, or
`question`, `context`, `max_length` and `doc_stride`. Its answer is a list of rows, or an error.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from exporters.errors import InputError
from squeezebert_edge.bundle.manifest import write_manifest
from squeezebert_edge.text.tokenizer import Encoding, Tokenizer
from squeezebert_edge.text.vocabulary import TokenizerFlags, bert_special_tokens
from tests.kit import hostile

Case = dict[str, Any]

LONG = 100_000
_TEXTS = frozenset({"text", "pair", "question", "context"})
_FLAGS = [
    TokenizerFlags(lower_case=lower, strip_accents=accents, cjk=cjk)
    for lower, accents, cjk in itertools.product((True, False), (True, False), (True, False))
]
# Special tokens that are words, begin alike, and hold others.
_WORDS = {"pad": "<pad>", "unk": "unk", "cls": "<s>", "sep": "<s>x", "mask": "<mask>中"}
FLAGS = [*_FLAGS, TokenizerFlags(max_word=7, special_tokens=_WORDS)]


def cases(seed: int, count: int) -> list[Case]:
    """Every written string, then `count` that are drawn: mixtures, blocks, long texts, pairs, windows."""
    random = Random(seed)
    drawn = hostile.drawn_texts(random, count)
    alone = [{"text": text, "max_length": LONG} for text in [*hostile.written(), *hostile.pages()]]
    return alone + [_drawn(random, text, drawn) for text in drawn]


def _drawn(random: Random, text: str, texts: Sequence[str]) -> Case:
    """A text alone, cut, in a pair, or in windows."""
    kind = random.random()
    length = 2 + int(random.random() * 60)
    if kind < 0.6:
        return {"text": text, "max_length": LONG if kind < 0.45 else length}
    other = texts[int(random.random() * len(texts))]
    if kind < 0.85:
        truncate = ("longest", "first", "second")[int(random.random() * 3)]
        return {"text": text, "pair": other, "max_length": length, "truncate": truncate}
    stride = int(random.random() * 12)
    return {"question": text[:8], "context": other, "max_length": length + 8, "doc_stride": stride}


def answer(tokenizer: Tokenizer, case: Case) -> dict[str, Any]:
    """What the demos must print for a case; of an error that there is one."""
    asked = {name: value for name, value in case.items() if name not in ("text", "question", "context")}
    try:
        if "question" in case:
            encodings = tokenizer.windows(case["question"], case["context"], **asked)
        else:
            encodings = [tokenizer.encode(case["text"], **asked)]
    except InputError:
        return {"error": True}
    return {"rows": [_fields(encoding) for encoding in encodings]}


def _fields(encoding: Encoding) -> dict[str, Any]:
    return {
        "ids": encoding.ids,
        "token_types": encoding.token_types,
        "starts": [start for start, _ in encoding.offsets],
        "ends": [end for _, end in encoding.offsets],
        "sequences": [-1 if sequence is None else sequence for sequence in encoding.sequences],
        "words": [-1 if word is None else word for word in encoding.words],
        "truncated": encoding.truncated,
    }


def texts_of(case: Case) -> list[str]:
    """Every text in a case."""
    return [case[name] for name in sorted(_TEXTS & case.keys())]


def vocabulary(asked: Sequence[Case], flags: TokenizerFlags, seed: int) -> list[str]:
    """Every character of the cases, and pieces of their words, so that no difference hides behind [UNK]."""
    random = Random(seed)
    texts = [text for case in asked for text in texts_of(case)]
    characters = characters_of(texts)
    pieces = []
    for word in itertools.islice((word for text in texts for word in text.lower().split()), 40_000):
        start = int(random.random() * len(word))
        pieces.append(word[start : start + 2 + int(random.random() * 5)])
    # What no drawn piece has: a character now and then, so that words become unknown too.
    known = [character for character in characters if random.random() < 0.995]
    special = dict.fromkeys(flags.special_tokens.values())
    words = [*special, *known, *pieces, *("a" * length for length in range(2, 60))]
    inside = [f"##{word}" for word in [*known, *pieces] if random.random() < 0.9]
    usable = [word for word in [*words, *inside] if word == "".join(word.split()) and word]
    return list(dict.fromkeys(usable))


def characters_of(texts: Sequence[str]) -> list[str]:
    """Every character that some way of cutting these texts could look up."""
    forms: list[Callable[[str], str]] = [
        str,
        str.lower,
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: unicodedata.normalize("NFD", text).lower(),
        lambda text: unicodedata.normalize("NFD", text.lower()),
        lambda text: unicodedata.normalize("NFC", text.lower()),
    ]
    found = {character for text in texts for form in forms for character in form(text)}
    return sorted(character for character in found if not character.isspace())


def write_bundle(directory: Path, tokenizer: Tokenizer, **fields: Any) -> Path:
    """A bundle with a tokenizer and an artifact that nothing can run; `fields` replace the manifest's."""
    directory.mkdir(parents=True)
    (directory / "model.tflite").write_bytes(b"no model")
    (directory / "vocab.txt").write_bytes(("\n".join(tokenizer.vocab) + "\n").encode())
    names = ("input_ids", "attention_mask", "token_type_ids")
    whole: dict[str, Any] = {
        "source": {"checkpoint": "CHECKPOINT", "sha256": "0" * 64},
        "format": "tflite",
        "artifact": "model.tflite",
        "task": "text-classification",
        "problem_type": None,
        "labels": ["negative", "positive"],
        "precision": dict.fromkeys(("exact", "decided_by", "weights", "activations"), "fp32")
        | {"name": "fp32"},
        "form": "plain",
        "form_decided_by": "the user",
        "lengths": [16, 48],
        "entry_points": {16: "length_16", 48: "length_48"},
        "inputs": [{"name": name, "dtype": "int32", "shape": [1, None]} for name in names],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": [1, 2]}],
        "tokenizer": tokenizer.flags.to_manifest(),
        "target": None,
        "versions": {},
        "delegation": {"delegated": None, "total": None, "outside": []},
        "float_operators": {},
        "verification": {"status": "not verified", "by": None},
    }
    write_manifest(directory, whole | fields)
    return directory


def as_lines(asked: Sequence[Any]) -> str:
    """JSON lines, the characters as they are: U+2028 and others are no line ends in them."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in asked)


def shares(asked: Sequence[Case]) -> Iterator[tuple[TokenizerFlags, list[Case]]]:
    """Every ninth case to each of the nine flags, in turn, with those flags' special tokens in its texts."""
    for number, flags in enumerate(FLAGS):
        yield flags, [_respelt(case, flags) for case in asked[number :: len(FLAGS)]]


def _respelt(case: Case, flags: TokenizerFlags) -> Case:
    """A case with BERT's special tokens replaced by others."""
    respelt = dict(case)
    for name in _TEXTS & case.keys():
        for role, token in bert_special_tokens().items():
            respelt[name] = respelt[name].replace(token, flags.special_tokens[role])
    return respelt
