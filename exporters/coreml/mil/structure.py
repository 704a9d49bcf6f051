"""What a Core ML program is made of: the rules of the Neural Engine that can be checked without a Mac.

Apple, "Deploying Transformers on the Apple Neural Engine", 2022
(https://machinelearning.apple.com/research/neural-engine-transformers): at most four axes, 1x1 convolutions
in the place of linear layers, as few transposes and reshapes as can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from exporters.coreml.mil.program import Operation, Program
from exporters.spec import Structure

PRODUCTS = ("conv", "einsum", "linear", "matmul")


def structure_of(program: Program) -> Structure:
    """Count what a program is made of; what only makes constants is left out."""
    steps = [step for step in program.operations if not step.is_constant]
    kinds = Counter(step.type for step in steps)
    products = Counter(_products(program, steps))
    pointwise, attention = products.pop("pointwise", 0), products.pop("attention", 0)
    return Structure(
        max_rank=max(len(spec.shape) for step in steps for spec in step.results),
        pointwise=pointwise,
        attention=attention,
        other_products=tuple(f"{name} x{count}" for name, count in sorted(products.items())),
        transposes=kinds["transpose"],
        reshapes=kinds["reshape"],
        casts=kinds["cast"],
        operations=len(steps),
    )


def _products(program: Program, steps: list[Operation]) -> Iterator[str]:
    """For each product "pointwise", "attention", or what else it is."""
    computed = {spec.name for spec in program.inputs}
    computed.update(spec.name for step in steps for spec in step.results)
    for step in steps:
        factors = [name for parameter in ("x", "y", "values") for name in step.arguments.get(parameter, ())]
        if step.type == "conv":
            kernel = program.types[step.arguments["weight"][0]].shape[2:]
            size = "x".join(map(str, kernel))
            yield "pointwise" if kernel == (1, 1) else f"convolution of {size}"
        elif step.type in ("einsum", "matmul") and computed.issuperset(factors):
            yield "attention"
        elif step.type in PRODUCTS:
            yield step.type
