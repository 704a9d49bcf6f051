"""A device that measures nothing: every form takes as long as it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporters.errors import UnavailableError
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import Protocol
from tests.kit.records import run, samples


class Paced(Host):
    """A host that runs each form in so many milliseconds, four times that at the longer length.

    drift: each run takes so much longer than the one before it, as a part of the first.
    fails: errors that forms raise in place of a measurement. asked: the forms that were run, in order.
    """

    def __init__(
        self,
        milliseconds: Mapping[str, float],
        *,
        drift: float = 0.0,
        fails: Mapping[str, BaseException] | None = None,
        runs: Sequence[str] = ("executorch", "tflite"),
    ) -> None:
        super().__init__()
        self.milliseconds, self.drift, self.fails, self.runs = milliseconds, drift, fails or {}, runs
        self.asked: list[str] = []

    def settle(self, bundle: Bundle, settings: record.Settings) -> record.Settings:
        if bundle.manifest.format not in self.runs:
            raise UnavailableError(f"it runs no {bundle.manifest.format}")
        return settings

    def measure(
        self,
        bundle: Bundle,
        rows: Sequence[Any],
        protocol: Protocol,
        settings: record.Settings,
        progress: Any,
    ) -> record.Run:
        form = bundle.manifest.form
        slower = 1 + self.drift * len(self.asked)
        self.asked.append(form)
        if form in self.fails:
            raise self.fails[form]
        unit = 1_000_000 * self.milliseconds[form] * slower
        return run(samples([round(unit * (1 + 3 * (n % 2))) for n in range(protocol.queries)], (16, 32)))
