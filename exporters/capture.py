"""What torch does again and again while a program is captured and decomposed, done when it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
