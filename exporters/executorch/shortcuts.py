"""What ExecuTorch's and torch's tools do again and again while they lower a program, done when it is needed.

Each function patches one of them while it lasts, for one reason. The file stays the same bit for bit, which
tests/exporters/test_executorch_shortcuts.py holds them to.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, extract_tensor_metadata
from torch.fx import Graph, GraphModule, Interpreter

from exporters import capture


@contextmanager
def shortcuts() -> Iterator[None]:
    """Take all of them."""
    with ExitStack() as stack:
        for shortcut in ALL:
            stack.enter_context(shortcut())
        yield


@contextmanager
def joined_decompositions() -> Iterator[None]:
    """Decompose a program once, by all tables together.

    ExecuTorch decomposes it by an empty table, by the partitioner's, and by the partitioner's again after it
    has hidden operators, each a capture from the start. So a table of a few operators waits for the next that
    is complete, and one that has nothing to decompose in an already decomposed program is left out.
    """
    from executorch.exir.graph_module import contains_any_call_fn_target_op
    from torch.export import ExportedProgram
    from torch.export.decomp_utils import CustomDecompTable

    run = ExportedProgram.run_decompositions
    waiting: WeakKeyDictionary[ExportedProgram, dict[Any, Any]] = WeakKeyDictionary()
    decomposed: WeakKeyDictionary[ExportedProgram, None] = WeakKeyDictionary()

    def join(program: ExportedProgram, decomp_table: dict[Any, Any]) -> ExportedProgram:
        if not isinstance(decomp_table, CustomDecompTable):
            waiting.setdefault(program, {}).update(decomp_table)
            return program
        if program in decomposed and not contains_any_call_fn_target_op(program.graph_module, decomp_table):
            return program
        decomp_table.update(waiting.pop(program, {}))  # type: ignore[no-untyped-call]
        program = run(program, decomp_table)
        decomposed[program] = None
        return program

    ExportedProgram.run_decompositions = join  # type: ignore[method-assign]
    try:
        yield
    finally:
        ExportedProgram.run_decompositions = run  # type: ignore[method-assign]


@contextmanager
def traces_of_changes() -> Iterator[None]:
    """Trace a graph anew only if it changed since it was traced.

    Each of XNNPACK's passes ends by tracing the whole graph through fake tensors, which finds the values of
    what it put in. Most put in nothing.
    """
    from executorch.exir.pass_base import ExportPass, PassResult

    trace = ExportPass.call

    def trace_changes(self: Any, graph_module: GraphModule) -> Any:
        rewrites = any(getattr(type(self), name) is not getattr(ExportPass, name) for name in CALLBACKS)
        if not rewrites and _same(getattr(graph_module.graph, "_traced", None), _content(graph_module.graph)):
            return PassResult(graph_module, modified=False)
        result = trace(self, graph_module)
        result.graph_module.graph._traced = _content(result.graph_module.graph)
        return result

    ExportPass.call = trace_changes
    try:
        yield
    finally:
        del ExportPass.call  # it is its parent's


CALLBACKS = (
    *("call_cond", "call_delegate", "call_getitem", "call_map", "call_operator", "call_scan"),
    *("call_submodule", "call_sym", "call_while", "inputs", "on_attr", "output", "placeholder"),
    *("ExportInterpreter", "ExportTracer"),
)  # through which a pass of ExecuTorch's rewrites a graph as it is traced


def _content(graph: Graph) -> list[tuple[Any, ...]]:
    return [
        (node, node.op, node.target, node.args, node.kwargs, node.meta.get("val")) for node in graph.nodes
    ]


def _same(one: Any, other: Any) -> bool:
    """Whether arguments of operators are equal; of tensors and nodes, whether they are the same."""
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    for kind in (list, tuple):  # torch.fx has immutable ones, too
        if isinstance(one, kind) and isinstance(other, kind):
            return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and not isinstance(one, Tensor) and bool(one == other)


@contextmanager
def kept_values() -> Iterator[None]:
    """Keep a node's fake value when a pass traces it anew, and the value cannot have changed.

    It cannot if the operator and what goes into it are those it was computed from. If they are not, a node
    still keeps its value where the new one has the same shape, type and layout, so that what comes after it
    need not be computed again.
    """
    from executorch.exir.pass_base import ExportPass

    emit = ExportPass._fx

    def emit_with_kept(self: Any, kind: str, target: Any, args: Any, kwargs: Any, meta: Any) -> Any:
        if kind != "call_function" or target is operator.getitem:
            return emit(self, kind, target, args, kwargs, meta)
        before = meta.data.get("val")
        known = _fakes(before)

        def call(target: Any, args: Any, kwargs: Any) -> Any:
            origin = (getattr(target, "_op", target), args, kwargs)  # ExecuTorch wraps torch's operators
            if known and _same(getattr(known[0], "_origin", None), origin):
                return before
            value = Interpreter.call_function(interpreter, target, args, kwargs)
            if known and _alike(known, _fakes(value)):
                value = before
            for fake in _fakes(value)[:1]:
                if not any(fake is source for source in args):
                    fake._origin = origin  # type: ignore[attr-defined]
            return value

        interpreter = self.interpreter
        interpreter.call_function = call
        try:
            return emit(self, kind, target, args, kwargs, meta)
        finally:
            del interpreter.call_function

    ExportPass._fx = emit_with_kept
    try:
        yield
    finally:
        del ExportPass._fx  # it is its parent's


def _fakes(value: Any) -> list[FakeTensor]:
    """The fake tensors of a node's value, a tensor or several; none if anything else is there."""
    several = value if isinstance(value, tuple | list) else (value,)
    return [*several] if all(isinstance(one, FakeTensor) and one.constant is None for one in several) else []


def _alike(some: list[FakeTensor], others: list[FakeTensor]) -> bool:
    return len(some) == len(others) and all(
        one.fake_mode is other.fake_mode and extract_tensor_metadata(one) == extract_tensor_metadata(other)
        for one, other in zip(some, others, strict=True)
    )


@contextmanager
def patterns_that_can_match() -> Iterator[None]:
    """Have XNNPACK look for a pattern only where the pattern's rarest operator is.

    To look for attention and for upsampling it first lowers six examples of them, which takes seconds.
    """
    from executorch.backends.xnnpack._passes import ConvertToSDPAPass, ConvertToUpsampleBilinear2d
    from executorch.exir.dialects._ops import ops
    from executorch.exir.pass_base import PassResult

    rarest = {
        ConvertToSDPAPass: ops.edge.aten.logical_not.default,  # attention whose mask may hide everything
        ConvertToUpsampleBilinear2d: ops.edge.aten.upsample_bilinear2d.vec,
    }
    looks = {pattern: pattern.call for pattern in rarest}

    def look(self: Any, graph_module: GraphModule) -> Any:
        if any(node.target is rarest[type(self)] for node in graph_module.graph.nodes):
            return looks[type(self)](self, graph_module)
        return PassResult(graph_module, modified=False)

    for pattern in rarest:
        pattern.call = look
    try:
        yield
    finally:
        for pattern, call in looks.items():
            pattern.call = call


ALL = (
    *capture.ALL,
    joined_decompositions,
    traces_of_changes,
    kept_values,
    patterns_that_can_match,
)
