"""What a program (.pte) says of itself, read without ExecuTorch (its schema: exir/_serialize/program.fbs)."""

from __future__ import annotations

import json
import mmap
import re
from pathlib import Path

from exporters.flatbuffer import Table
from exporters.spec import Description

# Fields of Program, ExecutionPlan, EValue and String, by number.
PLANS = 1
PLAN_NAME, PLAN_VALUES, PLAN_OUTPUTS = 0, 2, 4
VALUE_KIND, VALUE = 0, 1
STRING = 6  # of KernelTypes


def describe(path: Path) -> Description:
    """The answer of the program's method `metadata`, and its methods `length_<S>`.

    Raises:
        ValueError, struct.error: not a program.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[4:6] != b"ET":
            raise ValueError(f"{path} is not an ExecuTorch program")
        plans = {plan.text(PLAN_NAME): plan for plan in Table.root(content).tables(PLANS)}
        metadata = json.loads(_answer(plans["metadata"])) if "metadata" in plans else {}
    lengths = {name: re.fullmatch(r"length_(\d+)", name) for name in plans}
    return Description(metadata, {int(match[1]): name for name, match in lengths.items() if match})


def _answer(plan: Table) -> str:
    """The string that a method without inputs returns."""
    values, outputs = list(plan.tables(PLAN_VALUES)), plan.numbers(PLAN_OUTPUTS)
    value = values[outputs[0]] if outputs and 0 <= outputs[0] < len(values) else None
    string = value.table(VALUE) if value and value.kind(VALUE_KIND) == STRING else None
    return string.text(0) if string else "{}"
