"""A record says what was measured, or it is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exporters.errors import InputError
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import MLPERF, RAPID, exactly
from tests.kit.records import measured, phone

ROOT = Path(__file__).parents[2]
EARLIER = ROOT / "tests" / "vectors" / "earlier_records"  # with a delegate and compute units
EXAMPLES = sorted((ROOT / "tests" / "vectors" / "records").glob("*.json"))


def changed(path: Path, **fields: Any) -> Path:
    """A record file with other values at dotted places, `a__b` for a.b."""
    content = json.loads(measured().model_dump_json())
    for name, value in fields.items():
        *parents, last = name.split("__")
        place = content
        for parent in parents:
            place = place[parent]
        place[last] = value
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "made", [measured(), measured(protocol=RAPID), measured(protocol=exactly(3), emulated=True), phone(30.0)]
)
def test_what_was_written_is_read(made: record.Record, tmp_path: Path) -> None:
    path = record.write(made, tmp_path / "new" / "records")
    assert record.read(path) == made
    assert path.name.endswith(record.SUFFIX)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_records_written_at_once_do_not_meet(tmp_path: Path) -> None:
    made = [measured(protocol=exactly(2), id=record.new_id()) for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda each: record.write(each, tmp_path), made))
    assert [record.read(path) for path in paths] == made


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        record.write(measured(), tmp_path / "file" / "records")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"latency__overall__p50_ns": 1}, "not that of the samples"),
        ({"latency__overall__mean_ns": 1e6}, "not that of the samples"),
        ({"samples__length": [32]}, "columns of different lengths"),
        ({"samples": {"row": [], "length": [], "start_ns": [], "latency_ns": []}}, "or none"),
        ({"quotable": False}, "quotable"),
        ({"emulated": True}, "quotable"),
        ({"validity": {"valid": True, "rule": "too slow"}}, "validity"),
        ({"protocol__queries": 10**6}, "too slow"),
        ({"before__battery": None, "before__unknown": {}}, "explained"),
        ({"repeat": {"index": 2, "of": 1, "medians_ns": [1]}}, "run 2 of 1"),
        ({"repeat": {"index": 1, "of": 1, "medians_ns": [1]}}, "median"),
        ({"record_version": 2}, "record_version"),
        ({"surprise": 1}, "surprise"),
        ({"settings__unit": "npu"}, "an NPU without its chip"),
        ({"settings__unit": "tpu"}, "settings.unit"),
        ({"settings": {"threads": 1, "delegate": "npu", "compute_units": None}}, "delegate"),
        ({"settings": {"threads": 1, "unit": "cpu", "delegate": "cpu", "compute_units": None}}, "delegate"),
        ({"samples__energy": []}, "energy"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(
    tmp_path: Path, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        record.read(changed(tmp_path / "changed.json", **fields))


def test_a_record_that_is_cut_short_or_gone_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path / "whole.json")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"docs/record\.md"):
        record.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        record.read(tmp_path / "absent.json")


def test_only_a_valid_run_of_a_quoted_protocol_on_a_real_processor_is_quoted() -> None:
    assert measured().standing == "quoted (quick)"
    assert measured(protocol=MLPERF).standing == "quoted (mlperf)"
    assert measured(protocol=RAPID).standing == "unquoted (rapid)"
    assert measured(protocol=exactly(400)).standing == "unquoted (queries)"
    assert phone(9.0, emulated=True).standing == "emulated"
    assert "emulated" in phone(9.0, emulated=True).label
    slow = measured(queries=5)
    assert (slow.standing, slow.quotable) == ("invalid: too slow", False)
    median = measured().latency.overall.p50_ns
    assert "repeat" in measured(medians_ns=[median, 2 * median]).standing


def test_what_speaks_against_a_number_is_said() -> None:
    made = measured()
    assert made.doubts == []
    busy = made.model_copy(
        update={
            "before": made.before.model_copy(update={"load": 3.0}),
            "warm_up": [made.warm_up[0].__class__(32, 100, False)],
        }
    )
    assert [doubt.split(" ")[0] for doubt in busy.doubts] == ["32", "the"]


def test_the_published_schema_is_the_code_s() -> None:
    published = json.loads((ROOT / "docs" / "record.schema.json").read_text())
    assert published == record.Record.model_json_schema()


def test_every_field_is_documented() -> None:
    page = (ROOT / "docs" / "record.md").read_text()
    assert [name for name in record.Record.model_fields if f"`{name}`" not in page] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_records(path: Path) -> None:
    assert record.read(path).device.kind == path.stem.partition("-")[0]


@pytest.mark.parametrize(
    ("name", "unit", "place"),
    [
        ("android-gpu", "gpu", "android: a phone, emulated, gpu"),
        ("ios-ane", "ane", "ios: iPhone15,4, ane"),
        ("ios-app", None, "ios: iPhone15,4, decided on the phone"),
    ],
)
def test_a_record_of_before_units_had_one_name_is_understood(
    tmp_path: Path, name: str, unit: str | None, place: str
) -> None:
    made = record.read(EARLIER / f"{name}.json")
    assert made.settings.unit == unit
    assert made.place == place
    assert record.read(record.write(made, tmp_path)) == made


def test_there_are_examples_of_each_standing() -> None:
    standings = {record.read(path).standing for path in EXAMPLES}
    assert standings >= {"quoted (quick)", "emulated", "unquoted (rapid)", "invalid: too slow"}


@pytest.mark.parametrize("nanoseconds", [0, -1, 2**63, int("9" * 60)])
def test_times_that_no_clock_gives_are_refused(nanoseconds: int) -> None:
    whole = measured(queries=1).model_dump(mode="json")
    whole["samples"]["latency_ns"] = [nanoseconds]
    with pytest.raises(ValidationError, match="none that a clock can give"):
        record.Record.model_validate(whole)


def test_an_artifact_without_a_byte_is_refused() -> None:
    whole = measured(queries=1).model_dump(mode="json")
    whole["bundle"]["artifact_bytes"] = 0
    with pytest.raises(ValidationError, match="artifact_bytes"):
        record.Record.model_validate(whole)
