"""What torch does again and again while programs are captured and decomposed, done once or with less work."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch.fx import GraphModule
from torch.fx.graph import _PyTreeCodeGen


@contextmanager
def captures() -> Iterator[None]:
    """Take all shortcuts of captures, which leave what is captured as it is."""
    with ExitStack() as stack:
        for shortcut in ALL:
            stack.enter_context(shortcut())
        yield


@contextmanager
def operators_that_are_new() -> Iterator[None]:
    """Meanwhile torch puts operators into `torch.ops` only if there are others than the last time.

    It does so for each of some forty namespaces whenever a program is captured or decomposed, in case one was
    registered since, and the look-ups of all that are there take a twentieth of a small export.
    """
    from torch._export import utils

    put = utils._materialize_cpp_cia_ops
    there: list[str] = []

    def put_new() -> None:
        registered = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
        if registered != there:
            put()
            there[:] = registered

    utils._materialize_cpp_cia_ops = put_new
    try:
        yield
    finally:
        utils._materialize_cpp_cia_ops = put


@contextmanager
def overrides_at_once() -> Iterator[None]:
    """Meanwhile torch overrides an operator for all dispatch keys at once.

    Whenever a program is decomposed, it overrides some five hundred operators for 22 keys each, one after the
    other, which is a third of exporting a small network. The tables have the same in them.
    """
    from torch._export.utils import _get_decomp_for_cia
    from torch._higher_order_ops.utils import autograd_not_implemented
    from torch._subclasses import fake_impls
    from torch.export import exported_program as torchs

    one_by_one = torchs._override_composite_implicit_decomp
    composite = torch._C.DispatchKey.CompositeImplicitAutograd

    @contextmanager
    def override(decompositions: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
        before = {operator: operator.py_kernels.copy() for operator in decompositions}
        for operator, decompose in decompositions.items():
            own = _get_decomp_for_cia(operator)
            autograd = autograd_not_implemented(operator, deferred_error=True)
            kernels = dict.fromkeys(torchs._AUTOGRAD_ALIAS_BACKEND_KEYS_TO_OVERRIDE, autograd)
            kernels |= dict.fromkeys(torchs._BACKEND_KEYS_TO_OVERRIDE, own)
            operator.py_kernels.update(kernels | before[operator] | {composite: decompose})
            operator._dispatch_cache.clear()
            if not fake_impls._is_op_registered_to_fake_rule(operator):
                fake_impls.register_op_impl(operator)(partial(_in_fake_mode, own))
        try:
            yield
        finally:
            for operator, kernels in before.items():
                operator.py_kernels.clear()
                operator.py_kernels.update(kernels)
                operator._dispatch_cache.clear()
                fake_impls._deregister_op_impl(operator)

    torchs._override_composite_implicit_decomp = override  # type: ignore[assignment]
    try:
        yield
    finally:
        torchs._override_composite_implicit_decomp = one_by_one


def _in_fake_mode(function: Callable[..., Any], mode: Any, _: Any, /, *args: Any, **kwargs: Any) -> Any:
    with mode:
        return function(*args, **kwargs)


@contextmanager
def tables_as_they_are() -> Iterator[None]:
    """Meanwhile a copy of a table of decompositions is not filled before it is.

    torch puts together the table that it begins with, a look at every operator, to replace it by the copy.
    """
    from torch.export.decomp_utils import CustomDecompTable

    fill = CustomDecompTable.copy

    def copy(self: Any) -> Any:
        table = CustomDecompTable.__new__(CustomDecompTable)
        table.decomp_table = self.decomp_table.copy()
        table.deleted_custom_ops = self.deleted_custom_ops.copy()
        table.has_materialized = self.has_materialized
        return table

    CustomDecompTable.copy = copy  # type: ignore[method-assign]
    try:
        yield
    finally:
        CustomDecompTable.copy = fill  # type: ignore[method-assign]


@contextmanager
def untouched_past() -> Iterator[None]:
    """Have Python's garbage collector pass over what was there before.

    Graphs are so many objects that it looks at all there are again and again, and most are the tools' own: of
    a small network that is a fifth of lowering it.
    """
    if gc.get_freeze_count():  # somebody else's, who would miss it afterwards
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def shared_provenance() -> Iterator[None]:
    """Have nodes of a graph share what is recorded of where they came from.

    torch.fx copies a node's history, whole, into every node that a pass makes of it: after tens of passes
    that is most of the time of lowering. A history is never changed once written, so one will do.
    """
    from torch.fx.traceback import NodeSource

    NodeSource.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del NodeSource.__deepcopy__  # type: ignore[attr-defined]


@contextmanager
def code_when_called() -> Iterator[None]:
    """Write the Python code of a graph when somebody runs or reads it.

    torch.fx writes it whenever a graph changes hands, several times a pass; lowering reads graphs, not code.
    """
    write = GraphModule.recompile

    class Written:
        """What writing a module's code puts in this one's place: the code, and the function that it makes."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __get__(self, module: Any, _: type) -> Any:
            if module is None:
                return self
            write(module)
            return getattr(module, self.name)

    def put_off(module: Any) -> None:
        if isinstance(module._graph._codegen, _PyTreeCodeGen):  # this much is not only for the code
            info = module._graph._codegen.pytree_info
            module._in_spec, module._out_spec = info.in_spec, info.out_spec
        vars(module).pop("_code", None)
        for name in ("_code", "forward"):
            setattr(type(module), name, Written(name))  # each module has a type of its own
        module._recompile_submodules()

    GraphModule.recompile = put_off  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        GraphModule.recompile = write  # type: ignore[method-assign]


ALL = (
    untouched_past,
    shared_provenance,
    code_when_called,
    operators_that_are_new,
    overrides_at_once,
    tables_as_they_are,
)
