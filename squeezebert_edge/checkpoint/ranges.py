"""quantization.json: the activation ranges that quantization-aware training learned, beside the weights.

A *product* is a linear layer of the group-resident form (forms/grouped.py), and has its name there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FiniteFloat, TypeAdapter, ValidationError
from torch import nn

from exporters.errors import InputError
from exporters.spec import Ranges
from squeezebert_edge.checkpoint import hub, weights
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.plumbing.reading import first_error, read_record

PRECISION: Literal["int8-static"] = "int8-static"

_AGAIN = "train --quantize again, or remove the file: the exporters then calibrate"


def _check_ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the least value, {limits[0]:g}, exceeds the greatest, {limits[1]:g}")
    return limits


Limits = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_check_ascending)]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ProductRanges(_StrictModel):
    """Least and greatest value of what goes into a product, and of what comes out."""

    input: Limits
    output: Limits


class Quantization(_StrictModel):
    """What the file holds.

    weights_sha256: of the weights that the ranges were learned with (weights.sha256).
    ranges: by product.
    """

    schema_version: Literal[1]
    precision: Literal["int8-static"]
    weights_sha256: str
    ranges: dict[str, ProductRanges]


_RECORD = TypeAdapter(Quantization)


def products(config: SqueezeBertConfig) -> dict[str, tuple[str, ...]]:
    """The products of a classifier that `int8-static` quantizes, one name per group, by the submodule of the
    model without its head that holds their weights.

    The query, key and value of a group are one product, and so have the same name, where the three have the
    same groups, each of whole heads. The classifier itself stays float.
    """
    groups = {"query": config.q_groups, "key": config.k_groups, "value": config.v_groups}
    fused = len(set(groups.values())) == 1 and config.num_attention_heads % config.q_groups == 0
    named: dict[str, tuple[str, ...]] = {}
    for number in range(config.num_hidden_layers):
        module, layer = f"encoder.layers.{number}", f"layers.{number}"
        parts = [(f"attention.{name}", "qkv" if fused else name, count) for name, count in groups.items()]
        parts += [
            ("post_attention.conv1d", "post_attention", config.post_attention_groups),
            ("intermediate.conv1d", "intermediate", config.intermediate_groups),
            ("output.conv1d", "output", config.output_groups),
        ]
        for part, name, count in parts:
            named[f"{module}.{part}"] = tuple(f"{layer}.{name}.{group}" for group in range(count))
    return named | {"pooler.dense": ("head.pooler",)}


def read(directory: Path) -> dict[str, Ranges] | None:
    """The ranges, by product, that a checkpoint directory carries; None if it carries none.

    Raises:
        InputError: the file is not of this kind, names products that the model does not have or limits that
            are not a range, or the weights have changed since.
    """
    path = directory / hub.RANGES_FILE
    if not os.path.lexists(path):
        return None
    found = read_record(
        path, _RECORD, allowed=f"what `train --quantize` writes: precision {PRECISION}", hint=_AGAIN
    )
    known = {name for names in products(SqueezeBertConfig.from_file(directory / hub.CONFIG_FILE)).values()
             for name in names}  # fmt: skip
    unknown = sorted(found.ranges.keys() - known)
    if unknown:
        raise InputError(
            f"{path}: the model has no {weights.list_names(unknown)}",
            allowed=f"products such as {', '.join(sorted(known)[:3])}",
            hint=_AGAIN,
        )
    if found.weights_sha256 != _weights_sha256(directory):
        raise InputError(f"{path}: the ranges were learned with other weights than these", hint=_AGAIN)
    return {name: Ranges(ranges.input, ranges.output) for name, ranges in found.ranges.items()}


def of_form(ranges: Mapping[str, Ranges], module: nn.Module) -> dict[str, Ranges]:
    """The ranges by the products that a form has, whose convolutions may stand for several that were learned.

    Queries, keys and values have a convolution each, `layers.3.qkv.query`, which takes in what the products
    `layers.3.qkv.<group>` do. One with groups takes in what all of them do together. For a convolution only
    the range of its input is given.
    """
    learned = {name: each.input for name, each in ranges.items() if each.input}
    found = {}
    for name, submodule in module.named_modules():
        if name in ranges:
            found[name] = ranges[name]
        elif isinstance(submodule, nn.Conv2d):
            layer, _, group = name.rpartition(".")
            groups = [group] if group.isdigit() else [str(number) for number in range(submodule.groups)]
            layers = (name, layer, layer.rpartition(".")[0])
            inputs = [learned[p] for g in groups for p in (f"{one}.{g}" for one in layers) if p in learned]
            if len(inputs) == len(groups):
                found[name] = Ranges((min(low for low, _ in inputs), max(high for _, high in inputs)))
    return found


def write(directory: Path, ranges: Mapping[str, Ranges]) -> None:
    """Write the ranges beside the weights that are in a directory.

    Raises:
        InputError: some limits are not a range.
    """
    try:
        record = Quantization(
            schema_version=1,
            precision=PRECISION,
            weights_sha256=_weights_sha256(directory),
            ranges={name: ProductRanges.model_validate(each._asdict()) for name, each in ranges.items()},
        )
    except ValidationError as error:
        raise InputError(f"these ranges cannot be stored: {first_error(error)}") from None
    (directory / hub.RANGES_FILE).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _weights_sha256(directory: Path) -> str:
    return weights.sha256(weights.read(weights.find(directory)))
