"""Records of measurements side by side: only what may be quoted shows a latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from squeezebert_edge.latency.record import Record, State
from squeezebert_edge.report.cells import NONE, Column, Table, facts, milliseconds, number, rounded, tabulate
from squeezebert_edge.report.changes import Changes, change_columns

Reader = Callable[[Record], float | None]  # a number of a record


def median_ms(record: Record) -> float:
    """The latency that a record is quoted by."""
    return record.latency.overall.p50_ns / 1e6


NUMBERS: dict[str, Reader] = {  # what a record says of a bundle beside others, by its column
    "p50 ms": median_ms,
    "p90 ms": lambda record: record.latency.overall.p90_ns / 1e6,
    "p99 ms": lambda record: _millionths(record.latency.overall.p99_ns),
    "load ms": lambda record: _millionths(record.cold_start.load_ns),
    "memory MB": lambda record: _millionths(record.memory.growth_bytes),
}


def latencies(records: Sequence[Record], changes: Changes | None = None) -> Table:
    """A row for each record; one that may not be quoted says why in place of its latency."""
    quoted = [record for record in records if record.quotable]
    lengths = sorted({length for record in quoted for length in record.latency.by_length})
    return tabulate(_columns(lengths, changes), records)


def conditions(records: Sequence[Record]) -> Table:
    """What goes with the latencies: cold start, memory, tokenization, heat; a row for each record.

    An emulated device shows no times.
    """
    columns: list[Column[Record]] = [
        Column(lambda record: record.bundle.name, heading="bundle"),
        Column(lambda record: record.label, heading="device"),
        Column(lambda record: record.unit, heading="unit"),
        Column(_real(_process_ms), heading=">process start\nms", text=milliseconds),
        Column(_real(NUMBERS["load ms"]), heading=">load\nms", text=milliseconds),
        Column(_real(_first_ms), heading=">first query\nms", text=milliseconds),
        Column(NUMBERS["memory MB"], heading=">memory\nMB", text=rounded(".1f")),
        Column(_file_growth, heading=">times\nthe file", text=rounded(".2f")),
        Column(_tokenizing_ms, heading=">tokenizing\nms", text=milliseconds),
        Column(_heat, heading=">°C"),
        Column(_load, heading=">load of\nthe machine"),
    ]
    return tabulate(columns, records)


def measurement(record: Record, changes: Changes | None = None) -> dict[str, object]:
    """A record in unrounded numbers; its latency only if it may be quoted."""
    return facts(_columns(changes=changes), record)


def in_a_line(record: Record) -> str:
    """A measurement by itself: its median, or why that may not be quoted."""
    found = f"{milliseconds(median_ms(record))} ms (p50)" if record.quotable else record.standing
    return f"{record.bundle.name}: {found} on {record.place}"


def _columns(lengths: Sequence[int] = (), changes: Changes | None = None) -> list[Column[Record]]:
    """Every fact of a record that is shown.

    Args:
        lengths: those that have a median of their own in tables.
        changes: since a baseline, in columns of their own.
    """
    return [
        Column(lambda record: record.id, "id"),
        Column(lambda record: record.time, "time"),
        Column(lambda record: record.bundle.name, "bundle", "bundle"),
        Column(lambda record: record.bundle.sha256, "sha256"),
        Column(lambda record: record.bundle.checkpoint, "checkpoint"),
        Column(lambda record: record.bundle.format, "format"),
        Column(lambda record: record.bundle.precision, "precision"),
        Column(lambda record: record.bundle.artifact_bytes, "artifact bytes"),
        Column(lambda record: record.device.kind, "device kind"),
        Column(lambda record: record.label, "device", "device"),
        Column(lambda record: record.unit, "unit", "unit"),
        Column(lambda record: record.device.os, "system"),
        Column(_runtime, "runtime"),
        Column(lambda record: record.settings.threads, "threads"),
        Column(lambda record: record.settings.length, "length"),
        Column(lambda record: record.protocol.name, "protocol"),
        Column(lambda record: record.standing, "standing", "standing"),
        Column(lambda record: record.latency.overall.count, "queries", ">queries"),
        Column(lambda record: record.texts.source, "texts"),
        Column(_quotable(NUMBERS["p50 ms"]), "p50 ms", ">p50 ms", milliseconds),
        *change_columns(changes, Changes.p50, "p50 change %", ">p50\nchange"),
        Column(_quotable(NUMBERS["p90 ms"]), "p90 ms", ">p90 ms", milliseconds),
        *change_columns(changes, Changes.p90, "p90 change %"),
        Column(_quotable(NUMBERS["p99 ms"]), "p99 ms", ">p99 ms", milliseconds),
        Column(_quotable(NUMBERS["load ms"]), "load ms"),
        Column(NUMBERS["memory MB"], "memory MB"),
        Column(_quotable(_mean_ms), "mean ms"),
        Column(_quotable(_deviation_ms), "standard deviation ms"),
        Column(_spread, heading=">mean \N{PLUS-MINUS SIGN} deviation\nms"),
        *(
            Column(_quotable(_median_at(length)), heading=f">p50 ms\nat {length}", text=milliseconds)
            for length in lengths
        ),
        Column(_quotable(_per_second), "per second", ">per second", rounded(".1f")),
        *change_columns(changes, Changes.file, "artifact bytes change %", ">size\nchange"),
        Column(_tokenizing_ms, "tokenizing ms"),
    ]


def _quotable(value: Reader) -> Reader:
    """The number only of a record whose latency may be quoted."""
    return lambda record: value(record) if record.quotable else None


def _real(value: Reader) -> Reader:
    """The number only of a record of a real processor."""
    return lambda record: None if record.emulated else value(record)


def _runtime(record: Record) -> str:
    return f"{record.runtime.name} {record.runtime.version}, {record.runtime.runner}"


def _mean_ms(record: Record) -> float:
    return record.latency.overall.mean_ns / 1e6


def _deviation_ms(record: Record) -> float | None:
    overall = record.latency.overall
    return (overall.standard_deviation_ns or 0.0) / 1e6 if overall.count > 1 else None


def _spread(record: Record) -> str | None:
    if not record.quotable:
        return None
    return " \N{PLUS-MINUS SIGN} ".join(map(milliseconds, (_mean_ms(record), _deviation_ms(record))))


def _median_at(length: int) -> Reader:
    def median(record: Record) -> float | None:
        of_length = record.latency.by_length.get(length)
        return None if of_length is None else of_length.p50_ns / 1e6

    return median


def _per_second(record: Record) -> float:
    return record.latency.overall.per_second


def _tokenizing_ms(record: Record) -> float:
    return record.tokenization.statistics.p50_ns / 1e6


def _process_ms(record: Record) -> float | None:
    return _millionths(record.cold_start.process_ns)


def _first_ms(record: Record) -> float | None:
    """The first query at the shortest length."""
    first = record.cold_start.first_ns
    return None if first is None else min(first.items())[1] / 1e6


def _file_growth(record: Record) -> float | None:
    growth = record.memory.growth_bytes
    if record.settings.unit_kind == "npu":  # which runs other files than the artifact
        return None
    return None if growth is None else growth / record.bundle.artifact_bytes


def _heat(record: Record) -> str:
    return _before_and_after([_hottest(record.before), _hottest(record.after)], ".0f")


def _load(record: Record) -> str:
    return _before_and_after([record.before.load, record.after.load], ".1f")


def _before_and_after(both: Sequence[float | None], form: str) -> str:
    return NONE if None in both else " \N{RIGHTWARDS ARROW} ".join(number(value, form) for value in both)


def _hottest(state: State) -> float | None:
    return max(state.temperatures_c.values(), default=None) if state.temperatures_c else None


def _millionths(value: float | None) -> float | None:
    """Nanoseconds as milliseconds, bytes as MB."""
    return None if value is None else value / 1e6
