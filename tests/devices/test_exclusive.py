"""Two measurements on one device at a time would each be wrong."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from exporters.errors import UnavailableError
from squeezebert_edge.devices.exclusive import exclusive


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_device_is_measured_by_one_at_a_time(temporary: Path) -> None:
    with exclusive("phone A"):
        with (
            pytest.raises(UnavailableError, match="another measurement runs on phone A"),
            exclusive("phone A"),
        ):
            pass
        with exclusive("phone B"):
            pass
    with exclusive("phone A"):
        pass
    assert list(temporary.iterdir()) == []


def test_another_process_is_kept_off_and_a_dead_one_keeps_nobody_off(temporary: Path) -> None:
    code = (
        f"import tempfile, time; tempfile.tempdir = {str(temporary)!r}\n"
        "from squeezebert_edge.devices.exclusive import exclusive\n"
        "with exclusive('phone A'): print('has it', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has it\n"
        with pytest.raises(UnavailableError), exclusive("phone A"):
            pass
        process.kill()
    with exclusive("phone A"):
        pass
