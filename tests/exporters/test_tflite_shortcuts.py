"""Conversions by shortcuts: the file that one without them writes, from less work."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from exporters import capture
from exporters.quiet import quiet_tools
from exporters.tflite import FORMAT, export, shortcuts
from tests.kit.exported import head, request


def test_the_file_is_the_same_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(name: str) -> bytes:
        FORMAT.export(asked, tmp_path / name)
        return (tmp_path / name).read_bytes()

    asked = request(*head("SqueezeBertForSequenceClassification", "group-resident"), lengths=(8,))
    first, again = written("first.tflite"), written("again.tflite")
    monkeypatch.setattr(capture, "ALL", ())
    monkeypatch.setattr(export, "operators_lowered_once", nullcontext)
    assert written("anew.tflite") == first == again


def lowered(monkeypatch: pytest.MonkeyPatch, *calls: Any) -> int:
    """How often JAX is asked to print, where a function is called with these, one after the other."""
    with quiet_tools():
        from litert_torch.backend.jax_bridge import _wrap

    printed = []
    monkeypatch.setattr(
        _wrap,
        "_lower_to_ir_text",
        lambda function, *called, **_: (lambda: printed.append(called) or f"of {called}", []),
    )
    monkeypatch.setattr(shortcuts, "TEXTS", {})
    with shortcuts.operators_lowered_once():
        for call in calls:
            text, _ = _wrap._lower_to_ir_text(abs, (call,), {}, None)
            assert text() == text()
    return len(printed)


def test_what_was_lowered_is_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lowered(monkeypatch, 2, 2, (2, "x"), (2, "x")) == 2


def test_settings_that_python_calls_equal_are_not_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lowered(monkeypatch, 1, 1.0, True, 0.0, -0.0) == 5


def test_what_has_no_fingerprint_is_always_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lowered(monkeypatch, {1}, {1}) == 4


def test_all_is_as_before_afterwards() -> None:
    with quiet_tools():
        from litert_torch.backend.jax_bridge import _wrap

    before = _wrap._lower_to_ir_text, _wrap._stablehlo_to_vhlo
    with pytest.raises(KeyError), shortcuts.operators_lowered_once():
        assert _wrap._lower_to_ir_text is not before[0]
        assert _wrap._stablehlo_to_vhlo is not before[1]
        raise KeyError
    assert (_wrap._lower_to_ir_text, _wrap._stablehlo_to_vhlo) == before
