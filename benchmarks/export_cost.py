"""What one export of the full-size network costs: wall time, processor time, peak memory, artifact size.

Each format and precision runs in a process of its own, `squeezebert-edge export` as a user calls it, on
random weights in squeezebert-uncased's shapes; proof included. Limits: 120 s and 6 GB.

    python benchmarks/export_cost.py [--task TASK] [--format executorch ...] [--precision int8-dynamic ...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch

from squeezebert_edge.checkpoint.checkpoint import save_checkpoint
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.tasks.heads import TASKS
from squeezebert_edge.text.tokenizer import Tokenizer

LIMIT_SECONDS, LIMIT_BYTES = 120, 6e9
PAIRS = [
    ("executorch", "fp32"),
    ("executorch", "int8-dynamic"),  # what int8 takes first; the next is tried where its proof fails
    ("executorch", "int4"),
    ("coreml", "fp32"),
    ("coreml", "fp16"),
    ("coreml", "int8-weights"),
    ("coreml", "int4-weights"),
    ("tflite", "fp32"),
    ("tflite", "fp16"),
    ("tflite", "int8-dynamic"),
    ("tflite", "int4"),
]
PACKAGES = ("torch", "executorch", "coremltools", "litert-torch", "ai-edge-litert", "ai-edge-quantizer")


def full_size(directory: Path, task: str) -> None:
    """Write a checkpoint of random weights in squeezebert-uncased's shapes (30,528 rows, 30,522 words)."""
    torch.manual_seed(0)
    config = SqueezeBertConfig(vocab_size=30528)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz.,!?'"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    words += [f"[unused{n}]" for n in range(30522 - len(words))]
    model = ARCHITECTURES[TASKS[task].architecture](config).eval()
    save_checkpoint(directory, config=config, model=model, tokenizer=Tokenizer(words))


def measure(source: Path, out: Path, task: str, pair: tuple[str, str]) -> dict[str, object]:
    """Export once in a child process."""
    format_, precision = pair
    command = [sys.executable, "-m", "squeezebert_edge", "export", str(source), "--to", format_, "--json"]
    command += ["--precision", precision, "--task", task, "--lengths", "32,64,128", "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    (bundle,) = (
        json.loads(printed)["bundles"] if printed else ({"bytes": 0, "verification": {"status": "none"}},)
    )
    return {
        "format": format_,
        "precision": precision,
        "exit_code": os.waitstatus_to_exitcode(status),
        "status": bundle["verification"]["status"],
        "seconds": round(wall, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_bytes": peak,
        "artifact_bytes": bundle["bytes"],
        "within_limits": wall <= LIMIT_SECONDS and peak <= LIMIT_BYTES,
    }


def main() -> None:
    """Measure what was asked for and print a table and the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="text-classification", choices=TASKS)
    parser.add_argument("--format", action="append", choices=sorted({name for name, _ in PAIRS}))
    parser.add_argument("--precision", action="append", choices=sorted({name for _, name in PAIRS}))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "full-size"
        full_size(source, options.task)
        for pair in PAIRS:
            if pair[0] in (options.format or pair) and pair[1] in (options.precision or pair):
                rows.append(measure(source, Path(directory) / "-".join(pair), options.task, pair))
                print(json.dumps(rows[-1]), file=sys.stderr)
    print("| format | precision | seconds | processor seconds | peak GB | artifact MB | proof |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['format']} | {row['precision']} | {row['seconds']} | {row['processor_seconds']} "
            f"| {row['peak_bytes'] / 1e9:.2f} | {row['artifact_bytes'] / 1e6:.1f} | {row['status']} |"
        )
    limits = f"limits {LIMIT_SECONDS} s, {LIMIT_BYTES / 1e9:g} GB"
    print(f"\n- task {options.task}, lengths 32, 64, 128; one run each; {limits}")
    machine = (platform.machine(), f"{os.cpu_count()} cores", platform.system())
    print(f"- {', '.join(machine)}, Python {platform.python_version()}")
    print("- " + ", ".join(f"{package} {version(package)}" for package in PACKAGES))


if __name__ == "__main__":
    main()
