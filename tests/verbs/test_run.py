"""`run` takes its latencies from records, for the bundles that run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporters.errors import GateError
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency.protocol import exactly
from squeezebert_edge.verbs.plan import Plan
from squeezebert_edge.verbs.run import compare_precisions
from tests.kit.small import save_small

PLAN = Plan([("tflite", "fp32"), ("coreml", "fp32")], (16,))


@pytest.fixture
def saved(tmp_path: Path) -> Checkpoint:
    return load_checkpoint(str(save_small(tmp_path / "checkpoint", num_hidden_layers=1)))


def test_every_bundle_that_runs_here_has_a_record(saved: Checkpoint, tmp_path: Path) -> None:
    report = compare_precisions(saved, PLAN, tmp_path / "out", protocol=exactly(3))
    seals = {row.format: row.seal for row in report.rows}
    measured = {each.bundle.sha256: each for each in report.records}
    assert seals["tflite"] in measured
    assert measured[seals["tflite"]].latency.overall.count == 3
    assert len(report.rows) == 2
    assert any("is not quoted: unquoted (queries)" in warning for warning in report.warnings)


def test_a_measurement_that_fails_does_not_lose_the_rest(
    saved: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*arguments: Any) -> None:
        raise GateError("the measuring process died")

    monkeypatch.setattr(Host, "measure", died)
    report = compare_precisions(saved, PLAN, tmp_path / "out", protocol=exactly(3))
    assert report.records == ()
    assert "tflite-fp32 has no latency: the measuring process died" in report.notes
    assert compare_precisions(saved, PLAN, tmp_path / "other").records == ()
