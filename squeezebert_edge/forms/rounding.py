"""A float network whose parts are rounded as a precision rounds them, computed in torch without an export.

Weights and activations are rounded as the runtimes round them, and the products are then computed in float32.
The runtimes' integers give the same but for float32's own rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

import exporters
from exporters.arrays import Array
from exporters.errors import InputError
from exporters.precision import Rounding
from exporters.products import is_large_table, ranges_of
from exporters.spec import ExportRequest, Ranges
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.forms.balancing import quantizable
from squeezebert_edge.forms.calibration import Calibration
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.forms.choices import INPUTS, LAST_PRODUCTS
from squeezebert_edge.tasks.heads import Task

FORM = "group-resident"

Compute = Callable[[Mapping[str, Array]], dict[str, Array]]


class RoundedNetwork:
    """A checkpoint's network in the form FORM, any of whose parts can be rounded.

    Args:
        format_, exact: a format and one of its precisions that quantizes.
        calibration: for a precision that is calibrated.

    Attributes:
        parts: the names of the parts that can be rounded by themselves, in the network's order.

    Raises:
        InputError: the precision quantizes nothing, or it is calibrated and there is no calibration.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        task: Task,
        format_: str,
        exact: str,
        calibration: Calibration | None = None,
    ) -> None:
        precisions = exporters.format_named(format_).precisions
        quantizing = {name: precision for name, precision in precisions.items() if precision.rounding}
        if exact not in quantizing:
            raise InputError(f"{exact} quantizes nothing in {format_}", allowed=", ".join(quantizing))
        self.precision = quantizing[exact]
        assert self.precision.rounding is not None
        self.rounding = self.precision.rounding
        self._format, self._outputs = format_, task.outputs
        self._module = lay_out(quantizable(checkpoint, self.precision), type(task), FORM)
        self.parts = tuple(_parts(self._module))
        self._ranges: Mapping[str, Ranges] = {}
        if self.precision.calibrated:
            rows = calibration.rows if calibration else ()
            request = ExportRequest(
                self._module,
                {1: dict.fromkeys(INPUTS, torch.ones(1, 1, dtype=torch.int32))},
                task.outputs,
                exact,
                calibration=rows,
                ranges=checkpoint.ranges,
            )
            linears = {
                name: part for name, part in self._module.named_modules() if isinstance(part, nn.Linear)
            }
            self._ranges, _ = ranges_of(request, linears)

    def rounded(self, parts: Sequence[str]) -> Compute:
        """The network with these parts rounded and the rest in float: inputs by name to outputs by name."""
        module = copy.deepcopy(self._module)
        for part in parts:
            for name, submodule in module.get_submodule(part).named_modules(prefix=part):
                rounds = isinstance(submodule, nn.Linear) or is_large_table(submodule)
                if rounds and not self._stays_float(name):
                    self._round(name, submodule)

        def compute(inputs: Mapping[str, Array]) -> dict[str, Array]:
            with torch.inference_mode():
                outputs = module(*(torch.from_numpy(inputs[name]) for name in INPUTS))
            return {name: output.numpy() for name, output in zip(self._outputs, outputs, strict=True)}

        return compute

    def _stays_float(self, name: str) -> bool:
        if name == "embeddings.position_embeddings":  # looked up in the export, so a constant of the artifact
            return self._format == "tflite"
        return self.precision.calibrated and name.rpartition(".")[2] in LAST_PRODUCTS

    def _round(self, name: str, submodule: nn.Linear | nn.Embedding) -> None:
        with torch.no_grad():
            submodule.weight = nn.Parameter(_round_weight(submodule.weight, self.rounding))
        if isinstance(submodule, nn.Embedding) or self.rounding.activations is None:
            return
        if self.rounding.activations == "row":
            submodule.register_forward_pre_hook(lambda _, inputs: (_round_rows(inputs[0]),))
            return
        known = self._ranges[name]
        submodule.register_forward_pre_hook(lambda _, inputs: (_round_between(inputs[0], known.input),))
        submodule.register_forward_hook(lambda _, __, output: _round_between(output, known.output))


def _parts(module: nn.Module) -> Iterator[str]:
    """The parts of a group-resident network that can be quantized by themselves, in its order."""
    yield "embeddings"
    for name, layer in module.get_submodule("layers").named_children():
        for child, products in layer.named_children():
            if isinstance(products, nn.ModuleList):
                yield f"layers.{name}.{child}"
    yield "head"


def _round_weight(weight: Tensor, rounding: Rounding) -> Tensor:
    """Round symmetrically, with a scale for each row, or for each group of a row's values."""
    most = 2 ** (rounding.bits - 1) - 1
    grouped = weight.shape[1] % rounding.group == 0 if rounding.group else False
    values = (
        weight.view(weight.shape[0], -1, rounding.group) if grouped and rounding.group else weight[:, None]
    )
    scale = values.abs().amax(-1, keepdim=True).clamp(min=1e-12) / most
    rounded: Tensor = (values / scale).round().clamp(-most, most) * scale
    return rounded.view(weight.shape)


def _round_rows(x: Tensor) -> Tensor:
    """Round to int8 with a scale and a zero point for each row, as at run time."""
    low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
    return _round(x, low, high)


def _round_between(x: Tensor, range_: tuple[float, float] | None) -> Tensor:
    """Round to int8 between two values that were set beforehand."""
    assert range_ is not None
    low, high = torch.tensor(min(range_[0], 0.0)), torch.tensor(max(range_[1], 0.0))
    return _round(x, low, high)


def _round(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    scale = ((high - low) / 255).clamp(min=1e-12)
    zero = (-128 - low / scale).round()
    return ((x / scale).round().add(zero).clamp(-128, 127) - zero) * scale
