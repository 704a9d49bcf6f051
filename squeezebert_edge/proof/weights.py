"""An artifact's constants beside the weights of the network as it was laid out, tensor by tensor.

A proof by inputs and outputs sees what its inputs move by more than its gates allow. Here every weight is
looked at, and may be wrong by no more than its own rounding.

Runtimes rename, transpose, reorder and share what they store, so that a constant is known by what it holds:
it belongs to the weight of its shape, whatever the order of the axes, that it is nearest to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from exporters.arrays import Array
from exporters.constants import Constant, blocks
from exporters.precision import Precision
from exporters.spec import Format
from squeezebert_edge.bundle.manifest import Verification
from squeezebert_edge.forms.layouts import ChannelNorm, LinearLayout
from squeezebert_edge.forms.plain import PlainForm

SAMPLES = 1024  # values by which a tensor is recognized
ALIKE = 0.4  # the distance, of 0 to 1, below which a constant is taken for a weight: strangers have 0.7
TELLING = 64  # values; a smaller constant may be anything, and is only looked for
STORED_BITS = {"float32": 32, "float16": 16}  # by what a precision without rounding says of its weights
MOST_SHOWN = 8  # weights that are wrong
MOST_AXES = 4

ROUNDING = 0.6  # of a step: half of one, and what rounding the scale itself to half precision adds
# coremltools computes in half precision: it rounds weight, scale, their quotient, and scale times integer.
HALF_STEP, FOUR_ROUNDINGS = 0.5, 4 * 2.0**-11
COARSEST = 2.0  # times the step that the bits would allow: 16 bits reach twice as far as they were seen to
FLOAT16_ROUNDING, FLOAT16_LEAST = 2.0**-10, 2.0**-24  # relative, and what is nearest to 0
FLOAT32_ROUNDING, FLOAT32_LEAST = 2.0**-21, 2.0**-126  # a factor may move from one tensor to another


class Comparison(NamedTuple):
    """What came of it.

    share: of the network's values, how many are in the artifact as the checkpoint has them.
    failures: in words, which weights are not.
    """

    share: float
    failures: list[str]


def prove_weights(
    proof: Verification,
    artifact: Path,
    module: nn.Module,
    format_: Format,
    precision: Precision,
    longest: int,
) -> Verification:
    """A proof with that of the artifact's weights, where its format gives them back.

    Args:
        module, precision, longest: as `compare_weights` takes them.

    Raises:
        InputError: the artifact cannot be read.
    """
    with np.errstate(all="ignore"):  # what is not finite is wrong, which is said in words
        constants = format_.read_constants(artifact)
        if constants is None:
            return proof
        found = compare_weights(module, constants, precision, longest)
    failures = [*proof.failures, *found.failures[:MOST_SHOWN]]
    if len(found.failures) > MOST_SHOWN:
        failures.append(f"and {len(found.failures) - MOST_SHOWN} weights more")
    status = "failed" if found.failures else proof.status
    return proof.model_copy(update={"weights": found.share, "status": status, "failures": failures})


def compare_weights(
    module: nn.Module, constants: Iterable[Constant], precision: Precision, longest: int
) -> Comparison:
    """Compare all weights of a network with the constants of an artifact.

    Args:
        module: the network as it was laid out, before it was lowered.
        precision: of the artifact.
        longest: of its lengths; it may hold nothing of positions beyond.
    """
    bits = precision.rounding.bits if precision.rounding else STORED_BITS.get(precision.weights, 16)
    weights = list(_weights_of(module, longest, precision.piece))
    kinds = _kinds(weights)
    held = list(constants)  # so that each has an identity as long as this runs
    for constant in held:
        for turned in _turned(constant):
            for kind in kinds:
                kind.measure(turned)
    wrong: dict[str, str] = {}
    for weight, turned in _of_constants(kinds):
        difference = _difference(weight, turned, bits)
        if difference is not None:
            wrong[weight.name] = difference
    agreed = {weight.name: float(weight.does_nothing) for weight in weights}
    unlike: dict[str, str] = {}
    for kind in kinds:
        for weight, turned in kind.of_weights():
            difference = _difference(weight, turned, bits)
            if difference is None:
                share = min(len(turned.values) / weight.needed, 1.0)
                agreed[weight.name] = max(agreed[weight.name], share)
            else:
                unlike[weight.name] = difference
    for name, share in agreed.items():
        if share < 1:
            wrong.setdefault(name, unlike.get(name, "it is not in the artifact"))
    sizes = {
        weight.name: weight.size for weight in reversed(weights)
    }  # as the network has it, which comes first
    found = sum(size * agreed[name] for name, size in sizes.items())
    return Comparison(found / sum(sizes.values()), [f"{name}: {how}" for name, how in wrong.items()])


@dataclass(eq=False)
class _Weight:
    """A weight as it is expected, in one axis at least, and none of size 1 beside others.

    needed: how many of its rows an artifact has to hold. positions: whether it has a row for each position,
        of which a runtime may look up the first ones beforehand.
    terms: the sizes of the sums that it was made of, where it was; its rounding is by these.
    """

    name: str
    values: Array
    needed: int
    positions: bool = False
    terms: Array | None = None

    @property
    def does_nothing(self) -> bool:
        """Whether it adds 0 or multiplies by 1, as before training: runtimes leave that out."""
        first = self.values.flat[0]
        return bool(first in (0, 1) and (self.values == first).all())

    @property
    def size(self) -> int:
        """How many of its values an artifact has to hold."""
        return self.values.size * self.needed // len(self.values)


def _weights_of(module: nn.Module, longest: int, piece: int | None) -> Iterator[_Weight]:
    """Every weight of a network; of what a runtime may store in two ways, both by the same name.

    Args:
        piece: as Precision has it.
    """
    in_pieces = dict(_in_pieces(module, piece)) if piece else {}
    for name, weight in in_pieces.items():
        start = 0
        for columns in torch.split(weight, piece or 0, dim=1):
            end = start + columns.shape[1]
            yield _Weight(f"{name}[:, {start}:{end}]", _array(columns), len(columns))
            start = end
    follows = module.norms_before_products() if isinstance(module, PlainForm) else {}
    unused = "model.transformer.pooler." if follows else None
    buffers = [(name, value) for name, value in module.named_buffers() if value.ndim]
    for name, tensor in (*module.named_parameters(), *buffers):
        left_out = name in in_pieces or (unused and name.startswith(unused))
        if tensor.is_floating_point() and not left_out:
            values = _array(tensor)
            positions = "position_embeddings" in name
            needed = min(longest, len(values)) if positions else len(values)
            yield _Weight(name, values, needed, positions)
            if values.size > 1 and (values == values.flat[0]).all():  # a runtime may store it as a scalar
                yield _Weight(name, values.ravel()[:1], 1)
            if "token_type_embeddings" in name and len(tensor) == 1:  # looked up beforehand
                yield _Weight(name, np.tile(values, (longest, 1)), longest, positions=True)
    for name, norm in module.named_modules():
        if isinstance(norm, ChannelNorm):  # Core ML's one operation scales before it shifts
            shift = _array(norm.shift * norm.scale)
            yield _Weight(f"{name}.shift", shift, len(shift))
    for norm, product in follows.items():
        yield from _absorbed(norm, product, module)


def _in_pieces(module: nn.Module, piece: int) -> Iterator[tuple[str, Tensor]]:
    """The weights of products of more inputs than a piece, (C_out, C_in/G, ...), by name."""
    for name, product in module.named_modules():
        if isinstance(product, nn.Linear | nn.Conv1d | nn.Conv2d):
            weight = product.weight.detach()
            if weight.shape[1] > piece and math.prod(weight.shape[2:]) == 1:
                yield f"{name}.weight", weight


def _absorbed(norm: str, product: str, module: nn.Module) -> Iterator[_Weight]:
    """What is left of a norm and a product where a runtime makes one product of them."""
    before, after = (cast("Any", module.get_submodule(name)) for name in (norm, product))
    _, whole = LinearLayout.norm_and_product(before, after)
    terms = _array(after.weight.abs() @ before.bias.abs() + after.bias.abs())
    names = {id(parameter): name for name, parameter in module.named_parameters()}  # one of what is tied
    for part, sizes in (("weight", None), ("bias", terms)):
        values = _array(whole.get_parameter(part))
        for layer in (before, after):
            yield _Weight(names[id(layer.get_parameter(part))], values, len(values), terms=sizes)


def _array(tensor: Tensor) -> Array:
    values: Array = tensor.detach().float().numpy()
    return values.reshape(_squeezed(values.shape))


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1) or (1,)


@dataclass(frozen=True, eq=False)
class _Turned:
    """A constant with its axes in some order, as a weight has them."""

    constant: Constant
    values: Array
    steps: Array | None


def _turned(constant: Constant) -> Iterator[_Turned]:
    """A constant in every order of its axes, of which a weight has few."""
    shape = constant.values.shape
    if len(_squeezed(shape)) > MOST_AXES:
        return
    values, steps = constant.values.reshape(_squeezed(shape)), constant.steps
    if steps is not None:
        kept = [count for count, size in zip(steps.shape, shape, strict=True) if size != 1]
        steps = steps.reshape(kept or 1)
    for order in permutations(range(values.ndim)):
        yield _Turned(constant, values.transpose(order), None if steps is None else steps.transpose(order))


@dataclass
class _Kind:
    """The weights of one shape, and the constants that may be one of them.

    cells: the places of the values by which a tensor is recognized. samples: what each weight has there.
    distances: from 0 to 1, of each constant from each weight.
    """

    weights: list[_Weight]
    cells: tuple[Array, ...]
    samples: Array
    constants: list[_Turned] = field(default_factory=list)
    distances: list[Array] = field(default_factory=list)

    def measure(self, turned: _Turned) -> None:
        """Take a constant that has the weights' shape, or that of the first rows of positions."""
        mine, shape = self.weights[0].values.shape, turned.values.shape
        if shape == mine:
            own, theirs = turned.values[self.cells], self.samples
        elif self.weights[0].positions and shape[1:] == mine[1:] and shape[0] < mine[0]:
            own = turned.values.ravel()
            theirs = np.stack([weight.values[: shape[0]].ravel() for weight in self.weights])
        else:
            return
        own = np.nan_to_num(own, posinf=0.0, neginf=0.0)  # the others tell it
        apart = np.linalg.norm(theirs - own, axis=1)
        sizes = np.linalg.norm(theirs, axis=1) + np.linalg.norm(own)
        relative = np.divide(apart, sizes, out=np.zeros_like(apart), where=sizes > 0)
        self.constants.append(turned)
        self.distances.append(np.nan_to_num(relative, nan=1.0))

    def of_weights(self) -> Iterator[tuple[_Weight, _Turned]]:
        """Each weight with the constant that is nearest to it, of those that hold most of its rows."""
        for place, weight in enumerate(self.weights):
            near = [
                (-len(turned.values), distances[place], index)
                for index, (turned, distances) in enumerate(zip(self.constants, self.distances, strict=True))
                if distances[place] < ALIKE
            ]
            if near:
                yield weight, self.constants[min(near)[2]]


def _kinds(weights: Iterable[_Weight]) -> list[_Kind]:
    by_shape: dict[tuple[bool, tuple[int, ...]], list[_Weight]] = {}
    for weight in weights:
        by_shape.setdefault((weight.positions, weight.values.shape), []).append(weight)
    random = np.random.default_rng(0)
    kinds = []
    for (_, shape), found in by_shape.items():
        size = math.prod(shape)
        chosen = np.arange(size) if size <= SAMPLES else np.sort(random.choice(size, SAMPLES, replace=False))
        cells = np.unravel_index(chosen, shape)
        kinds.append(_Kind(found, cells, np.stack([weight.values[cells] for weight in found])))
    return kinds


def _of_constants(kinds: Iterable[_Kind]) -> Iterator[tuple[_Weight, _Turned]]:
    """Each constant that is taken for a weight, with that weight."""
    nearest: dict[int, tuple[float, _Weight, _Turned]] = {}
    for kind in kinds:
        for turned, distances in zip(kind.constants, kind.distances, strict=True):
            place = int(distances.argmin())
            known = nearest.get(id(turned.constant))
            if turned.values.size >= TELLING and (known is None or distances[place] < known[0]):
                nearest[id(turned.constant)] = float(distances[place]), kind.weights[place], turned
    yield from ((weight, turned) for distance, weight, turned in nearest.values() if distance < ALIKE)


def _difference(weight: _Weight, turned: _Turned, bits: int) -> str | None:
    """In words, by what a constant is not the weight; None if it is."""
    expected, found = weight.values[: len(turned.values)], turned.values
    if turned.constant.bits < bits and found.size >= TELLING:
        return f"it is stored in {turned.constant.bits} bits, not {bits}"
    errors = np.abs(found - expected)
    allowed = _allowed(expected, turned)
    if weight.terms is not None:
        allowed = np.maximum(allowed, FLOAT32_ROUNDING * weight.terms)
    if weight.positions and bits < 16 and turned.steps is None:  # looked up before it was stored
        sizes = np.abs(expected).max(axis=-1, keepdims=True)
        allowed = np.maximum(allowed, ROUNDING * sizes / (2 ** (bits - 1) - 1))
    wrong = ~(errors <= allowed)  # NaN is wrong
    if not wrong.any():
        return None
    worst = np.unravel_index(np.where(wrong, np.nan_to_num(errors, nan=np.inf), -1).argmax(), wrong.shape)
    return (
        f"{wrong.sum()} of {wrong.size} values are not the checkpoint's, "
        f"such as {found[worst]:.4g} for {expected[worst]:.4g}"
    )


def _allowed(expected: Array, turned: _Turned) -> Array:
    """How far a constant may be from each value, for it is rounded."""
    constant = turned.constant
    sizes: Array = np.abs(expected)
    if constant.palette is not None:
        palette = constant.palette
        at = np.searchsorted(palette, expected)
        below, above = palette[np.maximum(at - 1, 0)], palette[np.minimum(at, len(palette) - 1)]
        nearest = np.minimum(np.abs(expected - below), np.abs(expected - above))
        return cast("Array", nearest + FLOAT16_ROUNDING * sizes.max())
    if turned.steps is not None:
        parts, spread = blocks(expected.shape, turned.steps.shape)
        steps = turned.steps.reshape(spread)
        if constant.bits <= 16:  # biases have 32, in steps of the product's sum
            largest = sizes.reshape(parts).max(axis=tuple(range(1, len(parts), 2)), keepdims=True)
            steps = np.minimum(steps, COARSEST * largest / (2 ** (constant.bits - 1) - 1))
        most = np.broadcast_to(ROUNDING * steps, parts)
        if constant.bits <= 8:
            most = np.maximum(most, HALF_STEP * steps + FOUR_ROUNDINGS * sizes.reshape(parts))
            if (
                turned.steps.astype(np.float16) == turned.steps
            ).all():  # rounded, which tells where they are small
                most = most + FLOAT16_LEAST / 2 * 2 ** (constant.bits - 1)
        return cast("Array", most.reshape(expected.shape)) + FLOAT32_ROUNDING * sizes
    if constant.bits < 32:
        return FLOAT16_ROUNDING * sizes + FLOAT16_LEAST
    return FLOAT32_ROUNDING * sizes + FLOAT32_LEAST
