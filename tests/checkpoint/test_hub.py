"""The hub, without a network: what is asked of it, and what its failures become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi, errors

from exporters.errors import InputError, UnavailableError
from squeezebert_edge.checkpoint import hub

FILES = [
    ".gitattributes",
    "README.md",
    "config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "tf_model.h5",
    "tokenizer_config.json",
    "vocab.txt",
]


class Hub:
    """Stands in for the hub and its cache; `failure` is what either call raises."""

    def __init__(self, cache: Path) -> None:
        self.cache, self.files = cache, FILES
        self.failure: BaseException | None = None
        self.download_failure: BaseException | None = None
        self.calls: list[tuple[Any, ...]] = []

    def model_info(self, repository: str, *, revision: str | None, timeout: float) -> SimpleNamespace:
        self.calls.append(("info", repository, revision, timeout))
        if self.failure:
            raise self.failure
        return SimpleNamespace(
            sha="c0ffee", siblings=[SimpleNamespace(rfilename=name) for name in self.files]
        )

    def download(self, repository: str, file: str, *, revision: str | None, **options: Any) -> str:
        self.calls.append((file, repository, revision, options))
        path = self.cache / file
        if options.get("local_files_only"):
            if not path.exists():
                raise errors.LocalEntryNotFoundError("nothing cached")
        elif self.download_failure:
            raise self.download_failure
        path.touch()
        return str(path)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    fake = Hub(tmp_path)
    monkeypatch.setattr(HfApi, "model_info", fake.model_info)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fake.download)
    return fake


def failed(kind: type[errors.HfHubHTTPError]) -> errors.HfHubHTTPError:
    """An error of the hub's, without the response that its constructor wants."""
    return kind.__new__(kind)


def test_only_what_is_read_is_fetched(fake: Hub, tmp_path: Path) -> None:
    assert hub.fetch("owner/name", "v2") == tmp_path
    assert fake.calls[0] == ("info", "owner/name", "v2", hub.TIMEOUT)
    assert {call[0] for call in fake.calls[1:]} == {
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    }
    # All of one commit, however the branch moves meanwhile; and never waiting without limit.
    assert {call[2] for call in fake.calls[1:]} == {"c0ffee"}
    assert all(call[3] == {"etag_timeout": hub.TIMEOUT} for call in fake.calls[1:])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (errors.RepositoryNotFoundError, "the hub has no such model"),
        (errors.GatedRepoError, "is gated"),
        (errors.RevisionNotFoundError, "owner/name has no revision v2"),
    ],
)
def test_what_the_hub_refuses_is_an_error_of_input(
    fake: Hub, kind: type[errors.HfHubHTTPError], words: str
) -> None:
    for where in ("failure", "download_failure"):
        setattr(fake, where, failed(kind))
        with pytest.raises(InputError, match=words):
            hub.fetch("owner/name", "v2")
        setattr(fake, where, None)


def test_an_impossible_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by huggingface_hub itself, before any request."""
    with pytest.raises(InputError, match="cannot be a hub id"):
        hub.fetch("owner/na--me")


@pytest.mark.parametrize(
    "make",
    [
        lambda: errors.OfflineModeIsEnabled("offline mode is enabled"),
        lambda: ConnectionError("refused"),
        lambda: TimeoutError("timed out"),
        lambda: failed(errors.HfHubHTTPError),
        lambda: ValueError("not JSON"),
    ],
)
def test_a_hub_that_cannot_be_reached(fake: Hub, make: Callable[[], Exception], tmp_path: Path) -> None:
    fake.failure = make()
    with pytest.raises(UnavailableError, match="the hub cannot be reached") as caught:
        hub.fetch("owner/name")
    assert "name the directory" in str(caught.value)
    (tmp_path / "config.json").touch()
    assert hub.fetch("owner/name") == tmp_path  # what was fetched before is there still


def test_a_connection_lost_on_the_way(fake: Hub) -> None:
    fake.download_failure = ConnectionError("reset")
    with pytest.raises(UnavailableError, match="ConnectionError: reset"):
        hub.fetch("owner/name")


@pytest.mark.parametrize(("lacking", "words"), [("config.json", "no config.json"), ("weights", "no weights")])
def test_repositories_with_nothing_to_load(fake: Hub, lacking: str, words: str) -> None:
    fake.files = [file for file in FILES if file != lacking and "model" not in file]
    with pytest.raises(InputError, match=words):
        hub.fetch("owner/name")


def test_an_interrupt_is_one(fake: Hub) -> None:
    fake.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        hub.fetch("owner/name")
