"""What a program (.pte) says of itself, read without ExecuTorch (its schema: exir/_serialize/program.fbs)."""

from __future__ import annotations

import json
from pathlib import Path

from exporters.flatbuffer import Table, open_root
from exporters.lengths import by_length
from exporters.spec import Description

IDENTIFIER = b"ET"  # a version's number follows

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
    with open_root(path, IDENTIFIER) as program:
        plans = {plan.text(PLAN_NAME): plan for plan in program.tables(PLANS)}
        metadata = json.loads(_answer(plans["metadata"])) if "metadata" in plans else {}
        return Description(metadata, by_length(plans))


def _answer(plan: Table) -> str:
    """The string that a method without inputs returns."""
    values, outputs = list(plan.tables(PLAN_VALUES)), plan.numbers(PLAN_OUTPUTS)
    value = values[outputs[0]] if outputs and 0 <= outputs[0] < len(values) else None
    string = value.table(VALUE) if value and value.kind(VALUE_KIND) == STRING else None
    return string.text(0) if string else "{}"
