"""A program that stands for adb and installs apps; fakes/adbd.py is a phone, which the real adb talks to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ADB = """#!/bin/sh
echo "$@" >> "$ADB_LOG"
case "$*" in
    "devices -l") printf 'List of devices attached\\n'; cat "$ADB_DEVICES" ;;
    *"install -r"*) echo "$ADB_SAYS"; case "$ADB_SAYS" in *Failure*) exit 1 ;; esac ;;
    *"am start"*) echo "$ADB_STARTS" ;;
esac
"""


def put_adb(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the program in front of the real one; ADB_SAYS and ADB_STARTS are what it answers.

    Returns:
        The file that lists its phones, of which one is ready. Calls are kept in `log` beside it.
    """
    program = directory / "programs" / "adb"
    program.parent.mkdir()
    program.write_text(ADB)
    program.chmod(0o755)
    phones = directory / "phones"
    phones.write_text("ONE    device model:Phone\n")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ADB_LOG", str(directory / "log"))
    monkeypatch.setenv("ADB_DEVICES", str(phones))
    monkeypatch.setenv("ADB_SAYS", "Success")
    monkeypatch.setenv("ADB_STARTS", "Status: ok")
    return phones
