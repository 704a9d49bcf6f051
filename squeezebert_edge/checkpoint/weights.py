"""Weight files to named tensors: safetensors, PyTorch's weights_only loader, and shards of either.

Nothing here unpickles an object: a .bin file that holds anything but tensors is refused before it runs.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from exporters.errors import InputError, quote
from squeezebert_edge.plumbing.reading import decode, open_regular, parse_json, read_bytes

# As transformers prefers them (transformers/modeling_utils.py).
FILE_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
ADAPTER = "adapter_config.json"
INDEX_SUFFIX = ".index.json"
TORCH_SUFFIXES = (".bin", ".pt", ".pth")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES, INDEX_SUFFIX)

_SHARD = re.compile(r"(?:pytorch_)?model-\d+-of-\d+\.(?:safetensors|bin)")
_AGAIN = "fetch the file again, or save the model again"

# How files begin that are often found in the place of weights.
_IMPOSTORS = (
    (
        re.compile(rb"version https://git-lfs"),
        "is a Git LFS pointer: a note of where the weights are, not the weights",
        "git lfs pull, in the clone it came from",
    ),
    (
        re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE),
        "is an HTML or XML page, not weights",
        "fetch the file itself, not the page that shows it",
    ),
)


def find(directory: Path) -> Path:
    """The weight file, or the index of shards, that a checkpoint directory is read from.

    Raises:
        InputError: there is none.
    """
    present = sorted(entry.name for entry in directory.iterdir())
    refuse_adapter(str(directory), present)
    for name in FILE_NAMES:
        if (directory / name).is_file():
            return directory / name
    inner = [name for name in present if any((directory / name / file).is_file() for file in FILE_NAMES)]
    if inner:
        # A Trainer's are numbered by their steps.
        last = max(inner, key=lambda name: (int("0" + re.sub(r"\D", "", name)[:18]), name))
        raise InputError(
            f"{directory} has no weights itself: it holds checkpoints, {list_names(inner)}",
            allowed="one of them",
            hint=f"name it, such as the last, {directory / last}",
        )
    raise InputError(
        f"{directory} has no weights: it holds {', '.join(present[:10]) or 'nothing'}"
        + (", ..." if len(present) > 10 else ""),
        allowed=" or ".join(FILE_NAMES),
        hint="save the model there with save_pretrained; weights of TensorFlow or Flax are not read",
    )


def refuse_adapter(name: str, present: Collection[str]) -> None:
    """Raise InputError if an adapter is among the files of a directory or a repository.

    transformers loads it there too, with the model that it names.
    """
    if ADAPTER in present and {*FILE_NAMES} & {*present}:
        raise InputError(
            f"{name} has an adapter (PEFT) beside weights, and does not say whether they have it in them",
            allowed="a whole checkpoint",
            hint=f"remove {ADAPTER} there if it is merged already, or name a directory of weights alone",
        )
    if ADAPTER in present:
        raise InputError(
            f"{name} is an adapter (PEFT): what was learned beside a model, and not the model",
            allowed="a whole checkpoint",
            hint="merge it with the model that it was trained on, and name what that writes: in Python "
            f"PeftModel.from_pretrained(MODEL, {name!r}).merge_and_unload().save_pretrained(DIRECTORY)",
        )


def select_files(names: Iterable[str]) -> list[str]:
    """Of a repository's file names, those that `find` and `files` would read; empty if it has no weights."""
    names = sorted(names)
    first = next((name for name in FILE_NAMES if name in names), None)
    if first is None:
        return []
    if not first.endswith(INDEX_SUFFIX):
        return [first]
    suffix = first.removesuffix(INDEX_SUFFIX).rpartition(".")[2]
    return [first, *(name for name in names if _SHARD.fullmatch(name) and name.endswith(suffix))]


def files(path: Path) -> list[Path]:
    """The files that hold the tensors: `path` itself, or the shards that an index names, by name.

    Raises:
        InputError: not a known kind of file, an unusable index, or shards that are not there.
    """
    if not path.name.endswith(SUFFIXES):
        raise InputError(
            f"{path} is not a weight file", allowed=", ".join(f"*{suffix}" for suffix in SUFFIXES)
        )
    if not path.name.endswith(INDEX_SUFFIX):
        return [path]
    shards = [path.parent / name for name in sorted(set(_weight_map(path).values()))]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise InputError(
            f"{path} names shards that are not there: {', '.join(missing)}",
            hint="fetch every shard of the checkpoint into the same directory",
        )
    return shards


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file or an index's shards, as they are stored.

    Tensors of a safetensors file are views of the mapped file: copy what is to outlive it.

    Raises:
        InputError: empty, truncated or damaged files, other things in their place, a name in two shards.
    """
    tensors: dict[str, Tensor] = {}
    for file in files(path):
        shard = _read_one(file)
        doubled = sorted(tensors.keys() & shard.keys())
        if doubled:
            raise InputError(
                f"{file} holds weights that another shard holds too: {list_names(doubled)}", hint=_AGAIN
            )
        tensors |= shard
    if path.name.endswith(INDEX_SUFFIX):
        absent = sorted(_weight_map(path).keys() - tensors.keys())
        if absent:
            raise InputError(f"{path} names weights that its shards lack: {list_names(absent)}", hint=_AGAIN)
    return tensors


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file as transformers does.

    Raises:
        OSError: it cannot be written.
    """
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
        path.chmod(0o644)  # the library writes it for its owner alone
    except SafetensorError as error:
        # All that can fail here is the disk; the library hides the system's error in its own words.
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def sha256(tensors: Mapping[str, Tensor]) -> str:
    """The hash of named tensors, in whatever file, order and floating-point type they are stored.

    sha256 over each tensor in the order of the names: a line with its name and shape, then its values as
    float32.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def count_weights(number: int) -> str:
    """`number` weights, in words."""
    return "1 weight" if number == 1 else f"{number} weights"


def list_names(names: Iterable[str], limit: int = 20) -> str:
    """Names in a sentence, the first `limit` of them."""
    names = list(names)
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f", and {rest} more" if rest > 0 else "")


def _weight_map(index: Path) -> dict[str, str]:
    """An index's weight name -> file name, each a plain name in the index's own directory."""
    content = read_bytes(index)
    try:
        document = parse_json(decode(content, "it"), "it", unique=True)
    except InputError as error:
        raise InputError(f"{index} is not a usable index: {error.problem}", hint=_AGAIN) from None
    mapping = document.get("weight_map") if isinstance(document, dict) else None
    if (
        not isinstance(mapping, dict)
        or not mapping
        or not all(isinstance(name, str) for name in mapping.values())
    ):
        raise InputError(
            f"{index} has no weight_map", allowed='{"weight_map": {weight: file, ...}}', hint=_AGAIN
        )
    suffix = index.name.removesuffix(INDEX_SUFFIX).rpartition(".")[2]
    for name in mapping.values():
        if name != PurePosixPath(name).name or "\\" in name or not name.endswith(f".{suffix}"):
            raise InputError(
                f"{index} names the file {quote(name)}",
                allowed=f"names of .{suffix} files in the same directory",
            )
    return mapping


def _read_one(path: Path) -> dict[str, Tensor]:
    with open_regular(path) as file:
        start = file.read(64)
    if not start:
        raise InputError(f"{path} is empty", hint=_AGAIN)
    for beginning, problem, hint in _IMPOSTORS:
        if beginning.match(start):
            raise InputError(f"{path} {problem}", hint=hint)
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, MemoryError) as error:
        raise InputError(
            f"{path} is truncated, damaged or no safetensors file: {error}", hint=_AGAIN
        ) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(
            action="ignore"
        ):  # about odd files; what cannot be read is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes lead the unpickler to errors of every kind
        asked_for = re.search(r"GLOBAL (\S+)", str(error))
        reason = (
            f"asks for the Python object {asked_for[1]}"
            if asked_for
            else "is truncated, damaged, or a pickle of another kind"
        )
        raise InputError(
            f"{path} {reason} ({type(error).__name__})",
            allowed="tensors by name, as torch.load(weights_only=True) reads them; nothing else is unpickled",
            hint="save it again from its source: model.save_pretrained(DIRECTORY) writes safetensors",
        ) from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise InputError(f"{path} holds a {type(content).__name__}", allowed="a state dict: weights by name")
    odd = [name for name, value in content.items() if not _is_plain(value)]
    if odd:
        raise InputError(
            f"{path} holds things that are not plain tensors: {list_names(odd)}",
            allowed="a state dict: weights by name",
            hint="of a training checkpoint, save the model's own state_dict()",
        )
    return {name: value.detach() for name, value in content.items()}


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )
