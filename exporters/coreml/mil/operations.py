"""What every operation of a Core ML program computes, in torch.

Each function has its operation's inputs as parameters, named and defaulted as in the reference of MIL
(https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html). Tensors are
float32, int32 or bool, and int8 or uint8 where they are quantized, constants included; the caller rounds
results to what the program declares.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from exporters.coreml.mil.weights import QUANTIZATION
from exporters.errors import InputError, UnavailableError

Operator = Callable[..., Tensor | Sequence[Tensor]]


def not_verified(what: str) -> UnavailableError:
    """The error for a program with something that nothing here knows how to compute."""
    return UnavailableError(
        f"not verified: the evaluator of Core ML programs does not know {what}",
        hint="verify on a Mac, where Core ML itself computes the program",
    )


# Activations


def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """Gaussian error linear unit, by the error function or one of two approximations."""
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate={"EXACT": "none", "TANH_APPROXIMATION": "tanh"}[mode])


def leaky_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """`x` where it is not negative, else `alpha * x`."""
    return torch.where(x >= 0, x, alpha * x)


def sigmoid_hard(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`alpha * x + beta`, held between 0 and 1."""
    return (alpha * x + beta).clamp(0, 1)


def thresholded_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """`x` where it is at least `alpha`, else 0."""
    return torch.where(x >= alpha, x, 0.0)


def clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`x` held between `alpha` and `beta`."""
    return x.clamp(alpha, beta)


def softmax(x: Tensor, axis: int | Tensor = -1) -> Tensor:
    """Exponentials along one axis, divided by their sum."""
    return torch.softmax(x, int(axis))


# Products and normalization


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias`: (..., in), (out, in), (out,) -> (..., out)."""
    return F.linear(x, weight, bias)


def matmul(
    x: Tensor, y: Tensor, transpose_x: bool | Tensor = False, transpose_y: bool | Tensor = False
) -> Tensor:
    """Batched matrix product; the last two axes of either side may be swapped first."""
    return torch.matmul(x.mT if transpose_x else x, y.mT if transpose_y else y)


def einsum(values: Sequence[Tensor], equation: str) -> Tensor:
    """Sums of products: of two tensors, (B, C, H, W1) and (B, W1, H, W2) -> (B, C, H, W2)."""
    return torch.einsum(equation, *values)


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Tensor | None = None,
    pad_type: str = "valid",
    pad: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: int | Tensor = 1,
) -> Tensor:
    """Convolution over 1 to 3 spatial axes: (B, C_in, *d), (C_out, C_in / groups, *k) -> (B, C_out, *d')."""
    if pad_type not in ("valid", "custom"):
        raise not_verified(f"conv with pad_type '{pad_type}'")
    if pad_type == "custom" and pad is not None:
        # MIL pads (before, after) from the first spatial axis on, torch from the last one back.
        before_after = pad.reshape(-1, 2).flip(0).flatten().tolist()
        x = F.pad(x, before_after)
    convolve = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]
    stride = 1 if strides is None else strides.tolist()
    dilation = 1 if dilations is None else dilations.tolist()
    return convolve(x, weight, bias, stride=stride, dilation=dilation, groups=int(groups))


def reduce_mean(x: Tensor, axes: Tensor | None = None, keep_dims: bool | Tensor = False) -> Tensor:
    """The mean along some axes, by default along all."""
    return x.mean(list(range(x.ndim)) if axes is None else axes.tolist(), keepdim=bool(keep_dims))


def rsqrt(x: Tensor, epsilon: float | Tensor = 1e-12) -> Tensor:
    """1 / sqrt(x + epsilon)."""
    return torch.rsqrt(x + epsilon)


def layer_norm(
    x: Tensor,
    axes: Tensor | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float | Tensor = 1e-5,
) -> Tensor:
    """Normalization over `axes` by mean and biased variance; gamma and beta have the shape of those axes."""
    over = sorted(axis % x.ndim for axis in (range(x.ndim) if axes is None else axes.tolist()))
    along = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    variance, mean = torch.var_mean(x, over, correction=0, keepdim=True)
    normed = (x - mean) / torch.sqrt(variance + epsilon)
    scaled = normed if gamma is None else normed * gamma.reshape(along)
    return scaled if beta is None else scaled + beta.reshape(along)


# Shapes and selection


def shape(x: Tensor) -> Tensor:
    """The sizes of `x`, as int32."""
    return torch.tensor(x.shape, dtype=torch.int32)


def reshape(x: Tensor, shape: Tensor) -> Tensor:
    """The same values in another shape; -1 is what remains, 0 the axis of `x` that far from the right."""
    sizes = shape.tolist()
    for from_right in range(1, len(sizes) + 1):
        if sizes[-from_right] == 0:
            sizes[-from_right] = x.shape[-from_right] if from_right <= x.ndim else 1
    return x.reshape(sizes)


def expand_dims(x: Tensor, axes: Tensor) -> Tensor:
    """An axis of size 1 at each of `axes`, which count in the result."""
    rank = x.ndim + axes.numel()
    for axis in sorted(axis % rank for axis in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Without those of `axes` that have size 1; without all such axes when none are named."""
    return x.squeeze() if axes is None else x.squeeze(tuple(axes.tolist()))


def transpose(x: Tensor, perm: Tensor) -> Tensor:
    """The axes in another order."""
    return x.permute(perm.tolist())


def concat(values: Sequence[Tensor], axis: int | Tensor, interleave: bool | Tensor = False) -> Tensor:
    """Tensors one after another along `axis`; scalars make a vector."""
    if interleave:
        raise not_verified("concat with interleave")
    return torch.cat([value.reshape(1) if value.ndim == 0 else value for value in values], int(axis))


def split(
    x: Tensor, axis: int | Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None
) -> Sequence[Tensor]:
    """Pieces along `axis`: of the given sizes, or so many equal ones."""
    if split_sizes is None:
        assert num_splits is not None, "split has neither num_splits nor split_sizes"
        return torch.split(x, x.shape[int(axis)] // int(num_splits), int(axis))
    return torch.split(x, split_sizes.tolist(), int(axis))


def slice_by_index(
    x: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    """`x[begin:end:stride, ...]`; masked ends are open, a squeezed axis is indexed by `begin` and dropped."""
    if stride is not None and bool((stride <= 0).any()):
        raise not_verified("slice_by_index with a negative stride")

    def flags(mask: Tensor | None) -> list[bool]:
        return [False] * x.ndim if mask is None else mask.tolist()

    steps = [1] * x.ndim if stride is None else stride.tolist()
    index = [
        first if dropped else slice(None if from_start else first, None if to_end else last, step)
        for first, last, step, from_start, to_end, dropped in zip(
            begin.tolist(),
            end.tolist(),
            steps,
            flags(begin_mask),
            flags(end_mask),
            flags(squeeze_mask),
            strict=True,
        )
    ]
    return x[tuple(index)]


def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`a` where `cond` holds, else `b`."""
    return torch.where(cond, a, b)


def gather(
    x: Tensor,
    indices: Tensor,
    axis: int | Tensor = 0,
    batch_dims: int | Tensor = 0,
    validate_indices: bool | Tensor = False,
) -> Tensor:
    """Slices of `x` at `indices` along `axis`: (*before, n, *after), (*i) -> (*before, *i, *after).

    From iOS 17 on Core ML leaves it undefined what an index outside [0, n) gives, so it is an error here,
    whether the program asks for validation or not.
    """
    if batch_dims:
        raise not_verified("gather with batch_dims")
    along = int(axis) % x.ndim
    outside = (indices < 0) | (indices >= x.shape[along])
    if outside.any():
        raise InputError(
            f"index {int(indices[outside][0])} is outside a table of the Core ML program",
            allowed=f"0 to {x.shape[along] - 1}",
        )
    # (*i) -> (i,), gathered (*before, i, *after) -> (*before, *i, *after)
    gathered = x.index_select(along, indices.flatten())
    return gathered.reshape(x.shape[:along] + indices.shape + x.shape[along + 1 :])


def cast(x: Tensor, dtype: str) -> Tensor:
    """`x` as another type; fractions are cut off towards zero, and only 0 is False."""
    if dtype == "bool":
        return x.bool()
    return x.float() if dtype in ("fp16", "fp32") else x.to(torch.int32)


def _of_x(function: Callable[[Tensor], Tensor]) -> Operator:
    def unary(x: Tensor) -> Tensor:
        return function(x)

    return unary


def _of_x_and_y(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def binary(x: Tensor, y: Tensor) -> Tensor:
        return function(x, y)

    return binary


ELEMENTWISE: dict[str, Operator] = {
    "identity": _of_x(operator.pos),
    "add": _of_x_and_y(operator.add),
    "sub": _of_x_and_y(operator.sub),
    "mul": _of_x_and_y(operator.mul),
    "real_div": _of_x_and_y(operator.truediv),
    "pow": _of_x_and_y(torch.pow),
    "maximum": _of_x_and_y(torch.maximum),
    "minimum": _of_x_and_y(torch.minimum),
    "exp": _of_x(torch.exp),
    "erf": _of_x(torch.erf),
    "sqrt": _of_x(torch.sqrt),
    "rsqrt": rsqrt,
    "square": _of_x(torch.square),
    "clip": clip,
    "cast": cast,
}
COMPARISONS: dict[str, Operator] = {
    "equal": _of_x_and_y(operator.eq),
    "not_equal": _of_x_and_y(operator.ne),
    "greater": _of_x_and_y(operator.gt),
    "greater_equal": _of_x_and_y(operator.ge),
    "less": _of_x_and_y(operator.lt),
    "less_equal": _of_x_and_y(operator.le),
}
ACTIVATIONS: dict[str, Operator] = {
    "gelu": gelu,
    "leaky_relu": leaky_relu,
    "relu": _of_x(torch.relu),
    "relu6": _of_x(F.relu6),
    "sigmoid": _of_x(torch.sigmoid),
    "sigmoid_hard": sigmoid_hard,
    "silu": _of_x(F.silu),
    "softmax": softmax,
    "softplus": _of_x(F.softplus),
    "tanh": _of_x(torch.tanh),
    "thresholded_relu": thresholded_relu,
}
PRODUCTS: dict[str, Operator] = {
    "conv": conv,
    "einsum": einsum,
    "layer_norm": layer_norm,
    "reduce_mean": reduce_mean,
    "linear": linear,
    "matmul": matmul,
}
SHAPES_AND_CHOICE: dict[str, Operator] = {
    "concat": concat,
    "expand_dims": expand_dims,
    "gather": gather,
    "reshape": reshape,
    "select": select,
    "shape": shape,
    "slice_by_index": slice_by_index,
    "split": split,
    "squeeze": squeeze,
    "transpose": transpose,
}
OPERATIONS: dict[str, Operator] = (
    ELEMENTWISE | COMPARISONS | ACTIVATIONS | PRODUCTS | SHAPES_AND_CHOICE | QUANTIZATION
)
