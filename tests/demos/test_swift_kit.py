"""The iOS demo's kit gives Python's ids, offsets, inputs, answers and records; its own tests pass."""

from __future__ import annotations

import re

import pytest

from tests.demos.cases import DemoCases
from tests.toolchains import swift
from tests.toolchains.swift import Kit


class TestKit(DemoCases):
    """The cases of both demos."""

    @pytest.fixture
    def demo(self, kit: Kit) -> Kit:
        return kit


def test_its_own_tests_pass(kit: Kit) -> None:
    command = ["swift", "test", "--skip-build", *swift.OPTIONS, "--scratch-path", str(kit.programs.parent)]
    assert re.search(r"Executed \d+ tests, with 0 failures", swift.checked(command, kit.scratch))
