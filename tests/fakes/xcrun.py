"""Stands for `xcrun devicectl` and for the iPhones behind it: directories below FAKE_IPHONES.

A phone is UDID.json, as devicectl lists it, and UDID/container, the demo app's; UDID/fault says what is wrong
with it. What it refuses, and in which words, is what people report of the real one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
APP = "io.squeezebert.edge.demo"
PROCESS = 4711
MISSING = "ERROR: Failed to retrieve the file node for {} (com.apple.dt.CoreDeviceError error 7000 (0x1B58))"
LOCKED = f"""ERROR: The application failed to launch. (com.apple.dt.CoreDeviceError error 10002 (0x2712))
       BundleIdentifier = {APP}
           The request was denied by service delegate (SBMainWorkspace) for reason: Locked ("Unable to \
launch {APP} because the device was not, or could not be, unlocked").
           BSErrorCodeDescription = Locked"""
NOT_INSTALLED = "ERROR: The operation couldn't be completed. (ContainerLookupErrorDomain error -1.)"
UNPLUGGED = "ERROR: The device was disconnected. (com.apple.dt.CoreDeviceError error 4 (0x04))"
FULL = "ERROR: The transfer failed. (NSPOSIXErrorDomain error 28): No space left on device"


def fail(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(1)


class Phone:
    """One of FAKE_IPHONES."""

    def __init__(self, udid: str) -> None:
        directory = Path(os.environ["FAKE_IPHONES"]) / udid
        if not directory.is_dir():
            fail(f"ERROR: The specified device was not found. (Name: {udid})")
        self.container, self.running = directory / "container", directory / "running"
        fault = directory / "fault"
        self.fault = fault.read_text() if fault.exists() else ""

    def copy_to(self, source: Path, destination: str, alone: bool) -> None:
        target = self.container / destination
        if self.fault == "full" and source.is_dir() and "bundle" in destination:
            fail(FULL)
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
            return
        if not any(source.iterdir()):
            fail(MISSING.format(destination))
        if alone:
            shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, dirs_exist_ok=True)

    def copy_from(self, source: str, destination: Path) -> None:
        if self.fault == "unplugged":
            fail(UNPLUGGED)
        if not (self.container / source).is_file():
            fail(MISSING.format(source))
        shutil.copy(self.container / source, destination)

    def launch(self, arguments: list[str]) -> None:
        if self.fault == "locked":
            fail(LOCKED)
        if self.fault == "dies":
            return
        self.running.write_text(str(PROCESS))
        if "--job" in arguments and self.fault != "hangs":
            job = self.container / "Documents" / "jobs" / arguments[arguments.index("--job") + 1]
            do(job, self.fault)


def do(job: Path, fault: str) -> None:
    """What the app does, without a model: each row is answered by its sum and its length."""
    asked = json.loads((job / "job.json").read_text())
    manifest = json.loads((job / "bundle" / "manifest.json").read_text())
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((job / "bundle" / name).read_bytes()).hexdigest() == digest
    result: dict[str, Any] = {"run": run(asked)} if asked["work"] == "measure" else answers(job, asked)
    if fault == "error":
        result = {"error": "no engine for this bundle"}
    text = json.dumps(result)
    text = {"truncated": text[:40], "rubbish": "\udcff{", "list": "[]", "nothing": "{}"}.get(fault, text)
    (job / "result.json").write_text(text, errors="surrogateescape")


def run(asked: dict[str, Any]) -> dict[str, Any]:
    example = json.loads((ROOT / "tests" / "vectors" / "records" / "ios-app.json").read_text())
    parts = ("device", "emulated", "runtime", "cold_start", "memory", "warm_up", "before", "after")
    rows = [index % len(asked["rows"]) for index in range(asked["protocol"]["queries"])]
    samples = {
        "row": rows,
        "length": [asked["rows"][row]["length"] for row in rows],
        "start_ns": [10_000_000 * index for index in range(len(rows))],
        "latency_ns": [9_000_000 + index for index in range(len(rows))],
    }
    return {part: example[part] for part in parts} | {"samples": samples}


def answers(job: Path, asked: dict[str, Any]) -> dict[str, Any]:
    values = [(sum(map(sum, row["values"])), row["length"]) for row in asked["rows"]]
    (job / "outputs.bin").write_bytes(b"".join(struct.pack("<2f", *pair) for pair in values))
    return {"shapes": [[[1, 2]]] * len(values)}


def main(words: list[str]) -> None:
    if words == ["--find", "devicectl"]:
        print("/Applications/Xcode.app/Contents/Developer/usr/bin/devicectl")
        return
    at = words.index("--") if "--" in words else len(words)  # behind it is what the app is given
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="+")
    parser.add_argument("--quiet", action="store_true", required=True)
    parser.add_argument("--json-output", type=Path, required=True)
    for name in ("device", "user", "domain-type", "domain-identifier", "source", "destination", "pid"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--remove-existing-content", choices=("true", "false"), default="true")
    for name in ("terminate-existing", "kill"):
        parser.add_argument(f"--{name}", action="store_true")
    given = parser.parse_intermixed_args(words[:at])
    result = answered(given, words[at + 1 :])
    given.json_output.write_text(json.dumps({"info": {"outcome": "success"}, "result": result}))


def answered(given: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    verb = given.words
    if verb == ["devicectl", "list", "devices"]:
        files = sorted(Path(os.environ["FAKE_IPHONES"]).glob("*.json"))
        return {"devices": [json.loads(file.read_text()) for file in files]}
    phone = Phone(given.device)
    if verb[:3] == ["devicectl", "device", "copy"]:
        assert (given.user, given.domain_type, given.domain_identifier) == ("mobile", "appDataContainer", APP)
        if phone.fault == "not installed":
            fail(NOT_INSTALLED)
        if verb[3] == "to":
            phone.copy_to(Path(given.source), given.destination, given.remove_existing_content == "true")
        else:
            phone.copy_from(given.source, Path(given.destination))
        return {}
    if verb == ["devicectl", "device", "process", "launch", APP]:
        assert given.terminate_existing
        phone.launch(arguments)
        return {"process": {"processIdentifier": PROCESS}}
    if verb == ["devicectl", "device", "process", "terminate"]:
        if not phone.running.exists():
            fail("ERROR: Unable to send signal (NSPOSIXErrorDomain error 3): No such process")
        phone.running.unlink()
        return {}
    if verb == ["devicectl", "device", "info", "processes"]:
        there = [PROCESS] if phone.running.exists() else []
        return {"runningProcesses": [{"processIdentifier": each} for each in (1, *there)]}
    fail(f"ERROR: Unknown option {verb}")


if __name__ == "__main__":
    main(sys.argv[1:])
