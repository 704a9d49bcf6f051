"""What is chosen where a user does not choose: the form of the network, and what `int8` means.

Decided by measurement, on the machine that each entry names; padding must never change an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

import exporters
from exporters.errors import InputError, quote
from exporters.precision import Precision
from squeezebert_edge.forms.catalog import form_named
from squeezebert_edge.plumbing.reading import read_record
from squeezebert_edge.plumbing.staging import write_whole

if TYPE_CHECKING:
    from torch import nn

INPUTS = ("input_ids", "attention_mask", "token_type_ids")  # of every form, in this order
NEURAL_ENGINE = ("neural-engine", "neural-engine-groups")  # forms whose programs must suit it

# Parts that stay float, in any form. A calibrated scale would clip the logits, and the last product is too
# small to matter. Where 16 values serve a whole weight, as in iOS 17's 4 bits, the pooler too costs the
# outputs much for its size.
LAST_PRODUCTS = ("classifier", "qa_outputs")
NO_PALETTE = ("pooler", *LAST_PRODUCTS)

HERE = "AMD EPYC with AVX-512 VNNI, 2 cores, Linux"
NOT_MEASURED = "no Mac or iPhone has measured yet"
WHOLE = "GPU and NPU take it whole, in the fewest operators of the NPU's own; no phone has measured it yet"
LIKE_FLOAT32 = "what is fastest in float32; no processor that computes in float16 has measured it yet"
STRUCTURE = f"the structure of the program, for {NOT_MEASURED}"


@dataclass(frozen=True)
class Choice:
    """An exact precision or a form, and what decided for it."""

    name: str
    decided_by: str


# What `int8` stands for in a format: padding-safe, then the fastest that meets the gates, so in this order.
INT8 = {
    "executorch": (Choice("int8-dynamic", HERE), Choice("int8-static", HERE)),
    "tflite": (Choice("int8-dynamic", HERE), Choice("int8-static", HERE)),
    "coreml": (Choice("int8-weights", NOT_MEASURED), Choice("int8-static", NOT_MEASURED)),
}

# The float that a format ships in, where that is not fp32; on an NPU it is fp16 everywhere.
FLOATS = {"coreml": "fp16"}

# Run-time scales are per row for linear layers only, alone or batched, so that no form with convolutions is
# safe from the padding. LiteRT computes batched products faster, and quantizes them at run time only; XNNPACK
# under ExecuTorch computes them several times slower. Core ML quantizes no activation at run time.
FORMS_BY_PRECISION = {
    ("executorch", "fp32"): Choice("group-resident", HERE),
    ("executorch", "fp16"): Choice("group-resident", LIKE_FLOAT32),
    ("executorch", "int8-dynamic"): Choice("group-resident", HERE),
    ("executorch", "int8-static"): Choice("group-resident", HERE),
    ("executorch", "int4"): Choice("group-resident", HERE),
    ("tflite", "fp32"): Choice("group-batched", HERE),
    ("tflite", "fp16"): Choice("conv2d", WHOLE),
    ("tflite", "int8-dynamic"): Choice("group-batched", HERE),
    ("tflite", "int8-static"): Choice("group-resident", HERE),
    ("tflite", "int16x8"): Choice("conv2d", WHOLE),
    ("tflite", "int4"): Choice("group-resident", HERE),
    ("coreml", "fp32"): Choice("neural-engine", STRUCTURE),
    ("coreml", "fp16"): Choice("neural-engine", STRUCTURE),
    ("coreml", "int8-weights"): Choice("neural-engine", STRUCTURE),
    ("coreml", "int4-weights"): Choice("neural-engine", STRUCTURE),
    ("coreml", "int8-static"): Choice("neural-engine-groups", STRUCTURE),  # a scale for each group
}
FOR_NPUS = Choice("conv2d", WHOLE)  # of what is made for an NPU alone
# LiteRT's GPU adds what each of several groups has of its own, such as this form's biases, wrongly; XNNPACK
# multiplies no batch of float16 by weights.
BATCHED = "group-batched"
IN_ITS_PLACE = {
    "gpu": Choice("group-resident", f"the GPU gets {BATCHED} wrong: docs/npu_faults.md"),
    "cpu-fp16": Choice("group-resident", f"XNNPACK refuses {BATCHED} in float16"),
}
PLAIN = Choice("plain", "nothing has measured another")

Forms = Mapping[tuple[str, str], Choice]  # of a format and an exact precision


def float_of(format_: str, *, for_npu: bool = False) -> str:
    """The float precision that one would ship in a format."""
    return "fp16" if for_npu else FLOATS.get(format_, "fp32")


def exact_precisions(format_: str, precision: str) -> tuple[Choice, ...]:
    """The precisions that a name may stand for in a format: the first that passes its proof is taken."""
    if precision == "int8" and format_ in INT8:
        return INT8[format_]
    return (Choice(precision, "the user"),)


def exact_precision(format_: str, precision: str) -> Choice:
    """The precision that a name stands for in a format, if that passes its proof."""
    return exact_precisions(format_, precision)[0]


def form_of(format_: str, exact: str, forms: Forms = FORMS_BY_PRECISION) -> Choice:
    """The form that suits a format and an exact precision."""
    return forms.get((format_, exact), PLAIN)


def float_parts(module: nn.Module, precision: Precision, target: str | None) -> Iterator[str]:
    """The submodules of a form that a precision leaves in float, by dotted name.

    Args:
        target: the oldest system that the artifact must run on, where its format has such a choice.
    """
    kept: tuple[str, ...] = LAST_PRODUCTS if precision.calibrated and not precision.for_npus else ()
    if target in precision.palette_targets:
        kept = NO_PALETTE
    return (name for name, _ in module.named_modules() if name.rpartition(".")[2] in kept)


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trial(_Record):
    """A form that was tried for a format and an exact precision.

    excluded: why it could not be chosen; null if it could.
    rounds_ns: its latency in each round, in nanoseconds; empty if it was not measured.
    """

    format: str
    precision: str
    form: str
    excluded: str | None
    rounds_ns: list[int]


class Measured(_Record):
    """What forms were chosen by.

    time: when it was written, UTC, ISO 8601.
    lengths: of the artifacts. texts: what was asked, by its source's name.
    protocol: of each run, by name. runner: what called the runtime. threads: null left them to the device.
    """

    time: str
    checkpoint: str
    checkpoint_sha256: str
    lengths: list[int]
    texts: str
    protocol: str
    runner: str
    threads: int | None
    trials: list[Trial]


class FormsFile(_Record):
    """Forms that a device chose.

    device: in words. forms: of each format, by exact precision.
    measured: what they were chosen by; null where they were written by hand.
    """

    schema_version: Literal[1] = 1
    device: str
    forms: dict[str, dict[str, str]]
    measured: Measured | None = None


def read_forms(path: Path) -> Forms:
    """The default forms, those of a file in the place of theirs.

    Raises:
        InputError: not such a file, or it names what there is not.
    """
    found = read_record(
        path,
        TypeAdapter(FormsFile),
        allowed="a file of forms",
        hint="squeezebert-edge tune CHECKPOINT --device DEVICE writes one",
    )
    chosen = {}
    for format_, names in found.forms.items():
        precisions = exporters.format_named(format_).precisions
        for exact, form in names.items():
            if exact not in precisions:
                raise InputError(
                    f"{path}: {format_} has no precision {quote(exact)}", allowed=", ".join(precisions)
                )
            form_named(form)
            chosen[format_, exact] = Choice(form, found.device)
    return {**FORMS_BY_PRECISION, **chosen}


def write_forms(forms: FormsFile, path: Path) -> None:
    """Write a file for `read_forms`, in place of one that is there.

    Raises:
        CannotWriteError: nothing can be written there.
    """
    write_whole(path, forms.model_dump_json(indent=2) + "\n")
