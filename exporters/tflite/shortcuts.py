"""What litert-torch does again for each length and each model, done once a process.

The file stays the same bit for bit, which tests/exporters/test_tflite_shortcuts.py holds it to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def operators_lowered_once() -> Iterator[None]:
    """Meanwhile JAX lowers an operator once for the same shapes and settings.

    litert-torch lowers most operators by JAX functions, which to trace, print and read back is a quarter of a
    conversion. It keeps what it lowered for one length of one model, by what an operator is called with.
    """
    from litert_torch.backend.jax_bridge import _wrap

    print_, to_bytecode = _wrap._lower_to_ir_text, _wrap._stablehlo_to_vhlo

    def print_once(
        function: Any, args: Any, kwargs: Any, ir_input_names: Any = None
    ) -> tuple[Callable[[], str], Any]:
        text, inputs = print_(function, args, kwargs, ir_input_names)
        called = _wrap.get_cache_fingerprint(function, args, kwargs, ir_input_names)
        if called is None:
            return text, inputs
        key = (called, repr(called))  # which tells 1 from 1.0 and from True
        return lambda: TEXTS.get(key) or TEXTS.setdefault(key, text()), inputs

    def to_bytecode_once(text: str) -> bytes:
        return BYTECODES.get(text) or BYTECODES.setdefault(text, to_bytecode(text))

    _wrap._lower_to_ir_text, _wrap._stablehlo_to_vhlo = print_once, to_bytecode_once
    try:
        yield
    finally:
        _wrap._lower_to_ir_text, _wrap._stablehlo_to_vhlo = print_, to_bytecode


TEXTS: dict[Any, str] = {}  # what an operator is called with -> what JAX prints of it
BYTECODES: dict[str, bytes] = {}
