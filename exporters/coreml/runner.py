"""A Core ML package opened and run: by Core ML on a Mac, by the evaluator elsewhere."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from exporters.coreml.mil import program as mil
from exporters.errors import InputError, UnavailableError
from exporters.spec import ComputedBy
from exporters.tensors import length_of

if TYPE_CHECKING:
    from exporters.arrays import Array


RUNTIMES = ("coreml", "mil-evaluator")


INPUT = "inputs"


ROWS = (
    "input_rows"  # user-defined metadata: the names of the rows of INPUT, in order, with commas between them
)


@dataclass(frozen=True)
class CoreMLRunner:
    """A loaded package, by Core ML itself or by the evaluator."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lengths: tuple[int, ...]
    computed_by: ComputedBy
    compute: Callable[[Array], Mapping[str, Array]]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for one row: name -> (1, length) int32 in, name -> float32 out.

        Raises:
            InputError: other inputs than the artifact has, or a length that it does not have.
        """
        length_of(inputs, self.inputs, self.lengths)
        # rows of (1, S) -> (1, rows, S)
        packed = np.stack([inputs[name] for name in self.inputs], axis=1)
        computed = self.compute(packed)
        return {name: np.asarray(computed[name], np.float32) for name in self.outputs}


def load(path: Path, *, threads: int = 1, runtime: str | None = None) -> CoreMLRunner:
    """Open a package.

    Args:
        path: as written by `export`.
        threads: of the evaluator; Core ML has no such setting.
        runtime: one of RUNTIMES; by default Core ML itself on macOS, the evaluator elsewhere.

    Raises:
        InputError: no threads, an unknown runtime, or a package that is damaged or was not written here.
        UnavailableError: Core ML was asked for, and is not here or does not load the package.
    """
    if threads < 1:
        raise InputError(f"{threads} threads", allowed="1 or more")
    on_mac = sys.platform == "darwin"
    chosen = runtime or ("coreml" if on_mac else "mil-evaluator")
    if chosen not in RUNTIMES:
        raise InputError(f"Core ML has no runtime '{chosen}'", allowed=", ".join(RUNTIMES))
    if chosen == "coreml" and not on_mac:
        raise UnavailableError("Core ML runs on macOS only", hint="a Mac, or the runtime 'mil-evaluator'")
    file = mil.model_file(path)
    model = mil.read_model(file)
    program = mil.Program(model, file.parent)
    description = model.description
    if ROWS not in description.metadata.userDefined:
        raise InputError(f"{path} does not say what the rows of its input are", hint="export it again")
    array = description.input[0].type.multiArrayType
    shapes = [entry.shape for entry in array.enumeratedShapes.shapes] or [array.shape]
    return CoreMLRunner(
        inputs=tuple(description.metadata.userDefined[ROWS].split(",")),
        outputs=tuple(output.name for output in description.output),
        lengths=tuple(sorted(shape[-1] for shape in shapes)),
        computed_by="runtime" if chosen == "coreml" else "mil-evaluator",
        compute=_core_ml(path) if chosen == "coreml" else _evaluator(program, threads),
    )


def _core_ml(path: Path) -> Callable[[Array], Mapping[str, Array]]:
    """Core ML itself, on the CPU: it computes fp32 programs in float32, and alike on every Mac."""
    ct = mil.import_coremltools()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # MLModel says so when Core ML refuses a package
            model = ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.CPU_ONLY)
        model.get_compiled_model_path()  # raises where this macOS is too old for the package
    except Exception as error:
        raise UnavailableError(
            f"Core ML on this Mac does not load {path}: {error}",
            hint="a newer macOS, or the runtime 'mil-evaluator'",
        ) from error
    return lambda packed: model.predict({INPUT: packed})


def _evaluator(program: mil.Program, threads: int) -> Callable[[Array], Mapping[str, Array]]:
    def compute(packed: Array) -> Mapping[str, Array]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            outputs = program({INPUT: torch.from_numpy(packed)})
        finally:
            torch.set_num_threads(before)
        return {name: output.numpy() for name, output in outputs.items()}

    return compute
