"""The constants of a package (.mlpackage), those that are stored compressed included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from exporters.arrays import Array
from exporters.constants import Constant, of_integers
from exporters.coreml.mil.program import Operation, Program, model_file, read_model
from exporters.coreml.mil.weights import QUANTIZATION

FLOATS = {"float16": 16, "float32": 32}


def constants(path: Path) -> Iterator[Constant]:
    """Every constant of numbers that the program's operations take.

    Raises:
        InputError: not a package, or its weights are damaged.
    """
    file = model_file(path)
    program = Program(read_model(file), file.parent)
    used = {name for step in program.operations for names in step.arguments.values() for name in names}
    inside = {
        name
        for step in program.operations
        if step.is_constant
        for names in step.arguments.values()
        for name in names
    }
    for name, value in program.constants.items():
        kind = program.types[name].dtype
        if name in used - inside and kind in FLOATS:
            yield Constant(name, cast("Tensor", value).numpy(), FLOATS[kind])
    for step in program.operations:
        if step.is_constant and step.results[0].name in used:
            yield _compressed(program, step)


def _compressed(program: Program, step: Operation) -> Constant:
    given = {name: cast("Tensor", program.constants[names[0]]) for name, names in step.arguments.items()}
    held = {name: value.numpy() for name, value in given.items()}
    (result,) = step.results
    match step.type:
        case "constexpr_affine_dequantize":
            stored = held["quantized_data"]
            shape = [1] * stored.ndim
            if held["scale"].size > 1:
                shape[int(held["axis"])] = held["scale"].size
            zeros = np.broadcast_to(held["zero_point"], held["scale"].shape).reshape(shape)
            made = of_integers(result.name, stored, 8, held["scale"].reshape(shape), zeros)
        case "constexpr_blockwise_shift_scale":
            bits = int(program.types[step.arguments["data"][0]].dtype.lstrip("uint"))
            made = of_integers(result.name, held["data"], bits, held["scale"], held.get("offset", 0))
        case _:
            values = QUANTIZATION[step.type](**given).numpy()
            palette: Array = np.sort(held["lut"].ravel())
            made = Constant(result.name, values, 8, palette=palette)
    if result.dtype == "float16":
        values = made.values.astype(np.float16).astype(np.float32)
        made = Constant(made.name, values, made.bits, made.steps, made.palette)
    return made
