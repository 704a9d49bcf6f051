"""The iOS app does the jobs that Python asks for, its Swift is well-formed, its project names what exists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from squeezebert_edge import latency, record
from tests.small import small_checkpoint
from tests.swift import Kit
from tests.tokenizer_cases import write_bundle

ID = "0123456789abcdef"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = (("logits", [1, 2]), ("last_hidden_state", [1, None, 3]))
SETTINGS = record.Settings(compute_units="cpu_and_ne")


def job(protocol: latency.Protocol | None, **changes: Any) -> dict[str, Any]:
    """A job of three rows, as Python asks it; `changes` replace its fields."""
    rows = [
        {"length": length, "values": [[n, *range(length - 1)], [1] * length, [0] * length]}
        for n, length in ((7, 16), (8, 48), (9, 16))
    ]
    return {
        "job_version": 1,
        "work": "answer" if protocol is None else "measure",
        "settings": SETTINGS.model_dump(),
        "protocol": None if protocol is None else asdict(protocol),
        "inputs": list(INPUTS),
        "rows": rows,
    } | changes


def done(kit: Kit, directory: Path, asked: Mapping[str, Any], name: str = ID) -> dict[str, Any]:
    """What the app says of a job, a stand-in being its Core ML."""
    at = directory / "Documents" / "jobs" / name
    if not (at / "bundle").exists():
        outputs = [{"name": name, "dtype": "float32", "shape": shape} for name, shape in OUTPUTS]
        write_bundle(at / "bundle", small_checkpoint().tokenizer, format="coreml", outputs=outputs)
    (at / "job.json").write_text(json.dumps(asked))
    kit.do("job", directory / "Documents", name)
    result: dict[str, Any] = json.loads((at / "result.json").read_text())
    assert [path.name for path in at.iterdir() if "partial" in path.name] == []
    return result


def test_a_measured_job_is_a_run_as_python_reads_it(kit: Kit, tmp_path: Path) -> None:
    protocol = latency.exactly(12)
    (result,) = done(kit, tmp_path, job(protocol)).items()
    assert result[0] == "run"
    run = record.Run.model_validate(result[1])
    assert run.runtime.runner == "app"
    assert run.samples.row == (0, 1, 2) * 4
    assert run.samples.length == (16, 48, 16) * 4
    assert [warmed.length for warmed in run.warm_up] == [16, 48]
    assert run.cold_start.first_ns is not None
    assert run.cold_start.first_ns.keys() == {16, 48}
    assert "process_ns" in run.cold_start.unknown
    assert run.memory.baseline_bytes
    assert latency.broken_rule(protocol, run.samples) is None


def test_an_answered_job_has_every_output_of_every_row(kit: Kit, tmp_path: Path) -> None:
    asked = job(None)
    result = done(kit, tmp_path, asked)
    lengths = [row["length"] for row in asked["rows"]]
    assert result == {"shapes": [[[1, 2], [1, length, 3]] for length in lengths]}
    expected = [
        np.arange(count) + sum(row["values"][0]) for row in asked["rows"] for count in (2, 3 * row["length"])
    ]
    found = np.fromfile(tmp_path / "Documents" / "jobs" / ID / "outputs.bin", "<f4")
    np.testing.assert_array_equal(found, np.concatenate(expected))


def rows_with(length: int, counts: tuple[int, ...]) -> dict[str, Any]:
    return {"rows": [{"length": length, "values": [[1] * count for count in counts]}]}


def settings_with(**fields: Any) -> dict[str, Any]:
    return {"settings": SETTINGS.model_dump() | fields}


# What the app says -> what was changed in a job that it would do.
REFUSED: dict[str, dict[str, Any]] = {
    "job_version 2": {"job_version": 2},
    'unknown: "surprise"': {"surprise": 1},
    'unknown: "settings.surprise"': settings_with(surprise=1),
    'unknown: "protocol.surprise"': {"protocol": asdict(latency.QUICK) | {"surprise": 1}},
    'work "answer" with a protocol': {"work": "answer"},
    'work "measure" without a protocol': {"protocol": None},
    'work "cook" with a protocol': {"work": "cook"},
    "threads": settings_with(threads=2),
    "delegate gpu": settings_with(delegate="gpu"),
    "cpus": settings_with(cpus=[0]),
    "runtime": settings_with(runtime="another"),
    "row 1 has a length of 48": settings_with(length=16),
    "settings.cpus is missing": {"settings": SETTINGS.model_dump(exclude={"cpus"})},
    "0 rows": {"rows": []},
    "a row of length 17": rows_with(17, (17, 17, 17)),
    "row 0: [16, 15, 16] values": rows_with(16, (16, 15, 16)),
    "row 0: [16, 16] values": rows_with(16, (16, 16)),
}


def test_what_cannot_be_done_is_said(kit: Kit, tmp_path: Path) -> None:
    for says, changes in REFUSED.items():
        result = done(kit, tmp_path, job(latency.exactly(1)) | changes)
        assert list(result) == ["error"], says
        assert says in result["error"]


def test_a_job_with_an_altered_bundle_is_refused(kit: Kit, tmp_path: Path) -> None:
    done(kit, tmp_path, job(latency.exactly(1)))
    (tmp_path / "Documents" / "jobs" / ID / "bundle" / "vocab.txt").write_text("[PAD]")
    assert "altered: vocab.txt" in done(kit, tmp_path, job(latency.exactly(1)))["error"]


def test_only_a_job_in_the_apps_own_documents_is_done(kit: Kit, tmp_path: Path) -> None:
    done(kit, tmp_path / "another", job(None))
    elsewhere = tmp_path / "another" / "Documents" / "jobs" / ID
    jobs = tmp_path / "own" / "Documents" / "jobs"
    jobs.mkdir(parents=True)
    (jobs / ("f" * 16)).symlink_to(elsewhere)
    for name in ("f" * 16, "e" * 16, str(elsewhere), f"../../another/Documents/jobs/{ID}", ID.upper(), ""):
        assert "job" in kit.refusal("job", jobs.parent, name)
    (elsewhere.parent / ID.upper()).symlink_to(elsewhere)
    assert "16 lower-case" in kit.refusal("job", elsewhere.parents[1], ID.upper())
