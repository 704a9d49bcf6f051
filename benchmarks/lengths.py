"""What the right sequence lengths save on real texts, against padding every text to 128.

One artifact in squeezebert-uncased's shapes (random weights) has every length that takes part. The texts run
in turn, in blocks: each padded to 128, to the shortest of the default lengths, to the shortest of those that
`run --data` proposes for them.

    python benchmarks/lengths.py DEV_TSV --tokenizer CHECKPOINT [--format tflite] [--precision int8]
        [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latency import LENGTH, machine, request_at, versions
from peers import Squeeze

import exporters
from exporters.spec import Runner
from squeezebert_edge.accuracy import lengths
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms import choices
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.tasks.heads import DEFAULT_DOC_STRIDE, TextClassification
from squeezebert_edge.text.tokenizer import Encoding, pad, shortest_length
from squeezebert_edge.verbs.plan import DEFAULT_LENGTHS

BLOCK = 50
Rows = Sequence[Mapping[str, Any]]


def padded(encodings: Sequence[Encoding], allowed: Sequence[int], pad_id: int) -> Rows:
    """Each text at the shortest length that fits."""
    return [pad(encoding, shortest_length(len(encoding), allowed), pad_id) for encoding in encodings]


def measured(runner: Runner, policies: Mapping[str, Rows]) -> dict[str, list[float]]:
    """Milliseconds of every text under each policy."""
    for rows in policies.values():
        for row in rows[:BLOCK]:
            runner(row)
    taken: dict[str, list[float]] = {name: [] for name in policies}
    texts = len(next(iter(policies.values())))
    for start in range(0, texts, BLOCK):
        for name, rows in policies.items():
            for row in rows[start : start + BLOCK]:
                before = time.perf_counter()
                runner(row)
                taken[name].append(1000 * (time.perf_counter() - before))
    return taken


def main() -> None:
    """Build, measure, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--tokenizer", default="default", help="a checkpoint, for its tokenizer")
    parser.add_argument("--format", default="tflite", choices=["tflite", "executorch"])
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--artifacts", type=Path, help="keep the artifact here, and take one that is there")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.tokenizer)
    task, tokenizer = task_of(checkpoint), checkpoint.tokenizer
    encodings = [
        encoding
        for example in type(task).read(options.data)
        for encoding in task.encode(example, tokenizer, LENGTH, DEFAULT_DOC_STRIDE)
    ]
    model = Squeeze().ours
    proposal = lengths.propose(
        [len(encoding) for encoding in encodings], model.config, type(model).__name__, DEFAULT_LENGTHS
    )
    wanted = {"128": (LENGTH,), "the default": DEFAULT_LENGTHS, "proposed": proposal.lengths}
    exact = choices.exact_precision(options.format, options.precision).name
    form = choices.form_of(options.format, exact).name
    exporter = exporters.get(options.format, to_export=True)
    with tempfile.TemporaryDirectory() as temporary:
        every = sorted({length for allowed in wanted.values() for length in allowed})
        name = "-".join((exact, form, *map(str, every), exporter.file_name))
        path = (options.artifacts or Path(temporary)) / name
        if not path.exists():
            exporter.export(request_at(every, lay_out(model, TextClassification, form), exact), path)
        runner = exporter.load(path, threads=options.threads)
        pad_id = tokenizer.special_ids["pad"]
        policies = {name: padded(encodings, allowed, pad_id) for name, allowed in wanted.items()}
        taken = measured(runner, policies)
    print("| lengths | | mean ms | spread ms | against 128 |\n|---|---|---|---|---|")
    fixed = statistics.fmean(taken["128"])
    for name, allowed in wanted.items():
        low, _, high = statistics.quantiles(taken[name], n=4)
        mean = statistics.fmean(taken[name])
        listed = ", ".join(map(str, allowed))
        print(f"| {name} | {listed} | {mean:.2f} | {high - low:.2f} | {fixed / mean:.2f}x |")
    tokens = statistics.fmean(len(encoding) for encoding in encodings)
    print(f"\n- {len(encodings)} texts of {tokens:.0f} tokens on average; blocks of {BLOCK}")
    print(f"- {options.format} {exact} ({form}), {options.threads} threads, batch 1")
    print(f"- {machine()}; load {os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}")
    print(f"- {versions()}")


if __name__ == "__main__":
    main()
