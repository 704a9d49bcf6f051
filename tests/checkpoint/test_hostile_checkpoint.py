"""Files of a checkpoint that would take the machine's memory or time are refused before they do."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from exporters.errors import InputError
from squeezebert_edge.checkpoint.checkpoint import lasting_name, load_checkpoint
from tests.kit.small import save_small


@pytest.mark.parametrize(
    "sizes",
    [
        {"vocab_size": 10**12},
        {"vocab_size": 2**31 - 1},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 1000},
        {"max_position_embeddings": 2**31 - 1},
        {"hidden_size": 2**20, "embedding_size": 2**20},
        {"intermediate_size": 2**30},
        {"id2label": None, "num_labels": 10**12},
        {"hidden_size": 10**40},
    ],
)
def test_sizes_are_compared_before_a_network_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, Any]
) -> None:
    path = save_small(tmp_path / "a") / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | sizes))
    monkeypatch.setattr("squeezebert_edge.checkpoint.checkpoint.ARCHITECTURES", {})
    monkeypatch.setattr("squeezebert_edge.checkpoint.checkpoint.choose_architecture", lambda *_: NAME)
    started = time.monotonic()
    with pytest.raises(InputError):
        load_checkpoint(tmp_path / "a")
    assert time.monotonic() - started < 5


NAME = "SqueezeBertForSequenceClassification"


@pytest.mark.parametrize("row", [2**31, 2**63, -1, 10**30, 1.5, True, None, "1"])
def test_a_word_s_id_is_looked_at_before_the_library_makes_a_table(tmp_path: Path, row: Any) -> None:
    directory = save_small(tmp_path / "a")
    words = (directory / "vocab.txt").read_text().splitlines()
    whole = {
        "normalizer": {"type": "BertNormalizer"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "vocab": {word: n for n, word in enumerate(words)} | {"a": row}},
    }
    (directory / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match="gaps or repeat"):
        load_checkpoint(directory)


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "tokenizer_config.json"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    directory = save_small(tmp_path / "a")
    (directory / name).unlink()
    os.mkfifo(directory / name)
    with pytest.raises(InputError, match="a pipe"):
        load_checkpoint(directory)


def test_a_path_is_no_hub_id_in_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_small(tmp_path / "out" / "mine")
    monkeypatch.chdir(tmp_path)
    assert lasting_name("out/mine") == "./out/mine"
    assert lasting_name(str(tmp_path / "out" / "mine")) == str(tmp_path / "out" / "mine")
    assert lasting_name("owner/model") == "owner/model"
    assert lasting_name("default") == "default"
    monkeypatch.chdir("/")
    monkeypatch.setattr("squeezebert_edge.checkpoint.hub.fetch", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(InputError, match="not a directory"):
        load_checkpoint("./out/mine")
