"""What to make of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import exporters
from exporters.errors import InputError
from exporters.precision import NO_WISHES, Gates
from exporters.spec import Format
from exporters.units import CPU, Unit
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms import calibration, choices
from squeezebert_edge.forms.calibration import Calibration
from squeezebert_edge.forms.catalog import form_named
from squeezebert_edge.model.config import SqueezeBertConfig

DEFAULT_LENGTHS = (32, 64, 128)
SHORTEST_LENGTH = 4  # a pair's three special tokens and one of text


@dataclass(frozen=True)
class Plan:
    """What to make of a checkpoint: each pair of format and precision becomes a bundle.

    lengths: ascending sequence lengths, all in each artifact.
    ios: the oldest iOS a Core ML bundle must run on.
    form: by default the one that `forms` has for a format and precision.
    gates: limits in place of a precision's own; None in them keeps its own.
    calibration: for precisions that quantize activations beforehand.
    keep_float: parts that are not quantized, by their names in the form.
    allow_undelegated: make bundles whose delegate leaves products to slower kernels; the manifest lists them.
    units: what the bundles are to be made and proven for beside the CPU, each where it computes in the
        precision; an NPU's chip may be "all".

    Raises:
        InputError: no such form.
    """

    pairs: Sequence[tuple[str, str]]
    lengths: Sequence[int]
    ios: int = 17
    form: str | None = None
    forms: choices.Forms = field(default_factory=lambda: choices.FORMS_BY_PRECISION)
    gates: Gates = NO_WISHES
    calibration: Calibration | None = None
    keep_float: Sequence[str] = ()
    allow_undelegated: bool = False
    units: Sequence[Unit] = ()

    def __post_init__(self) -> None:
        if self.form is not None:
            form_named(self.form)

    def units_of(self, format_: str, exact: str) -> dict[str, list[Unit]]:
        """The units beside the CPU that a bundle is made for, by their kind.

        Raises:
            InputError: a chip that there is not, or that does not compute in the precision.
        """
        return _units_of(format_, exact, self.units)

    def require_units(self) -> None:
        """Raise UnavailableError, before anything is made, if a unit cannot be served on this machine."""
        for name, precision in self.pairs:
            exact = choices.exact_precision(name, precision).name
            for kind, units in self.units_of(name, exact).items():
                exporters.format_named(name).unit(kind).require(units)

    def form_of(self, format_: str, exact: str) -> choices.Choice:
        """How the network is laid out for a format and an exact precision."""
        if self.form is not None:
            return choices.Choice(self.form, "the user")
        found = choices.form_of(format_, exact, self.forms)
        if found.name != choices.BATCHED:
            return found
        takers = exporters.format_named(format_).precision(exact).unit_gates
        others = (choices.IN_ITS_PLACE.get(unit.kind, found) for unit in self.units if unit.kind in takers)
        return next((other for other in others if other is not found), found)

    def form_on(self, unit: Unit, format_: str, exact: str) -> choices.Choice:
        """How the network is laid out for what a unit beside the CPU runs."""
        if self.form is None and self.needs_own_network(unit, format_, exact):
            return choices.FOR_NPUS
        return self.form_of(format_, exact)

    def needs_own_network(self, unit: Unit, format_: str, exact: str) -> bool:
        """Whether what a unit runs is not made of the artifact: NPUs take integers alone."""
        return unit.kind == "npu" and exporters.format_named(format_).precision(exact).rounding is not None

    def target(self, format_: Format) -> str | None:
        """The oldest system that an artifact of a format must run on, where the format has such a choice."""
        return f"iOS{self.ios}" if format_.targets else None

    @property
    def needs_calibration(self) -> bool:
        """Whether any of the pairs quantizes activations beforehand, or may come to that."""
        return any(
            exporters.format_named(name).precision(exact.name).calibrated
            for name, precision in self.pairs
            for exact in choices.exact_precisions(name, precision)
        )


def check_units(units: Sequence[Unit], pairs: Sequence[tuple[str, str]]) -> tuple[Unit, ...]:
    """The units that were asked for beside the CPU, if bundles of the pairs can be made for them.

    Raises:
        InputError: a unit that computes none of the pairs, or a chip that there is not or that does not
            compute in their precision.
    """
    exact = [(name, choices.exact_precision(name, precision).name) for name, precision in pairs]
    beside = tuple(dict.fromkeys(unit for unit in units if unit != CPU))
    for unit in beside:
        if not any(_units_of(name, precision, [unit]) for name, precision in exact):
            asked = ", ".join(f"{name} {precision}" for name, precision in exact)
            raise InputError(
                f"the unit '{unit}' does not compute {asked}", allowed=_takers(unit.kind) or "cpu"
            )
    return beside


def _units_of(format_: str, exact: str, units: Sequence[Unit]) -> dict[str, list[Unit]]:
    """Those units that compute an exact precision, by their kind, each chip by itself."""
    row = exporters.format_named(format_)
    meaning = row.precision(exact)
    chosen: dict[str, list[Unit]] = {}
    for unit in units:
        if unit.kind in meaning.unit_gates:
            found = row.unit(unit.kind).choose(unit.chip, meaning)
            known = chosen.setdefault(unit.kind, [])
            known.extend(each for each in found if each not in known)
    return chosen


def _takers(kind: str) -> str:
    """The formats and precisions that a kind of unit computes, in words."""
    return ", ".join(
        f"{name} {precision}"
        for name in exporters.names()
        for precision, meaning in exporters.format_named(name).precisions.items()
        if kind in meaning.unit_gates
    )


def possible_pairs(formats: Sequence[str], precisions: Sequence[str]) -> list[tuple[str, str]]:
    """Every (format, precision) asked for; if none is named, all of a format but those made for NPUs alone.

    Raises:
        InputError: an unknown format, or a precision that a format does not have.
    """
    pairs = []
    for name in dict.fromkeys(formats):
        format_ = exporters.get(name, to_export=True)
        usual = [each for each, meaning in format_.precisions.items() if not meaning.for_npus]
        for precision in dict.fromkeys(precisions or usual):
            if choices.exact_precision(name, precision).name not in format_.precisions:
                also = f"; int8 is {choices.INT8[name][0].name}" if name in choices.INT8 else ""
                raise InputError(
                    f"{name} has no precision '{precision}'", allowed=f"{', '.join(format_.precisions)}{also}"
                )
            pairs.append((name, precision))
    return pairs


def shipped_pairs(formats: Sequence[str], units: Sequence[Unit] = ()) -> list[tuple[str, str]]:
    """What one would ship of each format: its float and its int8; every precision where it has no int8.

    Raises:
        InputError: as `possible_pairs`.
    """
    pairs: list[tuple[str, str]] = []
    for name in dict.fromkeys(formats):
        has_npus = "npu" in exporters.format_named(name).units
        for_npu = has_npus and any(unit.kind == "npu" for unit in units)
        both = [choices.float_of(name, for_npu=for_npu), "int8"] if name in choices.INT8 else []
        pairs += possible_pairs([name], both)
    return pairs


def check_lengths(lengths: Sequence[int] | None, config: SqueezeBertConfig) -> tuple[int, ...]:
    """The lengths to export; without a wish, those of 32, 64 and 128 that the checkpoint has positions for.

    Raises:
        InputError: a length the model has no positions for, or too short for a text, doubled or unsorted.
    """
    most = config.max_position_embeddings
    if most < SHORTEST_LENGTH:
        raise InputError(
            f"the checkpoint has positions for {most} tokens, too few for a text",
            allowed=f"max_position_embeddings of at least {SHORTEST_LENGTH}",
        )
    if lengths is None:
        return tuple(length for length in DEFAULT_LENGTHS if length <= most) or (most,)
    allowed = f"ascending lengths from {SHORTEST_LENGTH} to {most} (the checkpoint's max_position_embeddings)"
    if not lengths:
        raise InputError("no length is given", allowed=allowed)
    for length in lengths:
        if length < SHORTEST_LENGTH:
            raise InputError(f"length {length} is too short for a text", allowed=allowed)
        if length > most:
            raise InputError(f"length {length} is too long for the checkpoint", allowed=allowed)
    if list(lengths) != sorted(set(lengths)):
        raise InputError(
            f"the lengths {', '.join(map(str, lengths))} are unsorted or doubled", allowed=allowed
        )
    return tuple(lengths)


def every_length(step: int, config: SqueezeBertConfig) -> tuple[int, ...]:
    """The multiples of a step up to the longest length that is exported without a wish, and that one.

    Raises:
        InputError: as `check_lengths`, or the step is no number of tokens.
    """
    longest = check_lengths(None, config)[-1]
    if not 1 <= step <= longest:
        raise InputError(f"every {step} tokens is no step", allowed=f"1 to {longest}, the longest length")
    shorter = (length for length in range(step, longest, step) if length >= SHORTEST_LENGTH)
    return check_lengths([*shorter, longest], config)


def add_calibration(plan: Plan, checkpoint: Checkpoint, path: Path | None, samples: int) -> Plan:
    """The plan with calibration data from a file, or built-in ones, if any of its pairs needs them.

    Raises:
        InputError: a file that cannot be used, or one that no pair needs.
    """
    if not plan.needs_calibration:
        if path is not None:
            raise InputError(
                f"{path} is calibration data, but no precision asked for is calibrated",
                hint="ask for int8-static, or leave the calibration data out",
            )
        return plan
    data = calibration.read(
        path, task_of(checkpoint), checkpoint.tokenizer, samples=samples, max_length=plan.lengths[-1]
    )
    return replace(plan, calibration=data)
