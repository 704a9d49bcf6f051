"""A quicker pow() for Qualcomm's emulator.

The emulator takes every float16 apart with pow(2, exponent), a hundred million times a row: half of its time.
A power of two is a float64 whose bits are its exponent, so the result is the same bit for bit. The source is
compiled where it is used, and the loader puts it before the C library's. Without a C compiler the emulator is
slower, and computes the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_name("powers.c")


@contextmanager
def quick_powers() -> Iterator[dict[str, str]]:
    """The variables to start the emulator with; what they name is there until then."""
    with tempfile.TemporaryDirectory() as name:
        library = Path(name) / "powers.so"
        if compile_powers(library):
            yield {"LD_PRELOAD": " ".join(filter(None, [str(library), os.environ.get("LD_PRELOAD")]))}
        else:
            yield {}


def compile_powers(library: Path) -> bool:
    """Whether there is a C compiler here and it made the library."""
    compiler = shutil.which("cc")
    if compiler is None:
        return False
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False
