"""Text to token ids and back to places in the text, as BERT's WordPiece does it (the `tokenizers` library).

Ids and offsets equal transformers' BertTokenizer, which is the same library; the slow, legacy one differs
from it in a few characters (tests/text/test_text.py names them). The library mixes Unicode versions: kinds of
characters are those of 8.0, decompositions 9.0, lower-casing its compiler's (17.0 in tokenizers 0.23.3).
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from exporters.errors import InputError
from squeezebert_edge.text import tokenizer_files
from squeezebert_edge.text.vocabulary import ROLES, TokenizerFlags, check_words

__all__ = ["Encoding", "Tokenizer", "TokenizerFlags", "pad", "shortest_length"]

Truncate = Literal["longest", "first", "second"]
Array = np.ndarray[tuple[int, ...], np.dtype[np.int32]]

LONGEST_TEXT = 500_000  # characters; each may become a token of half a kilobyte
_ALPHABET = 1000  # as many different characters as BERT's own trainer keeps


@dataclass(frozen=True)
class Encoding:
    """One text or pair, framed as [CLS] first [SEP] second [SEP]; every list has one entry per token.

    token_types: 0 for the first text and its [CLS] and [SEP], 1 for the second and its [SEP].
    offsets: start and end in the text that the token came from, in Unicode scalars; (0, 0) for the frame.
    sequences: 0 first text, 1 second text, None for the frame.
    words: the token's word in its text, counted from 0; None for the frame.
    truncated: not all of the text is here.
    """

    ids: list[int]
    token_types: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    sequences: list[int | None]
    words: list[int | None]
    truncated: bool

    def __len__(self) -> int:
        return len(self.ids)


class _Pieces(NamedTuple):
    """One text's tokens without the frame."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    words: list[int | None]

    def part(self, start: int, end: int) -> _Pieces:
        return _Pieces(
            self.ids[start:end], self.tokens[start:end], self.offsets[start:end], self.words[start:end]
        )


class Tokenizer:
    """BERT's WordPiece over a vocabulary.

    Encoding changes no state, so threads may share one tokenizer.

    Args:
        vocab: the words; a word's position is its id.
        flags: how text is cut.

    Raises:
        InputError: the vocabulary is empty, doubles a word or lacks a special token.
    """

    def __init__(self, vocab: Sequence[str], flags: TokenizerFlags | None = None) -> None:
        self.flags = flags or TokenizerFlags()
        self.vocab = list(vocab)
        check_words(self.vocab, self.flags)
        rows = {word: row for row, word in enumerate(self.vocab)}
        self.special_ids = {role: rows[self.flags.special_tokens[role]] for role in ROLES}
        self._backend = _backend(rows, self.flags)

    @classmethod
    def from_directory(cls, path: str | Path) -> Tokenizer:
        """Read a checkpoint's tokenizer: tokenizer.json or vocab.txt, and the settings beside it.

        Raises:
            InputError: it is not BERT's WordPiece, its files disagree, or the vocabulary is not usable.
        """
        return cls(*tokenizer_files.read(Path(path)))

    def save(self, directory: str | Path) -> None:
        """Write vocab.txt and tokenizer_config.json, which transformers and `from_directory` read."""
        tokenizer_files.write(Path(directory), self.vocab, self.flags)

    @classmethod
    def train(cls, texts: Iterable[str], size: int, flags: TokenizerFlags | None = None) -> Tokenizer:
        """Learn a vocabulary of at most `size` words; the same texts and size always give the same one.

        The special tokens come first, in BERT's order [PAD] [UNK] [CLS] [SEP] [MASK], then single characters,
        then pieces by the number of times they were seen; a piece seen once is left out.

        Raises:
            InputError: there is no text, or `size` has no room for the special tokens and the characters.
        """
        flags = flags or TokenizerFlags()
        texts = [_check_text(text) for text in texts]
        tokens = list(dict.fromkeys(flags.special_tokens[role] for role in ROLES))
        backend = _backend({token: row for row, token in enumerate(tokens)}, flags)
        alphabet, inside = _alphabet(backend, texts)
        if not alphabet:
            raise InputError("there is no text to learn a vocabulary from", allowed="at least one word")
        known = [*tokens, *alphabet, *(f"##{character}" for character in inside)]
        if size < len(known):
            raise InputError(
                f"a vocabulary of {size} words has no room for these texts", allowed=f"at least {len(known)}"
            )
        # Left to itself the trainer numbers characters in the order of a randomly seeded hash table, and
        # breaks ties by that number. Naming them all beforehand makes it deterministic.
        backend.train_from_iterator(
            texts,
            WordPieceTrainer(
                vocab_size=size,
                min_frequency=2,
                special_tokens=known,
                limit_alphabet=len(alphabet),
                initial_alphabet=alphabet,
                show_progress=False,
            ),
        )
        rows = backend.get_vocab()
        return cls(sorted(rows, key=rows.__getitem__), flags)

    def encode(
        self, text: str, pair: str | None = None, *, max_length: int, truncate: Truncate = "longest"
    ) -> Encoding:
        """Encode one text or a pair to at most `max_length` tokens, the frame's two or three included.

        Args:
            truncate: what is shortened at its end when the tokens are too many: the longer text first, or
                only the first, or only the second; to the same counts as transformers' fast tokenizers.

        Raises:
            InputError: the text is not a str, or `truncate` cannot bring it to `max_length`.
        """
        first = self._pieces(text)
        second = None if pair is None else self._pieces(pair)
        counts = len(first.ids), 0 if second is None else len(second.ids)
        room = _room(max_length, paired=second is not None)
        keep_first, keep_second = _shares(counts, room, truncate, paired=second is not None)
        return self._frame(
            first.part(0, keep_first),
            None if second is None else second.part(0, keep_second),
            truncated=(keep_first, keep_second) != counts,
        )

    def windows(self, question: str, context: str, *, max_length: int, doc_stride: int) -> list[Encoding]:
        """Encode a question with its context, as overlapping windows where the context is too long for one.

        Args:
            max_length: tokens of a window, the question and the frame included.
            doc_stride: tokens of the context that two neighbouring windows share (transformers' `stride`;
                the original run_squad.py gave this name to the step between windows).

        Raises:
            InputError: the question leaves no room for context, or the overlap leaves no step.
        """
        first, second = self._pieces(question), self._pieces(context)
        room = _room(max_length, paired=True) - len(first.ids)
        if room < 1:
            raise InputError(
                f"the question's {len(first.ids)} tokens leave no room for context in {max_length}",
                allowed=f"questions of at most {max_length - 4} tokens",
                hint="shorten the question or take a longer length",
            )
        many = len(second.ids) > room
        if doc_stride < 0 or (many and doc_stride >= room):
            raise InputError(
                f"a doc_stride of {doc_stride} does not fit windows with room for {room} tokens of context",
                allowed=f"0 to {room - 1}",
            )
        last = max(len(second.ids) - room, 0)
        # The first window that reaches the context's end is the last one.
        step = room - doc_stride
        starts = range(0, last + step, step) if many else (0,)
        return [self._frame(first, second.part(start, start + room), truncated=many) for start in starts]

    def _pieces(self, text: str) -> _Pieces:
        if len(_check_text(text)) > LONGEST_TEXT:
            raise InputError(
                f"a text has {len(text):,} characters",
                allowed=f"at most {LONGEST_TEXT:,}, as long as a novel",
                hint="split it",
            )
        found = self._backend.encode(text, add_special_tokens=False)
        return _Pieces(found.ids, found.tokens, found.offsets, found.word_ids)

    def _frame(self, first: _Pieces, second: _Pieces | None, *, truncated: bool) -> Encoding:
        cls, sep = self._frame_token("cls"), self._frame_token("sep")
        parts: list[tuple[_Pieces, int, int | None]] = [(cls, 0, None), (first, 0, 0), (sep, 0, None)]
        if second is not None:
            parts += [(second, 1, 1), (sep, 1, None)]
        return Encoding(
            ids=[row for part, _, _ in parts for row in part.ids],
            token_types=[kind for part, kind, _ in parts for _ in part.ids],
            tokens=[token for part, _, _ in parts for token in part.tokens],
            offsets=[offset for part, _, _ in parts for offset in part.offsets],
            sequences=[sequence for part, _, sequence in parts for _ in part.ids],
            words=[word for part, _, _ in parts for word in part.words],
            truncated=truncated,
        )

    def _frame_token(self, role: str) -> _Pieces:
        return _Pieces([self.special_ids[role]], [self.flags.special_tokens[role]], [(0, 0)], [None])


def pad(encoding: Encoding, length: int, pad_id: int) -> dict[str, Array]:
    """A model's inputs of a fixed length: input_ids, attention_mask, token_type_ids, each (1, length) int32.

    Padding stands at the end: `pad_id` with mask 0 and type 0.
    """
    count = len(encoding)
    if count > length:
        raise InputError(
            f"{count} tokens do not fit a length of {length}", allowed=f"a length of at least {count}"
        )
    rows: dict[str, Array] = {
        "input_ids": np.full((1, length), pad_id, dtype=np.int32),
        "attention_mask": np.zeros((1, length), dtype=np.int32),
        "token_type_ids": np.zeros((1, length), dtype=np.int32),
    }
    rows["input_ids"][0, :count] = encoding.ids
    rows["attention_mask"][0, :count] = 1
    rows["token_type_ids"][0, :count] = encoding.token_types
    return rows


def shortest_length(n_tokens: int, lengths: Iterable[int]) -> int:
    """The shortest of `lengths` that holds `n_tokens`."""
    lengths = sorted(lengths)
    for length in lengths:
        if n_tokens <= length:
            return length
    raise InputError(
        f"{n_tokens} tokens fit none of the lengths",
        allowed=f"at most {lengths[-1]} tokens" if lengths else None,
        hint="truncate the text, or export a longer length",
    )


def _backend(rows: dict[str, int], flags: TokenizerFlags) -> Backend:
    unk = flags.special_tokens["unk"]
    backend = Backend(WordPiece(rows, unk_token=unk, max_input_chars_per_word=flags.max_word))
    backend.normalizer = BertNormalizer(
        clean_text=True,
        handle_chinese_chars=flags.cjk,
        strip_accents=flags.strip_accents,
        lowercase=flags.lower_case,
    )
    backend.pre_tokenizer = BertPreTokenizer()
    backend.add_special_tokens([flags.special_tokens[role] for role in ROLES])
    return backend


def _check_text(text: str) -> str:
    if not isinstance(text, str):
        raise InputError(f"the text is given as {type(text).__name__}", allowed="str")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text has a lone surrogate, U+{ord(text[error.start]):04X}, at position {error.start}",
            allowed="Unicode text",
            hint="decode the text's bytes as what they are, with errors='strict' or 'replace'",
        ) from error
    return text


def _room(max_length: int, *, paired: bool) -> int:
    """Tokens left beside the frame."""
    frame = 3 if paired else 2
    if max_length < frame:
        raise InputError(
            f"a max_length of {max_length} has no room for the special tokens", allowed=f"at least {frame}"
        )
    return max_length - frame


def _shares(counts: tuple[int, int], room: int, truncate: Truncate, *, paired: bool) -> tuple[int, int]:
    """How many tokens of the first and of the second text are kept."""
    if truncate not in ("longest", "first", "second") or (truncate == "second" and not paired):
        allowed = "longest, first or second" if paired else "longest or first, for a text alone"
        raise InputError(f"truncate is {truncate!r}", allowed=allowed)
    first, second = counts
    excess = first + second - room
    if excess <= 0:
        return counts
    if room == 0:  # the library then keeps the frame alone, whatever is to be shortened
        return 0, 0
    if truncate == "longest":
        return _longest_first(first, second, room)
    if excess >= counts[truncate == "second"]:
        raise InputError(
            f"shortening only the {truncate} text cannot bring {first + second} tokens to {room}",
            hint="take truncate='longest' or a longer max_length",
        )
    return (first - excess, second) if truncate == "first" else (first, second - excess)


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """`truncate_encodings` of tokenizers' utils/truncation.rs: an odd token goes to the longer text."""
    short, long = sorted((first, second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = room - short
    return (short, long) if first <= second else (long, short)


def _alphabet(backend: Backend, texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """The most frequent characters of the texts' words, and which of them stand inside a word; sorted."""
    words: Counter[str] = Counter()
    for text in texts:
        normalized = backend.normalizer.normalize_str(text)
        words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normalized))
    characters: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in words.items():
        for character in word:
            characters[character] += count
        inside.update(word[1:])
    ranked = sorted(characters.items(), key=lambda entry: (-entry[1], entry[0]))
    alphabet = sorted(map(operator.itemgetter(0), ranked[:_ALPHABET]))
    return alphabet, sorted(inside & set(alphabet))
