"""Reports as `run` makes them, without the hours that it takes."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import exporters
from exporters.spec import Delegation
from squeezebert_edge.accuracy.paired import AccuracyComparison, Flip, MetricComparison
from squeezebert_edge.accuracy.parts import PartCost
from squeezebert_edge.bundle.manifest import Precision, Verification
from squeezebert_edge.forms import choices
from squeezebert_edge.latency.record import Record
from squeezebert_edge.report.rows import Ranking, Report, Row
from tests.kit.records import measured

REFERENCE = 0.9128


def accuracy(difference: float, flips: int = 0, examples: int = 872, **changed: Any) -> AccuracyComparison:
    """An accuracy that differs by so many points."""
    metric = MetricComparison(
        "accuracy", "points", REFERENCE, REFERENCE + difference / 100, difference,
        difference - 0.6, difference + 0.5, "tango", higher_is_better=True,
    )  # fmt: skip
    said = [(("good",), ("bad",)), (("bad",), ("good",))]
    found = [
        Flip(n, f"dev.tsv:{n + 2}", f"a film that is example {n}", None, (), ("good",), *said[n % 2])
        for n in range(flips)
    ]  # fmt: skip
    return replace(
        AccuracyComparison(
            "text-classification", examples, 0, (metric,), 1.0, 1 - flips / examples, 48.0, 0.01,
            tuple(found), (),
        ),
        **changed,
    )  # fmt: skip


def row(
    format_: Any = "tflite",
    precision: Any = "int8",
    megabytes: float = 20.0,
    difference: float | None = None,
    status: Any = "verified",
    sqnr_db: float | None = 48.0,
    **changed: Any,
) -> Row:
    """A bundle's row."""
    mil = format_ == "coreml"
    exact = choices.exact_precision(format_, precision).name
    made = Row(
        bundle=f"out/sst2/{format_}-{precision}",
        seal=f"{format_} {precision}",
        checkpoint="CHECKPOINT",
        task="text-classification",
        format=format_,
        precision=Precision(
            name=precision, exact=precision, decided_by="the user", weights="int8", activations="float32"
        ),
        calibration=None,
        form="group-resident",
        lengths=(32, 64, 128),
        target="iOS17" if mil else None,
        bytes=int(megabytes * 1e6),
        delegation=Delegation(delegated=None, total=None, outside=(), reason="known only on a Mac")
        if mil
        else Delegation(delegated=310, total=314, outside=("GATHER x2", "GELU x1", "CAST x1")),
        verification=Verification(
            status=status,
            by=None if status == "not verified" else "mil-evaluator" if mil else "runtime",
            max_abs_error=None if sqnr_db is None else 10 ** (-sqnr_db / 20),
            sqnr_db=sqnr_db,
            inputs=66,
            gates={
                k: v
                for k, v in asdict(exporters.format_named(format_).precision(exact).gates).items()
                if v is not None
            },
            failures=[] if status == "verified" else ["logits: SQNR 12.0 dB, below 45.0"],
        ),
        data=None if difference is None else "dev.tsv",
        accuracy=None if difference is None else accuracy(difference, flips=abs(round(difference * 9))),
    )
    return replace(made, **changed)


def ranking() -> Ranking:
    """What each part of a network of twelve layers costs."""
    kinds = ("qkv", "post_attention", "intermediate", "output")
    costs = [
        PartCost(f"layers.{layer}.{kind}", 62.0 - layer * 0.8 - 4 * number, 0.02 * number)
        for layer in range(12)
        for number, kind in enumerate(kinds)
    ]
    costs += [PartCost("embeddings", 71.2, 0.0), PartCost("head", 66.0, -0.11)]
    return Ranking("CHECKPOINT", "tflite", "int8-dynamic", "accuracy", 872, tuple(costs))


MEDIANS_MS = {
    ("executorch", "fp32"): 24.1,
    ("executorch", "int8"): 11.2,
    ("executorch", "int8-static"): 13.4,
    ("executorch", "int4"): 12.9,
    ("tflite", "fp32"): 21.0,
    ("tflite", "fp16"): 21.4,
    ("tflite", "int8"): 8.6,
    ("tflite", "int8-static"): 88.0,
    ("tflite", "int4"): 8.9,
}


def latency_of(row: Row, ms: float, **changed: Any) -> Record:
    """A host's record of a bundle."""
    return measured(ms, seal=row.seal, format_=row.format, precision=row.precision.name, **changed)


def timed(*rows: Row, ms: float = 9.0) -> Report:
    """Bundles with a host's latencies."""
    return Report(rows, tuple(latency_of(row, ms, id=str(n)) for n, row in enumerate(rows)))


def typical() -> Report:
    """Every format and precision of a checkpoint, one failed, one not verified."""
    rows = (
        row("executorch", "fp32", 88.1, 0.0, sqnr_db=128.0),
        row("executorch", "int8", 24.4, -0.11, sqnr_db=49.0),
        row("executorch", "int8-static", 24.6, -0.34, sqnr_db=34.0),
        row("executorch", "int4", 13.9, -0.57, sqnr_db=29.0),
        row("tflite", "fp32", 87.7, 0.0, sqnr_db=128.0),
        row("tflite", "fp16", 44.1, 0.0, sqnr_db=128.0),
        row("tflite", "int8", 23.8, 0.11, sqnr_db=48.0),
        row("tflite", "int8-static", 24.0, -18.9, status="failed", sqnr_db=12.0),
        row("tflite", "int4", 12.9, -0.46, sqnr_db=29.0),
        row("coreml", "fp32", 87.9, 0.0, sqnr_db=126.0),
        row("coreml", "fp16", 44.0, 0.0, sqnr_db=71.0),
        row("coreml", "int8-weights", 22.7, -0.11, sqnr_db=50.0),
        row("coreml", "int4-weights", 12.6, status="not verified", sqnr_db=None),
    )
    records = [
        latency_of(each, MEDIANS_MS[each.format, each.precision.name])
        for each in rows
        if each.format != "coreml"
    ]
    return Report(rows, tuple(records), (ranking(),))
