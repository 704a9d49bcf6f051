"""A report beside an earlier one: what compares is compared, what does not is said, limits are kept."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exporters.errors import EdgeError, InputError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.cli.commands import app
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import MLPERF, RAPID
from squeezebert_edge.report.baseline import Baseline, Limits, read_baseline
from squeezebert_edge.report.changes import Changes, compare
from squeezebert_edge.report.page import to_html
from squeezebert_edge.report.rows import Report, Row, to_json
from squeezebert_edge.report.table import describe_bundles, table, to_csv, to_markdown
from squeezebert_edge.verbs import bench
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.records import measured, phone
from tests.kit.reports import accuracy, latency_of, row, typical
from tests.kit.small import small_checkpoint


def against(now: Report, before: Report, **limits: float) -> Changes:
    """What changed between two reports."""
    return compare(now, Baseline(Path("before.json"), before, Limits(**limits)))


QUERIES = 1001  # so many that the median of any latency here is that of the shorter length


def timed(ms: float, difference: float | None = 0.0, megabytes: float = 20.0, **changed: Any) -> Report:
    """One bundle with its latency, made anew for each call."""
    made = row("tflite", "int8", megabytes, difference, seal=f"{ms} {difference} {megabytes}")
    return Report((made,), (latency_of(made, ms, **{"queries": QUERIES} | changed),))


def test_a_report_has_not_changed_against_itself() -> None:
    report = typical()
    changes = against(report, report, max_slowdown=0, max_drop=0)
    assert {change.percent for change in changes.sizes.values()} == {0.0}
    assert {change.difference for change in changes.metrics.values()} == {0.0}
    assert {change.p50.percent for change in changes.latencies.values()} == {0.0}
    assert len(changes.sizes) == len(report.rows)
    assert len(changes.latencies) == len(report.records)
    assert changes.exceeded == changes.notes == ()


@pytest.mark.parametrize(
    ("ms", "limit", "exceeded"), [(8.0, 0.0, False), (10.4, 5.0, False), (10.6, 5.0, True), (30.0, 5.0, True)]
)
def test_a_latency_is_held_to_its_limit(ms: float, limit: float, exceeded: bool) -> None:
    changes = against(timed(ms), timed(10.0), max_slowdown=limit)
    assert bool(changes.exceeded) == exceeded
    assert all("slower than the baseline by" in sentence for sentence in changes.exceeded)
    assert changes.unchecked == ()


@pytest.mark.parametrize(
    ("difference", "limit", "exceeded"), [(0.2, 0.0, False), (-0.3, 0.3, False), (-0.4, 0.3, True)]
)
def test_an_accuracy_is_held_to_its_limit(difference: float, limit: float, exceeded: bool) -> None:
    now, before = timed(9.0, difference), timed(9.0, 0.0)
    changes = against(now, before, max_drop=limit)
    assert bool(changes.exceeded) == exceeded
    assert changes.metric(now.rows[0].seal, "accuracy") == pytest.approx(difference)


def test_a_metric_of_which_less_is_better_drops_by_growing() -> None:
    def with_loss(value: float) -> Report:
        known = accuracy(0.0)
        loss = replace(known.metrics[0], name="loss", unit="nats", artifact=value, higher_is_better=False)
        return Report((row(accuracy=replace(known, metrics=(loss,)), data="a.jsonl"),))

    assert against(with_loss(2.2), with_loss(2.0), max_drop=0.1).exceeded
    assert not against(with_loss(1.5), with_loss(2.0), max_drop=0.1).exceeded


def test_an_accuracy_that_is_no_number_any_more_is_a_drop() -> None:
    lost = timed(9.0)
    lost = replace(lost, rows=(replace(lost.rows[0], accuracy=accuracy(math.nan)),))
    assert "not a number any more" in against(lost, timed(9.0), max_drop=100).exceeded[0]
    changes = against(timed(9.0), lost, max_drop=100)
    assert changes.exceeded == ()
    assert "the baseline has no number for it" in changes.not_compared[0]
    json.dumps(describe_bundles(lost, against(lost, timed(9.0))), allow_nan=False)


def test_sizes_are_compared_whatever_the_form_and_the_content() -> None:
    now, before = timed(9.0, megabytes=22.0), timed(9.0)
    before = replace(before, rows=(replace(before.rows[0], form="plain"),))
    assert against(now, before).size(now.rows[0].seal) == pytest.approx(10.0)
    alone = Report((), before.records)
    assert against(now, alone).size(now.rows[0].seal) == pytest.approx(10.0)
    assert against(alone, now).size(alone.records[0].bundle.sha256) == pytest.approx(-100 / 11)


def settings(**changed: Any) -> dict[str, Any]:
    return {"settings": record.Settings(**{"threads": 1, "unit": "cpu"} | changed)}


def another_device(**changed: Any) -> dict[str, Any]:
    return {"device": measured().device.model_copy(update=changed)}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (another_device(name="another host"), "device host: another host in the baseline, host: a host here"),
        (another_device(cpus=64), "number of CPUs 64 in the baseline, 2 here"),
        (settings(threads=4), "threads 4 in the baseline, 1 here"),
        (settings(cpus=[0, 1]), "CPUs [0, 1] in the baseline, None here"),
        (settings(length=128), "length 128 in the baseline, None here"),
        (settings(unit="gpu"), "compute unit gpu in the baseline, cpu here"),
        (settings(unit="npu:SM8650"), "compute unit npu:SM8650 in the baseline, cpu here"),
        (settings(unit=None), "compute unit decided on the phone in the baseline, cpu here"),
        (
            {"texts": record.Texts(source="b.tsv", texts=2, rows=2)},
            "texts b.tsv, 2 in 2 rows in the baseline",
        ),
        (
            {"runtime": measured().runtime.model_copy(update={"name": "tflite-runtime"})},
            "runtime tflite-runtime in the baseline, litert here",
        ),
        (
            {"bundle": measured(seal="9.0 0.0 20.0").bundle.model_copy(update={"lengths": [64]})},
            "lengths [64] in the baseline",
        ),
        ({"protocol": MLPERF, "queries": 4000}, "protocol mlperf in the baseline, quick here"),
    ],
)
def test_latencies_that_were_measured_otherwise_are_not_compared(changed: dict[str, Any], why: str) -> None:
    changes = against(timed(30.0), timed(9.0, **changed), max_slowdown=5)
    assert changes.latencies == {}
    assert changes.exceeded == ()
    assert [sentence for sentence in changes.not_compared if why in sentence]
    assert "no latency compares" in changes.unchecked[0]


def test_a_phone_is_not_compared_with_a_host_nor_forgotten() -> None:
    bundle = row()
    now = Report((bundle,), (latency_of(bundle, 9.0),))
    both = replace(now, records=(*now.records, phone(3.0, seal=bundle.seal)))
    there = "latency of LiteRT int8 on android: a phone is not compared: "
    assert against(now, both).not_compared == (f"the baseline's {there}it was not measured so here",)
    (new,) = against(both, now).not_compared
    assert new.startswith(f"the {there}device host: a host in the baseline, android: a phone here; ")


@pytest.mark.parametrize(
    ("unquoted", "standing"),
    [
        ({"queries": 100}, "invalid: too slow"),
        ({"protocol": RAPID}, "unquoted (rapid)"),
        ({"emulated": True}, "emulated"),
    ],
)
def test_a_latency_that_is_not_quoted_is_never_compared(unquoted: dict[str, Any], standing: str) -> None:
    for now, before in (
        (timed(30.0, **unquoted), timed(9.0)),
        (timed(30.0), timed(9.0, **unquoted)),
    ):
        changes = against(now, before, max_slowdown=5)
        assert changes.latencies == {}
        assert changes.exceeded == ()
        assert [sentence for sentence in changes.not_compared if standing in sentence]


def test_another_version_or_system_is_compared_and_said() -> None:
    newer = measured().runtime.model_copy(update={"version": "2.4.0"})
    now = timed(9.0, runtime=newer, **another_device(os="Linux 7"))
    changes = against(now, timed(9.0))
    assert list(changes.latencies) == [now.records[0].id]
    assert changes.remarks == (
        "the runtime was 2.3.0 in the baseline and is 2.4.0 for LiteRT int8 on host: a host",
        "the system was Linux 6 in the baseline and is Linux 7 for LiteRT int8 on host: a host",
    )


def test_the_last_of_several_records_counts_on_both_sides() -> None:
    def days(**ms: float) -> Report:
        return Report(
            (),
            tuple(
                measured(value, id=day, time=f"2026-11-{day[1:]}T00:00:00Z", queries=QUERIES)
                for day, value in ms.items()
            ),
        )

    before = days(d02=10.0, d01=50.0)
    changes = against(days(d04=10.1, d03=30.0), before, max_slowdown=5)
    assert changes.exceeded == ()
    assert {name: round(change.p50.percent or 0) for name, change in changes.latencies.items()} == {
        "d04": 1,
        "d03": 200,
    }
    assert against(days(d03=10.1, d04=30.0), before, max_slowdown=5).exceeded


def test_what_is_on_one_side_only_is_said() -> None:
    now = Report((row("tflite", "int8"), row("tflite", "int4"), row("coreml", "fp16")))
    before = Report((row("tflite", "int8"), row("executorch", "fp32")))
    assert against(now, before).not_compared == (
        "the baseline has no LiteRT int4, Core ML fp16",
        "the baseline has ExecuTorch fp32, which is not here",
    )


def test_accuracies_of_other_data_are_not_compared() -> None:
    now, before = timed(9.0, -5.0), timed(9.0)
    elsewhere = replace(before.rows[0], data="/elsewhere/dev.tsv")
    assert against(now, replace(before, rows=(elsewhere,)), max_drop=1).exceeded
    for other, why in (
        (
            replace(elsewhere, data="test.tsv"),
            "it is of 872 examples of dev.tsv, the baseline's of 872 examples",
        ),
        (replace(elsewhere, accuracy=accuracy(0.0, examples=9)), "the baseline's of 9 examples of dev.tsv"),
        (replace(elsewhere, accuracy=None), "the baseline has none"),
    ):
        changes = against(now, replace(before, rows=(other,)), max_drop=1)
        assert changes.metrics == {}
        assert why in changes.not_compared[0]
        assert "no accuracy compares" in changes.unchecked[0]
    assert "was not measured here" in against(timed(9.0, None), before).not_compared[0]


def test_of_several_alike_the_one_in_the_directory_of_that_name_counts() -> None:
    def named(*names: str) -> tuple[Row, ...]:
        return tuple(
            replace(row(megabytes=10.0 * place), bundle=f"out/{name}", seal=name)
            for place, name in enumerate(names, start=1)
        )

    changes = against(Report(named("b")), Report(named("a", "b")))
    assert changes.size("b") == -50
    assert changes.not_compared == ("the baseline has LiteRT int8 (out/a), which is not here",)
    changes = against(Report(named("c")), Report(named("a", "b")))
    assert changes.sizes == {}
    assert changes.not_compared == ("the baseline has several bundles that could be LiteRT int8",)


def test_every_form_shows_the_changes_beside_the_numbers() -> None:
    now, before = timed(11.0, -0.2, 22.0), timed(10.0)
    changes = against(now, before, max_slowdown=5)
    shown = table(now, changes)
    cells = dict(zip(shown.columns, shown.cells[0], strict=True))
    assert cells[">MB\nchange"] == cells[">host:\np50 change"] == "+10.0%"
    assert cells[">accuracy\nchange"] == "-0.20"
    place = shown.columns.index(">host:\np50 change")
    assert shown.columns[place - 1] == ">host:\np50 ms"

    (line,) = csv.DictReader(io.StringIO(to_csv(now, changes)))
    assert float(line["bytes change %"]) == pytest.approx(10.0)
    assert float(line["accuracy change"]) == pytest.approx(-0.2)
    assert float(line["host: p50 change %"]) == pytest.approx(10.0, abs=0.1)
    assert float(line["host: p90 change %"]) == pytest.approx(10.0, abs=0.1)

    exceeded = "LiteRT int8 on host: a host is slower than the baseline by 10.0%, more than 5%"
    markdown, html = to_markdown(now, changes), to_html(now, changes)
    assert "+10.0%" in markdown
    assert f"- **{exceeded}**" in markdown
    assert "Changes are against before.json." in markdown
    assert f'<li class="failed">{exceeded}</li>' in html
    assert html.count("+10.0%") == 4  # size and latency, beside the bundle and beside the measurement

    (described,) = describe_bundles(now, changes)
    assert described["change"] == {
        "bytes_percent": pytest.approx(10.0),
        "metrics": {"accuracy": pytest.approx(-0.2)},
    }


def test_records_alone_show_their_changes() -> None:
    now, before = (Report((), (measured(ms, queries=QUERIES),)) for ms in (11.0, 10.0))
    changes = against(now, before)
    assert "+10.0%" in to_markdown(now, changes)
    (line,) = csv.DictReader(io.StringIO(to_csv(now, changes)))
    assert float(line["p50 change %"]) == pytest.approx(10.0, abs=0.1)
    assert float(line["artifact bytes change %"]) == 0


def call(*arguments: object) -> Result:
    """The command line in this process; an error that it would print is raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, EdgeError):
        raise result.exception
    return result


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A directory with reports: before, faster, slower and lossy."""
    for name, report in {
        "before": timed(10.0),
        "faster": timed(8.0, 0.3, 18.0),
        "slower": timed(12.0),
        "lossy": timed(10.0, -1.0),
        "phone": Report(timed(10.0).rows, (phone(90.0, seal="10.0 0.0 20.0"),)),
    }.items():
        (tmp_path / f"{name}.json").write_text(to_json(report))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "code"), [("before", 0), ("faster", 0), ("slower", 1), ("lossy", 1), ("phone", 3)]
)
def test_report_exits_by_its_limits(saved: Path, name: str, code: int) -> None:
    words = ["report", saved / f"{name}.json", "--baseline", saved / "before.json"]
    assert call(*words).exit_code == 0
    words += ["--max-slowdown", 10, "--max-drop", 0.5]
    shown = call(*words)
    assert shown.exit_code == code
    assert ("worse than the baseline:" in shown.stderr) == (code == 1)
    assert ("not compared" in shown.stderr) == (name == "phone")
    answered = call(*words, "--json")
    assert answered.exit_code == code
    found = json.loads(answered.stdout)["baseline"]
    assert found["path"] == str(saved / "before.json")
    assert bool(found["exceeded"]) == (code == 1)
    assert bool(found["unchecked"]) == (code == 3)


def test_a_written_report_is_a_baseline_and_a_page_has_the_changes(saved: Path) -> None:
    words = ["report", saved / "slower.json", "--baseline", saved / "before.json", "--out"]
    for suffix in ("md", "html", "csv", "json"):
        call(*words, saved / f"out.{suffix}")
    assert (saved / "out.json").read_text() == (saved / "slower.json").read_text()
    assert "+20.0%" in (saved / "out.md").read_text()
    assert "Against the baseline" in (saved / "out.html").read_text()
    assert "p50 change %" in (saved / "out.csv").read_text()


def test_records_are_a_baseline_as_a_file_and_as_a_directory(tmp_path: Path) -> None:
    path = record.write(measured(10.0), tmp_path / "records")
    for baseline in (path, path.parent):
        changes = compare(Report((), (measured(11.0),)), read_baseline(baseline))
        assert len(changes.latencies) == 1


def test_a_baseline_that_cannot_be_one_is_explained(saved: Path) -> None:
    report = saved / "before.json"
    with pytest.raises(InputError, match="does not exist"):
        call("report", report, "--baseline", saved / "gone.json")
    (saved / "none.json").write_text("{}")
    with pytest.raises(InputError, match="is not as expected: rows"):
        call("report", report, "--baseline", saved / "none.json")
    (saved / "empty").mkdir()
    with pytest.raises(InputError, match="holds no bundle"):
        call("report", report, "--baseline", saved / "empty")
    (saved / "other.json").write_text(to_json(Report((row("coreml", "fp16"),))))
    with pytest.raises(InputError, match=r"looked for: LiteRT int8 \(text-classification\)") as told:
        call("report", report, "--baseline", saved / "other.json")
    assert "this one has Core ML fp16 (text-classification)" in str(told.value)
    assert told.value.exit_code == 2
    for option in ("--max-drop", "--max-slowdown"):
        with pytest.raises(InputError, match=f"{option} was given without --baseline"):
            call("report", report, option, 5)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (made,) = export_bundles(small_checkpoint(), Plan([("tflite", "fp32")], (16,)), tmp_path)
    return made


def of_bundle(bundle: Bundle, ms: float, **changed: Any) -> record.Record:
    """What a host measured of a bundle."""
    return measured(ms, bundle=record.Measured.of(bundle), **{"queries": QUERIES} | changed)


@pytest.mark.parametrize(
    ("ms", "changed", "code"),
    [(8.0, {}, 0), (12.0, {}, 1), (12.0, another_device(name="another host"), 3)],
)
def test_bench_compares_what_it_measured(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ms: float, changed: Any, code: int
) -> None:
    def measure(*arguments: object, **options: object) -> Iterator[record.Record]:
        yield of_bundle(bundle, ms, **changed)

    monkeypatch.setattr(bench, "benchmark_bundles", measure)
    baseline = record.write(of_bundle(bundle, 10.0), tmp_path / "before")
    words = ["bench", bundle.directory, "--quick", "--records", tmp_path / "after", "--baseline", baseline]
    assert call(*words).exit_code == 0
    answered = call(*words, "--max-slowdown", 10, "--json")
    assert answered.exit_code == code
    found = json.loads(answered.stdout)
    (shown,) = found["records"]
    change = None if code == 3 else pytest.approx(10 * (ms - 10), abs=0.1)
    assert shown["p50 change %"] == change
    assert shown["artifact bytes change %"] == 0
    assert bool(found["baseline"]["exceeded"]) == (code == 1)
    assert bool(found["baseline"]["not_compared"]) == (code == 3)


def test_bench_refuses_a_baseline_before_it_measures(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "benchmark_bundles", lambda *_, **__: pytest.fail("it measured"))
    mine = record.write(of_bundle(bundle, 10.0), tmp_path / "mine")
    other = record.write(measured(), tmp_path / "other")
    invalid = record.write(of_bundle(bundle, 10.0, queries=3), tmp_path / "invalid")
    words = ["bench", bundle.directory, "--records", tmp_path / "after"]
    for more, why in (
        (["--baseline", tmp_path / "gone"], "does not exist"),
        (["--baseline", other], "none of the bundles that were looked for: LiteRT fp32"),
        (["--baseline", invalid], "no quoted latency of what was looked for: LiteRT fp32"),
        (["--baseline", mine, "--rapid"], "compares what is quoted"),
        (["--max-slowdown", 3], "without --baseline"),
    ):
        with pytest.raises(InputError, match=why):
            call(*words, *more)
    assert not (tmp_path / "after").exists()
