"""The evaluator of Core ML programs: every operation, the precision, and what it refuses."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exporters.coreml.mil import operations as mil_ops
from exporters.coreml.mil import program as mil
from exporters.errors import InputError, UnavailableError

# coremltools leaves its temporary weights to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")

FLOATS = torch.tensor([-30.0, -3.0, -1.5, -0.5, -0.0, 0.5, 1.0, 2.5, 3.0, 7.0, 25.0, 0.1]).reshape(1, 3, 4)
POSITIVE = FLOATS.abs() + 0.25
ROW = torch.tensor([2.0, -0.5, 0.5, 2.5])
WHOLE = torch.tensor([[5, 0, -7], [2, 11, 3]], dtype=torch.int32)


@pytest.fixture(scope="module")
def ct() -> Iterator[Any]:
    coremltools = mil.import_coremltools()
    gc.freeze()  # every conversion collects garbage, slowly where so much is imported
    yield coremltools
    gc.unfreeze()


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def save(
    ct: Any,
    path: Path,
    build: Callable[..., Any],
    inputs: Mapping[str, Tensor],
    *,
    half: bool = False,
    target: str = "iOS17",
) -> Path:
    """A package of what `build(mb, **inputs)` makes, with no optimization; floats are float16 if `half`."""
    from coremltools.converters.mil.mil import Builder, Function, Placeholder, Program, types

    kinds = {torch.float32: types.fp16 if half else types.fp32, torch.int32: types.int32}
    placeholders = {
        name: Placeholder(tuple(tensor.shape), dtype=kinds[tensor.dtype]) for name, tensor in inputs.items()
    }
    with Function(placeholders, opset_version=ct.target[target]) as function:
        made = build(Builder, **function.inputs)
        made = list(made) if isinstance(made, list | tuple) else [made]
        for index, value in enumerate(made):
            value.name = f"out{index}"
        function.set_outputs(made)
    program = Program()
    program.add_function("main", function)
    ct.convert(
        program,
        convert_to="mlprogram",
        pass_pipeline=ct.PassPipeline.EMPTY,
        minimum_deployment_target=ct.target[target],
        skip_model_load=True,
        package_dir=str(path),
    )
    return path


def load(package: Path) -> mil.Program:
    file = mil.model_file(package)
    return mil.Program(mil.read_model(file), file.parent)


def run(program: mil.Program, **inputs: Tensor) -> list[Tensor]:
    outputs = program(inputs)
    return [outputs[f"out{index}"] for index in range(len(outputs))]


# Every operation in fp32


@dataclass
class Case:
    """One use of an operation, and what it must give, computed in another way than the evaluator does."""

    op: str
    build: Callable[..., Any]
    inputs: Mapping[str, Tensor]
    expected: Sequence[Tensor]
    target: str = "iOS17"


def case(op: str, inputs: Mapping[str, Tensor], *expected: Tensor, **arguments: Any) -> Case:
    """The operation on tensors and constant arguments."""
    return Case(op, lambda mb, **tensors: getattr(mb, op)(**tensors, **arguments), inputs, expected)


def elementwise() -> Iterator[Case]:
    x, y = FLOATS.double(), ROW.double()
    both = {"x": FLOATS, "y": ROW}
    yield case("add", both, x + y)
    yield case("sub", both, x - y)
    yield case("mul", both, x * y)
    yield case("real_div", both, x / y)
    yield case("maximum", both, (x + y + (x - y).abs()) / 2)
    yield case("minimum", both, (x + y - (x - y).abs()) / 2)
    yield case("pow", {"x": POSITIVE, "y": ROW}, (POSITIVE.double().log() * y).exp())
    yield case("add", {"x": WHOLE}, torch.from_numpy(WHOLE.numpy() + 4), y=np.int32(4))
    yield case("sub", {"y": FLOATS}, 1 - x, x=np.float32(1))
    yield case("exp", {"x": ROW}, torch.e**y)
    yield case("erf", {"x": ROW}, torch.special.ndtr(y * 2**0.5) * 2 - 1)
    yield case("sqrt", {"x": POSITIVE}, POSITIVE.double() ** 0.5)
    yield case("square", {"x": FLOATS}, x * x)
    yield case("rsqrt", {"x": POSITIVE}, (POSITIVE.double() + 0.25) ** -0.5, epsilon=np.float32(0.25))
    yield case("identity", {"x": FLOATS}, x)
    within = [max(-1.5, min(2.0, value)) for value in FLOATS.flatten().tolist()]
    clipped = torch.tensor(within).reshape(FLOATS.shape)
    yield case("clip", {"x": FLOATS}, clipped, alpha=np.float32(-1.5), beta=np.float32(2))


def casts() -> Iterator[Case]:
    fractions = torch.tensor([-2.7, -0.5, 0.0, 0.5, 1.99, 40000.0])
    whole = torch.tensor([-2, 0, 0, 0, 1, 40000], dtype=torch.int32)
    yield case("cast", {"x": fractions}, whole, dtype="int32")
    yield case("cast", {"x": whole}, whole.float(), dtype="fp32")
    truths = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    yield Case("cast", lambda mb, x: as_number(mb, mb.cast(x=x, dtype="bool")), {"x": fractions}, [truths])
    for dtype in ("int16", "uint16"):
        there_and_back = torch.from_numpy(whole.numpy().astype(dtype).astype(np.int32))
        yield Case("cast", partial(_through, dtype), {"x": whole}, [there_and_back])


def _through(dtype: str, mb: Any, x: Any) -> Any:
    return mb.cast(x=mb.cast(x=x, dtype=dtype), dtype="int32")


def as_number(mb: Any, truth: Any) -> Any:
    """A truth value as a float, for Core ML has no bool outputs."""
    return mb.cast(x=truth, dtype="fp32")


def comparisons() -> Iterator[Case]:
    inputs = {"x": torch.tensor([1.0, 2.0, 3.0]), "y": torch.tensor([2.0, 2.0, 2.0])}
    for op, truths in {
        "equal": [0, 1, 0],
        "not_equal": [1, 0, 1],
        "greater": [0, 0, 1],
        "greater_equal": [0, 1, 1],
        "less": [1, 0, 0],
        "less_equal": [1, 1, 0],
    }.items():
        yield Case(op, partial(_compared, op), inputs, [torch.tensor(truths, dtype=torch.float32)])
    above_two = torch.tensor([[5, -1, -1], [-1, 11, 3]], dtype=torch.int32)
    yield Case("select", _above_two, {"x": WHOLE}, [above_two])


def _compared(op: str, mb: Any, x: Any, y: Any) -> Any:
    return as_number(mb, getattr(mb, op)(x=x, y=y))


def _above_two(mb: Any, x: Any) -> Any:
    return mb.select(cond=mb.greater(x=x, y=np.int32(2)), a=x, b=np.int32(-1))


def activations() -> Iterator[Case]:
    inputs, x = {"x": FLOATS}, FLOATS.double()
    sigmoid = 1 / (1 + (-x).exp())
    cubic = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)
    yield case("gelu", inputs, x * torch.special.ndtr(x))
    yield case("gelu", inputs, x * torch.special.ndtr(x), mode="EXACT")
    yield case("gelu", inputs, x / (1 + (-2 * cubic).exp()), mode="TANH_APPROXIMATION")
    yield case("gelu", inputs, x / (1 + (-1.702 * x).exp()), mode="SIGMOID_APPROXIMATION")
    alpha, beta = np.float32(0.2), np.float32(0.5)
    yield case("leaky_relu", inputs, x.clamp(min=0) + 0.2 * x.clamp(max=0), alpha=alpha)
    yield case("sigmoid_hard", inputs, (0.2 * x + 0.5).clamp(0, 1), alpha=alpha, beta=beta)
    yield case("thresholded_relu", inputs, x * (x >= -1.5), alpha=np.float32(-1.5))
    yield case("relu", inputs, x * (x > 0))
    yield case("relu6", inputs, x.clamp(0, 6))
    yield case("sigmoid", inputs, sigmoid)
    yield case("silu", inputs, x * sigmoid)
    yield case("softplus", inputs, (1 + x.exp()).log())
    yield case("tanh", inputs, 1 - 2 / (1 + (2 * x).exp()))
    yield case("softmax", inputs, x.exp() / x.exp().sum(2, keepdim=True))
    yield case("softmax", inputs, x.exp() / x.exp().sum(1, keepdim=True), axis=-2)


def products() -> Iterator[Case]:
    x, weight, bias = random(2, 3, 5), random(4, 5), random(4)
    product = torch.einsum("bsi,oi->bso", x.double(), weight.double())
    yield case("linear", {"x": x}, product, weight=weight.numpy())
    yield case("linear", {"x": x}, product + bias, weight=weight.numpy(), bias=bias.numpy())
    left, right = random(2, 3, 4), random(1, 4, 5)
    product = torch.einsum("bij,cjk->bik", left.double(), right.double())
    yield case("matmul", {"x": left, "y": right}, product)
    for x_flipped, y_flipped in np.ndindex(2, 2):
        inputs = {
            "x": left.transpose(1, 2).contiguous() if x_flipped else left,
            "y": right.transpose(1, 2).contiguous() if y_flipped else right,
        }
        yield case("matmul", inputs, product, transpose_x=bool(x_flipped), transpose_y=bool(y_flipped))
    many, few = random(1, 3, 2, 4), random(1, 4, 2, 5)
    products = [many[0, :, row] @ few[0, :, row] for row in (0, 1)]  # (3, 4) by (4, 5)
    yield Case(
        "einsum",
        lambda mb, x, y: mb.einsum(values=(x, y), equation="nchw,nwhu->nchu"),
        {"x": many, "y": few},
        [torch.stack(products, dim=1)[None]],
    )


def convolutions() -> Iterator[Case]:
    x, weight, bias = random(1, 4, 6), random(8, 2, 1), random(8)
    halves = [
        torch.einsum("oi,bis->bos", weight[4 * g : 4 * g + 4, :, 0], x[:, 2 * g : 2 * g + 2]) for g in (0, 1)
    ]
    grouped = torch.cat(halves, 1)
    yield case("conv", {"x": x}, grouped + bias[:, None], weight=weight.numpy(), bias=bias.numpy(), groups=2)
    yield case("conv", {"x": x[..., None]}, grouped[..., None], weight=weight[..., None].numpy(), groups=2)
    image, kernel = random(1, 2, 5, 7), random(3, 2, 2, 3)
    wide = np.pad(image.double().numpy(), ((0, 0), (0, 0), (1, 0), (2, 3)))
    result = np.zeros((1, 3, 3, 8))
    for row, column in np.ndindex(3, 8):  # strides (2, 1), dilations (1, 2)
        patch = wide[0, :, 2 * row : 2 * row + 2, column : column + 5 : 2]
        result[0, :, row, column] = (kernel.double().numpy() * patch).sum((1, 2, 3))
    spread: dict[str, Any] = {
        "strides": [2, 1],
        "dilations": [1, 2],
        "pad_type": "custom",
        "pad": [1, 0, 2, 3],
    }
    yield case("conv", {"x": image}, torch.from_numpy(result), weight=kernel.numpy(), **spread)


def normalizations() -> Iterator[Case]:
    double = FLOATS.double()
    yield case("reduce_mean", {"x": FLOATS}, double.sum(-1) / FLOATS.shape[-1], axes=[-1], keep_dims=False)
    yield case("reduce_mean", {"x": FLOATS}, (double.sum(0) / len(FLOATS))[None], axes=[0], keep_dims=True)
    x = random(2, 3, 4)
    yield _layer_norm(x, [-1], 1e-12, gamma=random(4), beta=random(4) + 1)
    yield _layer_norm(x, [1], 1e-3, gamma=random(3), beta=random(3) - 1)
    yield _layer_norm(x, [1, 2], 1e-5, gamma=random(3, 4), beta=random(3, 4) + 1)
    yield _layer_norm(x, [0, 1, 2], 0.5)
    yield _layer_norm(torch.full((1, 2, 3), 5.0), [-1], 1e-12)


def _layer_norm(x: Tensor, axes: list[int], epsilon: float, **affine: Tensor) -> Case:
    over = tuple(axis % x.ndim for axis in axes)
    place = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    deviation = x.double().numpy() - x.double().numpy().mean(over, keepdims=True)
    result = deviation / np.sqrt((deviation**2).mean(over, keepdims=True) + epsilon)
    if affine:
        result = result * affine["gamma"].reshape(place).numpy() + affine["beta"].reshape(place).numpy()
    constants = {name: tensor.numpy() for name, tensor in affine.items()}
    expected = torch.from_numpy(result)
    return case("layer_norm", {"x": x}, expected, axes=axes, epsilon=np.float32(epsilon), **constants)


def shapes() -> Iterator[Case]:
    x = random(2, 3, 4)
    array, inputs = x.numpy(), {"x": x}
    yield case("shape", inputs, torch.tensor([2, 3, 4], dtype=torch.int32))
    yield case("expand_dims", inputs, torch.from_numpy(array[None, ..., None]), axes=[0, -1])
    yield case("expand_dims", inputs, torch.from_numpy(array[:, :, None]), axes=[2])
    yield case("reshape", inputs, torch.from_numpy(array.reshape(4, 6)), shape=[4, 6])
    yield case("reshape", inputs, torch.from_numpy(array.reshape(1, 8, 3)), shape=[1, -1, 3])
    yield case("reshape", inputs, torch.from_numpy(array.reshape(1, 2, 3, 4)), shape=[1, 0, -1, 4])
    yield case("transpose", inputs, torch.from_numpy(array.transpose(0, 2, 1)), perm=[0, 2, 1])
    yield case("transpose", inputs, torch.from_numpy(array.transpose(2, 0, 1)), perm=[-1, 0, 1])
    ones = random(1, 3, 1)
    for axes, shape in [(None, (3,)), ([0], (3, 1)), ([-1], (1, 3)), ([0, -1], (3,))]:
        yield case("squeeze", {"x": ones}, ones.reshape(shape), axes=axes)
    yield case("split", inputs, x[:, :1], x[:, 1:], split_sizes=[1, 2], axis=1)
    yield case("split", inputs, x[..., :2], x[..., 2:], num_splits=2, axis=-1)
    thrice = torch.from_numpy(np.concatenate([array, array[:, :1], array], 1))
    yield Case(
        "concat", lambda mb, x, y: mb.concat(values=[x, y, x], axis=-2), inputs | {"y": x[:, :1]}, [thrice]
    )
    yield Case("concat", _seven_and_rows, inputs, [torch.tensor([7, 3], dtype=torch.int32)])


def _seven_and_rows(mb: Any, x: Any) -> Any:
    """A vector of two scalars, as coremltools makes sizes."""
    rows = mb.gather(x=mb.shape(x=x), indices=np.int32(1), axis=0)
    return mb.concat(values=[np.int32(7), rows], axis=0)


def selections() -> Iterator[Case]:
    x = random(3, 4, 5)
    cut = partial(case, "slice_by_index", {"x": x})
    yield cut(x[1:3, :, 2:], begin=[1, 0, 2], end=[3, 4, 5])
    yield cut(x[-2:, :-1], begin=[-2, 0, 0], end=[3, -1, 99])
    yield cut(x[::2, :, ::3], begin=[0, 0, 0], end=[3, 4, 5], stride=[2, 1, 3])
    yield cut(x, begin=[2, 2, 2], end=[0, 0, 0], begin_mask=[True] * 3, end_mask=[True] * 3)
    masks = {"begin_mask": [True, False, True], "end_mask": [False, True, True]}
    yield cut(x[:2, 1:], begin=[9, 1, 0], end=[2, 9, 0], **masks)
    yield cut(x[:, 2], begin=[0, 2, 0], end=[3, 3, 5], squeeze_mask=[False, True, False])
    yield cut(x[-1, :, 1:], begin=[-1, 0, 1], end=[0, 4, 5], squeeze_mask=[True, False, False])
    table, ids = random(6, 3), torch.tensor([[4, 0], [5, 5]], dtype=torch.int32)
    rows = torch.stack([torch.stack([table[i] for i in row]) for row in ids.tolist()])
    yield case("gather", {"x": table, "indices": ids}, rows)
    for axis in (1, -2):
        picked = torch.stack([x[:, 3], x[:, 1]], 1)
        yield case("gather", {"x": x}, picked, indices=np.array([3, 1], np.int32), axis=axis)
    yield case("gather", {"x": x}, x[:, 2], indices=np.int32(2), axis=1)


def activations_in_8_bits() -> Iterator[Case]:
    halves = torch.tensor([[-300.0, -1.25, -0.75], [0.25, 0.75, 300.0]])
    half = np.float32(0.5)
    yield _quantize(halves, [[-128, -2, -2], [0, 2, 127]], scale=half, output_dtype="int8")
    yield _quantize(
        halves, [[0, 1, 1], [3, 5, 255]], scale=half, output_dtype="uint8", zero_point=np.uint8(3)
    )
    scales = np.float32([0.5, 0.25, 100])
    offsets = np.int8([1, -2, 3])
    for axis in (1, -1):
        levels = [[-128, -7, 3], [1, 1, 6]]
        arguments: dict[str, Any] = {"scale": scales, "zero_point": offsets, "axis": axis}
        yield _quantize(halves, levels, output_dtype="int8", **arguments)
        values = [[-64.5, -1.25, 0.0], [0.0, 0.75, 300.0]]
        yield _constant("dequantize", values, input=np.int8(levels), **arguments)
    yield _constant("dequantize", [[0.0, 63.5, 64.0]], input=np.uint8([[1, 128, 129]]), **_affine(np.uint8))
    yield _constant("dequantize", [[-64.0, 0.5, 63.5]], input=np.int8([[-128, 1, 127]]), scale=half)


def _affine(dtype: Any) -> dict[str, Any]:
    return {"scale": np.float32(0.5), "zero_point": dtype(1)}


def _quantize(x: Tensor, levels: Any, **arguments: Any) -> Case:
    return Case(
        "quantize",
        lambda mb, x: as_number(mb, mb.quantize(input=x, **arguments)),
        {"x": x},
        [torch.tensor(levels, dtype=torch.float32)],
    )


def _constant(op: str, expected: Any, target: str = "iOS17", **arguments: Any) -> Case:
    """A constant made by an operation; Core ML lets it leave the program only through another one."""
    values = torch.as_tensor(np.array(expected), dtype=torch.float32)
    zeros = torch.zeros(values.shape)
    return Case(
        op,
        lambda mb, x: mb.add(x=x, y=getattr(mb, op)(**arguments)),
        {"x": zeros},
        [values],
        target,
    )


def compressed_weights() -> Iterator[Case]:
    draw = np.random.default_rng(0).integers
    for signed, shape in ((True, (4, 3)), (False, (4, 3, 5))):  # in the program, in the file of weights
        kind = np.int8 if signed else np.uint8
        data = draw(np.iinfo(kind).min, np.iinfo(kind).max + 1, shape).astype(kind)
        scale, offset = np.float32([0.1, 0.2, 0.3]), kind([3, 100, 7])
        along = (1, 3, 1)[: len(shape)]
        wide = (data.astype(float) - offset.reshape(along)) * scale.reshape(along)
        affine = {"quantized_data": data, "scale": scale, "zero_point": offset, "axis": 1}
        yield _constant("constexpr_affine_dequantize", wide, **affine)
    single = {"scale": np.float32(0.5), "zero_point": np.int8(-1), "axis": 0}
    yield _constant(
        "constexpr_affine_dequantize", [[64.0, -63.5]], quantized_data=np.int8([[127, -128]]), **single
    )
    yield from _blockwise()
    yield from _palettes()


def _blockwise() -> Iterator[Case]:
    mil.import_coremltools()
    from coremltools.converters.mil.mil import types

    draw = np.random.default_rng(1)
    for kind, least, most in (("int4", -8, 7), ("uint4", 0, 15), ("int8", -128, 127), ("uint8", 0, 255)):
        stored = types.nptype_from_builtin(types.string_to_builtin(kind))
        for shape, blocks in (((2, 3), (2, 1)), ((6, 7), (3, 7)), ((4, 64, 1), (4, 2, 1))):
            data = draw.integers(least, most + 1, shape)
            data.flat[:2] = least, most
            scale = draw.random(blocks, np.float32)
            offset = draw.integers(least, most + 1, blocks)
            spread = [size // count for size, count in zip(shape, blocks, strict=True)]
            wide_scale, wide_offset = (np.kron(value, np.ones(spread)) for value in (scale, offset))
            arguments = {"data": data.astype(stored), "scale": scale}
            op = "constexpr_blockwise_shift_scale"
            yield _constant(op, data * wide_scale, "iOS18", **arguments)
            with_offset = arguments | {"offset": offset.astype(stored)}
            yield _constant(op, (data - wide_offset) * wide_scale, "iOS18", **with_offset)


def _palettes() -> Iterator[Case]:
    mil.import_coremltools()
    from coremltools.converters.mil.mil import types

    draw = np.random.default_rng(2)
    for bits in (1, 2, 4, 6, 8):
        lut = draw.standard_normal(2**bits).astype(np.float32)
        for shape in ((5,), (7, 3, 5)):
            indices = draw.integers(0, 2**bits, shape)
            text = "".join(format(index, f"0{bits}b")[::-1] for index in indices.flat)  # lowest bit first
            packed = np.uint8([int(text[at : at + 8][::-1], 2) for at in range(0, len(text), 8)])
            arguments = {"indices": packed, "lut": lut, "shape": np.uint32(shape)}
            yield _constant("constexpr_lut_to_dense", lut[indices], **arguments)
    for bits in (1, 2, 3, 4, 6, 8):
        stored = types.nptype_from_builtin(types.string_to_builtin(f"uint{bits}"))
        lut = draw.standard_normal((2, 1, 2**bits, 1)).astype(np.float32)
        indices = draw.integers(0, 2**bits, (6, 5))
        values = np.concatenate([lut[group, 0, indices[3 * group : 3 * group + 3], 0] for group in (0, 1)])
        yield _constant("constexpr_lut_to_dense", values, "iOS18", indices=indices.astype(stored), lut=lut)


GROUPS = [
    elementwise,
    casts,
    comparisons,
    activations,
    products,
    convolutions,
    normalizations,
    shapes,
    selections,
    activations_in_8_bits,
    compressed_weights,
]
CASES = [one for group in GROUPS for one in group()]


@pytest.mark.parametrize("case", [pytest.param(one, id=f"{one.op}-{i}") for i, one in enumerate(CASES)])
def test_operation(case: Case, ct: Any, tmp_path: Path) -> None:
    program = load(save(ct, tmp_path / "op.mlpackage", case.build, case.inputs, target=case.target))
    assert case.op in {step.type for step in program.operations}
    for found, expected in zip(run(program, **case.inputs), case.expected, strict=True):
        wanted = expected.float() if expected.is_floating_point() else expected
        torch.testing.assert_close(found, wanted, rtol=2e-6, atol=2e-6)


def test_every_operation_has_a_case() -> None:
    assert {one.op for one in CASES} == set(mil_ops.OPERATIONS)


# Precision


def test_each_result_of_an_fp16_program_is_rounded_to_float16(ct: Any, tmp_path: Path) -> None:
    inputs = {name: random(64, size).half().float() for name, size in (("x", 32), ("y", 32), ("z", 32))}
    path = save(
        ct, tmp_path / "p.mlpackage", lambda mb, x, y, z: mb.add(x=mb.mul(x=x, y=y), y=z), inputs, half=True
    )
    (found,) = run(load(path), **inputs)
    x, y, z = (tensor.numpy() for tensor in inputs.values())
    twice = ((x * y).astype(np.float16).astype(np.float32) + z).astype(np.float16).astype(np.float32)
    once = (x.astype(np.float64) * y + z).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found.numpy(), twice)
    assert (twice != once).any()


def test_an_fp32_program_is_not_rounded(ct: Any, tmp_path: Path) -> None:
    x = torch.tensor([1.0 + 2**-20])
    path = save(ct, tmp_path / "p.mlpackage", lambda mb, x: mb.mul(x=x, y=np.float32(1 + 2**-20)), {"x": x})
    assert run(load(path), x=x)[0].item() == np.float32(x.item() ** 2) != 1.0


def test_products_of_an_fp16_program_accumulate_in_float32(ct: Any, tmp_path: Path) -> None:
    ones = torch.ones(1, 4100)  # a sum in float16 stays at 2048
    weight = np.ones((1, 4100), np.float16)
    path = save(
        ct, tmp_path / "p.mlpackage", lambda mb, x: mb.linear(x=x, weight=weight), {"x": ones}, half=True
    )
    assert run(load(path), x=ones)[0].item() == 4100


def test_float16_overflows_to_infinity(ct: Any, tmp_path: Path) -> None:
    x = torch.tensor([300.0])
    path = save(ct, tmp_path / "p.mlpackage", lambda mb, x: mb.square(x=x), {"x": x}, half=True)
    assert run(load(path), x=x)[0].item() == float("inf")


def test_intermediate_values_are_freed(ct: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(mb: Any, x: Any) -> Any:
        for _ in range(20):
            x = mb.relu(x=x)
        return x

    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def relu(x: Tensor) -> Tensor:
        nonlocal most
        result = torch.relu(x)
        alive.append(weakref.ref(result))
        most = max(most, sum(reference() is not None for reference in alive))
        return result

    program = load(save(ct, tmp_path / "p.mlpackage", build, {"x": FLOATS}))
    monkeypatch.setitem(mil_ops.OPERATIONS, "relu", relu)
    run(program, x=FLOATS)
    assert len(alive) == 20
    assert most <= 3


def test_compressed_weights_are_decompressed_once(
    ct: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = np.arange(-60, 60, dtype=np.int8).reshape(30, 4)
    stored = weakref.WeakSet[Tensor]()
    calls = 0
    inner = mil_ops.OPERATIONS["constexpr_affine_dequantize"]

    def decompress(quantized_data: Tensor, **arguments: Tensor) -> Any:
        nonlocal calls
        calls += 1
        stored.add(quantized_data)
        return inner(quantized_data, **arguments)

    def build(mb: Any, x: Any) -> Any:
        weight = mb.constexpr_affine_dequantize(quantized_data=data, **_affine(np.int8), axis=0)
        return mb.linear(x=x, weight=weight)

    program = load(save(ct, tmp_path / "p.mlpackage", build, {"x": FLOATS}))
    monkeypatch.setitem(mil_ops.OPERATIONS, "constexpr_affine_dequantize", decompress)
    expected = FLOATS @ torch.from_numpy((data - 1.0) * 0.5).float().T
    for _ in range(3):
        torch.testing.assert_close(run(program, x=FLOATS)[0], expected)
    assert calls == 1
    assert not stored  # the compressed values are given up


# What it refuses


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda mb, x: mb.sin(x=x), "sin"),
        (lambda mb, x: mb.cast(x=mb.cast(x=x, dtype="int8"), dtype="fp32"), "int8"),
        (lambda mb, x: mb.reverse(x=mb.cos(x=x)), "cos.*reverse"),
        (lambda mb, x: mb.slice_by_index(x=x, begin=[0, 2, 0], end=[1, 0, 4], stride=[1, -1, 1]), "stride"),
        (lambda mb, x: mb.conv(x=x, weight=np.ones((1, 3, 2), np.float32), pad_type="same"), "'same'"),
        (lambda mb, x: mb.concat(values=[x, x], axis=0, interleave=True), "interleave"),
        (lambda mb, x: mb.gather(x=x, indices=np.array([[1]], np.int32), axis=1, batch_dims=1), "batch_dims"),
        (lambda mb, x: mb.add(x=mb.real_div(x=mb.shape(x=x), y=np.int32(2)), y=np.int32(1)), "real_div"),
    ],
)
def test_what_it_does_not_know_is_not_verified(
    build: Callable[..., Any], named: str, ct: Any, tmp_path: Path
) -> None:
    program = load(save(ct, tmp_path / "p.mlpackage", build, {"x": FLOATS}))
    with pytest.raises(UnavailableError, match=f"not verified.*{named}"):
        run(program, x=FLOATS)


def test_a_palette_of_vectors_is_not_verified(ct: Any, tmp_path: Path) -> None:
    from coremltools.converters.mil.mil import types

    indices = np.zeros((3, 4), types.nptype_from_builtin(types.uint1))
    lut = np.ones((1, 1, 2, 2), np.float32)

    def build(mb: Any, x: Any) -> Any:
        return mb.add(x=x, y=mb.constexpr_lut_to_dense(indices=indices, lut=lut, vector_axis=0))

    inputs = {"x": torch.zeros(6, 4)}
    program = load(save(ct, tmp_path / "p.mlpackage", build, inputs, target="iOS18"))
    with pytest.raises(UnavailableError, match="not verified.*constexpr_lut_to_dense.*a palette of vectors"):
        run(program, **inputs)


def test_an_index_outside_a_table_is_an_error(ct: Any, tmp_path: Path) -> None:
    inputs = {"x": random(6, 3), "indices": torch.tensor([0, 5], dtype=torch.int32)}
    program = load(save(ct, tmp_path / "p.mlpackage", lambda mb, **i: mb.gather(**i, axis=0), inputs))
    run(program, **inputs)
    for outside in (6, -1):
        with pytest.raises(InputError, match=f"index {outside} is outside"):
            run(program, x=inputs["x"], indices=torch.tensor([0, outside], dtype=torch.int32))


def test_a_result_other_than_declared_is_not_verified(ct: Any, tmp_path: Path) -> None:
    file = mil.model_file(save(ct, tmp_path / "p.mlpackage", lambda mb, x: mb.relu(x=x), {"x": FLOATS}))
    model = mil.read_model(file)
    function = model.mlProgram.functions["main"]
    (step,) = function.block_specializations[function.opset].operations
    step.outputs[0].type.tensorType.dimensions[1].constant.size = 4
    with pytest.raises(UnavailableError, match=r"declared float32 \(1, 4, 4\)"):
        mil.Program(model, file.parent)({"x": FLOATS})


def test_an_input_of_another_shape_is_an_error(ct: Any, tmp_path: Path) -> None:
    program = load(save(ct, tmp_path / "p.mlpackage", lambda mb, x: mb.relu(x=x), {"x": FLOATS}))
    with pytest.raises(InputError, match=r"'x' has shape \(1, 3, 5\)"):
        run(program, x=torch.zeros(1, 3, 5))


@pytest.fixture
def package(ct: Any, tmp_path: Path) -> Path:
    weight = random(40, 4).numpy()
    return save(ct, tmp_path / "p.mlpackage", lambda mb, x: mb.linear(x=x, weight=weight), {"x": FLOATS})


def test_a_wrong_weight_on_disk_changes_the_output(package: Path) -> None:
    right = run(load(package), x=FLOATS)[0]
    weights = mil.model_file(package).parent / "weights" / "weight.bin"
    data = weights.read_bytes()
    first = random(40, 4)[0, 0].numpy().tobytes()
    weights.write_bytes(data.replace(first, np.float32(3.0).tobytes(), 1))
    wrong = run(load(package), x=FLOATS)[0]
    expected = (3.0 - random(40, 4)[0, 0]) * FLOATS[..., 0]
    torch.testing.assert_close(wrong[..., 0] - right[..., 0], expected)
    torch.testing.assert_close(wrong[..., 1:], right[..., 1:])


@pytest.mark.parametrize("left", [0, 64, 100, -4])
def test_truncated_weights_are_an_error(package: Path, left: int) -> None:
    weights = mil.model_file(package).parent / "weights" / "weight.bin"
    weights.write_bytes(weights.read_bytes()[:left])
    with pytest.raises(InputError, match="damaged"):
        load(package)


@pytest.mark.parametrize("part", ["Manifest.json", "model.mlmodel", "weight.bin"])
def test_a_missing_file_is_an_error(package: Path, part: str) -> None:
    next(package.rglob(part)).unlink()
    with pytest.raises(InputError, match="No such file"):
        load(package)


def test_a_damaged_package_is_an_error(package: Path, tmp_path: Path) -> None:
    file = mil.model_file(package)
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(InputError, match="not a readable Core ML package"):
        load(package)
    file.write_bytes(b"")
    with pytest.raises(InputError, match="not an ML Program"):
        load(package)
    for manifest in ("", "[]", json.dumps({"itemInfoEntries": {}, "rootModelIdentifier": "1"})):
        (package / "Manifest.json").write_text(manifest)
        with pytest.raises(InputError, match="not a readable Core ML package"):
            load(package)
    with pytest.raises(InputError, match="not a readable Core ML package"):
        load(tmp_path / "nothing.mlpackage")
