"""What tests ask a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices import Device
from squeezebert_edge.latency import workload
from squeezebert_edge.latency.protocol import exactly
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent


def sample_rows(bundle: Bundle, count: int = 3) -> Sequence[Mapping[str, Any]]:
    """The first rows of the built-in sample."""
    return workload.of_bundle(bundle, None, None).rows[:count]


def ask(device: Device, bundle: Bundle, work: str, settings: Settings | None = None) -> None:
    """Have a device measure or answer.

    Args:
        work: "measure" or "answer". settings: by default what the device decides.
    """
    settings = settings or device.settle(bundle, Settings())
    if work == "measure":
        device.measure(bundle, sample_rows(bundle), exactly(2), settings, silent)
    else:
        device.answer(bundle, sample_rows(bundle), settings, silent)
