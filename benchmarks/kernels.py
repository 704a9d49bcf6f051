"""Where the time of one text of 128 tokens goes, kernel by kernel, ours beside the peers in LiteRT.

Samples a process that does nothing but inferences with Linux's perf (Debian: linux-perf) and adds up what
XNNPACK's kernels took, by their names. ExecuTorch's wheel comes without names, so it cannot be read so.

    python benchmarks/kernels.py [--precision int8] [--threads 1] [--seconds 20] [--artifacts DIR]
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from latency import CONTENDERS, Contender, load, machine, versions

FREQUENCY = 997  # samples a second; prime, so that it falls in step with nothing

# The first that a kernel's name matches.
KINDS = {
    "products in int8": r"q[dsp]8.*gemm|q[dsp]8.*conv",
    "products in float32 (int8: attention's)": r"f32.*gemm|f32.*conv",
    "quantizing rows": r"qs8_vcvt|qd8_vcvt|f32_rminmax|f32_qs8|qu8",
    "GELU": r"gelu|erf|tanh",
    "softmax": r"raddstoreexp|vexp|f32_rmax|softmax",
    "LayerNorm's reductions": r"rsum|rdsum|reduce|vrsqrt|vsqr",
    "additions and multiplications": r"v(add|mul|sub|div|min|max|clamp)",
    "transposes": r"transpose",
    "copies": r"memcpy|memmove|copy|x32_pack|x8_pack|_pad",
    "threads that wait": r"pthreadpool|futex|sched|yield|wait",
}


def inferences(path: Path, threads: int, seconds: float) -> None:
    """Run one text for so long, then say how many times it was run and how long one took."""
    run = load("tflite")(path, threads)
    for _ in range(20):
        run()
    print("ready", flush=True)
    sys.stdin.readline()
    taken, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    print(len(taken), 1000 * statistics.median(taken), flush=True)


def profiled(path: Path, threads: int, seconds: float, directory: Path) -> tuple[dict[str, float], float]:
    """Processor milliseconds of each kind of kernel in one inference, and the median time of one."""
    data = directory / "perf.data"
    child = [
        sys.executable,
        __file__,
        "--run",
        str(path),
        "--threads",
        str(threads),
        "--seconds",
        str(seconds),
    ]
    with subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(FREQUENCY), "-o", str(data)]
        with subprocess.Popen([*record, "-p", str(process.pid)], stderr=subprocess.DEVNULL):
            time.sleep(1.0)  # perf attaches
            process.stdin.write("\n")
            process.stdin.flush()
            count, median = process.stdout.readline().split()
    report = ["perf", "report", "-i", str(data), "--stdio", "-q", "-n", "-F", "sample,symbol"]
    text = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if match := re.match(r"\s*(\d+)\s+(.*\S)", line):
            found[_kind(match[2])] += int(match[1])
    return {kind: 1000 * n / FREQUENCY / int(count) for kind, n in found.items()}, float(median)


def _kind(symbol: str) -> str:
    return next(
        (kind for kind, names in KINDS.items() if re.search(names, symbol, re.IGNORECASE)), "the rest"
    )


def chosen(precision: str) -> list[Contender]:
    """Those that are compared: in LiteRT, of one precision."""
    return [c for c in CONTENDERS if c.group == "litert" and precision in c.name]


def main() -> None:
    """Build what is missing, sample, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--precision", choices=["fp32", "int8"], default="int8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--artifacts", type=Path, help="keep artifacts here, and take those that are there")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        inferences(options.run, options.threads, options.seconds)
        return
    if shutil.which("perf") is None:
        sys.exit("no perf on this machine; Debian: apt-get install linux-perf")
    contenders = chosen(options.precision)
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.artifacts or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        paths = [contender.build(directory) for contender in contenders]
        profiles = [
            profiled(path, options.threads, options.seconds, Path(temporary)) for path in paths if path
        ]
    print(f"| ms of a processor | {' | '.join(contender.name for contender in contenders)} |")
    print("|---|" + "---|" * len(contenders))
    for kind in [*KINDS, "the rest"]:
        if any(kind in kinds for kinds, _ in profiles):
            print(f"| {kind} | {' | '.join(f'{kinds.get(kind, 0):.2f}' for kinds, _ in profiles)} |")
    print(f"| median of one inference | {' | '.join(f'{median:.2f}' for _, median in profiles)} |")
    print(f"\n- 128 tokens, batch 1, {options.threads} threads; {options.seconds:.0f} s each, in turn")
    print(f"- {machine()}; load {os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}")
    print(f"- {versions()}")


if __name__ == "__main__":
    main()
