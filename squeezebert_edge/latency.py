"""A rough latency on this machine: enough to rank bundles here, no evidence for a phone."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporters.spec import Runner
from squeezebert_edge.data import Example
from squeezebert_edge.tasks import Task
from squeezebert_edge.text import Tokenizer, pad, shortest_length

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

RUNS, WARM_UPS = 30, 5


@dataclass(frozen=True)
class HostLatency:
    """Medians of `runs` runs of one row on `machine`, in milliseconds.

    tokens: of the row, a real text's. length: the shortest of the artifact's that fits it.
    """

    machine: str
    threads: int
    runs: int
    tokens: int
    length: int
    median_ms: float
    longest: int
    longest_median_ms: float


def rough(
    task: Task, tokenizer: Tokenizer, runner: Runner, example: Example, *, threads: int = 1
) -> HostLatency | None:
    """Time an example's first row at its own length and at the longest; None if no runtime computes it here.

    Args:
        threads: what the runner was loaded with.
    """
    if runner.computed_by != "runtime":
        return None
    encoding = task.cut(example, tokenizer, runner.lengths[-1])[0]
    length, longest = shortest_length(len(encoding), runner.lengths), runner.lengths[-1]
    short, long = (
        _median_ms(runner, pad(encoding, size, tokenizer.special_ids["pad"])) for size in (length, longest)
    )
    return HostLatency(machine(), threads, RUNS, len(encoding), length, short, longest, long)


def machine() -> str:
    """This machine in words: its processor, architecture and system."""
    processor = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    named = [names[0] if names else processor, platform.machine(), platform.system()]
    return ", ".join(dict.fromkeys(filter(None, named)))


def _median_ms(runner: Runner, inputs: Mapping[str, Array]) -> float:
    for _ in range(WARM_UPS):
        runner(inputs)
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        runner(inputs)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)
