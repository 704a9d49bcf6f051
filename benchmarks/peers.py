"""The peers: transformers' modules exported as each runtime's own tools do it unasked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import SqueezeBertForSequenceClassification

LENGTH, VOCABULARY = 128, 30528
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Logits(nn.Module):
    """A transformers classifier as exporters want it: int32 tensors in, a tuple out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor]:
        """(1, S) each -> the logits (1, 2)."""
        ids = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return (self.model(**{name: value.long() for name, value in ids.items()}).logits,)


@cache
class Squeeze:
    """One set of random weights in squeezebert-uncased's shapes, in our module and in transformers'."""

    def __init__(self) -> None:
        from transformers import SqueezeBertConfig as TheirConfig
        from transformers import SqueezeBertForSequenceClassification as TheirModel

        torch.manual_seed(0)
        self.ours = SqueezeBertForSequenceClassification(SqueezeBertConfig(vocab_size=VOCABULARY)).eval()
        self.theirs = TheirModel(TheirConfig(vocab_size=VOCABULARY)).eval()
        self.theirs.load_state_dict(self.ours.state_dict(), strict=False)


class NormAsItIs(nn.LayerNorm):
    """A LayerNorm that our ExecuTorch exporter does not know, and leaves where ExecuTorch itself does."""


@cache
def Bert(as_it_is: bool = False) -> nn.Module:  # noqa: N802  # stands beside Squeeze
    """BERT-base with random weights.

    Args:
        as_it_is: without what our exporter does for LayerNorms.
    """
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(attn_implementation="eager")).eval()
    for module in model.modules():
        if as_it_is and isinstance(module, nn.LayerNorm):
            module.__class__ = NormAsItIs
    return Logits(model)


def example(length: int) -> dict[str, Tensor]:
    """What a module is traced with: three tensors, since torch takes one that comes twice for one input."""
    ids, mask = torch.ones(2, 1, length, dtype=torch.int32)
    return dict(zip(INPUTS, (ids.clone(), mask.clone(), torch.zeros_like(ids)), strict=True))


def plain_tflite(
    model: nn.Module, directory: Path, precision: str, lengths: Sequence[int] = (LENGTH,)
) -> Path:
    """litert-torch's convert, and for int8 ai-edge-quantizer's own dynamic recipe over every operator.

    Args:
        model: transformers' classifier.
    """
    path = directory / f"{_name(model, precision, lengths)}.tflite"
    if path.exists():
        return path
    import litert_torch

    from exporters.lengths import entry_point
    from exporters.tflite import quantization as quantizer
    from exporters.tflite.export import NamedModule, finished
    from exporters.tflite.model import unpack

    module = NamedModule(Logits(model), ("logits",)).eval()
    converter = litert_torch
    for length in lengths:
        converter = converter.signature(entry_point(length), module, sample_kwargs=example(length))
    content = converter.convert().model_content()
    if precision == "int8":
        from ai_edge_quantizer import qtyping, recipe_manager

        recipe = recipe_manager.RecipeManager()
        recipe.add_dynamic_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 8)
        content = quantizer.rewritten(unpack(content), recipe)
    path.write_bytes(finished(content, {}))
    return path


def optimum_like_pte(model: nn.Module, directory: Path, lengths: Sequence[int] = (LENGTH,)) -> Path:
    """As optimum-executorch lowers it with --qlinear 8da8w --qembedding 8w: linear layers and tables in int8.

    SqueezeBERT's convolutions stay float (optimum/exporters/executorch/quantization.py).

    Args:
        model: transformers' classifier.
    """
    path = directory / f"{_name(model, 'int8', lengths)}.pte"
    if path.exists():
        return path
    import copy

    from torchao.quantization import (
        Int8DynamicActivationIntxWeightConfig,
        IntxWeightOnlyConfig,
        PerAxis,
        quantize_,
    )

    import exporters
    from exporters.executorch.quantization import with_long_ids
    from exporters.spec import ExportRequest

    module = copy.deepcopy(Logits(model))
    linear = Int8DynamicActivationIntxWeightConfig(torch.int8, PerAxis(0))
    quantize_(module, linear, lambda part, _: isinstance(part, nn.Linear))
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            part.padding_idx = None
            part.register_forward_pre_hook(with_long_ids)
    table = IntxWeightOnlyConfig(torch.int8, PerAxis(0))
    quantize_(module, table, lambda part, _: isinstance(part, nn.Embedding))
    request = ExportRequest(module, {length: example(length) for length in lengths}, ("logits",), "fp32")
    exporters.get("executorch", to_export=True).export(request, path)
    return path


def onnx_file(model: nn.Module, directory: Path, precision: str) -> Path:
    """torch.onnx's export, of any length; int8 by ONNX Runtime's dynamic quantization, per channel.

    Args:
        model: transformers' classifier.
    """
    path = directory / f"{_name(model, precision, ())}.onnx"
    if path.exists():
        return path
    if precision == "fp32":
        torch.onnx.export(
            Logits(model),
            tuple(tensor.long() for tensor in example(LENGTH).values()),
            str(path),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes={name: {1: "length"} for name in INPUTS},
            dynamo=False,
        )
        return path
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(onnx_file(model, directory, "fp32"), path, per_channel=True, weight_type=QuantType.QInt8)
    return path


def _name(model: nn.Module, precision: str, lengths: Sequence[int]) -> str:
    """A file's name without its end: artifacts that are kept are taken by it."""
    return "-".join([type(model).__name__, str(model.config.hidden_size), precision, *map(str, lengths)])
