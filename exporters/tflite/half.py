"""The CPU computing in float16 what a model has in float32, by XNNPACK's flag to force it.

A processor with float16 adds up in float16 too. On x86 without it, XNNPACK rounds each value to float16 and
adds up in float32, in three times the time of float32. It refuses batched products with weights, which the
form group-batched has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import GateError, InputError, UnavailableError
from exporters.process import ProcessError, RunnerProcess
from exporters.processor import has_float16
from exporters.spec import Artifact, Delegation, ExportRequest, Tell, UnitArtifact
from exporters.units import CPU_FP16, Unit

if TYPE_CHECKING:
    from exporters.precision import Precision

NOT_SAID = "LiteRT's compiled model does not list what XNNPACK takes"
REFUSED = re.compile(r"failed to delegate (\w+) node")
NOT_HALF = "does not compute in float16"


def choose(name: str | None, precision: Precision) -> Sequence[Unit]:
    """The CPU in float16, of which there is one."""
    return [CPU_FP16]


def require(units: Sequence[Unit]) -> None:
    """Raise InputError if the runtime that has the flag is not installed."""
    if find_spec("ai_edge_litert") is None:
        raise InputError("ai-edge-litert is not installed", hint="pip install 'squeezebert-edge[tflite]'")


def export(
    request: ExportRequest, artifact: Artifact, units: Sequence[Unit], tell: Tell
) -> Iterator[tuple[Unit, UnitArtifact]]:
    """Say what the CPU runs in float16: the artifact itself."""
    yield (
        CPU_FP16,
        UnitArtifact(
            files=dict.fromkeys(request.lengths, artifact.path),
            arithmetic="float16",
            delegation=Delegation(None, None, reason=NOT_SAID),
            partitions=1,
            versions={"ai-edge-litert": version("ai-edge-litert")},
        ),
    )


def load(unit: Unit, files: Mapping[int, Path]) -> RunnerProcess:
    """Run a model in float16, in a process of its own: LiteRT ends the whole process where it goes wrong.

    Raises:
        UnavailableError: the runtime here does not compute in float16.
        GateError: XNNPACK refuses the model in float16.
    """
    (path,) = set(files.values())
    try:
        return RunnerProcess(
            "exporters.tflite.accelerator",
            [str(path), str(unit)],
            environment={},
            computed_by="runtime" if has_float16() else "float16-rounding",
        )
    except ProcessError as error:
        if NOT_HALF in str(error):
            raise UnavailableError(
                f"{path}: {error.problem}", hint="pip install -U ai-edge-litert, or leave --arithmetic out"
            ) from None
        refused = ", ".join(sorted(set(REFUSED.findall(error.log))))
        if not refused:
            raise
        raise GateError(
            f"XNNPACK does not compute the network's {refused} in float16",
            allowed="the forms group-resident, conv2d and plain",
            hint="export it again with --unit cpu-fp16",
        ) from None
