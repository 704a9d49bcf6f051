"""How long one text of 128 tokens takes, beside the peers, on this machine in one run.

Every contender is loaded in this process; in each round each runs a block of inferences, in turn, so that
what the machine does meanwhile strikes all alike. The median is over all inferences, the spread the distance
between the quartiles. Random weights in squeezebert-uncased's (BERT-base's) shapes, batch 1.

    python benchmarks/latency.py [--threads 1 --threads 2] [--only litert] [--rounds 12] [--artifacts DIR]

Peers: transformers' module exported as it is by the runtime's own tools, quantized as those do it; BERT-base
in the same runtime; ONNX Runtime (pip install onnx onnxruntime onnxscript); torch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import INPUTS, Bert, Squeeze, onnx_file, optimum_like_pte, plain_tflite
from torch import nn

import exporters
from exporters.spec import ExportRequest
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.tasks.heads import TextClassification

LENGTH, BLOCK = 128, 8
REST = 0.25  # seconds, in which the threads of the contender before stop waiting for work
PACKAGES = ("torch", "transformers", "executorch", "ai-edge-litert", "litert-torch", "onnxruntime")
Run = Callable[[], Any]


@dataclass(frozen=True)
class Contender:
    """Something that is timed.

    group: "litert", "executorch", "onnxruntime" or "torch". build: writes an artifact into a directory, once.
    load: the artifact and a number of threads to something that computes one text.
    """

    group: str
    name: str
    build: Callable[[Path], Path | None]
    load: Callable[[Path | None, int], Run]


def row() -> dict[str, np.ndarray]:
    """A text that fills the length."""
    random = np.random.default_rng(0)
    ids = random.integers(5, 30000, (1, LENGTH), np.int32)
    return dict(zip(INPUTS, (ids, np.ones_like(ids), np.zeros_like(ids)), strict=True))


def ours(format_: str, precision: str) -> Contender:
    """Our export, in the form that is the default."""
    exact = choices.exact_precision(format_, precision).name
    form = choices.form_of(format_, exact).name

    def build(directory: Path) -> Path:
        exporter = exporters.get(format_, to_export=True)
        path = directory / f"ours-{precision}-{form}-{exporter.file_name}"
        if not path.exists():
            module = lay_out(Squeeze().ours, TextClassification, form)
            exporter.export(_request(module, exact), path)
        return path

    return Contender(GROUPS[format_], f"ours {precision} ({form})", build, load(format_))


def bert(format_: str, precision: str, *, as_it_is: bool = False) -> Contender:
    """BERT-base in the same runtime, quantized by the same exporter.

    Args:
        as_it_is: its LayerNorms stay outside the delegate, as ExecuTorch's own lowering leaves them.
    """
    exact = choices.exact_precision(format_, precision).name
    kind = "bert-as-it-is" if as_it_is else "bert"

    def build(directory: Path) -> Path:
        exporter = exporters.get(format_, to_export=True)
        path = directory / f"{kind}-{precision}-{exporter.file_name}"
        if not path.exists():
            exporter.export(_request(Bert(as_it_is), exact), path)
        return path

    name = f"BERT-base {precision}{', LayerNorm as it is' if as_it_is else ''}"
    return Contender(GROUPS[format_], name, build, load(format_))


GROUPS = {"tflite": "litert", "executorch": "executorch"}


def _request(module: nn.Module, precision: str) -> ExportRequest:
    return request_at([LENGTH], module, precision)


def request_at(lengths: Sequence[int], module: nn.Module, precision: str) -> ExportRequest:
    """What an exporter is given to make a module with these lengths."""
    examples = {
        length: {name: torch.ones(1, length, dtype=torch.int32) for name in INPUTS} for length in lengths
    }
    return ExportRequest(module.eval(), examples, ("logits",), precision)


def load(format_: str) -> Callable[[Path | None, int], Run]:
    """What opens an artifact of a format, to run one text."""

    def opened(path: Path | None, threads: int) -> Run:
        assert path is not None
        runner, inputs = exporters.get(format_).load(path, threads=threads), row()
        return lambda: runner(inputs)

    return opened


def _onnx(path: Path | None, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {name: value.astype(np.int64) for name, value in row().items()}
    return lambda: session.run(None, inputs)


def _torch(compiled: bool) -> Callable[[Path | None, int], Run]:
    def load(_: Path | None, threads: int) -> Run:
        torch.set_num_threads(threads)
        model = Squeeze().theirs
        module = torch.compile(model) if compiled else model
        inputs = {name: torch.from_numpy(value).long() for name, value in row().items()}

        def run() -> None:
            with torch.inference_mode():
                module(**inputs)

        return run

    return load


CONTENDERS = [
    ours("tflite", "fp32"),
    ours("tflite", "int8"),
    Contender(
        "litert",
        "transformers' module fp32",
        lambda d: plain_tflite(Squeeze().theirs, d, "fp32"),
        load("tflite"),
    ),
    Contender(
        "litert",
        "transformers' module int8",
        lambda d: plain_tflite(Squeeze().theirs, d, "int8"),
        load("tflite"),
    ),
    bert("tflite", "fp32"),
    bert("tflite", "int8"),
    ours("executorch", "fp32"),
    ours("executorch", "int8"),
    Contender(
        "executorch",
        "transformers' module int8 (convolutions float)",
        lambda d: optimum_like_pte(Squeeze().theirs, d),
        load("executorch"),
    ),
    bert("executorch", "fp32", as_it_is=True),
    bert("executorch", "int8", as_it_is=True),
    bert("executorch", "fp32"),
    bert("executorch", "int8"),
    Contender(
        "onnxruntime", "transformers' module fp32", lambda d: onnx_file(Squeeze().theirs, d, "fp32"), _onnx
    ),
    Contender(
        "onnxruntime", "transformers' module int8", lambda d: onnx_file(Squeeze().theirs, d, "int8"), _onnx
    ),
    Contender("torch", "eager fp32", lambda _: None, _torch(compiled=False)),
    Contender("torch", "torch.compile fp32", lambda _: None, _torch(compiled=True)),
]


def measure(
    contenders: list[Contender], paths: list[Path | None], threads: int, rounds: int
) -> list[list[float]]:
    """Milliseconds of every inference of each contender."""
    runs = [contender.load(path, threads) for contender, path in zip(contenders, paths, strict=True)]
    for run in runs:
        for _ in range(BLOCK):
            run()
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, taken in zip(runs, times, strict=True):
            time.sleep(REST)
            run()  # brings the weights back into the caches
            for _ in range(BLOCK):
                start = time.perf_counter()
                run()
                taken.append(1000 * (time.perf_counter() - start))
    return times


@cache
def machine() -> str:
    """This machine, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {platform.system()}"


def versions() -> str:
    """Of everything that took part."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def main() -> None:
    """Build what is missing, measure, print a table a number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--only", action="append", choices=sorted({c.group for c in CONTENDERS}))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument(
        "--artifacts", type=Path, help="keep the artifacts here, and take those that are there"
    )
    options = parser.parse_args()
    contenders = [c for c in CONTENDERS if c.group in (options.only or [c.group])]
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.artifacts or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        for contender in contenders:
            print(f"building {contender.group} {contender.name}", file=sys.stderr)
            paths.append(contender.build(directory))
        for threads in options.threads or [1, 2]:
            times = measure(contenders, paths, threads, options.rounds)
            _print(contenders, paths, times, threads, options.rounds)


def _ratios(medians: dict[tuple[str, str], float]) -> str:
    """How many times faster our exports are than each peer of the same runtime and precision."""
    told = []
    for (group, name), median in medians.items():
        if not name.startswith("ours"):
            continue
        precision = name.split()[1]
        told += [
            f"- {group} {precision}: {peer_median / median:.2f} times as fast as {peer}"
            for (peer_group, peer), peer_median in medians.items()
            if peer_group == group and not peer.startswith("ours") and precision in peer
        ]
    int8 = [median for (_, name), median in medians.items() if name.startswith("ours int8")]
    others = ("onnxruntime", "torch")
    told += [
        f"- best int8: {median / min(int8):.2f} times as fast as {group} {name}"
        for (group, name), median in medians.items()
        if int8 and group in others
    ]
    return "\n".join(told)


def _print(
    contenders: list[Contender], paths: list[Path | None], times: list[list[float]], threads: int, rounds: int
) -> None:
    medians = [statistics.median(taken) for taken in times]
    print(f"\n{threads} thread{'s' if threads > 1 else ''}\n")
    print("| runtime | what | MB | median ms | spread ms |")
    print("|---|---|---|---|---|")
    for contender, path, taken, median in zip(contenders, paths, times, medians, strict=True):
        low, _, high = statistics.quantiles(taken, n=4)
        size = f"{path.stat().st_size / 1e6:.1f}" if path else "-"
        print(f"| {contender.group} | {contender.name} | {size} | {median:.1f} | {high - low:.1f} |")
    print(f"\n{_ratios(dict(zip(((c.group, c.name) for c in contenders), medians, strict=True)))}")
    print(f"\n- 128 tokens, batch 1; {rounds} rounds of {BLOCK} inferences each, interleaved")
    load = os.getloadavg()[0]
    print(f"- {machine()}; load {load:.1f} at the end; Python {platform.python_version()}")
    print(f"- {versions()}")
    record = {f"{c.group} {c.name}": round(m, 2) for c, m in zip(contenders, medians, strict=True)}
    print(json.dumps({"threads": threads, "median_ms": record}), file=sys.stderr)


if __name__ == "__main__":
    main()
