"""Captures are spared what they need not do, and miss nothing by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch._export import utils

from exporters import capture
from exporters.coreml import export as coreml
from exporters.tflite import export as tflite
from tests.kit.exported import Small, make


def test_an_operator_that_is_registered_meanwhile_is_found() -> None:
    with capture.operators_that_are_new():
        before = utils._collect_all_valid_cia_ops_for_namespace(torch.ops.aten)
        library = torch.library.Library("of_a_test", "DEF")
        library.define("double(Tensor x) -> Tensor")
        library.impl("double", lambda x: x + x, "CompositeImplicitAutograd")
        found = utils._collect_all_valid_cia_ops_for_namespace(torch.ops.of_a_test)
        assert utils._collect_all_valid_cia_ops_for_namespace(torch.ops.aten) == before
    assert found == {torch.ops.of_a_test.double.default}


def test_nothing_is_looked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    put = utils._materialize_cpp_cia_ops
    monkeypatch.setattr(utils, "_materialize_cpp_cia_ops", lambda: (looks.append(1), put()))
    with capture.operators_that_are_new():
        for _ in range(3):
            utils._collect_all_valid_cia_ops_for_namespace(torch.ops.aten)
    assert len(looks) == 1


@pytest.mark.parametrize("exporter", [coreml, tflite])
def test_the_file_is_the_same_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exporter: object
) -> None:
    @contextmanager
    def nothing() -> Iterator[None]:
        yield

    format_ = exporter.__name__.split(".")[1]
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    with_it = make(format_, tmp_path / "with", Small(), Small.outputs).path
    monkeypatch.setattr(exporter, "operators_that_are_new", nothing)
    without = make(format_, tmp_path / "without", Small(), Small.outputs).path
    for path in (without, *without.rglob("*")):
        if path.is_file() and path.name != "Manifest.json":  # which names its files at random
            assert (with_it / path.relative_to(without)).read_bytes() == path.read_bytes(), path.name
