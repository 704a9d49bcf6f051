"""What tests of devices share: bundles, and phones behind adb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.devices.android import app as android_app
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.fakes.adbd import Plug, plugging, run_adb_server
from tests.kit.small import small_checkpoint


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Bundle]:
    """A small model's bundles by format, at 16 and 32 tokens; no test changes them."""
    plan = Plan([("tflite", "fp32"), ("executorch", "fp32")], (16, 32))
    made = export_bundles(small_checkpoint(num_hidden_layers=1), plan, tmp_path_factory.mktemp("out"))
    return {bundle.manifest.format: bundle for bundle in made}


@pytest.fixture(scope="session")
def bundle(bundles: Mapping[str, Bundle]) -> Bundle:
    """The one for LiteRT."""
    return bundles["tflite"]


@pytest.fixture(scope="module")
def adb_server() -> Iterator[None]:
    """A server of the test's own, which knows no phone but those that are plugged in."""
    with run_adb_server():
        yield


@pytest.fixture
def plug(adb_server: None, tmp_path: Path) -> Iterator[Plug]:
    """Plugs fake phones in; all are unplugged afterwards."""
    with plugging(tmp_path) as plug:
        yield plug


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks for the demo app's result often."""
    monkeypatch.setattr(android_app, "POLL", 0.2)
