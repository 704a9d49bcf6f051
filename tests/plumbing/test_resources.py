"""Cores and memory as the system and its control groups allow them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from squeezebert_edge.plumbing import resources
from squeezebert_edge.plumbing.resources import available_memory, usable_cores


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of Linux with 8 cores and 8 GiB free, whose files a test writes."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {16 << 20} kB\nMemAvailable:    {8 << 20} kB\n")
    monkeypatch.setattr(resources.sys, "platform", "linux")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for name, file in (("MEMORY", "meminfo"), ("GROUPS", "cgroup"), ("MOUNT", "groups")):
        monkeypatch.setattr(resources, name, tmp_path / file)
    return tmp_path


def write(directory: Path, **values: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (directory / name.replace("__", ".")).write_text(value)


def test_without_limits_it_is_the_machine(machine: Path) -> None:
    assert (usable_cores(), available_memory()) == (8, 8 << 30)
    write(machine, cgroup="0::/user/run\n")
    write(
        machine / "groups" / "user" / "run",
        memory__max="max\n",
        memory__current="5\n",
        cpu__max="max 100000\n",
    )
    assert (usable_cores(), available_memory()) == (8, 8 << 30)


def test_the_narrowest_group_around_the_process_counts(machine: Path) -> None:
    write(machine, cgroup="0::/user/run\n")
    write(
        machine / "groups" / "user",
        memory__max=str(6 << 30),
        memory__current=str(2 << 30),
        cpu__max="300000 100000",
    )
    assert (usable_cores(), available_memory()) == (3, 4 << 30)
    write(
        machine / "groups" / "user" / "run",
        memory__max=str(3 << 30),
        memory__current=str(2 << 30),
        memory__stat=f"anon 5\ninactive_file {1 << 30}\n",  # which makes room
        cpu__max="50000 100000",
    )
    assert (usable_cores(), available_memory()) == (1, 2 << 30)


def test_groups_of_version_1(machine: Path) -> None:
    write(machine, cgroup="4:memory:/jobs/a\n1:cpu,cpuacct:/jobs/a\n0::/\n")
    group = machine / "groups" / "memory" / "jobs" / "a"
    write(group, memory__limit_in_bytes=str(2 << 30), memory__usage_in_bytes=str(1 << 30))
    write(machine / "groups" / "cpu" / "jobs" / "a", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    assert (usable_cores(), available_memory()) == (2, 1 << 30)
    write(machine / "groups" / "cpu" / "jobs" / "a", cpu__cfs_quota_us="-1")
    assert usable_cores() == 8


def test_affinity_counts_and_what_is_unknown_is_no_limit(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 5}, raising=False)
    (machine / "meminfo").unlink()
    assert (usable_cores(), available_memory()) == (2, None)
