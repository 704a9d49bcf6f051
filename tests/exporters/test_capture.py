"""Captures are spared what they need not do, and miss nothing by it."""

from __future__ import annotations

import gc
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._export import utils
from torch._subclasses import fake_impls
from torch.export import default_decompositions, exported_program
from torch.export.decomp_utils import CustomDecompTable
from torch.fx import GraphModule
from torch.fx.traceback import NodeSource

from exporters import capture
from exporters.coreml import export as coreml
from exporters.quiet import quiet_tools
from tests.kit.exported import Small, head, make


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


def overridden(decompositions: dict[Any, Any]) -> dict[Any, dict[Any, Any]]:
    """What the tables of operators have while these decompositions override them, by what it is."""

    def known(function: Any) -> Any:
        if isinstance(function, partial):
            return known(function.func), function.keywords
        return getattr(function, "__qualname__", function)

    with exported_program._override_composite_implicit_decomp(decompositions):
        assert all(operator in fake_impls.op_implementations_dict for operator in decompositions)
        return {
            operator: {key: known(kernel) for key, kernel in operator.py_kernels.items()}
            for operator in decompositions
        }


def test_operators_are_overridden_as_torch_does_it() -> None:
    decompositions, _ = exported_program._split_decomp_table_to_cia_and_python_decomp(
        dict(default_decompositions().items())
    )
    assert len(decompositions) > 400
    before = {operator: operator.py_kernels.copy() for operator in decompositions}
    expected = overridden(decompositions)
    with capture.overrides_at_once():
        assert overridden(decompositions) == expected
    assert {operator: operator.py_kernels for operator in decompositions} == before
    assert not decompositions.keys() & fake_impls.op_implementations_dict.keys()


def test_a_kept_operator_is_computed_in_fake_mode_as_torch_does_it() -> None:
    """A composite operator that a program keeps, computed again where constants meet it."""

    class Kept(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.nn.functional.linear(x, torch.ones(4, 4))

    table = default_decompositions()
    del table[torch.ops.aten.linear.default]
    with quiet_tools():
        program = torch.export.export(Kept(), (torch.ones(3, 4),))
        expected = program.run_decompositions(table)
        with capture.captures():
            found = program.run_decompositions(table.copy())
    assert str(found.graph) == str(expected.graph)
    assert torch.ops.aten.linear.default in {node.target for node in found.graph.nodes}


def test_a_copied_table_is_its_own() -> None:
    table = default_decompositions()
    removed = next(iter(table.keys()))
    table.pop(removed)
    expected = table.copy()
    with capture.tables_as_they_are():
        found = table.copy()
    assert {*found.keys()} == {*expected.keys()}
    found.pop(next(iter(found.keys())))
    assert {*table.keys()} == {*expected.keys()} > {*found.keys()}


def test_code_is_written_when_it_is_wanted() -> None:
    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x + x).reshape(2, 6)

    class Counted(GraphModule):
        pass

    graph = torch.fx.symbolic_trace(Sums()).graph
    with capture.code_when_called():
        called, read = (Counted(nn.Module(), graph) for _ in range(2))
        assert "_code" not in vars(called)
    x = torch.rand(3, 4)
    assert torch.equal(called(x), Sums()(x))
    assert "relu" in read.code


def test_the_collector_gets_back_what_it_passed_over() -> None:
    before = gc.get_freeze_count()
    with capture.untouched_past():
        assert gc.get_freeze_count() > before
        with capture.untouched_past():
            assert gc.get_freeze_count() > before
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == before == 0


def test_all_is_as_before_afterwards() -> None:
    def patched() -> list[Any]:
        override = exported_program._override_composite_implicit_decomp
        functions = [utils._materialize_cpp_cia_ops, override, CustomDecompTable.copy, GraphModule.recompile]
        return [*functions, getattr(NodeSource, "__deepcopy__", None)]

    before = patched()
    with pytest.raises(KeyError), capture.captures():
        assert all(one is not other for one, other in zip(before, patched(), strict=True))
        raise KeyError
    assert patched() == before


def test_core_ml_s_files_are_the_same_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(name: str) -> dict[str, bytes]:
        """What is written, but for the manifest, which names its files at random."""
        (tmp_path / name).mkdir()
        path = make("coreml", tmp_path / name, module, outputs).path
        files = [file for file in path.rglob("*") if file.is_file() and file.name != "Manifest.json"]
        return {file.name: file.read_bytes() for file in files}

    module, outputs = head("SqueezeBertForSequenceClassification")
    expected = written("with")
    assert {*expected} == {"model.mlmodel", "weight.bin"}
    monkeypatch.setattr(capture, "ALL", ())
    monkeypatch.setattr(coreml, "checks_of_pipelines", nullcontext)
    assert written("without") == expected


def test_a_program_is_checked_once_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from coremltools.converters.mil.mil import Program

    checks, check = [], Program.validate

    def counted(*words: Any, **options: Any) -> None:
        checks.append(check(*words, **options))

    monkeypatch.setattr(Program, "validate", counted)
    make("coreml", tmp_path, Small(), Small.outputs)
    assert 3 <= len(checks) < 10
