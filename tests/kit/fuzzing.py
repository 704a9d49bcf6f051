"""Broken files, made of good ones at random, given to the commands that read them.

python -m tests.kit.fuzzing --seed 7 --cases 10000      # many
python -m tests.kit.fuzzing --seed 7 --case 4711        # one of them again

A case fails that ends in anything but an answer or an error that explains itself, takes more than SECONDS,
or a gigabyte more than good files do, shows a value whole, or writes anything.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, NoReturn

import torch
import typer

import exporters
from exporters.errors import EdgeError
from squeezebert_edge.bundle.manifest import MANIFEST, SEAL, files, sha256, write_manifest
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from squeezebert_edge.cli.commands import app
from squeezebert_edge.devices import results
from squeezebert_edge.devices.native import KIT, VARIABLE, load_kit
from squeezebert_edge.forms.choices import FormsFile, read_forms, write_forms
from squeezebert_edge.plumbing.journal import Journal
from squeezebert_edge.report.rows import Report, to_json
from squeezebert_edge.tasks.heads import TASKS
from squeezebert_edge.training.state import read_state, write_state
from tests.kit.records import measured
from tests.kit.reports import ranking, typical
from tests.kit.small import TorchRunner, small_checkpoint

SECONDS = 10.0  # of the processor, so that a busy machine changes nothing; six times that on the clock
GIGABYTE = 1 << 30
ADDRESSES = (
    12 * GIGABYTE
)  # beyond it memory is refused: a case that would take more fails, the machine does not
LONGEST_MESSAGE = 16_000
LENGTHS = (32, 64)
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class TooLongError(BaseException):
    """A case takes more than SECONDS; not an Exception, which somebody might catch."""


# What is read, and by whom.


@dataclass(frozen=True)
class Kind:
    """Files of one kind.

    make: writes good ones into an empty directory. names: those of them that are broken. read: reads them.
    seal: makes a bundle's hashes anew afterwards.
    """

    name: str
    make: Callable[[Path], None]
    names: Sequence[str]
    read: Callable[[Path], object]
    seal: bool = False


COMMANDS = typer.main.get_command(app)


def command(*words: str) -> Callable[[Path], object]:
    """Reads by a command, {} being the directory."""

    def read(directory: Path) -> None:
        COMMANDS.main([word.replace("{}", str(directory)) for word in words], standalone_mode=False)

    return read


def make_checkpoint(directory: Path, **options: Any) -> None:
    small = small_checkpoint(**options)
    target = directory / "checkpoint"
    save_checkpoint(target, config=small.config, model=small.model, tokenizer=small.tokenizer)


def make_tokenizer_json(directory: Path) -> None:
    """A checkpoint whose tokenizer is all in tokenizer.json, with the other files beside it."""
    make_checkpoint(directory)
    target = directory / "checkpoint"
    tokenizer = load_checkpoint(str(target)).tokenizer
    from tokenizers.processors import TemplateProcessing

    backend = tokenizer._backend
    ids = tokenizer.special_ids
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["cls"]), ("[SEP]", ids["sep"])],
    )
    backend.save(str(target / "tokenizer.json"))
    (target / "special_tokens_map.json").write_text(json.dumps({"unk_token": "[UNK]"}))
    (target / "added_tokens.json").write_text(json.dumps({"[MASK]": ids["mask"]}))


def make_bin(directory: Path) -> None:
    make_checkpoint(directory)
    weights = directory / "checkpoint" / "model.safetensors"
    from safetensors.torch import load_file

    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()


def make_shards(directory: Path) -> None:
    make_checkpoint(directory)
    weights = directory / "checkpoint" / "model.safetensors"
    from safetensors.torch import load_file

    shard = "model-00001-of-00001.safetensors"
    index = {"metadata": {}, "weight_map": dict.fromkeys(load_file(weights), shard)}
    weights.rename(weights.with_name(shard))
    weights.with_name("model.safetensors.index.json").write_text(json.dumps(index))


def make_bundle(directory: Path, architecture: str = "SqueezeBertForSequenceClassification") -> None:
    """A checkpoint and a bundle of it, whose artifact is a stand-in that torch computes."""
    tags = {"id2label": {0: "O", 1: "B-PER"}} if "Token" in architecture else {}
    make_checkpoint(directory, architecture=architecture, **tags)
    loaded = load_checkpoint(str(directory / "checkpoint"))
    task = next(task for task in TASKS.values() if task.architecture == architecture)
    has_labels = "Sequence" in architecture or "Token" in architecture
    labels = [loaded.config.id2label[n] for n in range(loaded.config.num_labels)] if has_labels else []
    width = {"fill-mask": 120, "feature-extraction": 32, "multiple-choice": 1}.get(task.name, len(labels))
    rest = [] if task.name == "question-answering" else [width]
    bundle = directory / "bundle"
    bundle.mkdir()
    (bundle / "model.tflite").write_bytes(b"a stand-in")
    (bundle / "vocab.txt").write_text("".join(f"{word}\n" for word in loaded.tokenizer.vocab))
    write_manifest(
        bundle,
        {
            "source": {"checkpoint": str(directory / "checkpoint"), "sha256": loaded.sha256},
            "format": "tflite",
            "artifact": "model.tflite",
            "task": task.name,
            "problem_type": loaded.config.problem_type,
            "labels": labels,
            "precision": {"name": "int8", "exact": "int8-dynamic", "decided_by": "the user",
                          "weights": "int8", "activations": "int8"},
            "form": "plain",
            "form_decided_by": "the user",
            "lengths": list(LENGTHS),
            "entry_points": {length: f"length_{length}" for length in LENGTHS},
            "inputs": [{"name": "input_ids", "dtype": "int32", "shape": [1, None]}],
            "outputs": [
                {"name": name, "dtype": "float32", "shape": [1, *[None] * (name in task.per_token), *rest]}
                for name in task.outputs
            ],
            "tokenizer": loaded.tokenizer.flags.to_manifest(),
            "target": None,
            "versions": {"torch": "2"},
            "delegation": {"delegated": 3, "total": 4, "outside": ["GATHER x1"]},
            "float_operators": {"softmax": 2},
            "verification": {"status": "verified", "by": "runtime", "max_abs_error": 1e-3, "sqnr_db": 48.0},
        },
    )  # fmt: skip
    STAND_INS[task.name] = TorchRunner(loaded.model, task, LENGTHS)


STAND_INS: dict[str, TorchRunner] = {}  # by task, in the place of artifacts


class StandIn:
    """A format whose artifacts torch computes."""

    def __init__(self, task: str) -> None:
        self.task = task

    def load(self, path: Path, **options: object) -> TorchRunner:
        return STAND_INS[self.task]


def seal_again(bundle: Path) -> None:
    """Make the hashes of a bundle anew, as one does who knows how."""
    manifest = bundle / MANIFEST
    if not manifest.is_file() or manifest.stat().st_size > 1 << 30:
        return
    with contextlib.suppress(EdgeError, ValueError, TypeError, RecursionError):  # it may be JSON no more
        written = json.loads(manifest.read_bytes())
        written["files"] = {name: sha256(path) for name, path in files(bundle).items()}
        manifest.write_text(json.dumps(written))
    (bundle / SEAL).write_text(hashlib.sha256(manifest.read_bytes()).hexdigest() + "\n")


DATA: dict[str, tuple[str, str]] = {
    "dev.tsv": ("text-classification", "sentence\tlabel\ngood film\t1\nbad food\t0\nthe film\t1\n"),
    "dev.csv": ("text-classification", 'sentence,label\n"good, film",1\nbad,0\n'),
    "dev.jsonl": ("text-classification", '{"text": "good", "label": 1}\n{"text": "bad", "label": 0}\n'),
    "cola.tsv": ("text-classification", "gj04\t1\t\tthe film is good\ngj04\t0\t*\tgood the is\n"),
    "tags.conll": ("token-classification", "-DOCSTART- O\n\nthe O\nfilm B-PER\n\ngood O\nfood O\n"),
    "tags.jsonl": ("token-classification", '{"words": ["the", "film"], "tags": ["O", "B-PER"]}\n'),
    "squad.json": (
        "question-answering",
        json.dumps({"data": [{"paragraphs": [{"context": "the film is good", "qas": [
            {"id": "a", "question": "what?", "answers": [{"text": "the film", "answer_start": 0}]}]}]}],
            "version": "1.1"}),
    ),
    "squad.jsonl": (
        "question-answering",
        '{"question": "what?", "context": "the film is", "answers": [{"text": "the film", "start": 0}]}\n',
    ),
    "swag.csv": (
        "multiple-choice",
        "sent1,sent2,ending0,ending1,ending2,ending3,label\nthe film,is,good,bad,food,the film,0\n",
    ),
    "choices.jsonl": ("multiple-choice", '{"prompt": "the film", "choices": ["is", "food"], "label": 1}\n'),
    "codah.tsv": ("multiple-choice", "i\tthe film\tis good\tis bad\tfood\tthe\t2\n"),
    "masked.jsonl": ("fill-mask", '{"text": "the [MASK] is good", "answer": "film"}\n'),
}  # fmt: skip


def data_kind(name: str) -> Kind:
    task, content = DATA[name]

    def make(directory: Path) -> None:
        make_bundle(directory, TASKS[task].architecture)
        (directory / name).write_text(content)

    return Kind(
        f"data {name}",
        make,
        [name],
        command("evaluate", "{}/bundle", "--data", f"{{}}/{name}", "--limit", "50", "--json"),
    )


def make_lines(directory: Path) -> None:
    make_bundle(directory)
    (directory / "lines.txt").write_text("good film\nthe food\tis bad\n")


def make_journal(directory: Path) -> None:
    """What an interrupted evaluation keeps."""
    make_bundle(directory)
    (directory / "dev.tsv").write_text(DATA["dev.tsv"][1])
    delete, Journal.delete = Journal.delete, lambda self: None  # type: ignore[method-assign]
    try:
        command("evaluate", "{}/bundle", "--data", "{}/dev.tsv", "--limit", "50", "--json")(directory)
    finally:
        Journal.delete = delete  # type: ignore[method-assign]


def make_records(directory: Path) -> None:
    (directory / "a.record.json").write_text(measured(9.0, queries=130).model_dump_json())
    (directory / "report.json").write_text(to_json(typical()))
    (directory / "parts.json").write_text(json.dumps(ranking_json()))


def ranking_json() -> Any:
    return json.loads(to_json(Report((), rankings=(ranking(),))))["rankings"][0]


def make_forms(directory: Path) -> None:
    chosen = {"tflite": {"fp32": "group-batched"}, "executorch": {"fp32": "plain"}}
    write_forms(FormsFile(device="a phone", forms=chosen), directory / "forms.json")


def make_kit(directory: Path) -> None:
    program = {"runtime": "litert", "version": "2", "program": "runner", "files": ["lib.so"]}
    kit = {"abi": "arm64-v8a", "libc": "glibc", "loader": None, "programs": {"tflite": program}}
    (directory / KIT).write_text(json.dumps(kit))


def read_kit(directory: Path) -> None:
    os.environ[VARIABLE] = str(directory)
    load_kit()


def make_state(directory: Path) -> None:
    write_state(directory / "out.training.pt", {"lr": 0.1}, {"step": 3, "weights": {"a": torch.ones(3)}})


def make_result(directory: Path) -> None:
    run = measured(9.0, queries=130).model_dump(mode="json")
    fields = {name: run[name] for name in ("device", "runtime", "before", "after", "cold_start", "memory",
                                           "warm_up", "samples", "emulated")}  # fmt: skip
    (directory / "result.json").write_text(json.dumps(fields))


def read_result(directory: Path) -> None:
    results.read_run(results.read_result(directory / "result.json", "the worker"), "the worker")


TOKENIZER = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
]
INSPECT = command("inspect", "{}/checkpoint", "--length", "64", "--json")
PAGE = ["--format", "html", "--out", "{}/out.html", "--force"]
KINDS = [
    Kind("config", make_checkpoint, ["checkpoint/config.json"],
         command("inspect", "{}/checkpoint", "--length", "64")),
    Kind("tokenizer", make_tokenizer_json, [f"checkpoint/{name}" for name in TOKENIZER], INSPECT),
    Kind("safetensors", make_checkpoint, ["checkpoint/model.safetensors"], INSPECT),
    Kind("bin", make_bin, ["checkpoint/pytorch_model.bin"], INSPECT),
    Kind("index", make_shards, ["checkpoint/model.safetensors.index.json"], INSPECT),
    Kind("manifest", make_bundle, ["bundle/manifest.json"], command("inspect", "{}/bundle"), seal=True),
    Kind("shown", make_bundle, ["bundle/manifest.json"], command("report", "{}/bundle", *PAGE), seal=True),
    Kind("asked", make_bundle, ["bundle/manifest.json", "bundle/vocab.txt"],
         command("predict", "{}/bundle", "the film", "--json"), seal=True),
    Kind("scored", make_bundle, ["bundle/manifest.json"],
         command("evaluate", "{}/bundle", "--data", "{}/../dev.tsv", "--limit", "50", "--json"), seal=True),
    Kind("damaged", make_bundle, ["bundle/manifest.json", "bundle/manifest.sha256", "bundle/vocab.txt"],
         command("inspect", "{}/bundle", "--json")),
    *(data_kind(name) for name in DATA),
    Kind("lines", make_lines, ["lines.txt"],
         command("predict", "{}/bundle", "--file", "{}/lines.txt", "--json")),
    Kind("journal", make_journal, ["bundle.answers.jsonl"],
         command("evaluate", "{}/bundle", "--data", "{}/dev.tsv", "--limit", "50", "--json", "--resume")),
    Kind("record", make_records, ["a.record.json"], command("report", "{}/a.record.json", *PAGE)),
    Kind("report", make_records, ["report.json"], command("report", "{}/report.json", *PAGE)),
    Kind("baseline", make_records, ["a.record.json", "report.json"],
         command("report", "{}/report.json", "--baseline", "{}/a.record.json", "--json")),
    Kind("ranking", make_records, ["parts.json"],
         command("report", "{}/report.json", "--sensitivity", "{}/parts.json", *PAGE)),
    Kind("forms", make_forms, ["forms.json"], lambda directory: read_forms(directory / "forms.json")),
    Kind("kit", make_kit, [KIT], read_kit),
    Kind("training", make_state, ["out.training.pt"],
         lambda directory: read_state(directory / "out.training.pt", {"lr": 0.1})),
    Kind("result", make_result, ["result.json"], read_result),
]  # fmt: skip


# How files are broken.

# Texts that stand where a JSON value was; what is no JSON among them is meant.
TOKENS = (
    "null", "true", "false", "0", "-1", "1", "2", "3", "0.5", "-0.0", "1e308", "1e-308", "1e999", "NaN",
    "Infinity", "-Infinity", str(2**31), str(2**31 - 1), str(2**32), str(2**63), str(-(2**63)), str(10**12),
    str(10**9), str(10**30), str(10**63), "9" * 400, "9" * 5000, "0." + "9" * 5000, '""', '"x"',
    '"a\\u0000b"', '"\\ud800"', '"\\u202e\\u001b[31m"', f'"{"x" * 100_000}"', '"../../etc/passwd"',
    '"/dev/zero"', '"owner/name"', '"[PAD]"', "[]", "{}", "[[]]", "[null]", '{"a": 1}', "[" * 40 + "]" * 40,
    "[" * 500 + "]" * 500, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000,
    "[" + ",".join(map(str, range(5000))) + "]", "{" + ",".join(f'"{n}": {n}' for n in range(5000)) + "}",
    "\x00", "'a'", "//", "1_000", "+1", "01", ".5", '"regression"', '"multi_label_classification"',
    '"int3"', '"question-answering"', '"coreml"', '"gelu"', '"prelu"',
)  # fmt: skip
KEYS = ("", "x" * 10_000, "\x1b[2J", "__class__", "model_type", "5" * 5000, "-1", "0", "\u202e", "type", "id")
BYTES = (
    b"", b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n\n", b"\t", b'"', b",", b"{",
    b"[", b"}", b"\\", b"\xed\xa0\x80", b"9" * 5000, b"x" * 100_000, b"a " * 50_000, b"[MASK]", b"\x1b[31m",
    "\u202e\u2028\x85".encode(), "\u0301".encode() * 5000, "中".encode() * 5000, b"\t" * 5000, b"\n" * 5000,
    b"[" * 100_000, b"PK\x03\x04", b"\x80\x02",
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of a document are."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


def break_json(content: bytes, random: Random) -> bytes:
    """Change one to three values of a document."""
    document = [json.loads(content)]
    holes: dict[str, str] = {}
    for number in range(random.choice((1, 1, 1, 2, 3))):
        at = random.choice([place for place in places(document) if place])
        holder: Any = document
        for key in at[:-1]:
            holder = holder[key]
        key, hole = at[-1], f"\ue000{number}\ue001"
        match random.choice(
            ("token", "token", "token", "token", "delete", "rename", "wrap", "text", "add", "other")
        ):
            case "token":
                holes[hole] = random.choice(TOKENS)
                holder[key] = hole
            case "delete" if at != (0,):
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[random.choice(KEYS)] = holder.pop(key)
            case "wrap":
                holder[key] = random.choice(([holder[key]], {"a": holder[key]}, [holder[key]] * 3))
            case "text":
                holder[key] = str(holder[key])
            case "add" if isinstance(holder[key], dict):
                holes[hole] = random.choice(TOKENS)
                holder[key][random.choice(KEYS)] = hole
            case "add" if isinstance(holder[key], list):
                holes[hole] = random.choice(TOKENS)
                holder[key].insert(0, hole)
            case _:
                holder[key] = random.choice((1, "1", None))
    text = json.dumps(document[0], ensure_ascii=random.random() < 0.5)
    for hole, token in holes.items():
        text = text.replace(json.dumps(hole), token).replace(json.dumps(hole, ensure_ascii=False), token)
    return text.encode("utf-8", "surrogatepass")


def break_bytes(content: bytes, random: Random) -> bytes:
    """Cut, repeat, insert or change at random."""
    for _ in range(random.choice((1, 1, 2, 4))):
        start = random.randrange(len(content) + 1)
        end = min(len(content), start + random.choice((1, 2, 8, 64, 1000)))
        match random.choice(("cut", "drop", "repeat", "insert", "insert", "flip", "shuffle", "replace")):
            case "cut":
                content = content[:start]
            case "drop":
                content = content[:start] + content[end:]
            case "repeat":
                content = content[:end] + content[start:end] * random.choice((1, 3, 1000)) + content[end:]
            case "insert":
                content = content[:start] + random.choice(BYTES) + content[start:]
            case "flip" if content:
                changed = bytearray(content)
                for _ in range(random.choice((1, 3, 20))):
                    changed[random.randrange(len(content))] ^= 1 << random.randrange(8)
                content = bytes(changed)
            case "shuffle":
                lines = content.split(b"\n")
                random.shuffle(lines)
                content = b"\n".join(lines)
            case _:
                fields = re.split(rb"([\t\n, ])", content)
                fields[random.randrange(len(fields))] = random.choice(
                    (*BYTES, *(token.encode() for token in TOKENS))
                )
                content = b"".join(fields)
        content = content[: 4 << 20]
    return content


def break_lines(content: bytes, random: Random) -> bytes:
    """Break one line of JSON lines as JSON."""
    lines = content.split(b"\n")
    number = random.randrange(len(lines))
    with contextlib.suppress(ValueError):
        lines[number] = break_json(lines[number], random)
    return b"\n".join(lines)


def break_safetensors(content: bytes, random: Random) -> bytes:
    """Break the header, and say its new length, or another one."""
    (length,) = struct.unpack("<Q", content[:8])
    header = break_json(content[8 : 8 + length], random)
    said = random.choice((len(header), len(header), len(header), 0, 2**40, 2**63))
    return struct.pack("<Q", said) + header + content[8 + length :]


def replace_file(path: Path, random: Random) -> None:
    """Put something in a file's place that is no such file."""
    path.unlink()
    match random.choice(("nothing", "directory", "pipe", "zero", "loop", "socket", "sparse", "empty")):
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as listening:
                here = os.getcwd()
                os.chdir(path.parent)  # a socket's name is short
                listening.bind(path.name)
                os.chdir(here)
        case "sparse":
            path.touch()
            os.truncate(path, 1 << 40)
        case "empty":
            path.touch()


def break_file(path: Path, random: Random) -> None:
    """Break a file in one way of many."""
    if random.random() < 0.04:
        replace_file(path, random)
        return
    content = path.read_bytes()
    ways = [break_bytes]
    if path.name.endswith(".jsonl"):
        ways += [break_lines] * 2
    elif path.name.endswith(".json"):
        ways += [break_json] * 4
    elif path.name.endswith(".safetensors"):
        ways += [break_safetensors] * 2
    broken = random.choice(ways)(content, random)
    if path.name == "lines.txt":  # each is answered, which takes its time
        broken = b"\n".join(broken.split(b"\n")[:100])
    if path.name in DATA:  # likewise each window of a text
        broken = broken[: 1 << 16]
    path.write_bytes(broken)


# One case, and many.


def tree(directory: Path) -> dict[str, tuple[int, int]]:
    """What is in a directory: kinds and sizes by path."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_mode, path.lstat().st_size)
        for path in directory.rglob("*")
        if path.name not in ("out.html", "bundle.answers.jsonl")
    }


def read_broken(kind: Kind, directory: Path) -> str | None:
    """What is wrong with how broken files are read; None if nothing is."""
    printed, before = io.StringIO(), tree(directory)
    base, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    wrong = None
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(
        6 * SECONDS, exit=True
    )  # where it waits, or native code takes no signal
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            kind.read(directory)
    except EdgeError as error:
        if len(str(error)) > LONGEST_MESSAGE or UNPRINTABLE.search(str(error)):
            wrong = f"the message is of {len(str(error))} characters, or has unprintable ones"
    except TooLongError:
        wrong = "it hangs:\n" + traceback.format_exc(limit=-6)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        if not isinstance(error, SystemExit):
            wrong = traceback.format_exc(limit=-6)[-3000:]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) << 10
    if wrong is None and grown > GIGABYTE:
        wrong = f"it takes {grown / GIGABYTE:.1f} GB more"
    if wrong is None and time.process_time() - started > SECONDS:
        wrong = f"it takes {time.process_time() - started:.0f} s"
    if wrong is None and tree(directory) != before:
        wrong = f"it writes: {sorted(set(tree(directory).items()) ^ set(before.items()))[:5]}"
    return wrong


def stop(number: int, frame: FrameType | None) -> NoReturn:
    raise TooLongError


class Fuzzing:
    """The good files of every kind, and cases of them.

    found: what went wrong, as sentences with the case's number.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.seed = root, seed
        (root / "dev.tsv").write_text(DATA["dev.tsv"][1])
        self.found: list[str] = []
        self.ends: Counter[str] = Counter()
        # Artifacts are stand-ins; everything before one is opened is as it is.
        get = exporters.get
        load = Bundle.load_runner

        def load_runner(bundle: Bundle, **options: Any) -> Any:
            exporters.get = lambda name, **_: (get(name), StandIn(bundle.manifest.task))[1]  # type: ignore[assignment]
            try:
                return load(bundle, **options)
            finally:
                exporters.get = get

        Bundle.load_runner = load_runner  # type: ignore[method-assign, assignment]
        for kind in KINDS:
            good = root / kind.name.replace(" ", "-")
            good.mkdir()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                kind.make(good)
                kind.read(self.copy(kind))  # which must work, and shows what memory it takes

    def copy(self, kind: Kind) -> Path:
        """The good files of a kind, to be broken."""
        broken = self.root / "broken"
        shutil.rmtree(broken, ignore_errors=True)
        return shutil.copytree(self.root / kind.name.replace(" ", "-"), broken)

    def run(self, number: int) -> None:
        """One case."""
        random = Random(f"{self.seed}:{number}")
        kind = KINDS[number % len(KINDS)]
        broken = self.copy(kind)
        name = random.choice(kind.names)
        break_file(broken / name, random)
        if kind.seal:
            seal_again(broken / "bundle")
        wrong = read_broken(kind, broken)
        self.ends["wrong" if wrong else "right"] += 1
        if wrong:
            self.found.append(f"seed {self.seed}, case {number} ({kind.name}, {name}): {wrong}")


def main(words: Sequence[str] | None = None) -> int:
    """Run cases; prints what went wrong, and the seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--kind", help="only these")
    asked = parser.parse_args(words)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, resource.RLIM_INFINITY))
    signal.signal(signal.SIGPROF, stop)
    torch.set_num_threads(1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzzing-") as root:
        fuzzing = Fuzzing(Path(root), asked.seed)
        for number in range(asked.cases) if asked.case is None else [asked.case]:
            if asked.kind is None or KINDS[number % len(KINDS)].name == asked.kind:
                before = len(fuzzing.found)
                fuzzing.run(number)
                for sentence in fuzzing.found[before:]:
                    print(sentence, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"seed {asked.seed}: {dict(fuzzing.ends)} in {time.monotonic() - started:.0f} s, at most {peak} MB")
    return bool(fuzzing.found)


if __name__ == "__main__":
    sys.exit(main())
