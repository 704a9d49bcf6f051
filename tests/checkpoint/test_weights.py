"""Weight files that are not what they should be: nothing in them runs, and each says what was seen."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from exporters.errors import InputError
from squeezebert_edge.checkpoint import weights

STATE = {"a": torch.arange(300.0), "b": torch.ones(2, 3)}


class Hostile:
    """A pickle that makes a file when it is opened carelessly."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.target),))


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        weights.read(path)
    assert str(path.parent) in str(caught.value)
    return str(caught.value)


def index(directory: Path, mapping: object, name: str = "model.safetensors.index.json") -> Path:
    (directory / name).write_text(json.dumps(mapping))
    return directory / name


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "is an HTML or XML page"),
        (b"\n <HTML>", "is an HTML or XML page"),
        (b"\x00\x01garbage" * 50, "damaged"),
        (b"x", "damaged"),
        (b"\xff" * 1000, "damaged"),
    ],
)
def test_other_things_in_place_of_weights(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    assert words in message
    assert "next: " in message


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_truncated_files(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / ("model.safetensors" if kind == "safetensors" else "pytorch_model.bin")
    if kind == "safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "empty" in refusal(path) if share == 0 else "truncated" in refusal(path)


def test_a_header_whose_length_starts_like_a_tag(tmp_path: Path) -> None:
    """The first byte of a safetensors file is its header's length, and 60 is '<'."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode().ljust(0x213C)
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    assert path.read_bytes().startswith(b"<!")
    assert torch.equal(weights.read(path)["a"], torch.zeros(2))


@pytest.mark.parametrize("how", ["pickle", "zip", "legacy"])
def test_a_pickle_never_runs(tmp_path: Path, how: str) -> None:
    target = tmp_path / "it-ran"
    content = {"a": torch.ones(2), "b": Hostile(target)}
    for name in ("pytorch_model.bin", "model.safetensors"):
        path = tmp_path / name
        if how == "pickle":
            path.write_bytes(pickle.dumps(content, protocol=2))
        else:
            torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
        message = refusal(path)
        assert not target.exists()
    path = tmp_path / "pytorch_model.bin"
    assert "mkdir" in refusal(path) or how == "pickle"
    assert "allowed: tensors by name" in refusal(path)
    torch.load(path, weights_only=False) if how != "pickle" else pickle.loads(path.read_bytes())
    assert target.exists()  # so the file was hostile indeed
    assert "weights_only=False" not in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.ones(2)], "holds a list"),
        ({1: torch.ones(2)}, "holds a dict"),
        ({"state_dict": STATE, "epoch": 3}, "not plain tensors: state_dict, epoch"),
        ({"a": torch.eye(3).to_sparse()}, "not plain tensors: a"),
        ({"a": torch.empty(3, device="meta")}, "not plain tensors: a"),
    ],
)
def test_pytorch_files_that_are_no_state_dict(tmp_path: Path, content: object, words: str) -> None:
    torch.save(content, tmp_path / "pytorch_model.bin")
    assert words in refusal(tmp_path / "pytorch_model.bin")


def test_parameters_are_read_as_tensors(tmp_path: Path) -> None:
    torch.save({"a": torch.nn.Parameter(torch.ones(3))}, tmp_path / "model.pt")
    assert type(weights.read(tmp_path / "model.pt")["a"]) is torch.Tensor


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ([], "has no weight_map"),
        ({}, "has no weight_map"),
        ({"weight_map": {}}, "has no weight_map"),
        ({"weight_map": {"a": 3}}, "has no weight_map"),
        ({"weight_map": {"a": "../x.safetensors"}}, "names the file '../x.safetensors'"),
        ({"weight_map": {"a": "/etc/x.safetensors"}}, "names the file '/etc/x.safetensors'"),
        ({"weight_map": {"a": "sub/x.safetensors"}}, "names the file 'sub/x.safetensors'"),
        ({"weight_map": {"a": "..\\x.safetensors"}}, "names the file"),
        ({"weight_map": {"a": "pytorch_model.bin"}}, "names the file 'pytorch_model.bin'"),
        ({"weight_map": {"a": ".."}}, "names the file '..'"),
        (
            {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}},
            "names shards that are not there: model-1-of-2.safetensors, model-2-of-2.safetensors",
        ),
    ],
)
def test_unusable_indexes(tmp_path: Path, mapping: object, words: str) -> None:
    assert words in refusal(index(tmp_path, mapping))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a usable index"),
        ('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "it has a twice"),
        ("[" * 100_000, "is not a usable index"),
        ("\xff", "is not a usable index"),
    ],
)
def test_indexes_that_are_not_json(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_bytes(text.encode("latin-1"))
    assert words in refusal(tmp_path / "model.safetensors.index.json")


def test_shards_that_contradict_the_index(tmp_path: Path) -> None:
    save_file({"a": STATE["a"]}, tmp_path / "model-1-of-2.safetensors")
    save_file({"a": STATE["a"], "b": STATE["b"]}, tmp_path / "model-2-of-2.safetensors")
    where = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    assert "another shard holds too: a" in refusal(index(tmp_path, {"weight_map": where}))
    save_file({"c": STATE["b"]}, tmp_path / "model-2-of-2.safetensors")
    assert "its shards lack: b" in refusal(index(tmp_path, {"weight_map": where}))


def test_preference_is_transformers_own(tmp_path: Path) -> None:
    for name in reversed(weights.FILE_NAMES):
        (tmp_path / name).touch()
        assert weights.find(tmp_path).name == name


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        (["README.md", "tf_model.h5"], []),
        (["pytorch_model.bin", "model.safetensors", "onnx/model.onnx"], ["model.safetensors"]),
        (["pytorch_model.bin", "flax_model.msgpack"], ["pytorch_model.bin"]),
        (
            [
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "pytorch_model-00001-of-00001.bin",
                "pytorch_model.bin",
            ],
            [
                "model.safetensors.index.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
            ],
        ),
    ],
)
def test_of_a_repository_only_one_set_of_weights_is_wanted(present: list[str], wanted: list[str]) -> None:
    assert weights.select_files(present) == wanted


def test_writing_to_a_full_disk_is_the_systems_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        weights.write(tmp_path / "model.safetensors", STATE)
    assert caught.value.errno == 28
