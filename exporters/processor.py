"""What the processor of this machine computes in; the standard library alone."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
WITH_FLOAT16 = ({"avx512_fp16"}, {"fphp", "asimdhp"})  # as Linux lists features: of x86, of Arm


def has_float16() -> bool | None:
    """Whether this processor adds and multiplies in float16; None where the system does not say.

    One that does not can still round to float16 what it computed in float32, as XNNPACK does on x86.
    """
    if sys.platform == "darwin":
        return platform.machine() == "arm64" and _apple_says("hw.optional.arm.FEAT_FP16")
    try:
        return lists_float16(CPUINFO.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def lists_float16(cpuinfo: str) -> bool | None:
    """Whether every CPU of a /proc/cpuinfo computes in float16; None where it lists no features."""
    listed = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    if not listed:
        return None
    return all(any(wanted <= set(line.split()) for wanted in WITH_FLOAT16) for line in listed)


def _apple_says(name: str) -> bool:
    done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() == "1"
