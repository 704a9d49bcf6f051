"""What a phone says of itself, asked for in one call; what it does not say has a reason.

Sources: system properties, `dumpsys battery` and `thermalservice`, the setting low_power, the kernel's files.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from exporters.processor import lists_float16
from squeezebert_edge.devices.python.machine import UnknownError, facts
from squeezebert_edge.latency import record

CPUS = "/sys/devices/system/cpu"

# One call: each costs a tenth of a second and a wake-up of the phone.
SCRIPT = f"""
echo @properties; getprop 2>&1
echo @machine; uname -mr
echo @memory; cat /proc/meminfo 2>&1
echo @processor; cat /proc/cpuinfo 2>&1
echo @battery; dumpsys battery 2>&1
echo @thermal; dumpsys thermalservice 2>&1
echo @low_power; settings get global low_power 2>&1
echo @load; cat /proc/loadavg 2>&1
echo @allowed; cat /proc/self/status 2>&1
for z in /sys/class/thermal/thermal_zone*; do
  echo @zone ${{z##*zone}}; cat $z/temp 2>&1; cat $z/type 2>&1
done
for c in {CPUS}/cpu[0-9]*; do
  n=${{c##*/cpu}}
  echo @governor $n; cat $c/cpufreq/scaling_governor 2>&1
  echo @frequency $n; cat $c/cpufreq/scaling_cur_freq 2>&1
  echo @capacity $n; cat $c/cpu_capacity 2>&1
  echo @highest $n; cat $c/cpufreq/cpuinfo_max_freq 2>&1
done
echo @emulation; cat /proc/sys/abi/vsyscall32 2>&1
echo @end
"""

THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
CHARGING = {"2": True, "3": False, "4": False, "5": True}  # BatteryManager: charging, discharging, not, full


class Facts:
    """What a phone answers to SCRIPT.

    Args:
        text: as the phone's shell gave it.
    """

    def __init__(self, text: str) -> None:
        self.sections: dict[str, str] = {}
        parts = re.split(r"^@(\w+(?: \d+)?)\r?$", text, flags=re.MULTILINE)
        for name, content in zip(parts[1::2], parts[2::2], strict=True):
            self.sections[name] = content.strip()
        self.properties = dict(re.findall(r"^\[([^]]+)\]: \[(.*?)\]\r?$", text, re.MULTILINE))

    @property
    def abis(self) -> list[str]:
        """The ABIs that it runs, the preferred one first, by Android's names."""
        found = self.properties.get("ro.product.cpu.abilist") or self.properties.get("ro.product.cpu.abi", "")
        return [abi for abi in found.split(",") if abi]

    @property
    def emulated(self) -> bool:
        """Whether it is an emulator, or its processor is a program."""
        flags = {self.properties.get(name) for name in ("ro.kernel.qemu", "ro.boot.qemu")}
        virtual = self.properties.get("ro.hardware") in ("goldfish", "ranchu", "cutf_cvm", "vsoc_x86_64")
        # Only x86 kernels have the entry, whatever the processor is said to be.
        foreign = self.sections.get("emulation", "").isdigit() and not any("x86" in abi for abi in self.abis)
        return "1" in flags or virtual or foreign

    @property
    def float16(self) -> bool | None:
        """Whether every CPU computes in float16; None if the phone does not say it."""
        return lists_float16(self.sections.get("processor", ""))

    @property
    def chip(self) -> str:
        """The chip's model as a file for its NPU is named; empty if the phone does not say it."""
        return re.sub(r"\W+", "_", self.properties.get("ro.soc.model", "").strip())

    def device(self) -> record.Device:
        """What the phone is."""
        maker, model = (self.properties.get(f"ro.product.{name}", "") for name in ("manufacturer", "model"))
        release, level = (
            self.properties.get(f"ro.build.version.{name}", "unknown") for name in ("release", "sdk")
        )
        kernel, _, machine = self.sections.get("machine", "").partition(" ")  # as uname -r and -m
        return record.Device.model_validate(
            {
                "kind": "android",
                "name": f"{maker} {model}".strip() or "a phone without a name",
                "os": f"Android {release}, API level {level}, Linux {kernel}",
                "architecture": machine or (self.abis or ["unknown"])[0],
                "cpus": max(1, len(self._each("capacity"))),
            }
            | facts({"soc": self._soc, "clusters": self._clusters, "memory_bytes": self._memory})
        )

    def state(self) -> record.State:
        """The state that the phone was in when it was asked."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return record.State.model_validate(
            {"time": now}
            | facts(
                {
                    "temperatures_c": self._temperatures,
                    "thermal_status": self._thermal_status,
                    "battery": self._battery,
                    "charging": self._charging,
                    "low_power_mode": self._low_power,
                    "governors": lambda: self._of_cpus("governor", r"[\w-]+"),
                    "frequencies_mhz": lambda: [int(f) / 1000 for f in self._of_cpus("frequency", r"\d+")],
                    "load": lambda: float(self._match("load", r"^(\d+\.\d+)")),
                    "allowed_cpus": self._allowed_cpus,
                }
            )
        )

    def _match(self, section: str, pattern: str) -> str:
        """The text that a pattern's group matches in a section."""
        text = self.sections.get(section, "")
        match = re.search(pattern, text, re.MULTILINE)
        if match is None:
            raise UnknownError(f"the phone's answer about {section}: {text[:80] or 'none'}")
        return match[1]

    def _each(self, section: str) -> list[str]:
        """What a section says of each CPU, by number."""
        found = {}
        for name, text in self.sections.items():
            kind, _, number = name.partition(" ")
            if kind == section and number:
                found[int(number)] = text
        return [found[cpu] for cpu in sorted(found)]

    def _of_cpus(self, section: str, pattern: str) -> list[str]:
        values = self._each(section)
        for cpu, value in enumerate(values):
            if not re.fullmatch(pattern, value):
                raise UnknownError(f"{section} of CPU {cpu}: {value[:80] or 'nothing'}")
        if not values:
            raise UnknownError(f"{CPUS} lists no CPU")
        return values

    def _soc(self) -> str:
        maker, model = (self.properties.get(f"ro.soc.{name}", "") for name in ("manufacturer", "model"))
        found = f"{maker} {model}".strip() or self.properties.get("ro.board.platform", "")
        if not found:
            raise UnknownError("no property ro.soc.model nor ro.board.platform")
        return found

    def _clusters(self) -> list[list[int]]:
        try:
            strengths = [int(value) for value in self._of_cpus("capacity", r"\d+")]
        except UnknownError:
            strengths = [int(value) for value in self._of_cpus("highest", r"\d+")]
        kinds = sorted(set(strengths), reverse=True)
        return [[cpu for cpu, strength in enumerate(strengths) if strength == kind] for kind in kinds]

    def _memory(self) -> int:
        return 1024 * int(self._match("memory", r"^MemTotal:\s+(\d+) kB"))

    def _temperatures(self) -> dict[str, float]:
        found = {}
        for name, text in self.sections.items():
            lines = text.splitlines()
            if name.startswith("zone ") and len(lines) == 2 and re.fullmatch(r"-?\d+", lines[0]):
                found[f"{lines[1]} ({name[5:]})"] = int(lines[0]) / 1000
        if not found:
            raise UnknownError("no thermal zone that the shell may read in /sys/class/thermal")
        return found

    def _thermal_status(self) -> str:
        number = int(self._match("thermal", r"Thermal Status: (\d+)"))
        return THERMAL_STATUS[number] if number < len(THERMAL_STATUS) else str(number)

    def _battery(self) -> float:
        level, scale = (int(self._match("battery", rf"^\s*{name}: (\d+)")) for name in ("level", "scale"))
        return level / scale

    def _charging(self) -> bool:
        status = self._match("battery", r"^\s*status: (\d+)")
        if status not in CHARGING:
            raise UnknownError(f"battery status {status}")
        return CHARGING[status]

    def _low_power(self) -> bool:
        return self._match("low_power", r"^([01])$") == "1"

    def _allowed_cpus(self) -> list[int]:
        found: list[int] = []
        for part in self._match("allowed", r"^Cpus_allowed_list:\s*([\d,-]+)").split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
        return found
