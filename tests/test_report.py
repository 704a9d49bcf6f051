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

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.errors import InputError
from squeezebert_edge import latency
from squeezebert_edge.bundle import Bundle
from squeezebert_edge.paired import Flip
from squeezebert_edge.pipeline import Plan, export
from squeezebert_edge.report import files, plots
from squeezebert_edge.report.page import to_html
from squeezebert_edge.report.rows import Report, Row, collect, to_json
from squeezebert_edge.report.table import table, to_csv, to_markdown
from squeezebert_edge.tasks import TextClassification
from tests.reports import accuracy, ranking, row, typical
from tests.small import TorchRunner, small_checkpoint

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
        row(formats[n % 3], "int8", rng.uniform(8, 90), rng.gauss(0, 1), rng.uniform(5, 200))
        for n in range(30)
    ]
    return Report(tuple(replace(each, bundle=f"out/{n}", seal=str(n)) for n, each in enumerate(rows)))


REPORTS = {
    "typical": typical(),
    "no accuracy": Report((row(), row("executorch", "fp32", ms=9.0))),
    "one bundle": Report((row("tflite", "int8", 20.0, -0.1, 9.0),)),
    "all failed": Report((row(difference=-30.0, ms=9.0, status="failed"),)),
    "none verified": Report((row("coreml", status="not verified", sqnr_db=None),)),
    "many": many(),
    "no number": Report((row(status="failed", sqnr_db=-200.0, accuracy=accuracy(math.nan)),)),
    "empty": Report(()),
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
    assert plots_shown == 2
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
    headed = [column for column in table(report).columns if "ms" in column]
    assert headed == [">host, rough:\nms at 32", ">host, rough:\nms at 128"]
    assert "host, rough: ms at 32" in to_markdown(report)
    assert "host, rough: ms at 32" in to_csv(report)
    shown = " ".join(Page(to_html(report)).text.split())
    assert shown.count("host, rough: ms at 32") >= 2  # the table's and the plot's
    assert "a host, x86_64, Linux" in shown


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
    html = to_html(Report((hostile, replace(hostile, seal="other")), (costs,)))
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
    records = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert len(records) == len(report.rows)
    for record, each in zip(records, report.rows, strict=True):
        assert record["bundle"] == each.bundle
        assert int(record["bytes"]) == each.bytes
        assert record["proof"] == each.verification.status
        if each.accuracy:
            assert float(record["accuracy"]) == each.accuracy.metrics[0].artifact
            assert int(record["flips"]) == len(each.accuracy.flips)
        if each.latency:
            assert float(record["host, rough: ms at 128"]) == each.latency.longest_median_ms
    assert records[-1]["accuracy"] == records[-1]["host, rough: ms at 32"] == ""


def test_markdown_holds_the_rows_and_the_warnings() -> None:
    lines = to_markdown(typical()).splitlines()
    assert lines[2].startswith("| ExecuTorch fp32 | 88.1 | verified | 128 | 91.28% | 91.28% | +0.00 ")
    assert any("LiteRT int8-static failed its proof" in line for line in lines)
    assert any("MIL evaluator" in line for line in lines)


def test_what_does_not_compare_is_said() -> None:
    other = latency.HostLatency("another host", 1, 30, 9, 32, 1.0, 128, 2.0)
    rows = (
        row("tflite", "int8", difference=0.0, ms=1.0),
        replace(row("tflite", "int4", difference=0.0), data="other.tsv", latency=other),
    )
    warnings = Report(rows).warnings
    assert any("different data" in warning for warning in warnings)
    assert any("different machines" in warning for warning in warnings)


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
    [("report.pdf", r"\.html, \.json, \.md, \.csv"), ("gone/report.md", "no directory"), ("d.md", "no file")],
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
    (made,) = export(small_checkpoint(), Plan([("tflite", "fp32")], (16,)), tmp_path)
    return made


def test_bundles_keep_their_measurements_while_they_are_the_same(bundle: Bundle, tmp_path: Path) -> None:
    measured = Row.of(bundle, data="dev.tsv", accuracy=accuracy(0.1), latency=None)
    (tmp_path / "report.json").write_text(to_json(Report((measured, row("coreml")))))
    assert collect([tmp_path]).rows == (measured,)
    assert collect([bundle.directory]).rows == (measured,)
    assert collect([bundle.directory, tmp_path, tmp_path / "report.json"]).rows[0] == measured
    (tmp_path / "report.json").write_text(to_json(Report((replace(measured, seal="of another"),))))
    assert collect([tmp_path]).rows == (Row.of(bundle),)
    (tmp_path / "report.json").unlink()
    assert collect([tmp_path]).rows == (Row.of(bundle),)


def test_the_cost_of_parts_is_taken_as_sensitivity_prints_it(tmp_path: Path) -> None:
    known = ranking()
    parts = [{"part": cost.part, "sqnr_db": cost.sqnr_db, "drop": cost.drop} for cost in known.parts]
    (tmp_path / "report.json").write_text(to_json(Report((row(),))))
    (tmp_path / "parts.json").write_text(json.dumps(asdict(known) | {"parts": parts}))
    assert collect([tmp_path], [tmp_path / "parts.json"]) == Report((row(),), (known,))
    (tmp_path / "parts.json").write_text('{"parts": []}')
    with pytest.raises(InputError, match="sensitivity --json"):
        collect([tmp_path], [tmp_path / "parts.json"])


def test_what_is_no_report_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no bundle and no report.json"):
        collect([tmp_path])
    (tmp_path / "report.json").write_text('{"rows": 3}')
    with pytest.raises(InputError, match="rows"):
        collect([tmp_path])
    (tmp_path / "report.json").write_text(to_json(Report((row(), replace(row("coreml"), task="fill-mask")))))
    with pytest.raises(InputError, match="bundles of one task"):
        collect([tmp_path])


def test_a_latency_is_of_a_real_row_at_its_length_and_at_the_longest() -> None:
    checkpoint = small_checkpoint()
    task = TextClassification(["a", "b"])
    runner = TorchRunner(checkpoint.model, TextClassification, (16, 48))
    asked = Counter[tuple[int, int]]()

    def counted(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked[inputs["input_ids"].shape[1], int(inputs["attention_mask"].sum())] += 1
        return runner(inputs)

    counted.computed_by, counted.lengths = "runtime", runner.lengths  # type: ignore[attr-defined]
    found = latency.rough(task, checkpoint.tokenizer, counted, task.ask(["a good film"]))  # type: ignore[arg-type]
    assert found is not None
    assert (found.length, found.longest, found.runs) == (16, 48, 30)
    assert set(asked) == {(16, found.tokens), (48, found.tokens)}
    assert min(asked.values()) >= 30
    assert found.median_ms > 0
    assert found.machine


def test_an_evaluator_s_time_is_no_latency() -> None:
    checkpoint = small_checkpoint()
    task = TextClassification(["a", "b"])
    runner = TorchRunner(checkpoint.model, TextClassification, (16,))
    runner.computed_by = "mil-evaluator"
    assert latency.rough(task, checkpoint.tokenizer, runner, task.ask(["good"])) is None
