"""How long 1,000 sentences take to tokenize: the Android core on this JVM, and Python's `tokenizers`.

Both get the same sentences and vocabulary and one thread, in turn, so that what the machine does meanwhile
strikes both alike; each process warms up for ROUNDS rounds, then runs as many that count. Python is measured
as the library alone and through squeezebert_edge.text. The median is over all rounds that count, the spread
the distance between the quartiles. It says nothing of a phone's speed, only of the code's.

    python -m benchmarks.tokenizing [--texts FILE] [--vocab vocab.txt] [--rounds 100] [--repeats 3]

Without --texts and --vocab: the built-in samples, and the default model's vocabulary.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import resources
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path

from tokenizers import BertWordPieceTokenizer

from squeezebert_edge.devices.python import machine
from squeezebert_edge.tasks import data
from squeezebert_edge.tasks.data import read_lines
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.text.vocabulary import read_vocab
from tests.demos.tokenizer_cases import write_bundle
from tests.toolchains import kotlin

KOTLIN, LIBRARY = "Kotlin core, JVM", "tokenizers"
SENTENCES, MAX_LENGTH = 1000, 128
ASSETS = Path(str(resources.files("squeezebert_edge"))) / "assets"


def sentences(path: Path | None) -> list[str]:
    """1,000 lines of a file, or of the built-in samples over and over."""
    if path is not None:
        lines: Iterable[str] = read_lines(path)
    else:
        samples = ASSETS / "samples"
        lines = [example.text for example in data.read_texts(samples / "sentences.tsv")]
        lines += [example.pair or "" for example in data.read_questions(samples / "questions.jsonl")]
    return list(islice(cycle(lines), SENTENCES))


def in_python(encode: Callable[[str], object], texts: list[str], rounds: int) -> list[float]:
    """Milliseconds of each round."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for text in texts:
            encode(text)
        times.append(1000 * (time.perf_counter() - start))
    return times


def in_kotlin(class_path: str, bundle: Path, texts: list[str], rounds: int) -> list[float]:
    """Milliseconds of each round, in a JVM that starts for this."""
    command = kotlin.java(class_path, kotlin.MAIN_CLASS, "time", str(bundle), str(rounds))
    printed = subprocess.run(command, input="\n".join(texts), capture_output=True, text=True, check=True)
    times: list[float] = json.loads(printed.stdout)
    return times


def measure(
    tokenizer: Tokenizer, texts: list[str], rounds: int, repeats: int, directory: Path
) -> dict[str, list[float]]:
    """The rounds that count, of each contender."""
    class_path = kotlin.compile_core(directory / "classes")
    bundle = write_bundle(directory / "bundle", tokenizer)
    library = BertWordPieceTokenizer({word: row for row, word in enumerate(tokenizer.vocab)})
    contenders = {
        KOTLIN: lambda: in_kotlin(class_path, bundle, texts, 2 * rounds),
        LIBRARY: lambda: in_python(library.encode, texts, 2 * rounds),
        "squeezebert_edge.text.tokenizer": lambda: in_python(
            lambda text: tokenizer.encode(text, max_length=MAX_LENGTH), texts, 2 * rounds
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            times[name] += run()[rounds:]
    return times


def report(times: dict[str, list[float]], texts: list[str], tokens: int) -> None:
    """Print the table, and what it was measured on."""
    medians = {name: statistics.median(found) for name, found in times.items()}
    print("| 1,000 sentences, one thread | median ms | spread | of tokenizers' time |")
    print("|---|---|---|---|")
    for name, found in times.items():
        low, _, high = statistics.quantiles(found, n=4)
        print(f"| {name} | {medians[name]:.2f} | {high - low:.2f} | {medians[name] / medians[LIBRARY]:.2f} |")
    print(f"\n- {len(set(texts))} different sentences, {tokens / len(texts):.1f} tokens each")
    where = machine.describe()
    print(f"- {where['name']}, {where['cpus']} cores, {where['os']}")
    print(f"- tokenizers {version('tokenizers')}, Python {platform.python_version()}")
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    print(f"- Kotlin core {medians[KOTLIN] / 1000:.4f} ms a sentence, on {java.splitlines()[-1]}")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, help="a sentence a line")
    parser.add_argument("--vocab", type=Path, default=ASSETS / "default" / "vocab.txt")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    texts = sentences(options.texts)
    tokenizer = Tokenizer(read_vocab(options.vocab))
    with tempfile.TemporaryDirectory() as directory:
        times = measure(tokenizer, texts, options.rounds, options.repeats, Path(directory))
    report(times, texts, sum(len(tokenizer.encode(text, max_length=MAX_LENGTH)) for text in texts))


if __name__ == "__main__":
    main()
