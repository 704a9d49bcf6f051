"""Records as devices write them, without the minutes that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import QUICK, Protocol, Samples, WarmUp, broken_rule, statistics

UNKNOWN = "this device does not say"
HOST = {"name": "a host", "os": "Linux 6", "architecture": "x86_64", "cpus": 2}


def facts(model: type[record.Device | record.State], known: dict[str, Any]) -> Any:
    """A device or state of which so much is known."""
    others = [name for name in model.model_fields if name not in (*known, "unknown")]
    return model.model_validate(known | dict.fromkeys(others) | {"unknown": dict.fromkeys(others, UNKNOWN)})


def state(time: str, load: float, celsius: float) -> Any:
    """A host that says its load and one temperature."""
    return facts(record.State, {"time": time, "load": load, "temperatures_c": {"cpu (0)": celsius}})


def samples(latencies_ns: Sequence[int], lengths: Sequence[int] = (32, 128)) -> Samples:
    """Queries at these lengths in turn."""
    starts = [sum(latencies_ns[:index]) for index in range(len(latencies_ns))]
    rows = [index % len(lengths) for index in range(len(latencies_ns))]
    return Samples(
        tuple(rows), tuple(lengths[row] for row in rows), tuple(starts), tuple(map(int, latencies_ns))
    )


def run(found: Samples, **changed: Any) -> record.Run:
    """What a host measured."""
    fields = {
        "device": facts(record.Device, {"kind": "host", **HOST}),
        "runtime": record.Runtime(name="litert", version="2.3.0", runner="python", libc="glibc"),
        "before": state("2026-11-25T12:00:00Z", 0.1, 41.5),
        "after": state("2026-11-25T12:01:00Z", 1.0, 58.0),
        "cold_start": record.ColdStart(process_ns=250_000_000, load_ns=9_000_000, first_ns={32: 2_000_000}),
        "memory": record.Memory(baseline_bytes=40_000_000, peak_bytes=61_000_000),
        "warm_up": [WarmUp(length, 20, True) for length in sorted(set(found.length))],
        "samples": found,
        "emulated": False,
    }  # fmt: skip
    return record.Run.model_validate(fields | changed)


def measured(
    ms: float = 9.0,
    *,
    seal: str = "a seal",
    protocol: Protocol = QUICK,
    format_: Any = "tflite",
    precision: str = "int8",
    medians_ns: Sequence[int] | None = None,
    queries: int | None = None,
    emulated: bool = False,
    **changed: Any,
) -> record.Record:
    """A record whose latencies are about so many milliseconds, four times that at 128 tokens."""
    count = queries or max(protocol.queries, round(protocol.seconds * 1000 / (2.5 * ms)) + 2)
    unit = round(1e6 * ms)
    found = samples([unit * (1 + 3 * (n % 2)) + 1000 * (n % 7) for n in range(count)])
    numbers = record.Latency.of(found)
    medians = list(medians_ns or [numbers.overall.p50_ns])
    rule = broken_rule(protocol, found, medians)
    fields = dict(run(found, emulated=emulated)) | {
        "record_version": 1,
        "id": f"{format_}-{precision}-{protocol.name}-{seal}-{round(10 * ms)}",
        "time": "2026-11-25T12:01:01Z",
        "generator": "squeezebert-edge 0.1.0",
        "bundle": record.Measured(
            name=f"{format_}-{precision}",
            sha256=seal,
            checkpoint="CHECKPOINT",
            checkpoint_sha256="0" * 64,
            task="text-classification",
            format=format_,
            precision=precision,
            exact_precision=precision,
            form="group-resident",
            lengths=[32, 64, 128],
            artifact_bytes=20_000_000,
        ),
        "settings": record.Settings(threads=1, unit="cpu"),
        "protocol": protocol,
        "repeat": record.Repeat(index=1, of=len(medians), medians_ns=medians),
        "texts": record.Texts(source="dev.tsv", texts=2, rows=2),
        "tokenization": record.Tokenization(where="host", statistics=statistics([50_000, 60_000])),
        "latency": numbers,
        "validity": record.Validity(valid=rule is None, rule=rule),
        "quotable": rule is None and protocol.quoted and not emulated,
    }
    return record.Record.model_validate(fields | changed)


def phone(ms: float, seal: str = "a seal", **changed: Any) -> record.Record:
    """The same of a phone, on its own processor or on one of software."""
    device = facts(
        record.Device,
        {"kind": "android", "name": "a phone", "os": "Android 15", "architecture": "aarch64", "cpus": 8,
         "soc": "a chip", "clusters": [[7], [4, 5, 6], [0, 1, 2, 3]]},
    )  # fmt: skip
    runtime = record.Runtime(name="litert", version="2.3.0", runner="native", libc="bionic")
    return measured(ms, seal=seal, device=device, runtime=runtime, **changed)
