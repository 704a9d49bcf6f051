"""Text: ids, offsets, windows equal transformers' tokenizers; files are read strictly; training repeats."""

# ruff: noqa: RUF001 (characters that look like others are tested)

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.errors import InputError
from squeezebert_edge.text.tokenizer import Encoding, Tokenizer, pad, shortest_length
from squeezebert_edge.text.vocabulary import TokenizerFlags, choose_words, read_vocab
from tests.demos.tokenizer_cases import characters_of
from tests.kit import hostile

SPECIALS = list(hostile.SPECIAL_TOKENS)
TEXTS = hostile.hostile_texts()
LONG = 100_000


def character_vocab(texts: list[str]) -> list[str]:
    """A vocabulary where nothing of these texts is unknown, so that no difference hides behind [UNK]."""
    characters = characters_of(texts)
    runs = ["a" * length for length in range(2, 60)]
    return list(dict.fromkeys(SPECIALS + characters + [f"##{c}" for c in characters] + runs + ["##ing"]))


VOCAB = character_vocab(TEXTS)
SMALL = [*SPECIALS, "a", "b", "c", "##a", "##b", "who", "is", "?", "un", "##aff", "##able", "."]
FLAGS = [
    TokenizerFlags(lower_case=lower, strip_accents=accents, cjk=cjk)
    for lower, accents, cjk in itertools.product((True, False), (True, False), (True, False))
]


def fast_and_slow(directory: Path) -> tuple[Any, Any]:
    from transformers import BertTokenizer
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    return BertTokenizer.from_pretrained(directory), BertTokenizerLegacy.from_pretrained(directory)


def batch_of_one(fast: Any, text: str, pair: str | None, **options: Any) -> Any:
    """Called with a pair and not a batch, transformers' fast tokenizer drops a second text that is empty."""
    return fast([text], None if pair is None else [pair], **options).encodings


def fields(encoding: Any) -> tuple[Any, ...]:
    """The same of one of ours and of one of transformers' (a tokenizers.Encoding)."""
    if isinstance(encoding, Encoding):
        kinds, sequences, words = encoding.token_types, encoding.sequences, encoding.words
    else:
        kinds, sequences, words = encoding.type_ids, encoding.sequence_ids, encoding.word_ids
    return encoding.ids, kinds, encoding.tokens, encoding.offsets, sequences, words


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(VOCAB)


@pytest.fixture(scope="module")
def reference(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """transformers' fast and slow tokenizers over the same vocabulary."""
    directory = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(directory)
    return fast_and_slow(directory)


# Equal to transformers' tokenizers


@pytest.mark.parametrize(
    "flags", FLAGS, ids=lambda flags: f"{flags.lower_case}-{flags.strip_accents}-{flags.cjk}"
)
def test_hostile_text_gives_the_ids_and_offsets_of_the_fast_tokenizer(
    flags: TokenizerFlags, tmp_path: Path
) -> None:
    ours = Tokenizer(VOCAB, flags)
    ours.save(tmp_path)
    fast, _ = fast_and_slow(tmp_path)
    for text in TEXTS:
        assert fields(ours.encode(text, max_length=LONG)) == fields(fast(text).encodings[0]), repr(text)


def test_pairs_and_every_truncation_are_those_of_the_fast_tokenizer(
    tokenizer: Tokenizer, reference: Any
) -> None:
    fast, _ = reference
    modes = {"longest": "longest_first", "first": "only_first", "second": "only_second"}
    compared = 0
    for first, second in zip(TEXTS[::12], TEXTS[1::12], strict=False):
        for mode, theirs in modes.items():
            for length in (3, 4, 5, 8, 17, 64):
                wanted = fast._tokenizer
                wanted.enable_truncation(length, strategy=theirs)
                try:
                    expected = wanted.encode(first, second)
                except Exception:  # the library raises nothing narrower: "Sequence to truncate too short"
                    with pytest.raises(InputError, match="only the"):
                        tokenizer.encode(first, second, max_length=length, truncate=mode)  # type: ignore[arg-type]
                    continue
                finally:
                    wanted.no_truncation()
                found = tokenizer.encode(first, second, max_length=length, truncate=mode)  # type: ignore[arg-type]
                assert fields(found) == fields(expected)
                assert found.truncated == bool(expected.overflowing)
                compared += 1
    assert compared > 600


@given(st.integers(0, 40), st.integers(0, 40), st.integers(3, 50))
@settings(max_examples=150, deadline=None)
def test_longest_first_keeps_as_many_of_each_text_as_the_fast_tokenizer(
    tokenizer: Tokenizer, reference: Any, first: int, second: int, length: int
) -> None:
    texts = " ".join("a" * first), " ".join("b" * second)
    expected = batch_of_one(reference[0], *texts, truncation=True, max_length=length)[0]
    assert fields(tokenizer.encode(*texts, max_length=length)) == fields(expected)


@given(st.text(max_size=40), st.integers(1, 60), st.integers(0, 8), st.integers(4, 30))
@settings(max_examples=150, deadline=None)
def test_windows_are_those_of_the_fast_tokenizer(
    tokenizer: Tokenizer, reference: Any, context: str, copies: int, doc_stride: int, length: int
) -> None:
    question, context = "a?", f"{context} b" * copies
    room = length - 3 - 2
    if room < 1:
        with pytest.raises(InputError, match="no room for context"):
            tokenizer.windows(question, context, max_length=length, doc_stride=doc_stride)
        return
    if doc_stride >= room and len(tokenizer.encode(context, max_length=LONG)) - 2 > room:
        with pytest.raises(InputError, match=f"doc_stride of {doc_stride}"):
            tokenizer.windows(question, context, max_length=length, doc_stride=doc_stride)
        return
    found = tokenizer.windows(question, context, max_length=length, doc_stride=doc_stride)
    stride = min(doc_stride, room - 1)  # without a second window it means nothing, and theirs refuses more
    cut = {"truncation": "only_second", "stride": stride, "return_overflowing_tokens": True}
    expected = batch_of_one(reference[0], question, context, max_length=length, **cut)
    assert [fields(window) for window in found] == [fields(window) for window in expected]
    assert {window.truncated for window in found} == {len(expected) > 1}


@given(st.text(max_size=60), st.none() | st.text(max_size=30))
@settings(max_examples=150, deadline=None)
def test_any_text_is_encoded_and_every_offset_lies_in_its_text(
    tokenizer: Tokenizer, reference: Any, text: str, pair: str | None
) -> None:
    found = tokenizer.encode(text, pair, max_length=LONG)
    assert fields(found) == fields(batch_of_one(reference[0], text, pair)[0])
    for (start, end), sequence in zip(found.offsets, found.sequences, strict=True):
        source = {None: "", 0: text, 1: pair or ""}[sequence]
        assert 0 <= start <= end <= len(source)


def test_offsets_count_unicode_scalars() -> None:
    found = Tokenizer([*SPECIALS, "\U0001d49c", "e", "##e", "[", "中"]).encode(
        "\U0001d49c e\u0301\u00e9 中[MASK]", max_length=20
    )
    assert found.tokens == ["[CLS]", "\U0001d49c", "e", "##e", "中", "[MASK]", "[SEP]"]
    assert found.offsets == [(0, 0), (0, 1), (2, 3), (4, 5), (6, 7), (7, 13), (0, 0)]
    assert found.words == [None, 0, 1, 1, 2, 3, None]
    assert found.sequences == [None, 0, 0, 0, 0, 0, None]


def test_real_sentences(shared: Path) -> None:
    directory = shared / "checkpoints" / "squeezebert-medium-sst2"
    ours, (fast, slow) = Tokenizer.from_directory(directory), fast_and_slow(directory)
    lines = (shared / "data" / "tokenizer" / "bert_sample_text.txt").read_text(encoding="utf-8").splitlines()
    with (shared / "data" / "sst2" / "dev.tsv").open(encoding="utf-8", newline="") as file:
        lines += [row["sentence"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    for line in lines:
        found = ours.encode(line, max_length=LONG)
        assert fields(found) == fields(fast(line).encodings[0])
        assert found.ids == slow(line)["input_ids"]
    recorded = np.load(directory / "sst2_dev_reference.npz")
    for line, ids, length in zip(lines[-872:], recorded["input_ids"], recorded["lengths"], strict=True):
        assert ours.encode(line, max_length=512).ids == ids[:length].tolist()


def test_real_pairs(shared: Path) -> None:
    directory = shared / "checkpoints" / "squeezebert-medium-sst2"
    ours, (fast, slow) = Tokenizer.from_directory(directory), fast_and_slow(directory)
    with (shared / "data" / "qnli" / "dev.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows[::3]):
        pair = row["question"], row["sentence"]
        found = ours.encode(*pair, max_length=64)
        assert fields(found) == fields(fast(*pair, truncation=True, max_length=64).encodings[0])
        if number % 10 == 0:
            assert ours.encode(*pair, max_length=LONG).ids == slow(*pair)["input_ids"]


def test_real_contexts_in_windows(shared: Path) -> None:
    directory = shared / "checkpoints" / "squeezebert-medium-sst2"
    ours, (fast, _) = Tokenizer.from_directory(directory), fast_and_slow(directory)
    articles = json.loads((shared / "data" / "squad" / "dev-v1.1.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]][::10]
    several = 0
    for paragraph in paragraphs:
        answer = paragraph["qas"][0]["answers"][0]
        question, context = paragraph["qas"][0]["question"], paragraph["context"]
        found = ours.windows(question, context, max_length=128, doc_stride=32)
        expected = fast(
            question,
            context,
            truncation="only_second",
            max_length=128,
            stride=32,
            return_overflowing_tokens=True,
        ).encodings
        assert [fields(window) for window in found] == [fields(window) for window in expected]
        several += len(found) > 1
        start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
        inside = {
            place
            for window in found
            for place, of in zip(window.offsets, window.sequences, strict=True)
            if of == 1
        }
        assert any(begin <= start < stop for begin, stop in inside)
        assert any(begin < end <= stop for begin, stop in inside)
    assert several > 50


def test_threads_share_a_tokenizer(tokenizer: Tokenizer) -> None:
    def encode(case: tuple[str, int]) -> Encoding:
        return tokenizer.encode(case[0], case[0], max_length=case[1])

    cases = [(text, length) for text in TEXTS[:200] for length in (5, 30)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(encode, cases)) == list(map(encode, cases))


# Where transformers' own slow and fast tokenizers differ: we follow the fast one


def agreed_by_both(character: str) -> bool:
    """Whether slow and fast cut text with this character alike, with BERT-uncased's flags.

    The fast one's tables of character kinds are Unicode 8.0's (its crate unicode_categories), the slow one's
    those of the running Python (14 to 15.1 for 3.11 to 3.13). Characters of Unicode 3.2 are in both, but for
    four that changed kind: U+166D (punctuation, later a symbol), U+1734 (a mark without space, later with it)
    and U+1885, U+1886 (letters, later marks). Unassigned ones, which the slow one removes, are kept
    by the fast one. Lower-case sigma has two forms: Python's str.lower takes the final one at a word's end,
    the fast tokenizer lower-cases character by character.
    """
    assigned = unicodedata.ucd_3_2_0.category(character) != "Cn"
    return assigned and character not in "\u166d\u1734\u1885\u1886Σ"


def test_the_slow_tokenizer_gives_the_same_ids_for_characters_that_it_knows_alike(
    tokenizer: Tokenizer, reference: Any
) -> None:
    _, slow = reference
    texts = ["".join(filter(agreed_by_both, text)) for text in TEXTS]
    for text in texts:
        if "[MA\u200bSK]" not in text:
            assert tokenizer.encode(text, max_length=LONG).ids == slow(text)["input_ids"], repr(text)
    assert sum(map(len, texts)) > 30_000


def test_every_character_of_unicode_3_2_is_cut_alike_by_slow_and_fast() -> None:
    from transformers.models.bert.tokenization_bert_legacy import BasicTokenizer

    slow, fast = BasicTokenizer(), Tokenizer(SPECIALS)._backend
    differing = []
    for character in filter(agreed_by_both, hostile.every_scalar()):
        if unicodedata.category(character) in ("Lo", "Co") and ord(character) % 16:
            continue  # tens of thousands of ideographs and syllables
        text = f"a{character}b"
        cut = fast.pre_tokenizer.pre_tokenize_str(fast.normalizer.normalize_str(text))
        if [word for word, _ in cut] != slow.tokenize(text):
            differing.append(f"U+{ord(character):04X}")
    assert differing == []


@pytest.mark.parametrize(
    ("text", "fast_tokens", "slow_tokens"),
    [
        pytest.param("ΑΣ", ["α", "##σ"], ["α", "##ς"], id="final sigma"),
        pytest.param("a\u0378b", ["a", "##\u0378", "##b"], ["a", "##b"], id="unassigned"),
        pytest.param("a\uffffb", ["a", "##\uffff", "##b"], ["a", "##b"], id="noncharacter"),
        pytest.param("a\u1df6b", ["a", "##\u1df6", "##b"], ["a", "##b"], id="a mark of Unicode 10"),
        pytest.param(
            "a\u2e43b", ["a", "##\u2e43", "##b"], ["a", "\u2e43", "b"], id="punctuation of Unicode 9"
        ),
        pytest.param("a\U000110cdb", ["a", "##\U000110cd", "##b"], ["a", "##b"], id="a format of Unicode 11"),
        pytest.param(
            "a\u166db", ["a", "\u166d", "b"], ["a", "##\u166d", "##b"], id="a symbol since Unicode 12"
        ),
        pytest.param("a\u1734b", ["a", "##b"], ["a", "##\u1734", "##b"], id="takes space since Unicode 14"),
        pytest.param(
            "a\U0002b820b", ["a", "##\U0002b820", "##b"], ["a", "\U0002b820", "b"], id="first of CJK E"
        ),
        pytest.param("a\u1885b", ["a", "##\u1885", "##b"], ["a", "##b"], id="a mark since Unicode 9"),
        pytest.param("[MA\u200bSK]", ["[", "ma", "##sk", "]"], ["[MASK]"], id="special after cleaning"),
    ],
)
def test_known_differences_between_slow_and_fast(
    text: str, fast_tokens: list[str], slow_tokens: list[str], tmp_path: Path
) -> None:
    vocab = list(dict.fromkeys([*VOCAB, *fast_tokens, *slow_tokens, "##ς"]))
    ours = Tokenizer(vocab)
    ours.save(tmp_path)
    _, slow = fast_and_slow(tmp_path)
    assert ours.encode(text, max_length=20).tokens[1:-1] == fast_tokens
    assert slow.tokenize(text) == slow_tokens


def test_accents_that_stay_are_composed_by_the_slow_tokenizer_only(tmp_path: Path) -> None:
    ours = Tokenizer([*SPECIALS, "e", "##\u0301", "\u00e9"], TokenizerFlags(lower_case=False))
    ours.save(tmp_path)
    _, slow = fast_and_slow(tmp_path)
    assert ours.encode("e\u0301", max_length=20).tokens[1:-1] == ["e", "##\u0301"]
    assert slow.tokenize("e\u0301") == ["\u00e9"]


def test_a_pair_whose_second_text_is_empty_stays_a_pair(tokenizer: Tokenizer, reference: Any) -> None:
    fast, slow = reference
    found = tokenizer.encode("a", "", max_length=9)
    assert found.tokens == ["[CLS]", "a", "[SEP]", "[SEP]"]
    assert found.ids == slow("a", "")["input_ids"] == fast(["a"], [""])["input_ids"][0]
    assert fast("a", "")["input_ids"] == found.ids[:-1]  # alone, it is dropped


def test_an_odd_token_goes_to_the_longer_text_but_to_the_first_in_the_slow_tokenizer(
    tokenizer: Tokenizer, reference: Any
) -> None:
    first, second = "a b c", "a b c d e f"
    found = tokenizer.encode(first, second, max_length=8)
    assert found.tokens == ["[CLS]", "a", "b", "[SEP]", "a", "b", "c", "[SEP]"]
    slow = reference[1](first, second, max_length=8, truncation=True)["input_ids"]
    assert reference[1].convert_ids_to_tokens(slow) == ["[CLS]", "a", "b", "c", "[SEP]", "a", "b", "[SEP]"]


# What is refused when text is encoded


@pytest.mark.parametrize("text", hostile.LONE_SURROGATES)
def test_lone_surrogates_are_refused_with_their_place(tokenizer: Tokenizer, text: str) -> None:
    for call in (
        lambda: tokenizer.encode(text, max_length=9),
        lambda: tokenizer.encode("a", text, max_length=9),
        lambda: tokenizer.windows("a", text, max_length=9, doc_stride=1),
        lambda: Tokenizer.train([text], 100),
    ):
        with pytest.raises(InputError, match=r"lone surrogate, U\+D[89A-F]"):
            call()


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["a", "b"]])
def test_text_of_another_type_is_refused(tokenizer: Tokenizer, text: Any) -> None:
    with pytest.raises(InputError, match=f"text is given as {type(text).__name__}"):
        tokenizer.encode(text, max_length=9)


def test_lengths_without_room_and_unknown_ways_to_truncate_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="max_length of 1 has no room"):
        tokenizer.encode("a", max_length=1)
    with pytest.raises(InputError, match="max_length of 2 has no room"):
        tokenizer.encode("a", "b", max_length=2)
    assert tokenizer.encode("a", max_length=2).tokens == ["[CLS]", "[SEP]"]
    with pytest.raises(InputError, match="longest, first or second"):
        tokenizer.encode("a", "b", max_length=9, truncate="only_first")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="longest or first"):
        tokenizer.encode("a", max_length=9, truncate="second")


def test_a_question_that_fills_the_window_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="question's 5 tokens leave no room for context in 8") as caught:
        tokenizer.windows("a b c d e", "context", max_length=8, doc_stride=0)
    assert "at most 4 tokens" in str(caught.value)
    assert len(tokenizer.windows("a b c d e", "abc", max_length=9, doc_stride=0)) == 3


@pytest.mark.parametrize("doc_stride", [-1, 4, 100])
def test_an_overlap_without_a_step_is_refused(tokenizer: Tokenizer, doc_stride: int) -> None:
    with pytest.raises(InputError, match=f"doc_stride of {doc_stride}") as caught:
        tokenizer.windows("a", "a b c d e f g", max_length=8, doc_stride=doc_stride)
    assert "0 to 3" in str(caught.value)


def test_an_empty_context_is_one_window(tokenizer: Tokenizer) -> None:
    [window] = tokenizer.windows("a", "", max_length=8, doc_stride=2)
    assert window.tokens == ["[CLS]", "a", "[SEP]", "[SEP]"]
    assert not window.truncated


# Fixed lengths


def test_padding_stands_at_the_end_under_mask_0(tokenizer: Tokenizer) -> None:
    encoding = tokenizer.encode("a", "b", max_length=9)
    rows = pad(encoding, 8, pad_id=7)
    assert {name: row.tolist() for name, row in rows.items()} == {
        "input_ids": [[*encoding.ids, 7, 7, 7]],
        "attention_mask": [[1, 1, 1, 1, 1, 0, 0, 0]],
        "token_type_ids": [[0, 0, 0, 1, 1, 0, 0, 0]],
    }
    assert {row.dtype for row in rows.values()} == {np.dtype(np.int32)}
    assert pad(encoding, 5, pad_id=0)["input_ids"].shape == (1, 5)
    with pytest.raises(InputError, match="5 tokens do not fit a length of 4"):
        pad(encoding, 4, pad_id=0)


def test_the_shortest_length_that_fits_is_taken() -> None:
    assert [shortest_length(n, (128, 32, 64)) for n in (1, 32, 33, 65, 128)] == [32, 32, 64, 128, 128]
    with pytest.raises(InputError, match="129 tokens fit none") as caught:
        shortest_length(129, (32, 128))
    assert "at most 128" in str(caught.value)


# Files


def directory_of(path: Path, **files: str | bytes | dict[str, Any] | list[str]) -> Path:
    """A checkpoint's tokenizer files: vocab=[...] or tokenizer={...}, config={...}, special_map, added."""
    names = {
        "vocab": "vocab.txt",
        "tokenizer": "tokenizer.json",
        "config": "tokenizer_config.json",
        "special_map": "special_tokens_map.json",
        "added": "added_tokens.json",
    }
    for key, content in files.items():
        if isinstance(content, list):
            content = "".join(f"{word}\n" for word in content)  # noqa: PLW2901
        data = content if isinstance(content, str | bytes) else json.dumps(content)
        (path / names[key]).write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.fixture
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tokenizer.json that transformers writes for SMALL."""
    directory = tmp_path_factory.mktemp("whole")
    Tokenizer(SMALL).save(directory)
    fast_and_slow(directory)[0].save_pretrained(directory / "saved")
    return json.loads((directory / "saved" / "tokenizer.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "flags",
    [
        TokenizerFlags(),
        TokenizerFlags(lower_case=False, strip_accents=True, cjk=False, max_word=7),
        TokenizerFlags(
            strip_accents=False,
            special_tokens={"pad": "<p>", "unk": "?", "cls": "a", "sep": "b", "mask": "[M]"},
        ),
    ],
)
def test_what_is_saved_is_read_back_with_equal_flags_by_us_and_equal_ids_by_transformers(
    flags: TokenizerFlags, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, BertTokenizer, SqueezeBertTokenizer

    saved = Tokenizer(list(dict.fromkeys([*flags.special_tokens.values(), *VOCAB])), flags)
    saved.save(tmp_path)
    again = Tokenizer.from_directory(tmp_path)
    assert (again.vocab, again.flags, again.special_ids) == (saved.vocab, flags, saved.special_ids)
    assert TokenizerFlags.from_manifest(json.loads(json.dumps(flags.to_manifest()))) == flags
    short_words = [text for text in TEXTS if flags.max_word == 100 or all(len(w) < 4 for w in text.split())]
    for kind in (AutoTokenizer, BertTokenizer, SqueezeBertTokenizer):
        theirs = kind.from_pretrained(tmp_path)
        assert theirs.pad_token_id == saved.special_ids["pad"]
        assert theirs.mask_token_id == saved.special_ids["mask"]
        for text in short_words[::15]:
            found = fields(again.encode(text, max_length=LONG))
            assert found == fields(saved.encode(text, max_length=LONG)) == fields(theirs(text).encodings[0])


def test_a_text_longer_than_a_novel_is_refused_at_once() -> None:
    tokenizer = Tokenizer([*SPECIALS, "a"])
    assert tokenizer.encode("a " * 250_000, max_length=8).truncated
    for text in ("a " * 250_001, "中" * 6_000_000):
        with pytest.raises(InputError, match="at most 500,000"):
            tokenizer.encode(text, max_length=8)


def test_a_word_longer_than_max_word_is_unknown() -> None:
    cut = Tokenizer([*SPECIALS, "a", "##a"], TokenizerFlags(max_word=3))
    assert cut.encode("aaa aaaa a\u0301a\u0301a\u0301", max_length=20).tokens[1:-1] == [
        "a", "##a", "##a", "[UNK]", "a", "##a", "##a",
    ]  # fmt: skip


def test_all_spellings_of_a_checkpoint_give_the_same_tokenizer(whole: dict[str, Any], tmp_path: Path) -> None:
    from transformers import BertTokenizer

    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    added = [{"__type": "AddedToken", "content": token, **plain} for token in SPECIALS]
    roles = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), added, strict=True))
    decoder = {str(row): {"content": token, **plain, "special": True} for row, token in enumerate(SPECIALS)}
    names = {role: token["content"] for role, token in roles.items()}
    untyped = {**whole, "model": {k: v for k, v in whole["model"].items() if k != "type"}}  # as in 2020
    bert = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    spellings: list[dict[str, Any]] = [
        {"vocab": SMALL},
        {"vocab": "\r\n".join(SMALL)},
        {
            "vocab": SMALL,
            "config": {"do_lower_case": True, "strip_accents": None, "tokenizer_class": "BertTokenizer"},
        },
        {
            "vocab": SMALL,
            "config": {"model_max_length": 512, "never_split": None, "do_basic_tokenize": True, **names},
        },
        {"vocab": SMALL, "special_map": names},
        {"vocab": SMALL, "special_map": roles, "config": {**names, "additional_special_tokens": []}},
        {"vocab": SMALL, "config": {**roles, "added_tokens_decoder": decoder}},
        {"vocab": SMALL, "added": {"[MASK]": 4}},
        {"tokenizer": whole},
        {"tokenizer": untyped, "vocab": SMALL},
        {"tokenizer": {**whole, "post_processor": bert}},
        {
            "tokenizer": {**whole, "truncation": None, "padding": None},
            "config": {"tokenizer_class": "TokenizersBackend"},
        },
        {"tokenizer": whole, "config": {"do_lower_case": True, "strip_accents": True}, "special_map": names},
    ]
    for number, files in enumerate(spellings):
        (tmp_path / str(number)).mkdir()
        directory = directory_of(tmp_path / str(number), **files)
        found = Tokenizer.from_directory(directory)
        assert (found.vocab, found.flags) == (SMALL, TokenizerFlags()), files
        ids = found.encode("Unaffable, who IS [MASK]?", max_length=20).ids
        assert ids == BertTokenizer.from_pretrained(directory)("Unaffable, who IS [MASK]?")["input_ids"], (
            files
        )


def test_a_cased_tokenizer_json_is_read_as_it_is(whole: dict[str, Any], tmp_path: Path) -> None:
    whole["normalizer"].update(lowercase=False, handle_chinese_chars=False, strip_accents=None)
    whole["model"]["max_input_chars_per_word"] = 50
    config = {"do_lower_case": False, "tokenize_chinese_chars": False}
    found = Tokenizer.from_directory(directory_of(tmp_path, tokenizer=whole, config=config))
    assert found.flags == TokenizerFlags(lower_case=False, strip_accents=False, cjk=False, max_word=50)


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of tokenizer.json: the key's path with dots, and its new value."""

    def apply(whole: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            whole = whole[parent]
        whole[last] = value

    return apply


SEQUENCE = {"type": "Sequence", "normalizers": [{"type": "NFKC"}]}
UNIGRAM = {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0]], "byte_fallback": False}
BPE = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None}
BPE |= {
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "vocab": {"a": 0},
    "merges": [],
}
ROBERTA = {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": True}
ROBERTA |= {"add_prefix_space": False}
ENTITY = {"id": 17, "content": "[E1]", "single_word": False, "lstrip": False, "rstrip": False}
ENTITY |= {"normalized": False, "special": True}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        pytest.param(change("model", BPE), "its model is BPE", id="BPE"),
        pytest.param(change("model", UNIGRAM), "its model is Unigram", id="Unigram"),
        pytest.param(change("normalizer", SEQUENCE), "its normalizer is Sequence", id="normalizer"),
        pytest.param(change("normalizer", None), "its normalizer is missing", id="no normalizer"),
        pytest.param(change("normalizer.clean_text", False), "clean_text is false", id="clean_text"),
        pytest.param(
            change("pre_tokenizer", {"type": "Whitespace"}), "its pre_tokenizer is Whitespace", id="words"
        ),
        pytest.param(change("model.continuing_subword_prefix", "@@"), "start with '@@'", id="prefix"),
        pytest.param(change("post_processor", None), "its post_processor is missing", id="no frame"),
        pytest.param(
            change("post_processor", ROBERTA), "its post_processor is RobertaProcessing", id="RoBERTa"
        ),
        pytest.param(
            change(
                "post_processor.pair",
                [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            ),
            "frames texts otherwise",
            id="frame",
        ),
        pytest.param(change("added_tokens", [ENTITY]), r"'\[E1\]' is added", id="added token"),
        pytest.param(
            change("normalizer.lowercase", False), "lower_case is True, tokenizer.json says False", id="case"
        ),
        pytest.param(change("model.vocab", {"[UNK]": 0, "a": 2}), "have gaps or repeat", id="gap"),
        pytest.param(change("model.vocab", {"[UNK]": 0, "a": 0}), "have gaps or repeat", id="same id"),
        pytest.param(
            change("model.vocab", {w: i for i, w in enumerate([*SMALL, "a b "])}), "white space", id="space"
        ),
        pytest.param(change("model.unk_token", "a"), "unk is '.UNK.', tokenizer.json says 'a'", id="unk"),
        pytest.param(change("model", 3), "its model is 3", id="malformed"),
    ],
)
def test_a_tokenizer_json_that_is_not_berts_is_refused_with_the_reason(
    whole: dict[str, Any], edit: Callable[[dict[str, Any]], None], reason: str, tmp_path: Path
) -> None:
    edit(whole)
    with pytest.raises(InputError, match=reason):
        Tokenizer.from_directory(directory_of(tmp_path, tokenizer=whole))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param({}, "has no vocabulary", id="nothing"),
        pytest.param({"vocab": ""}, "is empty", id="empty"),
        pytest.param({"vocab": "[PAD]\nma\xf1ana\n".encode("latin-1")}, "not UTF-8 at byte 8", id="latin-1"),
        pytest.param({"vocab": "\ufeff[PAD]\n"}, "byte order mark", id="byte order mark"),
        pytest.param({"vocab": "\r".join(SMALL)}, "line break", id="old Mac lines"),
        pytest.param({"vocab": [w for w in SMALL if w != "[UNK]"]}, r"lacks \[UNK\] \(unk\)", id="no UNK"),
        pytest.param(
            {"vocab": ["a", "b"]}, r"\[PAD\].*\[UNK\].*\[CLS\].*\[SEP\].*\[MASK\]", id="no specials"
        ),
        pytest.param({"vocab": [*SMALL, "who"]}, "'who' twice: lines 11 and 18", id="doubled"),
        pytest.param(
            {"vocab": [*SMALL, "who "]}, "'who' twice: lines 11 and 18", id="doubled but for a space"
        ),
        pytest.param({"vocab": [*SMALL, "", ""]}, "'' twice: lines 18 and 19", id="blank lines"),
        pytest.param({"vocab": SMALL, "config": "{"}, "is not JSON", id="broken config"),
        pytest.param({"vocab": SMALL, "config": "[]"}, "holds \\[\\]", id="config of another kind"),
        pytest.param({"vocab": SMALL, "config": {"do_lower_case": "yes"}}, "lower_case is 'yes'", id="flag"),
        pytest.param({"vocab": SMALL, "config": {"strip_accents": 1}}, "strip_accents is 1", id="accents"),
        pytest.param(
            {"vocab": SMALL, "config": {"max_input_chars_per_word": 0}}, "max_word is 0", id="max_word"
        ),
        pytest.param({"vocab": SMALL, "config": {"unk_token": "<unk>"}}, "lacks <unk>", id="another unk"),
        pytest.param(
            {"vocab": SMALL, "config": {"unk_token": None}}, "None is given as a special", id="no unk token"
        ),
        pytest.param(
            {"vocab": SMALL, "config": {"bos_token": "a"}}, "its bos_token is 'a'", id="another role"
        ),
        pytest.param(
            {"vocab": SMALL, "config": {"padding_side": "left"}}, "padding_side is 'left'", id="left"
        ),
        pytest.param(
            {"vocab": SMALL, "config": {"do_basic_tokenize": False}}, "do_basic_tokenize", id="no words"
        ),
        pytest.param(
            {"vocab": SMALL, "config": {"tokenizer_class": "RobertaTokenizer"}}, "RobertaT", id="class"
        ),
        pytest.param(
            {"vocab": SMALL, "config": {"tokenizer_class": "PreTrainedTokenizerFast"}},
            "tokenizer_class is 'PreTrainedTokenizerFast'",
            id="class without tokenizer.json",
        ),
        pytest.param(
            {"vocab": SMALL, "config": {"additional_special_tokens": ["[E1]"]}},
            "additional_special",
            id="additional",
        ),
        pytest.param(
            {"vocab": SMALL, "config": {"mask_token": {"content": "[MASK]", "lstrip": True}}},
            "lstrip",
            id="lstrip",
        ),
        pytest.param({"vocab": SMALL, "config": {"added_tokens_decoder": []}}, "not an object", id="decoder"),
        pytest.param({"vocab": SMALL, "added": {"[E1]": 17}}, r"'\[E1\]' is added", id="added token"),
        pytest.param(
            {"vocab": SMALL, "added": {"[MASK]": 17}}, r"'\[MASK\]' is added with the id 17", id="added id"
        ),
        pytest.param(
            {"vocab": SMALL, "config": {"unk_token": "a"}, "special_map": {"unk_token": "b"}},
            "tokenizer_config.json says unk is 'a', special_tokens_map.json says 'b'",
            id="contradiction",
        ),
    ],
)
def test_files_that_do_not_make_a_tokenizer_are_refused(
    files: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        Tokenizer.from_directory(directory_of(tmp_path, **files))


def test_a_tokenizer_json_and_a_vocab_txt_that_disagree_are_refused(
    whole: dict[str, Any], tmp_path: Path
) -> None:
    for vocab, reason in (
        ([*SMALL[:5], "b", "a", *SMALL[7:]], "id 5 is 'a' in one and 'b' in the other"),
        (SMALL[:-1], "17 words in one and 16 in the other"),
    ):
        with pytest.raises(InputError, match=f"disagree: {reason}"):
            Tokenizer.from_directory(directory_of(tmp_path, tokenizer=whole, vocab=vocab))


def test_vocab_lines_are_read_as_transformers_reads_them(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    lines = [
        *(token.encode() for token in SPECIALS),
        b"foo \t",
        "bar\u2028\u3000".encode(),
        b"",
        b"##o\r",
        b"\x1cx\x1f",
    ]
    directory_of(tmp_path, vocab=b"\n".join(lines))
    words = read_vocab(tmp_path / "vocab.txt")
    theirs = BertTokenizer.from_pretrained(tmp_path).get_vocab()
    assert {word: row for row, word in enumerate(words)} == theirs
    assert words[5:] == ["foo", "bar", "", "##o", "\x1cx\x1f"]


def test_flags_of_a_manifest_are_checked() -> None:
    whole = TokenizerFlags().to_manifest()
    for manifest, reason in (
        ({**whole, "lower_case": 1}, "lower_case is 1"),
        ({**whole, "stem": True}, "stem"),
        ({k: v for k, v in whole.items() if k != "cjk"}, "cjk"),
        ({**whole, "max_word": True}, "max_word is True"),
        ({**whole, "special_tokens": {"unk": "[UNK]"}}, "one token for each"),
        ({**whole, "special_tokens": {**whole["special_tokens"], "mask": ""}}, "mask token is ''"),
    ):
        with pytest.raises(InputError, match=reason):
            TokenizerFlags.from_manifest(manifest)


# Training

TRAIN = """
import hashlib
from squeezebert_edge.text.tokenizer import Tokenizer
from tests.kit import hostile
texts = hostile.hostile_texts() * 2 + ["the cat sat on the mat, the bat on the hat"] * 5
print(hashlib.sha256("\\n".join(Tokenizer.train(texts, 3000).vocab).encode()).hexdigest())
"""


def test_training_gives_the_same_vocabulary_in_every_process_on_any_number_of_threads() -> None:
    """The library alone does not: its characters, and so its ties, come in another order in every run."""
    root = Path(__file__).parents[2]
    found = set()
    for threads in ("1", "2", "5"):
        environment = os.environ | {
            "RAYON_NUM_THREADS": threads,
            "PYTHONPATH": str(root),
        }
        run = subprocess.run(
            [sys.executable, "-c", TRAIN],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
        )
        found.add(run.stdout)
    assert len(found) == 1


def test_a_trained_vocabulary_has_berts_order_and_cuts_its_texts_without_unknowns() -> None:
    texts = ["Der Übermut tut selten gut.", "Übermut, der Mut", "the mutt mutters 中文"] * 3
    trained = Tokenizer.train(texts, 100)
    assert trained.vocab[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert trained.special_ids == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert len(trained.vocab) <= 100
    assert "mut" in trained.vocab
    for text in texts:
        encoding = trained.encode(text, max_length=100)
        assert "[UNK]" not in encoding.tokens
    cased = Tokenizer.train(texts, 100, TokenizerFlags(lower_case=False))
    assert {"Ü", "M"} <= set(cased.vocab)
    assert not {"Ü", "M"} & set(trained.vocab)


def test_training_says_what_it_lacks() -> None:
    with pytest.raises(InputError, match="no text"):
        Tokenizer.train(["", " \t"], 100)
    with pytest.raises(InputError, match="vocabulary of 7 words has no room") as caught:
        Tokenizer.train(["abc"], 7)
    assert "at least 10" in str(caught.value)
    assert len(Tokenizer.train(["abc"], 10).vocab) == 10


def test_encoding_two_thousand_sentences_takes_well_under_a_second_each_thousand(
    tokenizer: Tokenizer,
) -> None:
    import time

    start = time.perf_counter()
    for number in range(2_000):
        tokenizer.encode(f"a gorgeous , witty , seductive movie number {number} .", max_length=64)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
def test_bos_and_eos_that_are_cls_and_sep_change_nothing(tmp_path: Path, file: str) -> None:
    Tokenizer(VOCAB).save(tmp_path)
    path = tmp_path / file
    settings = json.loads(path.read_text()) if path.exists() else {}
    settings |= {"bos_token": "[CLS]", "eos_token": "[SEP]"}
    path.write_text(json.dumps(settings))
    ours, (fast, _) = Tokenizer.from_directory(tmp_path), fast_and_slow(tmp_path)
    for text in ("who knows", "[CLS] who [SEP]", ""):
        assert fields(ours.encode(text, max_length=LONG)) == fields(fast(text).encodings[0])


def test_a_cut_vocabulary_keeps_what_is_used_and_spells_what_the_whole_one_spells() -> None:
    texts = ["the river runs", "the rivers ran", "unknown streams", "é and naïve ☂"]
    whole = Tokenizer.train(texts * 3, 200)
    assert "☂" in whole.vocab
    uses = Counter(row for text in texts for row in whole.encode(text, max_length=32).ids)
    with pytest.raises(InputError, match="cannot be cut from these") as refused:
        choose_words(whole.vocab, whole.flags, uses, len(whole.vocab) + 1)
    least = int(re.findall(r"\d+", refused.value.allowed or "")[0])
    size = least + 3
    rows = choose_words(whole.vocab, whole.flags, uses, size)
    assert rows == sorted(set(rows))
    assert len(rows) == size
    cut = Tokenizer([whole.vocab[row] for row in rows], whole.flags)
    assert "the" in cut.vocab
    for text in [*texts, "rrr vers unv ☂☂"]:
        for tokenizer in (whole, cut):
            tokens = tokenizer.encode(text, max_length=64).tokens
            assert ("[UNK]" in tokens) == ("[UNK]" in whole.encode(text, max_length=64).tokens)
    with pytest.raises(InputError, match=f"allowed: {least}, "):
        choose_words(whole.vocab, whole.flags, uses, least - 1)


def test_spare_rows_and_rare_words_are_the_first_to_go() -> None:
    words = [
        "[PAD]",
        "[unused0]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "a",
        "##a",
        "aa",
        "##aa",
        "aaa",
        "qab",
    ]
    flags = TokenizerFlags()
    least = choose_words(words, flags, {}, 8)
    assert [words[row] for row in least] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "qab"]
    assert [words[row] for row in choose_words(words, flags, {10: 2}, 9) if row not in least] == ["aaa"]
    assert [words[row] for row in choose_words(words, flags, {10: 2}, 10) if row not in least] == [
        "aa",
        "aaa",
    ]
    assert choose_words(words, flags, {}, len(words)) == list(range(len(words)))
