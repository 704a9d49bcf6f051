"""A user's day: real texts through each tool, one after the other, and what had to be done by hand for it.

One checkpoint, one data set. Each contender answers every text, batch 1, at the lengths that its user has: a
fixed one where a tool gives one, the text's own where it takes any. Beside them the same peers are given our
lengths, so that nobody takes the gain of lengths for a gain of arithmetic. All are loaded in this process and
run in turn, in blocks of texts. BERT-base has random weights: a latency and no accuracy.

    python benchmarks/users_day.py CHECKPOINT DEV_TSV [--threads 2] [--texts N] [--artifacts DIR]

Peers: transformers with litert-torch and ai-edge-quantizer; optimum-executorch's path; ONNX Runtime (pip
install onnx onnxruntime); torch.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from latency import REST, machine, request_at, versions
from lengths import padded
from peers import Bert, onnx_file, optimum_like_pte, plain_tflite
from torch import nn

import exporters
from squeezebert_edge.accuracy import lengths as data_lengths
from squeezebert_edge.accuracy.datasets import resolve_dataset
from squeezebert_edge.accuracy.labelled import LabelledData
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.tasks.heads import TextClassification
from squeezebert_edge.verbs.plan import DEFAULT_LENGTHS

FIXED, BLOCK = 128, 50
EVERY = tuple(range(8, FIXED + 1, 8))
Row = Mapping[str, Any]
Run = Callable[[Row], Any]

# What a user of each tool does before the first answer, beside calling it.
WRAP = "wrap the module, pick a recipe of quantizing"
PAD = "tokenize and pad to one length"
SEVERAL = "a signature for each length, tokenize, pad to the shortest that fits"
OURS = "one command"


@dataclass(frozen=True)
class Contender:
    """A tool with one of its artifacts.

    lengths: what texts are padded to; none where each has its own. by_hand: what its user does.
    build: writes the artifact into a directory, once. open: the artifact and a number of threads to what
    computes the logits of a row. answers: whether it knows the task.
    """

    tool: str
    precision: str
    lengths: tuple[int, ...]
    by_hand: str
    build: Callable[[Path], Path | None]
    open: Callable[[Path | None, int], Run]
    answers: bool = True


def of_runtime(format_: str) -> Callable[[Path | None, int], Run]:
    """What opens an artifact of ExecuTorch or LiteRT."""

    def opened(path: Path | None, threads: int) -> Run:
        runner = exporters.get(format_).load(path, threads=threads)
        return lambda row: runner(row)["logits"]

    return opened


def of_onnx(path: Path | None, threads: int) -> Run:
    """What opens ONNX Runtime's file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return lambda row: session.run(None, {name: row[name].astype(np.int64) for name in names})[0]


def of_torch(model: nn.Module) -> Callable[[Path | None, int], Run]:
    """The module itself."""

    def opened(_: Path | None, threads: int) -> Run:
        torch.set_num_threads(threads)

        def run(row: Row) -> Any:
            with torch.inference_mode():
                return model(**{name: torch.from_numpy(row[name]).long() for name in row}).logits.numpy()

        return run

    return opened


def ours(checkpoint: Checkpoint, format_: str, lengths: tuple[int, ...], option: str) -> Contender:
    """Our int8, in the form that is the default."""
    exact = choices.exact_precision(format_, "int8").name
    form = choices.form_of(format_, exact).name

    def build(directory: Path) -> Path:
        exporter = exporters.get(format_, to_export=True)
        name = "-".join(["ours", exact, form, *map(str, lengths), exporter.file_name])
        if not (directory / name).exists():
            module = lay_out(checkpoint.model, TextClassification, form)
            exporter.export(request_at(lengths, module, exact), directory / name)
        return directory / name

    title = exporters.format_named(format_).title
    return Contender(
        f"squeezebert-edge, {title}, {option}", "int8", lengths, OURS, build, of_runtime(format_)
    )


def contenders(checkpoint: Checkpoint, theirs: nn.Module, proposed: tuple[int, ...]) -> list[Contender]:
    """All that take part: ours, the peers as they come, the peers with our lengths."""
    bert: Any = Bert(as_it_is=True)
    bert = bert.model
    litert, executorch = of_runtime("tflite"), of_runtime("executorch")
    fixed = (FIXED,)
    found = [
        ours(checkpoint, format_, lengths, option)
        for format_ in ("tflite", "executorch")
        for lengths, option in ((proposed, "lengths that `run --data` proposes"), (EVERY, "every 8th length"))
    ]
    for lengths, by_hand in ((fixed, f"{WRAP}; {PAD}"), (proposed, f"{WRAP}; {SEVERAL}")):
        at = "" if lengths == fixed else ", our lengths"
        found += [
            Contender(
                f"transformers + litert-torch{at}", precision, lengths, by_hand,
                lambda d, p=precision, n=lengths: plain_tflite(theirs, d, p, n), litert,
            )
            for precision in ("fp32", "int8")
        ]  # fmt: skip
        found += [
            Contender(
                f"optimum-executorch's path{at}", "int8, convolutions float", lengths, by_hand,
                lambda d, n=lengths: optimum_like_pte(theirs, d, n), executorch,
            ),
            Contender(
                f"BERT-base + litert-torch{at}", "int8", lengths, by_hand,
                lambda d, n=lengths: plain_tflite(bert, d, "int8", n), litert, answers=False,
            ),
            Contender(
                f"BERT-base, optimum-executorch's path{at}", "int8", lengths, by_hand,
                lambda d, n=lengths: optimum_like_pte(bert, d, n), executorch, answers=False,
            ),
        ]  # fmt: skip
    return [
        *found,
        *(
            Contender(
                "ONNX Runtime, any length", precision, (), "wrap the module, name its axes; tokenize",
                lambda d, p=precision: onnx_file(theirs, d, p), of_onnx,
            )
            for precision in ("fp32", "int8")
        ),
        Contender("torch eager, any length", "fp32", (), "tokenize", lambda _: None, of_torch(theirs)),
    ]  # fmt: skip


def measure(runs: Sequence[Run], rows: Sequence[Sequence[Row]]) -> tuple[list[list[float]], list[list[int]]]:
    """Milliseconds and the most likely output of every text, for each contender."""
    taken: list[list[float]] = [[] for _ in runs]
    found: list[list[int]] = [[] for _ in runs]
    for start in range(0, len(rows[0]), BLOCK):
        for run, mine, times, classes in zip(runs, rows, taken, found, strict=True):
            time.sleep(REST)
            run(mine[start])  # brings the weights back into the caches
            for row in mine[start : start + BLOCK]:
                before = time.perf_counter()
                logits = run(row)
                times.append(1000 * (time.perf_counter() - before))
                classes.append(int(np.argmax(logits)))
    return taken, found


def main() -> None:
    """Build what is missing, measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path)
    parser.add_argument("--dataset", default="sst2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, help="take so many of the first")
    parser.add_argument("--only", action="append", metavar="PART", help="contenders whose tool's name has it")
    parser.add_argument("--artifacts", type=Path, help="keep the artifacts here, and take those there are")
    options = parser.parse_args()
    from transformers import AutoModelForSequenceClassification

    checkpoint = load_checkpoint(options.checkpoint)
    theirs = AutoModelForSequenceClassification.from_pretrained(options.checkpoint).float().eval()
    examples = task_of(checkpoint).read_file(options.data)[: options.texts]
    task, metrics = resolve_dataset(task_of(checkpoint), options.dataset, examples=examples)
    data = LabelledData(task, metrics, checkpoint.tokenizer, examples, FIXED)
    encodings = [encoding for example in data.examples for encoding in data.encode(example)]
    proposal = data_lengths.propose_for(data, checkpoint.config, DEFAULT_LENGTHS)
    pad_id = checkpoint.tokenizer.special_ids["pad"]
    all_of_them = contenders(checkpoint, theirs, proposal.lengths)
    chosen = [one for one in all_of_them if any(part in one.tool for part in options.only or [""])]
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.artifacts or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        for one in chosen:
            print(f"building {one.tool}, {one.precision}", file=sys.stderr)
            paths.append(one.build(directory))
        runs = [one.open(path, options.threads) for one, path in zip(chosen, paths, strict=True)]
        own = sorted({len(encoding) for encoding in encodings})
        rows = [padded(encodings, one.lengths or own, pad_id) for one in chosen]
        for run, mine in zip(runs, rows, strict=True):
            for row in {next(iter(row.values())).shape: row for row in mine}.values():
                run(row)
        taken, classes = measure(runs, rows)
    _print(chosen, paths, taken, classes, data)
    print(f"\n- {options.checkpoint}, {len(encodings)} texts of {options.data}, ", end="")
    print(f"{statistics.fmean(map(len, encodings)):.0f} tokens on average; blocks of {BLOCK}, interleaved")
    print(f"- {options.threads} threads, batch 1; accuracy with its 95% interval (Wilson)")
    print(f"- lengths that `run --data` proposes: {', '.join(map(str, proposal.lengths))}")
    print(f"- {machine()}; load {os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}")
    print(f"- {versions()}")


def _print(
    chosen: Sequence[Contender],
    paths: Sequence[Path | None],
    taken: Sequence[Sequence[float]],
    classes: Sequence[Sequence[int]],
    data: LabelledData,
) -> None:
    from scipy.stats import binomtest

    print("| tool | precision | MB | mean ms | p90 ms | accuracy | by hand |")
    print("|---|---|---:|---:|---:|---|---|")
    means = {}
    for one, path, times, found in zip(chosen, paths, taken, classes, strict=True):
        means[one.tool, one.precision] = mean = statistics.fmean(times)
        size = f"{path.stat().st_size / 1e6:.1f}" if path else "-"
        right = "random weights"
        if one.answers:
            named = [(data.task.labels[index],) for index in found]
            count = sum(answer == right for answer, right in zip(named, data.targets, strict=True))
            low, high = binomtest(count, len(found)).proportion_ci(method="wilson")
            right = f"{count / len(found):.2%} [{low:.1%}, {high:.1%}]"
        p90 = statistics.quantiles(times, n=10)[-1]
        print(f"| {one.tool} | {one.precision} | {size} | {mean:.2f} | {p90:.2f} | {right} | {one.by_hand} |")
    print()
    ours_only = [name for name in means if name[0].startswith("squeezebert-edge")]
    if not ours_only:
        return
    quickest = min(ours_only, key=means.__getitem__)
    for name, mean in means.items():
        if name not in ours_only:
            ratio = mean / means[quickest]
            print(f"- {quickest[0]}: {ratio:.2f} times as fast as {name[0]}, {name[1]}")


if __name__ == "__main__":
    main()
