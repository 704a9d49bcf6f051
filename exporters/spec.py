"""What every exporter is given and gives back: any module whose inputs are (1, length) int32 tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from exporters.arrays import Array

ComputedBy = Literal["runtime", "mil-evaluator"]


@dataclass(frozen=True)
class Precision:
    """What a precision's name means in one format: the types of weights and of activations.

    granularity: over what one quantization scale reaches; null where nothing is quantized.
    """

    weights: str
    activations: str
    granularity: str | None = None


class Ranges(NamedTuple):
    """Least and greatest value of what goes into a product, and of what comes out; null is not known."""

    input: tuple[float, float] | None = None
    output: tuple[float, float] | None = None


@dataclass(frozen=True)
class ExportRequest:
    """A module and how it is to be exported.

    module: in eval mode; takes the inputs by position and gives a tuple of float tensors.
    examples: length -> input name -> (1, length) int32 tensor. Every length becomes an entry of the one
        artifact; lengths ascend, and all have the same names in the order of the module's arguments.
    outputs: names of the module's outputs, in order.
    precision: one of the exporter's PRECISIONS.
    metadata: strings that the artifact carries, so that it explains itself without its bundle.
    target: the oldest system the artifact must run on ("iOS17"); only Core ML reads it.
    calibration: real rows, input name -> (1, length) int32 array, whose activations set the scales of
        precisions that quantize activations beforehand.
    ranges: submodule -> ranges that take the place of calibration there.
    keep_float: submodules whose products stay in float32 whatever the precision, by dotted name, all that is
        below them included.
    """

    module: nn.Module
    examples: Mapping[int, Mapping[str, Tensor]]
    outputs: Sequence[str]
    precision: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    calibration: Sequence[Mapping[str, Array]] = ()
    ranges: Mapping[str, Ranges] = field(default_factory=dict)
    keep_float: Sequence[str] = ()

    @property
    def lengths(self) -> tuple[int, ...]:
        """The exported sequence lengths, ascending."""
        return tuple(self.examples)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the module's inputs, in the order of its arguments."""
        return tuple(next(iter(self.examples.values())))

    def stays_float(self, submodule: str) -> bool:
        """Whether the products of a submodule, by dotted name, are left unquantized."""
        return any(submodule == kept or submodule.startswith(f"{kept}.") for kept in self.keep_float)


@dataclass(frozen=True)
class TensorSpec:
    """One input or output as the artifact itself declares it; a null dimension is the sequence length."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Delegation:
    """Which operators the accelerated delegate took; null counts come with the reason.

    outside: the operators it left, as "name x2". products: those of them that are convolutions, linear
        layers or matrix products, which should never be there.
    """

    delegated: int | None
    total: int | None
    outside: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    reason: str | None = None

    @classmethod
    def of(cls, delegated: int, outside: Mapping[str, int], is_product: Callable[[str], bool]) -> Delegation:
        """What is said of so many operators inside, and those outside by name."""
        listed = {name: f"{name} x{count}" for name, count in sorted(outside.items())}
        return cls(
            delegated=delegated,
            total=delegated + sum(outside.values()),
            outside=tuple(listed.values()),
            products=tuple(text for name, text in listed.items() if is_product(name)),
        )


@dataclass(frozen=True)
class Structure:
    """What a Core ML program is made of, which can be said of it without a Mac.

    max_rank: the most axes that a value has.
    pointwise: convolutions with a kernel of 1x1. attention: products of two computed values.
    other_products: those that are neither, as "name x2".
    operations: all there are, but for those that only make constants.
    """

    max_rank: int
    pointwise: int
    attention: int
    other_products: tuple[str, ...]
    transposes: int
    reshapes: int
    casts: int
    operations: int

    @property
    def unfit(self) -> tuple[str, ...]:
        """What the Neural Engine is known not to compute well."""
        rank = (f"values of {self.max_rank} axes",) if self.max_rank > MAX_RANK else ()
        return rank + self.other_products


MAX_RANK = 4  # axes


@dataclass(frozen=True)
class Artifact:
    """What an exporter wrote.

    entry_points: length -> the name by which the runtime is asked for it (method, signature), or "" where
        the runtime chooses by shape.
    versions: package -> version of everything that shaped the file.
    float_operators: how many of each operator still compute with floats, in one pass; moving values about
        is no computing. An artifact is integer-only if there are none.
    calibrated: submodules whose ranges calibration found, `ranges` having none for them.
    structure: of Core ML programs.
    """

    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    entry_points: Mapping[int, str]
    delegation: Delegation
    versions: Mapping[str, str]
    float_operators: Mapping[str, int]
    calibrated: tuple[str, ...] = ()
    structure: Structure | None = None


class Runner(Protocol):
    """A loaded artifact, callable; its inputs, outputs and lengths are read from the artifact itself."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lengths: tuple[int, ...]
    computed_by: ComputedBy

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for one row: name -> (1, length) int32 in, name -> float32 out."""
        ...


class Exporter(Protocol):
    """What each module of this package provides."""

    FILE_NAME: str
    PRECISIONS: Mapping[str, Precision]

    def export(self, request: ExportRequest, path: Path) -> Artifact:
        """Write the artifact to `path`, which does not exist yet."""
        ...

    def load(self, path: Path, *, threads: int = 1, runtime: str | None = None) -> Runner:
        """Open an artifact; `runtime` names one of several runtimes of a format, None the best there is."""
        ...
