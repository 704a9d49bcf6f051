"""A WordPiece vocabulary (vocab.txt) and the flags that say how text is cut for it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporters.errors import InputError, quote
from squeezebert_edge.plumbing.reading import CONTENTS, read_text

LONGEST_WORD = 1000  # BERT has 100 or 200, and cutting a word takes time with the cube of its length
_UNUSED = re.compile(r"\[unused\d+\]")  # BERT's spare rows, which no text becomes
PREFIX = "##"  # of a piece that stands inside a word
ROLES = ("pad", "unk", "cls", "sep", "mask")

# White_Space of Unicode: what `tokenizers` trims from the end of a line of vocab.txt. str.rstrip() alone
# would also take U+001C..U+001F.
_WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)


def bert_special_tokens() -> dict[str, str]:
    """BERT's own tokens: role -> token."""
    return {role: f"[{role.upper()}]" for role in ROLES}


@dataclass(frozen=True)
class TokenizerFlags:
    """How text is cut into words and pieces; the defaults are BERT-uncased's.

    lower_case: text is lower-cased.
    strip_accents: combining marks (category Mn) are dropped after NFD; None becomes what `lower_case` is.
    cjk: every CJK ideograph is a word of its own.
    max_word: a longer word, in Unicode scalars, becomes the unknown token.
    special_tokens: role (pad, unk, cls, sep, mask) -> token.
    """

    lower_case: bool = True
    strip_accents: bool | None = None
    cjk: bool = True
    max_word: int = 100
    special_tokens: Mapping[str, str] = field(default_factory=bert_special_tokens)

    def __post_init__(self) -> None:
        for name, value in (("lower_case", self.lower_case), ("cjk", self.cjk)):
            if not isinstance(value, bool):
                raise InputError(f"the tokenizer's {name} is {quote(value)}", allowed="true or false")
        if self.strip_accents is not None and not isinstance(self.strip_accents, bool):
            raise InputError(
                f"the tokenizer's strip_accents is {quote(self.strip_accents)}",
                allowed="true, false, or null for the same as lower_case",
            )
        whole = isinstance(self.max_word, int) and not isinstance(self.max_word, bool)
        if not (whole and 1 <= self.max_word <= LONGEST_WORD):
            raise InputError(
                f"the tokenizer's max_word is {quote(self.max_word)}",
                allowed=f"an integer from 1 to {LONGEST_WORD}",
            )
        self._check_special_tokens()
        if self.strip_accents is None:
            object.__setattr__(self, "strip_accents", self.lower_case)

    def _check_special_tokens(self) -> None:
        if not isinstance(self.special_tokens, Mapping) or set(self.special_tokens) != set(ROLES):
            raise InputError(
                f"the tokenizer's special tokens are {quote(self.special_tokens)}",
                allowed=f"one token for each of {', '.join(ROLES)}",
            )
        for role, token in self.special_tokens.items():
            if not isinstance(token, str) or not token.strip():
                raise InputError(f"the tokenizer's {role} token is {quote(token)}", allowed="a word")

    def to_manifest(self) -> dict[str, Any]:
        """The flags as a bundle's manifest holds them."""
        return {
            "lower_case": self.lower_case,
            "strip_accents": self.strip_accents,
            "cjk": self.cjk,
            "max_word": self.max_word,
            "special_tokens": {role: self.special_tokens[role] for role in ROLES},
        }

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> TokenizerFlags:
        """The flags of a bundle's manifest; every key is required, none other is allowed."""
        names = set(cls.__dataclass_fields__)
        if set(manifest) != names:
            raise InputError(
                f"the manifest's tokenizer has the keys {', '.join(sorted(manifest)) or 'none'}",
                allowed=", ".join(sorted(names)),
            )
        return cls(**manifest)


def read_vocab(path: Path) -> list[str]:
    """The words of a vocab.txt: line n, counted from 0, is the word with id n.

    As `tokenizers` does, lines end with LF or CR LF, and white space at a word's end is dropped.
    """
    text = read_text(path, CONTENTS)
    if not text:
        raise InputError(f"{path} is empty", allowed="one word a line")
    if text.startswith("\ufeff"):
        raise InputError(f"{path} starts with a byte order mark", hint="save it as UTF-8 without one")
    lines = text.removesuffix("\n").split("\n")
    return [line.rstrip(_WHITE_SPACE) for line in lines]


def check_words(words: Sequence[str], flags: TokenizerFlags) -> None:
    """Refuse a vocabulary that is empty, doubles a word, lacks a special token or does not fit vocab.txt."""
    if not words:
        raise InputError("the vocabulary is empty", allowed="at least the special tokens")
    lines: dict[str, int] = {}
    for line, word in enumerate(words, start=1):
        if word in lines:
            raise InputError(
                f"the vocabulary has {quote(word)} twice: lines {lines[word]} and {line}",
                allowed="every word once",
            )
        if "\n" in word or "\r" in word or word != word.rstrip(_WHITE_SPACE):
            raise InputError(
                f"the word {quote(word)} in line {line} of the vocabulary has a line break or white space "
                "at its end",
                allowed="words that a line of vocab.txt can hold",
            )
        lines[word] = line
    missing = [f"{token} ({role})" for role, token in flags.special_tokens.items() if token not in lines]
    if missing:
        raise InputError(
            f"the vocabulary lacks {', '.join(missing)}",
            allowed="a vocabulary with every special token",
            hint="if they have other names, state those in tokenizer_config.json (unk_token, ...)",
        )


def choose_words(
    words: Sequence[str], flags: TokenizerFlags, uses: Mapping[int, int], size: int
) -> list[int]:
    """The rows of a smaller vocabulary, ascending, that can still spell what the whole one can.

    Special tokens and single characters stay, at a word's beginning and inside it, and pieces that these
    cannot spell. The rest of the room goes to the words that are used most, then to those of the lowest rows,
    which in BERT's vocabularies are the commonest.

    Args:
        uses: row -> how often it is used; 0 where it is absent.
        size: how many rows are wanted.

    Raises:
        InputError: so many rows are more than there are, or too few for what must stay.
    """
    held = set(words)
    special = set(flags.special_tokens.values())

    def must_stay(word: str) -> bool:
        first, rest = (word[:3], word[3:]) if word.startswith(PREFIX) else (word[:1], word[1:])
        spelled = first in held and all(PREFIX + character in held for character in rest)
        return word in special or not rest or not (spelled or _UNUSED.fullmatch(word))

    kept = [row for row, word in enumerate(words) if must_stay(word)]
    if not len(kept) <= size <= len(words):
        raise InputError(
            f"a vocabulary of {size} words cannot be cut from these {len(words)}",
            allowed=f"{len(kept)}, the special tokens and characters, to {len(words)}",
        )
    known = set(kept)
    others = sorted(
        (row for row in range(len(words)) if row not in known),
        key=lambda row: (-uses.get(row, 0), bool(_UNUSED.fullmatch(words[row])), row),
    )
    return sorted(kept + others[: size - len(kept)])
