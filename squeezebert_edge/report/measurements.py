"""Records of measurements side by side: only what may be quoted shows a latency."""

from __future__ import annotations

from collections.abc import Sequence

from squeezebert_edge.latency.record import Record, State
from squeezebert_edge.report.cells import NONE, Table, milliseconds, number


def timed(record: Record | None) -> dict[str, float | None]:
    """What a measurement says of a bundle beside others, by its column; nulls where there is none."""
    if record is None:
        return dict.fromkeys(("p50 ms", "p90 ms", "p99 ms", "load ms", "memory MB"))
    overall = record.latency.overall
    load, growth = record.cold_start.load_ns, record.memory.growth_bytes
    return {
        "p50 ms": overall.p50_ns / 1e6,
        "p90 ms": overall.p90_ns / 1e6,
        "p99 ms": None if overall.p99_ns is None else overall.p99_ns / 1e6,
        "load ms": None if load is None else load / 1e6,
        "memory MB": None if growth is None else growth / 1e6,
    }


def latencies(records: Sequence[Record]) -> Table:
    """A row for each record; one that may not be quoted says why in place of its latency."""
    quoted = [record for record in records if record.quotable]
    lengths = sorted({length for record in quoted for length in record.latency.by_length})
    columns = [
        *("bundle", "device", "standing", ">queries", ">p50 ms", ">p90 ms", ">p99 ms"),
        ">mean \N{PLUS-MINUS SIGN} deviation\nms",
        *(f">p50 ms\nat {length}" for length in lengths),
        ">per second",
    ]
    return Table(columns, [_latency(record, lengths) for record in records])


def _latency(record: Record, lengths: Sequence[int]) -> list[str]:
    overall, by_length = record.latency.overall, record.latency.by_length
    named = [record.bundle.name, record.label, record.standing, str(overall.count)]
    if not record.quotable:
        return [*named, *[NONE] * (5 + len(lengths))]
    said = timed(record)
    spread = overall.standard_deviation_ns
    both = [milliseconds(value and value / 1e6) for value in (overall.mean_ns, spread)]
    return [
        *named,
        *(milliseconds(said[name]) for name in ("p50 ms", "p90 ms", "p99 ms")),
        " \N{PLUS-MINUS SIGN} ".join(both),
        *(milliseconds(by_length[n].p50_ns / 1e6) if n in by_length else NONE for n in lengths),
        number(overall.per_second, ".1f"),
    ]


def conditions(records: Sequence[Record]) -> Table:
    """What goes with the latencies: cold start, memory, tokenization, heat; a row for each record.

    Times of an emulated device are none.
    """
    columns = [
        *("bundle", "device", ">process start\nms", ">load\nms", ">first query\nms", ">memory\nMB"),
        *(">times\nthe file", ">tokenizing\nms", ">°C", ">load of\nthe machine"),
    ]
    return Table(columns, [_condition(record) for record in records])


def _condition(record: Record) -> list[str]:
    cold, growth = record.cold_start, record.memory.growth_bytes
    first = None if cold.first_ns is None else min(cold.first_ns.items())[1]
    times = [None] * 3 if record.emulated else [cold.process_ns, cold.load_ns, first]
    loads = [record.before.load, record.after.load]
    return [
        record.bundle.name,
        record.label,
        *(milliseconds(None if value is None else value / 1e6) for value in times),
        number(None if growth is None else growth / 1e6, ".1f"),
        number(None if growth is None else growth / record.bundle.artifact_bytes, ".2f"),
        milliseconds(record.tokenization.statistics.p50_ns / 1e6),
        _change([_hottest(record.before), _hottest(record.after)], ".0f"),
        _change(loads, ".1f"),
    ]


def _change(both: Sequence[float | None], form: str) -> str:
    return NONE if None in both else " \N{RIGHTWARDS ARROW} ".join(number(value, form) for value in both)


def _hottest(state: State) -> float | None:
    return max(state.temperatures_c.values(), default=None) if state.temperatures_c else None


def measurement(record: Record) -> dict[str, object]:
    """A record in unrounded numbers, its latency only if it may be quoted."""
    overall = record.latency.overall
    described: dict[str, object] = {
        "id": record.id,
        "time": record.time,
        "bundle": record.bundle.name,
        "sha256": record.bundle.sha256,
        "checkpoint": record.bundle.checkpoint,
        "format": record.bundle.format,
        "precision": record.bundle.precision,
        "artifact bytes": record.bundle.artifact_bytes,
        "device kind": record.device.kind,
        "device": record.label,
        "system": record.device.os,
        "runtime": f"{record.runtime.name} {record.runtime.version}, {record.runtime.runner}",
        "threads": record.settings.threads,
        "delegate": record.settings.delegate,
        "compute units": record.settings.compute_units,
        "length": record.settings.length,
        "protocol": record.protocol.name,
        "standing": record.standing,
        "queries": overall.count,
        "texts": record.texts.source,
    }
    numbers: dict[str, object] = {**timed(record)}
    numbers |= {
        "mean ms": overall.mean_ns / 1e6,
        "standard deviation ms": (overall.standard_deviation_ns or 0.0) / 1e6 if overall.count > 1 else None,
        "per second": overall.per_second,
    }
    if not record.quotable:
        numbers = dict.fromkeys(numbers) | {"memory MB": numbers["memory MB"]}
    return described | numbers | {"tokenizing ms": record.tokenization.statistics.p50_ns / 1e6}
