"""The job of a demo app: it is asked what every device is asked; its answers are read or refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.errors import GateError
from squeezebert_edge import pipeline, workload
from squeezebert_edge.bundle import Bundle
from squeezebert_edge.devices import app_job
from squeezebert_edge.latency import QUICK
from squeezebert_edge.record import Settings
from tests.records import run, samples
from tests.small import small_checkpoint

LENGTHS = (16, 32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    plan = pipeline.Plan([("tflite", "fp32")], LENGTHS)
    (made,) = pipeline.export(small_checkpoint(num_hidden_layers=1), plan, tmp_path_factory.mktemp("out"))
    return made


def test_a_job_has_the_rows_that_every_device_runs(bundle: Bundle) -> None:
    rows = workload.of_bundle(bundle, None, None).rows
    settings = Settings(threads=2, length=32)
    job = json.loads(app_job.job_of(rows, settings, QUICK))
    assert (job["job_version"], job["work"]) == (1, "measure")
    assert Settings.model_validate(job["settings"]) == settings
    assert job["protocol"] == asdict(QUICK)
    assert job["inputs"] == ["input_ids", "attention_mask", "token_type_ids"]
    for asked, row in zip(job["rows"], rows, strict=True):
        for name, values in zip(job["inputs"], asked["values"], strict=True):
            assert len(values) == asked["length"]
            np.testing.assert_array_equal(row[name], [values])


def test_answers_are_asked_without_a_protocol(bundle: Bundle) -> None:
    job = json.loads(app_job.job_of(workload.of_bundle(bundle, None, None).rows, Settings(), None))
    assert (job["work"], job["protocol"]) == ("answer", None)


def test_a_measurement_is_read() -> None:
    found = run(samples([5, 7, 6]))
    assert app_job.run_of(json.dumps({"run": json.loads(found.model_dump_json())})) == found


def test_answers_are_read(bundle: Bundle, tmp_path: Path) -> None:
    values = np.arange(4, dtype="<f4")
    values.tofile(tmp_path / app_job.OUTPUTS)
    text = json.dumps({"shapes": [[[1, 2]], [[1, 2]]]})
    found = app_job.answers(text, tmp_path / app_job.OUTPUTS, bundle, 2)
    np.testing.assert_array_equal(np.concatenate([answer["logits"][0] for answer in found]), values)
    for rows, kept in ((3, 4), (2, 3)):
        values[:kept].tofile(tmp_path / app_job.OUTPUTS)
        with pytest.raises(GateError, match="the app wrote no answers"):
            app_job.answers(text, tmp_path / app_job.OUTPUTS, bundle, rows)


def changed(**fields: Any) -> str:
    written = json.loads(run(samples([5, 7])).model_dump_json())
    return json.dumps({"run": written | fields})


NO_MEASUREMENT = {
    "cut short": (changed()[:-20], "no result"),
    "rubbish": ("\ufffd{", "no result"),
    "a list": ("[]", "wrote list"),
    "an error": ('{"error": "no delegate gpu"}', "the app: no delegate gpu"),
    "an answer": ('{"shapes": []}', "no measurement"),
    "a field that nobody knows": (changed(extra=1), "no measurement"),
    "no samples": (changed(samples={"row": [], "length": [], "start_ns": [], "latency_ns": []}), "none"),
    "columns that differ": (
        changed(samples={"row": [0], "length": [16], "start_ns": [0, 9], "latency_ns": [5]}),
        "different lengths",
    ),
    "no time": (
        changed(samples={"row": [0], "length": [16], "start_ns": [0], "latency_ns": [0]}),
        "no time",
    ),
}


@pytest.mark.parametrize("wrong", NO_MEASUREMENT)
def test_what_is_no_measurement_is_refused(wrong: str) -> None:
    text, says = NO_MEASUREMENT[wrong]
    with pytest.raises(GateError, match=says):
        app_job.run_of(text)
