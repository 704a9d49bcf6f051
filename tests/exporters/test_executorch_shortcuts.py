"""Lowering by shortcuts: the file that lowering without them writes, from less work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from exporters.executorch import FORMAT, shortcuts
from exporters.quiet import quiet_tools
from exporters.spec import ExportRequest
from tests.kit.exported import Small, head, request, row

NETWORKS = {
    "fp32": ("SqueezeBertForMaskedLM", "plain"),
    "fp16": ("SqueezeBertForMultipleChoice", "group-resident"),
    "int8-dynamic": ("SqueezeBertForSequenceClassification", "group-resident"),
    "int8-static": ("SqueezeBertForQuestionAnswering", "group-resident"),
    "int4": ("SqueezeBertForTokenClassification", "group-resident"),
}


def written(path: Path, asked: ExportRequest) -> bytes:
    FORMAT.export(asked, path)
    return path.read_bytes()


def network(precision: str) -> ExportRequest:
    """One layer of another head and form for each precision."""
    module, outputs = head(*NETWORKS[precision], hidden_size=64, embedding_size=64, intermediate_size=128)
    rows = [row(8, tokens) for tokens in (3, 5, 8)] if FORMAT.precision(precision).calibrated else ()
    return replace(request(module, outputs, precision, lengths=(8,)), calibration=rows)


@pytest.mark.parametrize("precision", FORMAT.precisions)
def test_the_file_is_the_same_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    asked = network(precision)
    fast = written(tmp_path / "fast.pte", asked)
    monkeypatch.setattr(shortcuts, "ALL", ())
    assert written(tmp_path / "slow.pte", asked) == fast


@pytest.mark.parametrize("taken", [(), *((one,) for one in shortcuts.ALL)])
def test_each_shortcut_alone_leaves_the_file_as_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small: bytes,
    taken: tuple[Callable[[], AbstractContextManager[None]], ...],
) -> None:
    monkeypatch.setattr(shortcuts, "ALL", taken)
    assert written(tmp_path / "model.pte", request(Small(), Small.outputs)) == small


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("small") / "model.pte", request(Small(), Small.outputs))


# What they save


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """ExecuTorch's packages warn when they are imported."""
    with quiet_tools():
        yield


class Sums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(x + x).reshape(2, 6)
        return y + y


def lowered() -> GraphModule:
    from executorch.exir import to_edge

    graph_module: GraphModule = (
        to_edge(torch.export.export(Sums(), (torch.ones(3, 4),))).exported_program().graph_module
    )
    return graph_module


def identity() -> Any:
    """A pass that rewrites nothing, but traces."""
    from executorch.exir.pass_base import ExportPass

    return ExportPass()


def test_a_graph_that_did_not_change_is_traced_once() -> None:
    graph_module = lowered()
    with shortcuts.traces_of_changes():
        first = identity()(graph_module)
        again = identity()(first.graph_module)
    assert first.modified
    assert again.graph_module is first.graph_module
    assert not again.modified


def test_a_graph_that_changed_is_traced_again() -> None:
    with shortcuts.shortcuts():
        graph_module = identity()(lowered()).graph_module
        for node in graph_module.graph.nodes:
            if "view" in str(node.target):
                node.args = (node.args[0], [4, 3])
                changed = node.name
        result = identity()(graph_module)
    assert result.modified
    shapes = {node.name: node.meta["val"].shape for node in result.graph_module.graph.nodes if node.users}
    assert shapes[changed] == (4, 3)
    (output,) = (node for node in result.graph_module.graph.nodes if node.op == "output")
    assert output.args[0][0].meta["val"].shape == (4, 3)  # and what came after it


def test_values_that_cannot_have_changed_are_kept() -> None:
    def values(graph_module: GraphModule) -> list[Any]:
        return [node.meta["val"] for node in graph_module.graph.nodes if node.op == "call_function"]

    with shortcuts.kept_values():
        first = identity()(lowered()).graph_module
        again = identity()(first).graph_module
    assert again is not first
    assert all(one is other for one, other in zip(values(first), values(again), strict=True))


def test_the_patterns_have_the_operators_that_are_looked_for_first() -> None:
    """One that matched without them would be overlooked."""
    from executorch.backends.xnnpack.partition.graphs import bilinear_2d, sdpa
    from executorch.exir.dialects._ops import ops

    for graphs, operator in (
        (sdpa.get_graphs(), ops.edge.aten.logical_not.default),
        (bilinear_2d.get_graphs(), ops.edge.aten.upsample_bilinear2d.vec),
    ):
        assert all(operator in {node.target for node in pattern.graph.nodes} for pattern in graphs)


def test_all_is_as_before_afterwards() -> None:
    from executorch.backends.xnnpack._passes import ConvertToSDPAPass
    from executorch.exir.pass_base import ExportPass
    from torch.export import ExportedProgram
    from torch.fx.traceback import NodeSource

    def patched() -> list[Any]:
        functions = (ExportPass.call, ExportPass._fx, GraphModule.recompile, ConvertToSDPAPass.call)
        return [*functions, ExportedProgram.run_decompositions, getattr(NodeSource, "__deepcopy__", None)]

    before = patched()
    with pytest.raises(KeyError), shortcuts.shortcuts():
        assert all(one is not other for one, other in zip(before, patched(), strict=True))
        raise KeyError
    assert patched() == before
