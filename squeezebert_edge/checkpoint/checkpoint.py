"""Checkpoints in Hugging Face's layout: read strictly into config, model and tokenizer, and written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exporters.errors import InputError
from exporters.spec import Ranges
from squeezebert_edge.checkpoint import hub, matching, weights
from squeezebert_edge.checkpoint.ranges import read, write
from squeezebert_edge.model import complexity
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.plumbing.reading import open_regular
from squeezebert_edge.plumbing.staging import stage_directory
from squeezebert_edge.tasks.heads import TASKS
from squeezebert_edge.text.tokenizer import Tokenizer

DEFAULT = "default"

_BARE = "SqueezeBertModel"
_LABELLED = ("SqueezeBertForSequenceClassification", "SqueezeBertForTokenClassification")
_CLASSIFIERS = (*_LABELLED, "SqueezeBertForMultipleChoice")
_USE_BARE = f"--task feature-extraction (in Python architecture='{_BARE}') takes the model without a head"
_AGAIN = "fetch config.json and weights again from one checkpoint, or correct config.json"
_HUB_ID = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>.+))?")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    config: of the model as it was loaded; its `architectures` names that model.
    model: in eval mode, in float32.
    source: as the user named it.
    sha256: of the content, as `content_sha256` takes it.
    accepted: in words, each departure from a plain checkpoint that was taken in.
    ranges: of activations, by product, where quantization-aware training learned some.
    """

    config: SqueezeBertConfig
    model: SqueezeBertPreTrainedModel
    tokenizer: Tokenizer
    source: str
    sha256: str
    accepted: tuple[str, ...] = ()
    ranges: Mapping[str, Ranges] = field(default_factory=dict)


def load_checkpoint(
    source: str | Path,
    *,
    architecture: str | None = None,
    for_training: bool = False,
    labels: Sequence[str] | None = None,
) -> Checkpoint:
    """Load a checkpoint; every weight must be there once, in its shape, and no other.

    Args:
        source: a directory; a weight file or index in one; a hub id, owner/name or owner/name@revision (a
            str that looks like one and is not a path here); or "default", the embedded model.
        architecture: a name in model.ARCHITECTURES; by default the one that the config names.
        for_training: where the head's weights are absent or another task's, draw new ones from torch's
            global generator.
        labels: the classes to train for; if they are not the checkpoint's own, the head is a new one.

    Raises:
        InputError: no such checkpoint, an unsound one, or one without the head that is asked for.
        UnavailableError: a hub id, and the hub cannot be reached.
    """
    try:
        file = locate(source)
        config = SqueezeBertConfig.from_file(file.parent / hub.CONFIG_FILE)
        tokenizer = Tokenizer.from_directory(file.parent)
        accepted = check_vocabulary(tokenizer, config, file.parent)
        stored, prefix = matching.without_prefix(weights.read(file))
        if prefix:
            accepted.append(f"all weights' names begin with '{prefix}': it is left out")
        name = choose_architecture(architecture, config, stored, file.parent)
        if labels is not None:
            _check_new_labels(name, file.parent, for_training=for_training)
        new_head = _why_new_head(name, config, stored, labels)
        if new_head and not for_training:
            raise InputError(
                f"{file.parent} has no head for {name}: {new_head}",
                allowed=f"a checkpoint with the head's weights; {_USE_BARE}",
                hint=_how_to_train(name, file.parent),
            )
        config = _config_to_load(config, name, labels)
        model, matched = build(name, config, stored, file, new_head=bool(new_head))
        sha256 = content_sha256(file.parent / hub.CONFIG_FILE, weights.files(file), tokenizer)
        ranges = read(file.parent) or {}
    except OSError as error:
        raise InputError(f"{error.filename or source} cannot be read: {error.strerror}") from error
    if name == _LABELLED[0] and config.problem_type is None and config.num_labels == 1:
        matched.append("config.json has one label and no problem_type: the output is a number (regression)")
    if new_head:
        matched.append(f"the head of {name} is new, to be trained: {new_head}")
    return Checkpoint(config, model, tokenizer, str(source), sha256, (*accepted, *matched), ranges)


def save_checkpoint(
    directory: str | Path,
    *,
    config: SqueezeBertConfig,
    model: SqueezeBertPreTrainedModel,
    tokenizer: Tokenizer,
    dtype: torch.dtype = torch.float32,
    ranges: Mapping[str, Ranges] | None = None,
    force: bool = False,
) -> None:
    """Write a directory that `load` and transformers' from_pretrained read to the same model.

    It appears whole or not at all. Weights that are tied are written once.

    Args:
        directory: what will exist.
        dtype: torch.float32, or torch.float16 for half the size and rounded weights.
        ranges: of activations, by product, which quantization.json holds beside the weights.
        force: replace a checkpoint that is there.

    Raises:
        InputError: the directory exists, it cannot be written, or a weight is not finite in `dtype`.
    """
    if dtype not in (torch.float32, torch.float16):
        raise InputError(f"weights cannot be saved as {dtype}", allowed="torch.float32, torch.float16")
    state, groups = _own_weights(model)
    tensors = {group[0]: state[group[0]].detach().to("cpu", dtype).contiguous() for group in groups}
    unfit = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if unfit:
        raise InputError(
            f"not every weight is finite as {dtype}: {weights.list_names(unfit)}",
            hint="float16 ends at 65504: save as torch.float32" if dtype == torch.float16 else None,
        )
    extra = {key: value for key, value in config.extra.items() if key != "torch_dtype"}
    extra["dtype"] = str(dtype).removeprefix("torch.")
    written = replace(config, architectures=[type(model).__name__], extra=extra)
    with stage_directory(Path(directory), marker=hub.CONFIG_FILE, force=force) as staging:
        written.save(staging / hub.CONFIG_FILE)
        tokenizer.save(staging)
        weights.write(staging / weights.FILE_NAMES[0], tensors)
        if ranges is not None:
            write(staging, ranges)


def lasting_name(source: str) -> str:
    """A source as it is remembered: what is a path here must not be a hub id in another directory."""
    is_path = source != DEFAULT and os.path.exists(source)
    return f"./{source}" if is_path and _HUB_ID.fullmatch(source) else source


def content_sha256(config_file: Path, weight_files: Sequence[Path], tokenizer: Tokenizer) -> str:
    """The hash that says whether two checkpoints are the same, wherever they lie and however they are named.

    sha256 over four parts, each after a line with its name and length in bytes: config.json as it is; the
    weight files as they are, shards in the order of their names; the vocabulary, a word a line; the
    tokenizer's flags as a manifest holds them. A fifth part before the vocabulary, where it is there, is
    quantization.json. Other files change nothing.
    """
    digest = hashlib.sha256()
    files = [("config", config_file), *(("weights", path) for path in weight_files)]
    learned = config_file.with_name(hub.RANGES_FILE)
    if learned.is_file():
        files.append(("ranges", learned))
    for name, path in files:
        digest.update(f"{name} {path.stat().st_size}\n".encode())
        with open_regular(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    vocabulary = "".join(f"{word}\n" for word in tokenizer.vocab)
    flags = json.dumps(tokenizer.flags.to_manifest(), sort_keys=True)
    for name, text in (("vocabulary", vocabulary), ("tokenizer", flags)):
        digest.update(f"{name} {len(text.encode())}\n{text}".encode())
    return digest.hexdigest()


def locate(source: str | Path) -> Path:
    """The weight file or index that `source` stands for; config and vocabulary lie beside it."""
    if source == DEFAULT:
        return weights.find(Path(str(resources.files("squeezebert_edge"))) / "assets" / DEFAULT)
    path = Path(source)
    if str(source) and path.is_dir():
        return weights.find(path)
    if path.is_file():
        return path
    hub_id = _HUB_ID.fullmatch(source) if isinstance(source, str) else None
    if hub_id is None or path.name.endswith(weights.SUFFIXES) or path.exists():
        raise InputError(
            f"{str(source)!r} is not a directory",
            allowed=f"a directory in Hugging Face's layout, a hub id (owner/name), or '{DEFAULT}'",
        )
    return weights.find(hub.fetch(hub_id["repository"], hub_id["revision"]))


def check_vocabulary(tokenizer: Tokenizer, config: SqueezeBertConfig, directory: Path) -> list[str]:
    """What was accepted about a vocabulary beside its config; refused where words have no embeddings."""
    words, rows = len(tokenizer.vocab), config.vocab_size
    if words > rows:
        raise InputError(
            f"{directory}: the vocabulary has {words} words, but config.json's vocab_size is {rows}",
            allowed=f"at most {rows} words, so that each has a row of the embeddings",
            hint="take the vocabulary that the model was trained with",
        )
    pad = tokenizer.special_ids["pad"]
    if config.pad_token_id in (None, pad):
        return []
    return [f"config.json's pad_token_id is {config.pad_token_id}; padding uses the vocabulary's, {pad}"]


def choose_architecture(
    asked: str | None, config: SqueezeBertConfig, stored: Mapping[str, Tensor], directory: Path
) -> str:
    """The architecture to load."""
    if asked is not None:
        if asked not in ARCHITECTURES:
            raise InputError(f"there is no architecture {asked!r}", allowed=", ".join(ARCHITECTURES))
        return asked
    recorded = config.architectures[0] if config.architectures else "none"
    if recorded in ARCHITECTURES and recorded != _BARE:
        return recorded
    held = [matching.HEADS[head] for head in matching.heads_in(stored)]
    holds = f"those of a {' and a '.join(held)} head" if held else "those of no head at all"
    raise InputError(
        f"{directory} does not say which head it has: config.json's architectures names {recorded}, and the "
        f"weights are {holds}",
        allowed="; ".join(
            f"--task {name} (in Python architecture='{task.architecture}')" for name, task in TASKS.items()
        ),
        hint=" or ".join(
            f"--task {name}" for name, task in TASKS.items() if _fits(task.architecture, config, stored)
        )
        if held
        else f"{_USE_BARE}; {_how_to_train(_LABELLED[0], directory)}",
    )


def _fits(name: str, config: SqueezeBertConfig, stored: Mapping[str, Tensor]) -> bool:
    """Whether an architecture's head is among the stored weights, with as many outputs as it has."""
    outputs = config.num_labels if name in _LABELLED else 1
    classifier = stored.get("classifier.bias")
    return matching.HEAD_OF[name] in matching.heads_in(stored) and (
        name not in _CLASSIFIERS or classifier is None or len(classifier) == outputs
    )


def _how_to_train(name: str, directory: Path) -> str:
    """What to do for a head that is not there."""
    if name == _LABELLED[0]:
        source = shlex.quote(str(directory))
        return f"train one: squeezebert-edge train TRAIN_TSV --from {source} --out DIRECTORY"
    return f"train one with transformers: {name}.from_pretrained({str(directory)!r}), and save_pretrained"


def _why_new_head(
    name: str, config: SqueezeBertConfig, stored: Mapping[str, Tensor], labels: Sequence[str] | None
) -> str | None:
    """Why the checkpoint's own weights cannot be the head's, in words; None if they can."""
    head = matching.HEAD_OF[name]
    if head is not None and head not in matching.heads_in(stored):
        return f"it holds no weights {head}*"
    recorded = config.architectures[0] if config.architectures else name
    if head is not None and recorded != name and matching.HEAD_OF.get(recorded) == head:
        return f"its weights {head}* are those of {recorded}"
    own_labels = [config.id2label[index] for index in range(config.num_labels)]
    if labels is not None and list(labels) != own_labels:
        return f"its labels are {weights.list_names(own_labels)}, not {weights.list_names(labels)}"
    return None


def _check_new_labels(name: str, directory: Path, *, for_training: bool) -> None:
    if not for_training:
        raise InputError(
            "new labels need a new head, and this one is not to be trained",
            hint=_how_to_train(name, directory),
        )
    if name not in _LABELLED:
        raise InputError(f"{name} has no labels of its own", allowed=" or ".join(_LABELLED))


def _config_to_load(config: SqueezeBertConfig, name: str, labels: Sequence[str] | None) -> SqueezeBertConfig:
    """The config of the model that is made: its class, and the labels it is to learn."""
    config = replace(config, architectures=[name])
    if labels is None or list(labels) == [config.id2label[index] for index in range(config.num_labels)]:
        return config
    # The kind of problem follows from the new labels, unless the training says otherwise.
    config = replace(config, id2label=dict(enumerate(labels)), label2id={}, problem_type=None)
    config.validate()
    return config


def build(
    name: str, config: SqueezeBertConfig, stored: Mapping[str, Tensor], file: Path, *, new_head: bool
) -> tuple[SqueezeBertPreTrainedModel, list[str]]:
    """The model with the stored weights, and what was accepted in them."""
    _refuse_giant(name, config, stored, file)
    with nullcontext() if new_head else _KeepMemory():
        model = ARCHITECTURES[name](config)
    state, groups = _own_weights(model)
    expected = {key: value for key, value in state.items() if not new_head or key.startswith(matching.BASE)}
    tied = [names for group in groups if len(names := [key for key in group if key in expected]) > 1]
    found = matching.match(stored, expected, tied, config)
    if found.problems:
        raise InputError(
            "\n  ".join([f"{file} does not fit {name} as config.json describes it:", *found.problems]),
            allowed="every weight of the model once, in its shape, and no other",
            hint=_AGAIN,
        )
    tensors, converted = matching.to_float32(found.tensors, file)
    _put_tensors(model, tensors, groups)
    return model.float().eval(), [*found.accepted, *converted]


def _refuse_giant(name: str, config: SqueezeBertConfig, stored: Mapping[str, Tensor], file: Path) -> None:
    """Refuse a network that cannot be in the weights before it is made; any other is compared in detail."""
    described = complexity.total(complexity.count(config, 1, name)).parameters
    storages = [tensor.untyped_storage() for tensor in stored.values()]
    held = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    # A value takes two bytes at least. A layer has more than one tensor.
    if described > held or config.num_hidden_layers > len(stored):
        raise InputError(
            f"{file} does not fit {name} as config.json describes it: {config.num_hidden_layers:,} layers "
            f"and {described:,} weights, in {len(stored)} tensors of {held:,} bytes",
            allowed="every weight of the model once, in its shape, and no other",
            hint=_AGAIN,
        )


def _own_weights(model: nn.Module) -> tuple[dict[str, Tensor], list[list[str]]]:
    """A model's parameters and buffers by name, and the names grouped by the tensor they are names of."""
    state = model.state_dict(keep_vars=True)
    groups: dict[int, list[str]] = {}
    for name, tensor in state.items():
        groups.setdefault(id(tensor), []).append(name)
    return state, list(groups.values())


class _KeepMemory(TorchFunctionMode):
    """Models made inside keep the memory they are given as it is: their weights are about to be replaced.

    The generator stays untouched, and pages nobody writes take no memory. (The meta device would do as well,
    but drawing there imports torch._dynamo, which takes seconds.)
    """

    DRAWS = (Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in self.DRAWS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _put_tensors(
    model: SqueezeBertPreTrainedModel, tensors: Mapping[str, Tensor], groups: Sequence[Sequence[str]]
) -> None:
    """Make the tensors the model's own, without a copy, tied names sharing one."""
    state, _ = _own_weights(model)
    filled: dict[str, Tensor] = {}
    for group in groups:
        tensor = next((tensors[name] for name in group if name in tensors), None)
        if tensor is not None:
            shared = nn.Parameter(tensor) if isinstance(state[group[0]], nn.Parameter) else tensor
            filled |= dict.fromkeys(group, shared)
    model.load_state_dict(filled, strict=False, assign=True)
