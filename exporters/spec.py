"""What every exporter is given and gives back: any module whose inputs are (1, length) int32 tensors."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, cast

from exporters.errors import EdgeError, InputError
from exporters.precision import Precision
from exporters.units import Unit

if TYPE_CHECKING:
    from torch import Tensor, nn

    from exporters.arrays import Array
    from exporters.constants import Constant

STRICT = {"extra": "forbid"}  # for pydantic, which makes these records part of the manifest's schema

Tell = Callable[[str], None]  # is told what is being done
ComputedBy = Literal["runtime", "mil-evaluator", "webgpu", "qualcomm-emulator", "float16-rounding"]


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
    precision: the name of one of the format's.
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

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Delegation:
    """Which operators the accelerated delegate took; null counts come with the reason.

    outside: the operators it left, as "name x2". products: those of them that are convolutions, linear
        layers or matrix products, which should never be there.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    delegated: int | None
    total: int | None
    outside: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def left(self) -> int:
        """How many operators are outside, whether they are known by name or not."""
        return (self.total or 0) - (self.delegated or 0)

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

    __pydantic_config__: ClassVar[Any] = STRICT

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


class Description(NamedTuple):
    """What an artifact says of itself: the request's metadata, and its entry points by length."""

    metadata: Mapping[str, str]
    entry_points: Mapping[int, str]


@dataclass(frozen=True)
class UnitArtifact:
    """What one compute unit runs in the place of an artifact, or the artifact itself.

    files: length -> the file that serves it.
    arithmetic: the type that the unit computes with, in words.
    delegation: the operators that the unit takes, of those there are.
    partitions: into how many pieces they fall; between two of them the CPU has its turn.
    versions: package or tool -> version of everything that shaped the files or judged them.
    warnings: what the tools say of their versions.
    """

    files: Mapping[int, Path]
    arithmetic: str
    delegation: Delegation
    partitions: int
    versions: Mapping[str, str]
    warnings: Sequence[str] = ()


class Runner(Protocol):
    """A loaded artifact, callable; its inputs, outputs and lengths are read from the artifact itself."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lengths: tuple[int, ...]
    computed_by: ComputedBy

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for one row: name -> (1, length) int32 in, name -> float32 out."""
        ...


@dataclass(frozen=True)
class Format:
    """A kind of artifact: the one row by which everything else knows a runtime.

    title: its name as people write it.
    file_name: of its artifacts.
    precisions: by name, in the order in which they are made and shown.
    exporter: the module with `export(request, path) -> Artifact`.
    runner: the module with `load(path, *, threads, runtime) -> Runner`.
    makes, runs: packages that making and running an artifact takes.
    makes_on_linux_arm: whether those packages exist for Linux on Arm.
    extra: what pip is to install for them; by default this project's extra of the format's name.
    targets: the oldest systems that an artifact can be made for, the default first; empty without a choice.
    units: the compute units beside the CPU that an artifact can be made or checked for, by kind, each with
        the module that is its `UnitExporter`.
    runtime: "module:callable" of what opens an artifact to time it, for a format that is not of this project
        (squeezebert_edge.devices.python.runtimes.Runtime); None has no latency.
    description: the module with `describe(path) -> Description`, which reads what an artifact says of itself
        and takes no packages; None for a format whose artifacts say nothing.
    constants: the module with `constants(path) -> Iterable[Constant]`, which reads back what an artifact
        stores; None for a format whose weights cannot be read back, so that they are compared with nothing.
    runs_beside: whether its runner lets other threads of Python compute meanwhile.

    The modules are imported when they are needed, so that a row costs nothing.
    """

    title: str
    file_name: str
    precisions: Mapping[str, Precision]
    exporter: str
    runner: str
    makes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    makes_on_linux_arm: bool = True
    extra: str | None = None
    targets: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    runtime: str | None = None
    description: str | None = None
    constants: str | None = None
    runs_beside: bool = False

    def precision(self, name: str) -> Precision:
        """What a precision means here.

        Raises:
            InputError: this format has no such precision.
        """
        if name not in self.precisions:
            raise InputError(f"{self.title} has no precision '{name}'", allowed=", ".join(self.precisions))
        return self.precisions[name]

    def export(self, request: ExportRequest, path: Path) -> Artifact:
        """Write the artifact to `path`, which does not exist yet.

        Raises:
            InputError: an unknown precision, or a module that this runtime's tools cannot take.
        """
        self.precision(request.precision)
        exporter = cast("Exporter", importlib.import_module(self.exporter))
        return exporter.export(request, path)

    def load(self, path: Path, *, threads: int = 1, runtime: str | None = None) -> Runner:
        """Open an artifact.

        Args:
            runtime: one of several that a format has; by default the best that is installed.

        Raises:
            InputError: it cannot be opened, or no such runtime.
        """
        loader = cast("Loader", importlib.import_module(self.runner))
        return loader.load(path, threads=threads, runtime=runtime)

    def describe(self, path: Path) -> Description | None:
        """What an artifact says of itself; None if it says nothing that can be read.

        A file that is no artifact is refused by who loads it.
        """
        if self.description is None:
            return None
        describer = cast("Describer", importlib.import_module(self.description))
        try:
            found = describer.describe(path)
            said = [*found.metadata.values(), *found.entry_points.values()]
        except (OSError, EdgeError, ValueError, TypeError, AttributeError, RecursionError, struct.error):
            return None
        return found if said and all(isinstance(text, str) for text in said) else None

    def read_constants(self, path: Path) -> list[Constant] | None:
        """What an artifact stores; None where the format's weights cannot be read back.

        Raises:
            InputError: it cannot be read.
        """
        if self.constants is None:
            return None
        reader = cast("ConstantReader", importlib.import_module(self.constants))
        try:
            return list(reader.constants(path))
        except (OSError, ValueError, LookupError, struct.error) as error:
            raise InputError(
                f"{path}: its constants cannot be read: {error}", hint="export it again"
            ) from error

    def unit(self, kind: str) -> UnitExporter:
        """What makes and runs artifacts for a kind of compute unit beside the CPU.

        Raises:
            InputError: the format is not exported for such a unit.
        """
        if kind not in self.units:
            raise InputError(
                f"{self.title} is not exported for the unit '{kind}'", allowed=", ".join(["cpu", *self.units])
            )
        return cast("UnitExporter", importlib.import_module(self.units[kind]))


class Exporter(Protocol):
    """What a format's exporter module provides."""

    def export(self, request: ExportRequest, path: Path) -> Artifact:
        """Write the artifact to `path`, which does not exist yet."""
        ...


class Describer(Protocol):
    """What a format's description module provides."""

    def describe(self, path: Path) -> Description:
        """What an artifact says of itself; raises ValueError or struct.error if it is none."""
        ...


class ConstantReader(Protocol):
    """What a format's constants module provides."""

    def constants(self, path: Path) -> Iterable[Constant]:
        """Every constant of numbers that an artifact computes with, dequantized, the weights among them."""
        ...


class UnitExporter(Protocol):
    """What a module for a kind of compute unit provides."""

    def choose(self, name: str | None, precision: Precision) -> Sequence[Unit]:
        """The units that a user means by a kind's name and what stands behind the colon, if anything does.

        Raises:
            InputError: no such chip, or one that does not compute in the precision.
        """
        ...

    def require(self, units: Sequence[Unit]) -> None:
        """Raise UnavailableError, which says what to install, if units cannot be served on this machine."""
        ...

    def export(
        self, request: ExportRequest, artifact: Artifact, units: Sequence[Unit], tell: Tell
    ) -> Iterator[tuple[Unit, UnitArtifact]]:
        """Make what each unit runs, in files beside the artifact; `tell` is told of each.

        Raises:
            GateError: the unit's tools fail, or take longer than they may.
        """
        ...

    def load(self, unit: Unit, files: Mapping[int, Path]) -> Runner:
        """Run a unit's files, in a process of its own, which ends with the runner.

        Raises:
            UnavailableError: this machine cannot run them; says what to install.
            GateError: the unit refuses the files.
        """
        ...


class Loader(Protocol):
    """What a format's runner module provides."""

    def load(self, path: Path, *, threads: int = 1, runtime: str | None = None) -> Runner:
        """Open an artifact; `runtime` names one of several runtimes of a format, None the best there is."""
        ...
