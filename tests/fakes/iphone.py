"""Phones that the fake xcrun knows, and the command line as on a Mac that has one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UDID = "00008120-0011223344556677"
ON_A_MAC = (
    "from squeezebert_edge.devices.ios import app; from squeezebert_edge.devices.python import machine; "
    "machine.MAC = True; app.POLL = app.TICK = 0.05; "
    "from squeezebert_edge import cli; cli.main()"
)


class Iphone:
    """A phone that the fake xcrun knows. Its facts are named as in devicectl's JSON."""

    def __init__(self, phones: Path, udid: str, fault: str, **facts: str) -> None:
        hardware = {
            "udid": udid,
            "platform": "iOS",
            "reality": "physical",
            "marketingName": "iPhone 15",
            "productType": "iPhone15,4",
            "cpuType": {"name": "arm64e"},
        }
        listed = {
            "hardwareProperties": hardware,
            "deviceProperties": {"name": "Mine", "osVersionNumber": "18.1", "developerModeStatus": "enabled"},
            "connectionProperties": {"pairingState": "paired", "tunnelState": "disconnected"},
        }
        for name, value in facts.items():
            (part,) = [part for part in listed.values() if name in part]
            part[name] = value
        (phones / f"{udid}.json").write_text(json.dumps(listed))
        self.container = phones / udid / "container"
        self.running = phones / udid / "running"
        self.container.mkdir(parents=True)
        (phones / udid / "fault").write_text(fault)

    @property
    def idle(self) -> bool:
        """Whether neither a job nor the app is there."""
        jobs = self.container / "Documents" / "jobs"
        return not self.running.exists() and {path.name for path in jobs.rglob("*")} <= {"no-job"}


def write_xcrun(path: Path) -> None:
    """Write a program that is the fake xcrun."""
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S {ROOT}/tests/fakes/xcrun.py "$@"\n')
    path.chmod(0o755)


def start_cli_on_mac(*arguments: object) -> subprocess.Popen[str]:
    """Start the command line as on a Mac."""
    return subprocess.Popen(
        [sys.executable, "-c", ON_A_MAC, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
