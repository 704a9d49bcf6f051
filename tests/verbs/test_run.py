"""`run`: what it makes anew and what it takes as it is, what it tells meanwhile, where latencies are from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporters.errors import EdgeError, GateError
from squeezebert_edge.bundle.opened import open_bundle
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency.protocol import exactly
from squeezebert_edge.verbs import export
from squeezebert_edge.verbs.plan import Plan
from squeezebert_edge.verbs.run import compare_precisions
from tests.kit.small import save_small

PLAN = Plan([("tflite", "fp32"), ("coreml", "fp32")], (16,))


@pytest.fixture
def saved(tmp_path: Path) -> Checkpoint:
    return load_checkpoint(str(save_small(tmp_path / "checkpoint", num_hidden_layers=1)))


def test_every_bundle_that_runs_here_has_a_record(saved: Checkpoint, tmp_path: Path) -> None:
    told: list[Any] = []
    report = compare_precisions(saved, PLAN, tmp_path / "out", protocol=exactly(3), jobs=2, tell=told.append)
    seals = {row.format: row.seal for row in report.rows}
    measured = {each.bundle.sha256: each for each in report.records}
    assert seals["tflite"] in measured
    assert measured[seals["tflite"]].latency.overall.count == 3
    assert len(report.rows) == 2
    assert any("is not quoted: unquoted (queries)" in warning for warning in report.warnings)
    assert [row.format for row in report.rows] == ["tflite", "coreml"]  # whichever was done first
    work, *rows, record = told
    assert (work.found, work.missing.pairs, work.jobs) == ({}, PLAN.pairs, 2)
    assert (sorted(row.format for row in rows), record) == (["coreml", "tflite"], report.records[0])


def test_a_run_continues_where_it_was(
    saved: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made before an interruption is not made again, unless that is asked for."""
    made: list[tuple[str, str]] = []

    def make(*arguments: Any, progress: Any) -> None:
        made.append(arguments[2:4])
        if made == PLAN.pairs:
            raise KeyboardInterrupt
        make_best(*arguments, progress=progress)

    make_best = export._make_best
    monkeypatch.setattr(export, "_make_best", make)
    with pytest.raises(KeyboardInterrupt):
        compare_precisions(saved, PLAN, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tflite-fp32"]
    seal = open_bundle(tmp_path / "out" / "tflite-fp32").seal

    told: list[Any] = []
    report = compare_precisions(saved, PLAN, tmp_path / "out", tell=told.append)
    assert made == [*PLAN.pairs, PLAN.pairs[1]]
    assert (list(told[0].found), told[0].missing.pairs) == ([PLAN.pairs[0]], [PLAN.pairs[1]])
    assert report.rows[0].seal == seal
    assert compare_precisions(saved, PLAN, tmp_path / "out").rows == report.rows
    assert len(made) == 3

    compare_precisions(saved, replace(PLAN, pairs=PLAN.pairs[:1]), tmp_path / "out", force=True)
    assert made[3:] == PLAN.pairs[:1]


def test_what_fails_in_a_process_of_its_own_ends_the_rest(saved: Checkpoint, tmp_path: Path) -> None:
    plan = Plan([("tflite", "int8"), ("coreml", "int8-static")], (16,), form="plain")
    with pytest.raises(EdgeError):  # LiteRT quantizes no convolutions, and nothing is calibrated
        compare_precisions(saved, plan, tmp_path / "out", jobs=2)
    assert not list((tmp_path / "out").glob(".*"))


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
