"""What this process may use of the machine: cores and memory, as the system and its control groups allow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MEMORY, GROUPS, MOUNT = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """How many cores this process may run on at the same time, at least 1."""
    cores = [os.cpu_count() or 1]
    if sys.platform != "darwin":
        cores.append(len(os.sched_getaffinity(0)))
    for directory in _control_groups("cpu"):
        with suppress(OSError, ValueError):
            quota, period = (directory / "cpu.max").read_text().split()
            cores.append(int(quota) // int(period))
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((directory / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0:
                cores.append(int(quota) // int(period))
    return max(1, min(cores))


def available_memory() -> int | None:
    """Bytes that can be taken without swapping or reaching a limit; None where the system does not say."""
    bounds = [] if (of_machine := _of_machine()) is None else [of_machine]
    for directory in _control_groups("memory"):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            with suppress(OSError, ValueError):  # without a limit the file says "max"
                free = int((directory / limit).read_text()) - int((directory / used).read_text())
                bounds.append(max(0, free + _of_files(directory)))
    return min(bounds, default=None)


def _of_machine() -> int | None:
    if sys.platform == "darwin":
        try:
            said = subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=10, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return None
        page = re.search(r"page size of (\d+) bytes", said)
        pages = re.findall(r"^Pages (?:free|inactive|speculative|purgeable):\s+(\d+)\.$", said, re.MULTILINE)
        return int(page[1]) * sum(map(int, pages)) if page else None
    with suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", MEMORY.read_text(), re.MULTILINE)
        return 1024 * int(found[1]) if found else None
    return None


def _control_groups(controller: str) -> Iterator[Path]:
    """The directories of the groups that this process is in, each with those around it."""
    with suppress(OSError):
        for line in GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = MOUNT / controller if controllers else MOUNT
            inside = root / path.lstrip("/")
            yield from (each for each in (inside, *inside.parents) if each.is_relative_to(root))


def _of_files(group: Path) -> int:
    """Bytes of files that a group has read and that make room when memory is wanted."""
    with suppress(OSError):
        said = (group / "memory.stat").read_text()
        found = re.search(r"^(?:total_)?inactive_file (\d+)$", said, re.MULTILINE)
        return int(found[1]) if found else 0
    return 0
