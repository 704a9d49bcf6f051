"""The machine that this runs on, as a record describes it; Linux and macOS, the standard library alone.

Each fact is looked up where the system keeps it. A fact that is not there is None, with the reason.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SYSTEM = Path("/sys")
PROCESSES = Path("/proc")
MAC = sys.platform == "darwin"


class UnknownError(Exception):
    """This machine does not give a fact; the message is the reason."""


def describe() -> dict[str, Any]:
    """Describe this machine: the fields of record.Device without its kind."""
    system = f"macOS {platform.mac_ver()[0]}" if MAC else _distribution()
    return {
        "name": _name(),
        "os": system,
        "architecture": platform.machine(),
        "cpus": os.cpu_count() or 1,
    } | facts({"soc": _soc, "clusters": _clusters, "memory_bytes": _memory})


def state() -> dict[str, Any]:
    """The fields of record.State, as they are now."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"time": now} | facts(
        {
            "temperatures_c": _temperatures,
            "thermal_status": _thermal_status,
            "battery": lambda: _battery()[0],
            "charging": lambda: _battery()[1],
            "low_power_mode": _low_power_mode,
            "governors": lambda: _each_cpu("cpufreq/scaling_governor", str),
            "frequencies_mhz": lambda: _each_cpu("cpufreq/scaling_cur_freq", _megahertz),
            "load": _load,
            "allowed_cpus": _allowed_cpus,
        }
    )


def is_emulated() -> bool:
    """Whether the processor is a program: Rosetta, or an Arm userland on an x86 kernel."""
    if MAC:
        try:
            return _command("sysctl", "-n", "sysctl.proc_translated") == "1"
        except UnknownError:
            return False
    # Only x86 kernels have this entry, whatever qemu says the processor is.
    return platform.machine() not in ("x86_64", "i686") and Path("/proc/sys/abi/vsyscall32").exists()


def libc() -> str:
    """The C library of this process, as record.Runtime names it."""
    if MAC:
        return "darwin"
    name, _ = platform.libc_ver()
    return name or ("bionic" if Path("/system/bin/linker64").exists() else "musl")


def resident() -> dict[str, int | None]:
    """Bytes of this process in memory: `now`, and `most` since it began; None where the system does not say.

    Linux counts in resource.getrusage what the process was before exec, so /proc is asked.
    """
    if MAC:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"now": most, "most": most}  # what is resident now has no cheaper source there
    try:
        status = (PROCESSES / "self" / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        status = ""
    found = dict(re.findall(r"^Vm(HWM|RSS):\s+(\d+) kB$", status, re.MULTILINE))
    kilobytes = {"now": found.get("RSS"), "most": found.get("HWM")}
    return {name: None if value is None else 1024 * int(value) for name, value in kilobytes.items()}


def facts(sources: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Ask each source for its fact; one that raises UnknownError gives None, and `unknown` has the reason."""
    found: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    for name, source in sources.items():
        try:
            found[name] = source()
        except UnknownError as reason:
            found[name], unknown[name] = None, str(reason)
    return found | {"unknown": unknown}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError as error:
        raise UnknownError(f"{path}: {error.strerror}") from None


def _command(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnknownError(f"{' '.join(words)}: {error}") from None
    return done.stdout.strip()


def _distribution() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release()}"


def _name() -> str:
    """The board or processor in words."""
    try:
        if MAC:
            return f"{_command('sysctl', '-n', 'hw.model')}, {_soc()}"
        board = PROCESSES / "device-tree" / "model"
        return _read(board) if board.exists() else _soc()
    except UnknownError:
        return platform.processor() or platform.machine()


def _soc() -> str:
    if MAC:
        return _command("sysctl", "-n", "machdep.cpu.brand_string")
    found = re.search(r"^(?:model name|Hardware)\s*:\s*(.+)$", _read(PROCESSES / "cpuinfo"), re.MULTILINE)
    if found:
        return found[1].strip()
    compatible = PROCESSES / "device-tree" / "compatible"
    if compatible.exists():
        return _read(compatible).split("\0")[-1]
    raise UnknownError("neither /proc/cpuinfo nor the device tree names it")


def _memory() -> int:
    if MAC:
        return int(_command("sysctl", "-n", "hw.memsize"))
    found = re.search(r"^MemTotal:\s+(\d+) kB$", _read(PROCESSES / "meminfo"), re.MULTILINE)
    if not found:
        raise UnknownError("/proc/meminfo has no MemTotal")
    return 1024 * int(found[1])


def _each_cpu(file: str, read: Callable[[str], Any]) -> list[Any]:
    """A value of every CPU, by number."""
    if MAC:
        raise UnknownError("macOS does not say")
    directory = SYSTEM / "devices" / "system" / "cpu"
    cpus = sorted((int(path.name[3:]) for path in directory.glob("cpu[0-9]*")), key=int)
    if not cpus:
        raise UnknownError(f"{directory} lists no CPU")
    return [read(_read(directory / f"cpu{cpu}" / file)) for cpu in cpus]


def _megahertz(kilohertz: str) -> float:
    return int(kilohertz) / 1000


def _clusters() -> list[list[int]]:
    """CPUs grouped by capacity, or by highest frequency where the kernel knows no capacities."""
    if MAC:
        raise UnknownError("macOS does not number its cores by kind")
    try:
        strengths = _each_cpu("cpu_capacity", int)
    except (UnknownError, ValueError):
        strengths = _each_cpu("cpufreq/cpuinfo_max_freq", int)
    kinds = sorted(set(strengths), reverse=True)
    return [[cpu for cpu, strength in enumerate(strengths) if strength == kind] for kind in kinds]


def _temperatures() -> dict[str, float]:
    if MAC:
        raise UnknownError("macOS does not say without root")
    zones = sorted((SYSTEM / "class" / "thermal").glob("thermal_zone*"))
    found = {}
    for zone in zones:
        try:
            found[f"{_read(zone / 'type')} ({zone.name[12:]})"] = int(_read(zone / "temp")) / 1000
        except (UnknownError, ValueError):
            continue  # a sensor that is switched off
    if not found:
        raise UnknownError("no thermal zone that can be read in /sys/class/thermal")
    return found


def _thermal_status() -> str:
    if not MAC:
        raise UnknownError("Linux has no such word")
    text = _command("pmset", "-g", "therm")
    limit = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", text)
    return f"CPU speed limit {limit[1]}%" if limit else "no limit recorded"


def _battery() -> tuple[float, bool]:
    """How full, and whether it is being charged or full on the mains."""
    if MAC:
        text = _command("pmset", "-g", "batt")
        found = re.search(r"(\d+)%", text)
        if not found:
            raise UnknownError("no battery")
        return int(found[1]) / 100, "AC Power" in text
    for supply in sorted((SYSTEM / "class" / "power_supply").glob("*")):
        if (supply / "capacity").exists() and _read(supply / "type") == "Battery":
            charging = _read(supply / "status") in ("Charging", "Full", "Not charging")
            return int(_read(supply / "capacity")) / 100, charging
    raise UnknownError("no battery")


def _low_power_mode() -> bool:
    if MAC:
        found = re.search(r"lowpowermode\s+(\d)", _command("pmset", "-g"))
        if found:
            return found[1] == "1"
        raise UnknownError("pmset does not say")
    profile = SYSTEM / "firmware" / "acpi" / "platform_profile"
    if not profile.exists():
        raise UnknownError("no platform profile in /sys/firmware/acpi")
    return _read(profile) in ("low-power", "quiet")


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except OSError:
        raise UnknownError("the system keeps no load average") from None


def _allowed_cpus() -> list[int]:
    if sys.platform == "darwin":
        raise UnknownError("macOS does not bind processes to CPUs")
    return sorted(os.sched_getaffinity(0))
