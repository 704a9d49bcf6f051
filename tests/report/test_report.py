"""A report says what its rows say, in every form; its page needs nothing and trusts no text."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import random
from collections import Counter
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.errors import InputError
from squeezebert_edge.accuracy.paired import Flip
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import RAPID, exactly
from squeezebert_edge.plumbing.signing import Key
from squeezebert_edge.report import files, plots
from squeezebert_edge.report.advice import advise
from squeezebert_edge.report.cells import milliseconds
from squeezebert_edge.report.overview import Overview
from squeezebert_edge.report.page import to_html
from squeezebert_edge.report.rows import Report, Row, add_known, collect, to_json
from squeezebert_edge.report.table import table, to_csv, to_markdown
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.kit.records import measured, phone
from tests.kit.reports import accuracy, latency_of, ranking, row, timed, typical
from tests.kit.small import small_checkpoint

VOID = {"meta", "br"}
HOSTILE = '<script>alert("&")</script>'


class Page(HTMLParser):
    """The page as a browser takes it apart; every element must be closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.text = ""
        self.policy = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found.get("content") or ""
        assert not any(name.startswith("on") for name in found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def many() -> Report:
    """Thirty bundles with random numbers."""
    rng = random.Random(0)
    formats = ("executorch", "tflite", "coreml")
    rows = [
        replace(
            row(formats[n % 3], "int8", rng.uniform(8, 90), rng.gauss(0, 1)), bundle=f"out/{n}", seal=str(n)
        )
        for n in range(30)
    ]
    return Report(tuple(rows), tuple(latency_of(each, rng.uniform(5, 200), id=each.seal) for each in rows))


REPORTS = {
    "typical": typical(),
    "no accuracy": timed(row(), row("executorch", "fp32")),
    "one bundle": timed(row("tflite", "int8", 20.0, -0.1)),
    "all failed": timed(row(difference=-30.0, status="failed")),
    "none verified": Report((row("coreml", status="not verified", sqnr_db=None),)),
    "many": many(),
    "no number": Report((row(status="failed", sqnr_db=-200.0, accuracy=accuracy(math.nan)),)),
    "empty": Report(()),
    "records": Report(
        (), (measured(), phone(30.0), measured(protocol=RAPID), measured(queries=3, id="slow"))
    ),
    "nothing quoted": Report((), (phone(30.0, protocol=exactly(16), emulated=True),)),
}


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_holds_every_bundle_and_needs_nothing(name: str) -> None:
    report = REPORTS[name]
    html = to_html(report)
    page = Page(html)
    for called, each in zip(report.names, report.rows, strict=True):
        assert called in page.text
        assert each.bundle in page.text
    assert page.links == []
    assert page.policy.startswith("default-src 'none'")
    assert not {"script", "link", "iframe", "img", "base"} & set(page.tags)
    assert "@import" not in html
    assert "url(" not in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert page.tags["table"] == page.tags["thead"]
    assert not {"nan", "nan%", "+nan", "-nan"} & set(page.text.lower().split())


@pytest.mark.parametrize("name", REPORTS)
def test_a_saved_report_is_read_back_as_it_was(name: str, tmp_path: Path) -> None:
    report = REPORTS[name]
    (tmp_path / "saved.json").write_text(to_json(report))
    json.loads(to_json(report), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert str(collect([tmp_path / "saved.json"])) == str(report)  # as text, where NaN equals itself


def test_every_plot_is_described_and_marks_its_front() -> None:
    html = to_html(typical())
    page = Page(html)
    plots_shown = html.count('class="plot"')
    assert plots_shown == 3 + 9  # two of the gain, the distribution, and the queries of each measurement
    assert html.count("<desc ") == plots_shown
    assert "On the front: LiteRT int4, Core ML int8-weights, LiteRT int8." in page.text
    assert "On the front: LiteRT int8." in page.text
    assert "Off the scale: LiteRT int8-static" in page.text
    assert "for want of a number: Core ML fp32" in page.text


def test_without_accuracy_the_plots_are_of_the_error() -> None:
    page = Page(to_html(REPORTS["no accuracy"]))
    assert "Error against size" in page.text
    assert "SQNR, dB" in page.text


def test_a_host_s_latency_is_headed_as_one_everywhere() -> None:
    report = typical()
    headed = [column for column in table(report).columns if column.endswith("ms")]
    assert headed == [f">host:\n{what}" for what in ("p50 ms", "p90 ms", "p99 ms", "load ms")]
    assert "host: p50 ms" in to_markdown(report)
    assert "host: p50 ms" in to_csv(report)
    shown = " ".join(Page(to_html(report)).text.split())
    assert "host: median ms" in shown
    assert "host: a host. It ranks bundles on that machine; it is no phone's number." in shown


@pytest.mark.parametrize(
    ("made", "standing"),
    [
        (measured(7.7777, protocol=RAPID), "unquoted (rapid)"),
        (measured(7.7777, protocol=exactly(400)), "unquoted (queries)"),
        (phone(7.7777, emulated=True), "emulated"),
        (measured(7.7777, queries=100), "invalid: too slow"),
    ],
)
@pytest.mark.parametrize("with_row", [True, False])
def test_a_latency_that_is_not_to_be_quoted_is_nowhere(
    made: record.Record, standing: str, with_row: bool
) -> None:
    rows = (row(difference=0.1, seal=made.bundle.sha256),) if with_row else ()
    report = Report(rows, (made,))
    for text in (to_html(report), to_markdown(report).replace("\\", "")):
        assert standing in text
        assert "7.7" not in text
    assert "7.7" not in to_csv(report)
    assert with_row or standing in to_csv(report)


def test_devices_stand_side_by_side() -> None:
    bundle = row(difference=0.1)
    report = Report((bundle,), (latency_of(bundle, 9.0), phone(31.0, seal=bundle.seal)))
    assert [column for column in table(report).columns if "p50" in column] == [
        ">host:\np50 ms",
        ">android:\np50 ms",
    ]
    shown = Page(to_html(report)).text
    on_host, on_android = (milliseconds(each.latency.overall.p50_ns / 1e6) for each in report.records)
    assert f"20.0 MB, {on_host} ms on host, {on_android} ms on android, accuracy 91.38%" in shown
    assert "cpu (0): 41.5 to 58.0 °C" in " ".join(shown.split())


def test_a_latency_of_one_unit_is_never_shown_for_another() -> None:
    made = row("tflite", "fp16")
    units = {"cpu": 31.0, "gpu": 17.0, "npu:SM8650": 3.0}
    rows = tuple(replace(made, unit=unit) for unit in units)
    records = tuple(
        phone(ms, made.seal, id=unit, settings=record.Settings(unit=unit)) for unit, ms in units.items()
    )
    others = (phone(99.0, made.seal, id="another chip", settings=record.Settings(unit="npu:SM8750")),)
    shown = list(csv.DictReader(io.StringIO(to_csv(Report(rows, records + others)))))
    assert {each["unit"]: float(each["android: p50 ms"]) for each in shown} == pytest.approx(
        {unit: each.latency.overall.p50_ns / 1e6 for unit, each in zip(units, records, strict=True)}
    )
    lone = list(csv.DictReader(io.StringIO(to_csv(Report(rows, records[2:])))))
    assert [each["android: p50 ms"] != "" for each in lone] == [False, False, True]
    alone = list(csv.DictReader(io.StringIO(to_csv(Report((), records + others)))))
    assert [each["unit"] for each in alone] == [*units, "npu:SM8750"]
    page = to_html(Report(rows, records))
    assert "android: a phone, npu:SM8650" in page
    assert "android: a phone, gpu" in page


def test_the_last_of_several_records_of_a_bundle_is_its_latency() -> None:
    bundle = row(difference=0.1)
    old = latency_of(bundle, 30.0, id="old", time="2026-11-24T00:00:00Z")
    found = Report((bundle,), (latency_of(bundle, 9.0), old)).record_of(bundle, old.label)
    assert found is not None
    assert found.id != "old"


def test_what_files_say_is_never_markup(tmp_path: Path) -> None:
    flip = Flip(0, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), (HOSTILE,), (HOSTILE + "!",))
    changed = accuracy(-0.1, flips=1, warnings=(HOSTILE,))
    hostile = replace(
        row(difference=-0.1),
        bundle=HOSTILE,
        checkpoint=HOSTILE,
        data=HOSTILE,
        accuracy=replace(changed, flips=(flip,)),
    )
    costs = replace(ranking(), checkpoint=HOSTILE, metric=HOSTILE)
    named = latency_of(hostile, 9.0)
    named = named.model_copy(update={"device": named.device.model_copy(update={"name": HOSTILE})})
    html = to_html(Report((hostile, replace(hostile, seal="other")), (named,), (costs,)))
    page = Page(html)
    assert page.tags["script"] == 0
    assert page.text.count(HOSTILE) >= 8
    markdown = to_markdown(Report((replace(hostile, seal="1"), replace(hostile, bundle="a|b\nc"))))
    assert "<script>" not in markdown.replace("\\<", "")
    lines = markdown.splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines[:4]} == {lines[0].count("|")}


def test_flips_say_what_they_broke_and_mended() -> None:
    said = {"broken": ("good", "bad"), "mended": ("bad", "good"), "changed": ("bad", "poor")}
    flips = tuple(
        Flip(n, f"dev.tsv:{n}", effect, None, (), ("good",), (before,), (after,))
        for n, (effect, (before, after)) in enumerate(said.items())
    )
    tags = Flip(9, "", "Anna saw Rome", None, (), ("PER", "O", "LOC"), ("PER", "O", "LOC"), ("PER", "O", "O"))
    found = replace(accuracy(-0.2), flips=(*flips, tags))
    html = to_html(Report((replace(row(difference=-0.2), accuracy=found),)))
    assert all(f'<td class="{effect}">{effect}</td>' in html for effect in said)
    assert "word 3: LOC" in html
    assert "word 1" not in html


def test_the_page_shows_some_of_very_many_flips_and_says_so() -> None:
    html = to_html(Report((replace(row(), accuracy=accuracy(-30, flips=500)),)))
    assert f"The first {100} of 500" in html
    assert html.count("a film that is example") == 100


def test_parts_stand_by_layer_and_kind() -> None:
    found = plots.heat_map(
        [("layers.10.qkv", 40.0, 0.1), ("layers.2.output", 60.0, 0.0), ("head", 50.0, 0.0)]
    )
    assert found.kinds == ["qkv", "output"]
    assert [number for number, _ in found.layers] == ["2", "10"]
    (missing, coldest), (hottest, _) = (cells for _, cells in found.layers)
    assert missing is None
    assert (coldest.level, hottest.level) == (0, plots.HOTTEST)  # type: ignore[union-attr]
    assert [heat.part for heat in found.others] == ["head"]
    page = Page(to_html(typical()))
    assert "post_attention" in page.text
    assert "on 872 examples" in page.text


costs_and_gains = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


@given(costs_and_gains)
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    def beaten(point: tuple[float, float]) -> bool:
        return any(other[0] <= point[0] and other[1] >= point[1] and other != point for other in points)

    found = plots.pareto(points)
    assert sorted(found) == [index for index, point in enumerate(points) if not beaten(point)]
    assert [points[index][0] for index in found] == sorted(points[index][0] for index in found)


@pytest.mark.parametrize("name", ["typical", "many"])
def test_marks_stay_in_the_frame_and_labels_off_each_other(name: str) -> None:
    points = [
        plots.Point(called, each.precision.name, each.format, each.bytes / 1e6, metric.difference,
                    metric.low, metric.high, each.verification.status == "verified")
        for called, each in zip(REPORTS[name].names, REPORTS[name].rows, strict=True)
        if each.accuracy
        for metric in each.accuracy.metrics
    ]  # fmt: skip
    found = plots.scatter(points)
    assert len(found.marks) + len(found.off_scale) == len(points)
    for mark in found.marks:
        assert plots.LEFT <= mark.x <= plots.RIGHT
        assert plots.TOP <= mark.y <= plots.BOTTOM
    labels = [
        plots.Box(x, y - 8, x + plots.LETTER * len(mark.point.label), y)
        for mark in found.marks
        if mark.label_at
        for x, y in [mark.label_at]
    ]
    assert labels
    assert not any(a.overlaps(b) for n, a in enumerate(labels) for b in labels[:n])
    for ticks in (found.x_ticks, found.y_ticks):
        assert 3 <= len(ticks) <= 10
        assert len({text for _, text in ticks}) == len(ticks)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=8), st.lists(st.floats(-200, 200), min_size=1))
def test_any_numbers_can_be_plotted(xs: list[float], ys: list[float]) -> None:
    points = [plots.Point("a", "a", "tflite", x, y, y - 1, y + 1, True) for x, y in zip(xs, ys, strict=False)]
    found = plots.scatter(points)
    assert len(found.marks) == len(points)
    assert found.x_ticks
    assert found.y_ticks


def test_csv_holds_the_rows_unrounded() -> None:
    report = typical()
    lines = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert len(lines) == len(report.rows)
    for line, each in zip(lines, report.rows, strict=True):
        assert line["bundle"] == each.bundle
        assert int(line["bytes"]) == each.bytes
        assert line["proof"] == each.verification.status
        if each.accuracy:
            assert float(line["accuracy"]) == each.accuracy.metrics[0].artifact
            assert int(line["flips"]) == len(each.accuracy.flips)
        quoted = report.record_of(each, "host: a host")
        if quoted:
            assert float(line["host: p50 ms"]) == quoted.latency.overall.p50_ns / 1e6
            assert float(line["host: memory MB"]) == 21.0
    assert lines[-1]["accuracy"] == lines[-1]["host: p50 ms"] == ""


def test_csv_of_records_alone_holds_them_unrounded() -> None:
    made = (measured(), measured(protocol=RAPID))
    lines = list(csv.DictReader(io.StringIO(to_csv(Report((), made)))))
    assert float(lines[0]["p50 ms"]) == made[0].latency.overall.p50_ns / 1e6
    assert (lines[1]["p50 ms"], lines[1]["standing"]) == ("", "unquoted (rapid)")


def test_markdown_holds_the_rows_and_the_warnings() -> None:
    lines = to_markdown(typical()).splitlines()
    assert lines[2].startswith("| ExecuTorch fp32 | cpu | 88.1 | verified | 128 | 91.28% | 91.28% | +0.00 ")
    assert any("LiteRT int8-static failed its proof" in line for line in lines)
    assert any("MIL evaluator" in line for line in lines)


def test_the_first_answers_are_what_to_ship_and_why() -> None:
    """The fastest of what is proven and not clearly worse; the smallest where no latency is known."""
    found = {each.format: each for each in advise(Overview.of(typical()))}
    assert {name: each.directory for name, each in found.items()} == {
        "executorch": "out/sst2/executorch-int8",
        "tflite": "out/sst2/tflite-int8",
        "coreml": "out/sst2/coreml-int8-weights",
    }
    assert found["tflite"].cost == (
        "23.8 MB (27% of fp32), 8.61 ms on host, accuracy 91.39%, +0.11 [-0.49, +0.61] points"
    )
    assert found["tflite"].trust == "verified, SQNR 48 dB on 66 inputs"
    assert found["coreml"].trust == ("verified (MIL), SQNR 50 dB on 66 inputs; its latency is not known here")
    shown = Page(to_html(typical())).text
    assert (
        shown.index("Which file do I ship?")
        < shown.index("Before you trust this")
        < shown.index("All bundles")
    )
    assert "11 of 13 are proven equal to the float model: 1 failed, 1 not verified" in shown


def test_nothing_is_to_be_shipped_that_is_not_proven_or_clearly_worse() -> None:
    worse, failed = row("tflite", "int4", difference=-3.0), row("executorch", "int8", status="failed")
    unscored = row("coreml", "fp16")
    found = advise(Overview.of(Report((worse, failed, unscored))))
    assert [each.sentence for each in found] == [
        "nothing of LiteRT is to be shipped: all that is proven is clearly worse than the float model",
        "nothing of ExecuTorch is to be shipped: none is proven",
        "ship Core ML fp16 (out/sst2/coreml-fp16): 20.0 MB; verified (MIL), SQNR 48 dB on 66 inputs; "
        "its accuracy was not measured; its latency is not known here",
    ]


def test_warnings_that_differ_only_in_the_bundle_are_one() -> None:
    rows = [row(format_, precision) for format_ in ("executorch", "tflite") for precision in ("fp32", "int8")]
    records = [latency_of(each, 9.0, id=each.seal) for each in rows]
    loads = (1.9, 0.2, 5.8, 3.0)
    busy = [
        each.model_copy(update={"before": each.before.model_copy(update={"load": load})})
        for each, load in zip(records, loads, strict=True)
    ]
    names = [each.bundle.name for each, load in zip(busy, loads, strict=True) if load > 1]
    place, cpus = busy[0].place, busy[0].device.cpus
    loaded = [each for each in Report(tuple(rows), tuple(busy)).warnings if "the load was" in each]
    assert loaded == [
        f"on {place} the load was 1.9 to 5.8 on {cpus} CPUs before it began ({', '.join(names)})"
    ]
    alone = Report(tuple(rows[:1]), tuple(busy[:1])).warnings
    assert f"{names[0]} on {place}: the load was 1.9 on {cpus} CPUs before it began" in alone
    unquoted = [latency_of(each, 9.0, id=each.seal, protocol=exactly(16)) for each in rows]
    (said,) = (each for each in Report(tuple(rows), tuple(unquoted)).warnings if "not quoted" in each)
    assert said.startswith(f"latencies on {place} are not quoted: unquoted (queries) (")


def test_doubts_about_the_data_name_no_bundle_and_others_do() -> None:
    few, worse = "3 examples are few", "accuracy is worse by 1.5 points"
    said = [(few,), (few, worse), (few, worse.replace("1.5", "2.5"))]
    rows = [
        row("tflite", precision, difference=0.0, accuracy=accuracy(0.0, warnings=warnings))
        for precision, warnings in zip(("int8", "int8-static", "int4"), said, strict=True)
    ]
    assert Report(tuple(rows)).warnings == [
        few,
        "accuracy is worse by 1.5 to 2.5 points (LiteRT int8-static, LiteRT int4)",
    ]
    assert f"LiteRT int8-static: {worse}" in Report(tuple(rows[:2])).warnings


def test_a_terminal_s_table_is_narrow() -> None:
    """100 columns, the two spaces between two columns counted."""
    shown = table(typical(), brief=True)
    cells = [row for row in shown.cells if "failed" not in row]
    widths = [
        max(len(part) for cell in (column.removeprefix(">"), *below) for part in cell.split("\n"))
        for column, *below in zip(shown.columns, *cells, strict=True)
    ]
    assert sum(widths) + 2 * len(widths) <= 100


def test_what_does_not_compare_is_said() -> None:
    rows = (
        row("tflite", "int8", difference=0.0),
        replace(row("tflite", "int4", difference=0.0), data="other"),
    )
    other = latency_of(rows[1], 9.0)
    device = other.device.model_copy(update={"name": "another host"})
    texts = other.texts.model_copy(update={"source": "other.tsv"})
    records = (latency_of(rows[0], 9.0), other.model_copy(update={"device": device, "texts": texts}))
    warnings = Report(rows, records).warnings
    for what in ("different data", "different machines", "different texts"):
        assert any(what in warning for warning in warnings)


@pytest.mark.parametrize("suffix", files.WRITERS)
def test_every_form_is_written_by_its_name(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"report.{suffix}"
    files.refuse([target], force=False)
    files.write(typical(), target)
    assert "LiteRT int8" in target.read_text() or suffix in ("json", "csv")
    with pytest.raises(InputError, match="--force"):
        files.refuse([target], force=False)
    files.refuse([target], force=True)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("report.pdf", r"\.html, \.json, \.md, \.csv"),
        ("gone/report.md", "no directory"),
        ("d.md", "not a file"),
    ],
)
def test_a_target_that_cannot_be_is_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "d.md").mkdir()
    with pytest.raises(InputError, match=says):
        files.refuse([tmp_path / name], force=True)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        files.write(typical(), tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (made,) = export_bundles(small_checkpoint(), Plan([("tflite", "fp32")], (16,)), tmp_path)
    return made


def test_bundles_keep_their_measurements_while_they_are_the_same(bundle: Bundle, tmp_path: Path) -> None:
    measured = Row.of(bundle, data="dev.tsv", accuracy=accuracy(0.1))
    (tmp_path / "report.json").write_text(to_json(Report((measured, row("coreml")))))
    assert collect([tmp_path]).rows == (measured,)
    assert collect([bundle.directory]).rows == (measured,)
    assert collect([bundle.directory, tmp_path, tmp_path / "report.json"]).rows[0] == measured
    (tmp_path / "report.json").write_text(to_json(Report((replace(measured, seal="of another"),))))
    assert collect([tmp_path]).rows == (Row.of(bundle),)
    (tmp_path / "report.json").unlink()
    assert collect([tmp_path]).rows == (Row.of(bundle),)


def test_bundles_keep_their_latencies_while_they_are_the_same(bundle: Bundle, tmp_path: Path) -> None:
    mine, gone = measured(seal=Row.of(bundle).seal, id="1"), measured(seal="of another", id="2")
    (tmp_path / "report.json").write_text(to_json(Report((Row.of(bundle),), (mine, gone))))
    assert collect([tmp_path]).records == (mine,)
    records = tmp_path / "records"
    paths = [record.write(each, records) for each in (mine, gone)]
    assert collect([tmp_path, records]).records == (mine, gone)
    assert collect([records]).rows == ()
    assert collect(paths).records == (mine, gone)


def test_a_run_keeps_what_it_did_not_measure_anew(tmp_path: Path) -> None:
    """One without --data, or without latencies, does not lose those of the run before it."""
    saved, scored = tmp_path / "report.json", row("tflite", data="dev.tsv", accuracy=accuracy(0.1))
    before, gone = measured(seal=scored.seal, id="1"), measured(seal="of another", id="2")
    saved.write_text(to_json(Report((scored, row("coreml")), (before, gone))))
    unscored = replace(scored, data=None, accuracy=None)
    assert add_known(Report((unscored,)), saved) == Report((scored,), (before,))
    altered = replace(unscored, seal="of what is there now")
    assert add_known(Report((altered,)), saved) == Report((altered,))
    better = replace(scored, data="other.tsv", accuracy=accuracy(0.0))
    assert add_known(Report((better,)), saved).rows == (better,)
    anew = measured(seal=scored.seal, id="3")
    assert add_known(Report((unscored,), (anew,)), saved).records == (anew,)


def test_a_key_signs_nothing_that_was_measured_without_it(tmp_path: Path) -> None:
    saved, scored = tmp_path / "report.json", row("tflite", data="dev.tsv", accuracy=accuracy(0.1))
    saved.write_text(to_json(Report((scored,))))
    unscored = Report((replace(scored, data=None, accuracy=None),))
    (tmp_path / "key").write_bytes(bytes(range(32)))
    assert add_known(unscored, saved, Key.read(tmp_path / "key")) == unscored


def test_the_cost_of_parts_is_taken_as_sensitivity_prints_it(tmp_path: Path) -> None:
    known = ranking()
    parts = [{"part": cost.part, "sqnr_db": cost.sqnr_db, "drop": cost.drop} for cost in known.parts]
    (tmp_path / "report.json").write_text(to_json(Report((row(),))))
    (tmp_path / "parts.json").write_text(json.dumps(asdict(known) | {"parts": parts}))
    assert collect([tmp_path], [tmp_path / "parts.json"]) == Report((row(),), rankings=(known,))
    (tmp_path / "parts.json").write_text('{"parts": []}')
    with pytest.raises(InputError, match="sensitivity --json"):
        collect([tmp_path], [tmp_path / "parts.json"])


def test_what_is_no_report_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no bundle, no report.json and no record"):
        collect([tmp_path])
    (tmp_path / "report.json").write_text('{"rows": 3}')
    with pytest.raises(InputError, match="rows"):
        collect([tmp_path])
    (tmp_path / "report.json").write_text(to_json(Report((row(), replace(row("coreml"), task="fill-mask")))))
    with pytest.raises(InputError, match="for different tasks"):
        collect([tmp_path])
