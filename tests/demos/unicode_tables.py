"""Writes the Unicode tables of the demos' tokenizers, Kotlin's and Swift's, from what `tokenizers` does.

The library mixes Unicode versions (squeezebert_edge/text/tokenizer.py names them), and a phone has another
one still; so no published table is read: BertNormalizer, NFD and BertPreTokenizer are asked about every
Unicode scalar.
It stands among the tests because it belongs to neither demo, and a test holds what is committed to it.

    python -m tests.demos.unicode_tables          # writes both files anew

Both files hold the same four strings of numbers, in base64 VLQ as source maps have it
(https://tc39.es/ecma426/#sec-base64-vlq): five bits a digit, the lowest first, 32 marks that more follow, and
the lowest bit of a signed number is its sign.

    classes, ranks   runs over the code points from 0: length, value; what follows the last run is 0
    decompositions   code point less the one before it, count of what it becomes, and for each of those its
    lower_case       signed distance from the code point
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from tokenizers.normalizers import NFD, BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer

from tests.kit.hostile import every_scalar

ROOT = Path(__file__).parents[2]
DROPPED, SPACE, PUNCTUATION, MARK, CJK = (1 << bit for bit in range(5))
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic: section 3.12 of the Unicode Standard
_WIDTH = 88

KOTLIN = Path("android_demo/core/src/main/kotlin/io/squeezebert/edge/UnicodeTables.kt")
SWIFT = Path("ios_demo/SqueezeBertKit/Sources/SqueezeBertKit/UnicodeTables.swift")


def classes() -> dict[int, int]:
    """Code point -> flags, where there are any."""
    found: dict[int, int] = {}
    clean = _normalizer(clean_text=True)
    around = _normalizer(handle_chinese_chars=True)
    marks = _normalizer(strip_accents=True)

    def words(text: str) -> list[str]:
        return [word for word, _ in BertPreTokenizer().pre_tokenize_str(text)]

    for character in _touched(clean, around, marks, lambda text: "|".join(words(text))):
        cleaned = clean(character)
        pieces = len(words(f"a{character}a"))
        flags = DROPPED * (cleaned == "")
        # What is dropped never reaches the place where white space would part words.
        flags |= SPACE * (cleaned == " " or (pieces == 2 and cleaned != ""))
        flags |= PUNCTUATION * (pieces == 3)
        flags |= MARK * (marks(character) == "")
        flags |= CJK * (around(character) != character)
        if flags:
            found[ord(character)] = flags
    return found


def decompositions() -> dict[int, list[int]]:
    """Code point -> its full canonical decomposition, Hangul syllables left out."""
    return {code: to for code, to in _changed(NFD().normalize_str).items() if code not in _HANGUL}


def lower_case() -> dict[int, list[int]]:
    """Code point -> its lower case, without regard to what stands beside it."""
    return _changed(Lowercase().normalize_str)


def ranks() -> dict[int, int]:
    """Code point -> rank of its canonical combining class among the classes, from 1; starters are left out.

    NFD sorts what stands between two starters by class. That order is all that is needed of the classes.
    """
    nfd = NFD().normalize_str
    highest = "\u0345"  # class 240, the last one, and the only one of it
    among_highest = _touched(lambda text: nfd(text.replace("a", highest)).replace(highest, "a"))
    whole = (c for c in among_highest if nfd(c) == c)
    sortable = [c for c in whole if c == highest or nfd(highest + c) != highest + c]
    ordered = nfd("".join(sortable))
    rank, found = 1, {ord(ordered[0]): 1}
    for earlier, later in itertools.pairwise(ordered):
        rank += nfd(later + earlier) == earlier + later
        found[ord(later)] = rank
    return found


def tables() -> dict[str, str]:
    """The four tables as strings of digits."""
    _check_hangul()
    return {
        "classes": _runs(classes()),
        "ranks": _runs(ranks()),
        "decompositions": _mappings(decompositions()),
        "lower_case": _mappings(lower_case()),
    }


def kotlin(found: Mapping[str, str]) -> str:
    """UnicodeTables.kt."""
    body = "\n".join(
        f"    const val {name.upper()}: String =\n        {_literals(digits, ' +', 8)}"
        for name, digits in found.items()
    )
    return f"{_header()}package io.squeezebert.edge\n\ninternal object UnicodeTables {{\n{body}\n}}\n"


def swift(found: Mapping[str, str]) -> str:
    """UnicodeTables.swift; one literal each, for the type checker is slow on sums."""
    body = "\n".join(
        f'    static let {_camel(name)} = """\n        {_lines(digits)}\n        """'
        for name, digits in found.items()
    )
    return f"{_header()}enum UnicodeTables {{\n{body}\n}}\n"


def files() -> dict[Path, str]:
    """What is to be in the repository: path -> content."""
    found = tables()
    return {KOTLIN: kotlin(found), SWIFT: swift(found)}


def _normalizer(**steps: bool) -> Callable[[str], str]:
    none = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return BertNormalizer(**(none | steps)).normalize_str


def _touched(*changes: Callable[[str], str]) -> Iterator[str]:
    """Every scalar but those of stretches to which nothing is done, which spares nine calls in ten."""
    scalars = every_scalar()
    while stretch := list(itertools.islice(scalars, 256)):
        text = f"a{'a'.join(stretch)}a"
        if any(change(text) != text for change in changes):
            yield from stretch


def _changed(normalize: Callable[[str], str]) -> dict[int, list[int]]:
    pairs = ((character, normalize(character)) for character in _touched(normalize))
    return {ord(before): [ord(c) for c in after] for before, after in pairs if after != before}


def _check_hangul() -> None:
    nfd = NFD().normalize_str
    for index, code in enumerate(_HANGUL):
        lead, vowel, tail = 0x1100 + index // 588, 0x1161 + index % 588 // 28, 0x11A7 + index % 28
        parts = [lead, vowel] + [tail] * (tail != 0x11A7)
        assert nfd(chr(code)) == "".join(map(chr, parts)), hex(code)


def _runs(values: Mapping[int, int]) -> str:
    of_each = (values.get(code, 0) for code in range(max(values) + 1))
    runs = ((len(list(run)), value) for value, run in itertools.groupby(of_each))
    return "".join(_unsigned(number) for run in runs for number in run)


def _mappings(mappings: Mapping[int, list[int]]) -> str:
    digits, before = [], 0
    for code, targets in sorted(mappings.items()):
        digits += [_unsigned(code - before), _unsigned(len(targets))]
        digits += [_signed(target - code) for target in targets]
        before = code
    return "".join(digits)


def _unsigned(number: int) -> str:
    digits = []
    while True:
        number, low = number >> 5, number & 31
        digits.append(_DIGITS[low | 32 * (number > 0)])
        if not number:
            return "".join(digits)


def _signed(number: int) -> str:
    return _unsigned(abs(number) << 1 | (number < 0))


def _header() -> str:
    library = f"tokenizers {version('tokenizers')}"
    return f"// Written by tests/demos/unicode_tables.py, which explains it, from {library}: do not edit.\n\n"


def _split(digits: str) -> Iterable[str]:
    return (digits[start : start + _WIDTH] for start in range(0, len(digits), _WIDTH))


def _literals(digits: str, plus: str, indent: int) -> str:
    return f"{plus}\n{' ' * indent}".join(f'"{line}"' for line in _split(digits))


def _lines(digits: str) -> str:
    return "\\\n        ".join(_split(digits))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


if __name__ == "__main__":
    for path, content in files().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(content, encoding="ascii")
