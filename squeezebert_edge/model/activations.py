"""The activation functions that a configuration can name: transformers' table, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Elementwise(nn.Module):
    """A function without parameters, as a module.

    Args:
        function: maps a tensor to one of the same shape.
        name: what `print(model)` shows.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], name: str) -> None:
        super().__init__()
        self.function, self.name = function, name

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each element."""
        return self.function(x)

    def extra_repr(self) -> str:
        """The activation's name."""
        return self.name


class XIELU(nn.Module):
    """The trainable integral of ELU: quadratic above zero, exponential below it (arXiv 2411.13010).

    Parameters are stored as transformers stores them: in bfloat16, as the inverse softplus of the slopes,
    with the constants beta and eps in the state dict.
    """

    beta: Tensor
    eps: Tensor

    def __init__(self, slope: float = 0.8, beta: float = 0.5, eps: float = -1e-6) -> None:
        super().__init__()
        self.alpha_p = nn.Parameter(_inverse_softplus(slope))
        self.alpha_n = nn.Parameter(_inverse_softplus(slope - beta))
        self.register_buffer("beta", torch.tensor(beta, dtype=torch.bfloat16))
        self.register_buffer("eps", torch.tensor(eps, dtype=torch.bfloat16))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each element."""
        above = F.softplus(self.alpha_p) * x * x + self.beta * x
        slope_below = self.beta + F.softplus(self.alpha_n)
        below = (torch.expm1(torch.minimum(x, self.eps)) - x) * slope_below + self.beta * x
        return torch.where(x > 0, above, below)


def _inverse_softplus(value: float) -> Tensor:
    # Rounded to bfloat16 at each step, as transformers computes it.
    return torch.log(torch.expm1(torch.tensor([value], dtype=torch.bfloat16)))


def _gelu_tanh(x: Tensor) -> Tensor:
    # Hendrycks and Gimpel, arXiv 1606.08415, equation 2, spelled out.
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def _gelu_tanh_fused(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _gelu_erf(x: Tensor) -> Tensor:
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def _gelu_clipped(x: Tensor) -> Tensor:
    return torch.clamp(F.gelu(x), -10.0, 10.0)


def _gelu_sigmoid(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _laplace(x: Tensor) -> Tensor:
    # Ma et al., arXiv 2209.10655, with the constants of their equation 15.
    mean, deviation = 0.707107, 0.282095
    return 0.5 * (1.0 + torch.erf((x - mean) / (deviation * math.sqrt(2.0))))


def _relu_squared(x: Tensor) -> Tensor:
    return torch.square(F.relu(x))


def _sqrt_softplus(x: Tensor) -> Tensor:
    return F.softplus(x).sqrt()


def _identity(x: Tensor) -> Tensor:
    return x


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_10": _gelu_clipped,
    "gelu_accurate": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_python": _gelu_erf,
    "gelu_python_tanh": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh_fused,
    "hardswish": F.hardswish,
    "laplace": _laplace,
    "leaky_relu": F.leaky_relu,
    "linear": _identity,
    "mish": F.mish,
    "quick_gelu": _gelu_sigmoid,
    "relu": F.relu,
    "relu2": _relu_squared,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "sqrtsoftplus": _sqrt_softplus,
    "swish": F.silu,
    "tanh": torch.tanh,
}
_WITH_PARAMETERS: dict[str, Callable[[], nn.Module]] = {"prelu": nn.PReLU, "xielu": XIELU}


def activation(name: str) -> nn.Module:
    """A new module of one of config.ACTIVATION_NAMES; each layer has its own, since some carry parameters."""
    if name in _WITH_PARAMETERS:
        return _WITH_PARAMETERS[name]()
    return Elementwise(_FUNCTIONS[name], name)
