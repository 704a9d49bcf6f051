"""Hostile text: strings that break tokenizers, the same for the same seed on every Python.

Only code point ranges are used, never `unicodedata`, whose tables differ between Python versions; and only
`Random.random()`, whose sequence Python guarantees. Every string is made of Unicode scalars: lone surrogates
are not text and have a list of their own.
"""
# ruff: noqa: RUF001 (characters that look like others are what this file is for)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# White_Space of Unicode, and characters that some library takes for it: separators U+001C..U+001F, zero-width
# space, word joiner, byte order mark, Mongolian vowel separator, Hangul filler.
WHITE_SPACE = (
    [chr(c) for c in (*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))]
    + list("\u2028\u2029\u202f\u205f\u3000")
    + list("\x1c\x1d\x1e\x1f\u200b\u2060\ufeff\u180e\u3164")
)
CONTROLS = [chr(c) for c in (*range(0x00, 0x20), *range(0x7F, 0xA0), 0xAD)]
FORMATS = list(
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufff9\ufffc\ufffd\u061c\U000e0001\U000e0067\U000e007f"
)
COMBINING = [chr(c) for c in (*range(0x300, 0x370), *range(0x483, 0x48A), *range(0x591, 0x5BE))] + list(
    "\u0610\u064b\u0670\u093c\u094d\u0e31\u0e48\u1734\u1ab0\u20d0\u20e3\u3099\ufe00\ufe0f\ufe20\U000111c9\U0001d165\U000e0100"
)
PUNCTUATION = [chr(c) for c in range(0x21, 0x7F) if not chr(c).isalnum()] + list(
    "¡§«·»¿;·՚،؟।॥༺‐—‘’“”…※⁅⁆〈〉⸺⹖、。「」〜・︰﹏﹫！＂～｡𐄀𑇉᙭"
)
SYMBOLS = list("¢£©®°±¼×÷€№™Ω⅓←∀⌘①■☃✈⠿⬛㈱㎏꜀￥𝄞𝐀🂡")
LETTERS = list(
    "aZzéÉñßẞſŁłøØæðþĳŉǅǰıİKÅΑΣσςΆΐẹ̀ЙйЁёҐժԱﬀﬃאבﬡאَبةﷺअआकীกขဠაᲐሀᏸᎠ가각힣ᄀㄱあアｱ中国龍㐀豈𠀀𫠠𫤠𮯰𐐀𞤀𝒜"
)
CJK_EDGES = [
    chr(c + d)
    for first, last in (
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
        (0x20000, 0x2A6DF),
        (0x2A700, 0x2B73F),
        (0x2B740, 0x2B81F),
        (0x2B820, 0x2CEAF),
        (0x2B920, 0x2CEAF),
        (0x2F800, 0x2FA1F),
        (0x3040, 0x30FF),
        (0xAC00, 0xD7A3),
        (0x30000, 0x3134A),
    )
    for c in (first, last)
    for d in (-1, 0, 1)
]
# The scalars around the surrogates, and those that need a pair of them in UTF-16.
UTF16_EDGES = [chr(c) for c in (0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000, 0x1FFFF, 0x10FFFE, 0x10FFFF)]
PRIVATE_USE = [chr(c) for c in (0xE000, 0xE0FF, 0xF8FF, 0xF0000, 0xFFFFD, 0x100000, 0x10FFFD)]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "👩🏽‍🚀", "🏳️‍🌈", "🇫🇷", "1️⃣", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👍🏿", "\u200d👩", "👩\u200d", "🇫"]

_POOLS: Sequence[Sequence[str]] = (
    WHITE_SPACE,
    CONTROLS,
    FORMATS,
    COMBINING,
    PUNCTUATION,
    SYMBOLS,
    LETTERS,
    LETTERS,
    CJK_EDGES,
    UTF16_EDGES,
    PRIVATE_USE,
    EMOJI,
    SPECIAL_TOKENS,
    ("a", "the ", "un", "##s", "word", " ", " ", "ING", "'s", "3.14", "http://a.b/?c=d#e"),
)

LONE_SURROGATES = ("\ud800", "a\udfffb", "\ude00\ud83d", "ok \udc80", "[MASK]\udbff")


def hostile_texts(seed: int = 0, count: int = 400) -> list[str]:
    """Hand-made strings, one string per 256 code points, and `count` random mixtures."""
    random = Random(seed)
    return [*written(), *pages(), *(_mixture(random) for _ in range(count))]


def drawn_texts(random: Random, count: int) -> list[str]:
    """`count` strings: mixtures, runs of one block, characters of everywhere, marks, and a few long ones."""
    kinds = (_mixture, _mixture, _mixture, _block, _anywhere, _marked)
    texts = [kinds[number % len(kinds)](random) for number in range(count)]
    for number in range(0, count, 500):
        texts[number] = "".join(texts[number : number + 60])
    return texts


def written() -> list[str]:
    """Strings made by hand, each for one thing that goes wrong."""
    lengths = (1, 2, 99, 100, 101, 199, 200, 201, 5000)
    return [
        "",
        " ",
        "".join(WHITE_SPACE),
        "a".join(WHITE_SPACE),
        "".join(CONTROLS),
        "b".join(CONTROLS),
        "x".join(FORMATS),
        "".join(COMBINING),
        "e"
        + "".join(COMBINING)
        + " e\u0301 \u00e9 o\u0327\u0302 o\u0302\u0327",  # more marks than a buffer; orders
        "".join(PUNCTUATION),
        "n".join(SYMBOLS),
        " ".join(EMOJI),
        "".join(EMOJI),
        "".join(CJK_EDGES),
        "x".join(CJK_EDGES),
        "".join(UTF16_EDGES),
        "x".join(PRIVATE_USE),
        *("a" * length for length in lengths),
        *("\u00e9" * length for length in lengths),
        *("e\u0301" * length for length in lengths),  # the limit counts after accents are dropped
        *("\U0001d49c" * length for length in lengths),  # two UTF-16 units each
        "中" * 300,
        *SPECIAL_TOKENS,
        "".join(SPECIAL_TOKENS),
        "a[SEP]b [ SEP ] [sep] [Sep] [[SEP]] [SEP][SEP] [SEP",
        "SEP] [MAS[MASK]K] [MASK]ing un[MASK] ##[MASK] [MASK]. \u0301[MASK]\u0301 [MA\u200bSK] [MA\u0301SK]",
        "[CLS] what is [MASK] ? [SEP] it [SEP] [PAD] [PAD] [UNK]",
        "[unused0] [unused1] ##ing ## # ###",
        "ΟΔΟΣ ΑΣ Σ ΣΑ ςσΣ' Σ.Α",  # a capital sigma at a word's end
        "İstanbul ISPARTA ıı İİ i\u0307",
        "STRASSE straße STRAẞE ﬁ ﬃ ŉ ǰ ΐ ΰ և ẖ",  # one letter, several when its case changes
        "\u1e9e\u0130\u212a\u212b\u2126\u01c5\u03f4\u0345\u1fb3\u1fbc\uab70\u13a0",
        "한국어 각 \u1100\u1161\u11a8 \uac00\u11a8 ㄱ",  # syllables, and the same as conjoining letters
        "קָמָץ שלום العَرَبِيَّة \u202eabc\u202c ﷽ لا",
        "नमस्ते क्षत्रिय தமிழ் ไทยนี้รักต้นข้าว မြန်မာ ខ្មែរ བོད་",
        "か\u3099 が ｶﾞ ゔ 〱 々 ー 𛀀",
        "\u0344\u0340\u0341\u0343\u0958\u0f73\ufb1d\U0001d15e\u2adc",  # decompose, but are not composed again
        "\u166d\u1734\u0378\u0890\u0898\u08e2\u1df6\u2e43\u2e5d\ufa6e\U000110cd\U00011938\U0001e95e\U0003134b",
        "\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0010ffff",  # noncharacters
        "0\u0660\u06f0\u0966\uff10\U0001d7ce ½ Ⅷ ² ₂ ①",
        "line one\nline two\r\nline three\rfour\u2028five\u2029six\x85seven\x0beight",
        "\ufeffbyte order mark",
        "a\x00b \x00 \ufffd\ufffd",
        "don't can\u2019t rock\u2010n\u2011roll e-mail a_b #tag @you $5 50% a+b=c x<y ^~`|",
        'https://example.org/%E4%B8%AD?q=a&b=c C:\\dir\\file.txt {"json": [1, 2.5e-3]} <br/>',
    ]


def pages() -> list[str]:
    """A string for every 256 code points of planes 0, 1, 2, 3 and 14, one character from every 16.

    Unicode's blocks start at multiples of 16, so every block is met.
    """
    texts = []
    for plane in (0, 1, 2, 3, 14):
        for page in range(plane << 16, (plane + 1) << 16, 256):
            if plane in (2, 3, 14) and (page >> 8) % 16:
                continue  # few and large blocks there
            columns = (page + 16 * column + (page // 256 + 7 * column) % 16 for column in range(16))
            scalars = [chr(code) for code in columns if not 0xD800 <= code < 0xE000]
            if scalars:
                texts.append("".join(scalars) + " " + "x".join(scalars))
    return texts


def every_scalar() -> Iterator[str]:
    """All 1,112,064 Unicode scalars, one by one."""
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        yield chr(code)


def _mixture(random: Random) -> str:
    def pick(count: int) -> int:
        return int(random.random() * count)

    pools = (_POOLS[pick(len(_POOLS))] for _ in range(1 + pick(24)))
    return "".join(pool[pick(len(pool))] for pool in pools)


def _scalars(random: Random, first: int, width: int, count: int) -> str:
    codes = (first + int(random.random() * width) for _ in range(count))
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)


def _block(random: Random) -> str:
    """Words of one stretch of 128 code points, mostly of plane 0 or 1."""
    first = int(random.random() * (0x20000 if random.random() < 0.9 else 0x110000)) & ~127
    words = (_scalars(random, first, 128, 1 + int(random.random() * 12)) for _ in range(4))
    return " ".join(words)


def _anywhere(random: Random) -> str:
    return "".join(_scalars(random, 0, 0x110000, 1) + _scalars(random, 0, 0x3100, 3) for _ in range(8))


def _marked(random: Random) -> str:
    """Letters under piles of marks, in no order."""
    letters = (_scalars(random, 0xC0, 0x240, 1) + _pile(random) for _ in range(6))
    return "".join(letters)


def _pile(random: Random) -> str:
    stretches = ((0x300, 0x70), (0x591, 0x60), (0x8D4, 0x2C), (0x1D165, 0x48), (0x1E000, 0x2B), (0x302A, 6))
    return "".join(
        _scalars(random, *stretches[int(random.random() ** 2 * len(stretches))], 1)
        for _ in range(int(random.random() * 6))
    )
