"""The job of a demo app: it is asked what every device is asked; its answers are read or refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.errors import GateError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import OUTPUTS, RESULT, demo_app
from squeezebert_edge.devices.results import read_answers
from squeezebert_edge.latency import record, workload
from squeezebert_edge.latency.protocol import QUICK
from squeezebert_edge.latency.record import Settings
from tests.kit.records import phone, run, samples

LENGTHS = (16, 32)
ROWS = [{"input_ids": np.zeros((1, length), np.int32)} for length in LENGTHS]


def test_a_job_has_the_rows_that_every_device_runs(bundle: Bundle) -> None:
    rows = workload.of_bundle(bundle, None, None).rows
    settings = Settings(threads=2, length=32)
    job = json.loads(demo_app.job_of(rows, settings, QUICK))
    assert (job["job_version"], job["work"]) == (2, "measure")
    assert Settings.model_validate(job["settings"]) == settings
    assert job["protocol"] == asdict(QUICK)
    assert job["inputs"] == ["input_ids", "attention_mask", "token_type_ids"]
    for asked, row in zip(job["rows"], rows, strict=True):
        for name, values in zip(job["inputs"], asked["values"], strict=True):
            assert len(values) == asked["length"]
            np.testing.assert_array_equal(row[name], [values])


def test_answers_are_asked_without_a_protocol(bundle: Bundle) -> None:
    job = json.loads(demo_app.job_of(workload.of_bundle(bundle, None, None).rows, Settings(), None))
    assert (job["work"], job["protocol"]) == ("answer", None)


def test_a_measurement_is_read(tmp_path: Path) -> None:
    (tmp_path / RESULT).write_text(changed())
    assert demo_app.read_measurement(tmp_path / RESULT, "android", ROWS) == measured()


def test_answers_are_read(bundle: Bundle, tmp_path: Path) -> None:
    values = np.arange(4, dtype="<f4")
    values.tofile(tmp_path / OUTPUTS)
    result = {"shapes": [[[1, 2]], [[1, 2]]]}
    found = read_answers(tmp_path / OUTPUTS, result, bundle, 2, demo_app.WRITER)
    np.testing.assert_array_equal(np.concatenate([answer["logits"][0] for answer in found]), values)
    for rows, kept in ((3, 4), (2, 3)):
        values[:kept].tofile(tmp_path / OUTPUTS)
        with pytest.raises(GateError, match="the app wrote no answers"):
            read_answers(tmp_path / OUTPUTS, result, bundle, rows, demo_app.WRITER)


def measured() -> record.Run:
    """What a phone's app measured of ROWS."""
    runtime = record.Runtime(name="litert", version="2.3.0", runner="app", libc="bionic")
    return run(samples([5, 7, 6], LENGTHS), device=phone(1.0).device, runtime=runtime)


def changed(**fields: Any) -> str:
    return json.dumps({"run": json.loads(measured().model_dump_json()) | fields})


def column(**columns: list[int]) -> str:
    """The same with other samples."""
    written = json.loads(measured().model_dump_json())["samples"]
    return changed(samples=written | columns)


NO_MEASUREMENT = {
    "cut short": (changed()[:-20], "no result"),
    "rubbish": ("\ufffd{", "no result"),
    "a list": ("[]", "wrote a list"),
    "an error": ('{"error": "no delegate gpu"}', "the app failed: no delegate gpu"),
    "an answer": ('{"shapes": []}', "no measurement"),
    "a field that nobody knows": (changed(extra=1), "no measurement"),
    "no samples": (column(row=[], length=[], start_ns=[], latency_ns=[]), "no samples"),
    "columns that differ": (column(start_ns=[0]), "rows in turn"),
    "no time": (column(latency_ns=[5, 0, 5]), "took no time"),
    "one row again and again": (column(row=[0, 0, 0]), "rows in turn"),
    "another length": (column(length=[16, 16, 16]), "rows in turn"),
    "another device": (
        changed(device=json.loads(run(samples([5])).device.model_dump_json())),
        "of the kind host",
    ),
}


@pytest.mark.parametrize("wrong", NO_MEASUREMENT)
def test_what_is_no_measurement_is_refused(wrong: str, tmp_path: Path) -> None:
    text, says = NO_MEASUREMENT[wrong]
    (tmp_path / RESULT).write_text(text)
    with pytest.raises(GateError, match=says):
        demo_app.read_measurement(tmp_path / RESULT, "android", ROWS)
