"""Fake quantization is what int8 arithmetic would do, and training with it learns to bear it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from exporters.errors import InputError
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.checkpoint.ranges import products, read
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.forms.choices import LAST_PRODUCTS
from squeezebert_edge.tasks.heads import TextClassification
from squeezebert_edge.training import fake_quantization
from squeezebert_edge.training import train as training
from squeezebert_edge.training.fake_quantization import ActivationRanges, QuantizedProducts, fake_quantize
from squeezebert_edge.training.layers import BatchNoise, prepare_for_training
from squeezebert_edge.training.processes import Processes
from squeezebert_edge.training.run import CALIBRATION_BATCHES
from tests.kit.planted import with_outliers
from tests.kit.tiny import tiny_model
from tests.kit.trained import (
    CONFIG,
    INT8,
    TRAINING,
    VALIDATION,
    fine_tune,
    in_two_processes,
    run,
    same,
    stop_after,
    train_verb,
    weights,
    write_tsv,
)

# torch's own int8 tensors, the truth here, warn that they will go: once a process, whichever test is first.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*quantize:DeprecationWarning", "ignore:.*quantize:UserWarning"
)

ALONE = Processes(0, 1, torch.device("cpu"))
IDS = torch.randint(5, 120, (3, 9), generator=torch.Generator().manual_seed(0))
MASK = (torch.arange(9) < torch.tensor([[9], [4], [2]])).long()
TYPES = torch.zeros_like(IDS)


def calibrated(model: Any, ids: torch.Tensor = IDS) -> ActivationRanges:
    """Fake-quantize a model in place, its ranges those of one batch."""
    ranges = fake_quantize(model)
    ranges.quantizing = False
    ranges.observe(MASK)
    with torch.no_grad():
        model(ids, MASK, TYPES)
    ranges.learn(ALONE, 1.0)
    ranges.quantizing = True
    return ranges


def quantized(x: torch.Tensor, limits: tuple[float, float] | None) -> torch.Tensor:
    """Through torch's own int8 tensors, its scale and zero point by their definition."""
    assert limits is not None
    low, high = limits
    scale = (high - low) / 255
    return torch.quantize_per_tensor(x, scale, round(-128 - low / scale), torch.qint8).dequantize()


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("encoder.layers.0.attention.value", [f"layers.0.qkv.{group}" for group in range(4)]),
        ("encoder.layers.1.post_attention.conv1d", ["layers.1.post_attention.0"]),
        ("encoder.layers.0.output.conv1d", [f"layers.0.output.{group}" for group in range(4)]),
        ("pooler.dense", ["head.pooler"]),
    ],
)
def test_a_layer_computes_what_int8_tensors_of_torch_do(path: str, names: list[str]) -> None:
    model = tiny_model()
    ranges = calibrated(model).by_product()
    layer = model.base_model.get_submodule(path)
    assert isinstance(layer, QuantizedProducts)
    weight, groups = layer.weight.detach().flatten(1), len(names)
    x = 2 * torch.randn(3, groups * weight.shape[1], 5, generator=torch.Generator().manual_seed(1))
    found = layer(x if path != "pooler.dense" else x[:, :, 0]).detach().reshape(3, weight.shape[0], -1)

    scales = weight.abs().amax(1) / 127
    rounded = torch.quantize_per_channel(
        weight, scales, torch.zeros(len(scales), dtype=torch.int), 0, torch.qint8
    ).dequantize()
    for name, part, w, bias, y in zip(
        names, x.chunk(groups, 1), rounded.chunk(groups), layer.bias.chunk(groups), found.chunk(groups, 1),
        strict=True,
    ):  # fmt: skip
        given = quantized(part, ranges[name].input).transpose(1, 2)
        expected = quantized(F.linear(given, w, bias).detach(), ranges[name].output).transpose(1, 2)
        step = (ranges[name].output[1] - ranges[name].output[0]) / 255
        off = (y - expected[:, :, : y.shape[2]]).abs()
        assert off.max() < 1.01 * step  # a sum on the edge between two steps may fall to either side
        assert (off < 1e-5).float().mean() > 0.99


def test_embeddings_are_quantized_by_row() -> None:
    model = tiny_model()
    table = model.base_model.embeddings.word_embeddings.weight.detach().clone()
    fake_quantize(model)
    found = model.base_model.embeddings.word_embeddings(IDS).detach()
    scale = table.abs().amax(1, keepdim=True) / 127
    torch.testing.assert_close(found, (torch.round(table / scale) * scale)[IDS])


@pytest.mark.parametrize("shape", [{}, {"k_groups": 2}, {"num_attention_heads": 2}])
def test_the_network_computes_what_the_exported_form_does_with_its_ranges(shape: dict[str, Any]) -> None:
    """Each linear layer of the form quantized by itself, from the ranges that exporters are given."""
    model = tiny_model(**shape)
    network = copy.deepcopy(model)
    ranges = calibrated(network).by_product()
    form = lay_out(model, TextClassification, "group-resident")
    linears = {name for name, module in form.named_modules() if isinstance(module, nn.Linear)}
    assert ranges.keys() == {name for name in linears if name.rpartition(".")[2] not in LAST_PRODUCTS}

    def rounded(table: torch.Tensor) -> torch.Tensor:
        scale = table.abs().amax(1, keepdim=True) / 127
        return torch.round(table / scale) * scale

    for name, module in form.named_modules():
        if name in ranges:
            module.register_forward_pre_hook(
                lambda _, args, limits=ranges[name].input: (quantized(args[0], limits),)
            )
            module.register_forward_hook(lambda _, args, y, limits=ranges[name].output: quantized(y, limits))
        if name in ranges or (isinstance(module, nn.Embedding) and module.num_embeddings > 2):
            module.weight = nn.Parameter(rounded(module.weight.detach()))
    with torch.no_grad():
        exported, own, plain = (
            form(IDS, MASK, TYPES)[0],
            network(IDS, MASK, TYPES).logits,
            model(IDS, MASK).logits,
        )
    noise = (plain - own).square().mean()
    assert (exported - own).square().mean() < 0.05 * noise  # some sums fall to the other side of a step


def limits(rows: list[torch.Tensor]) -> tuple[float, float]:
    """Least and greatest value of several tensors, and zero."""
    flat = torch.cat([row.flatten() for row in rows] + [torch.zeros(1)])
    return flat.min().item(), flat.max().item()


def test_ranges_are_those_of_the_tokens_whatever_the_padding() -> None:
    """Against the exported form on each text alone, without padding."""
    seen: dict[str, list[torch.Tensor]] = {"in": [], "out": []}
    form = lay_out(tiny_model(), TextClassification, "group-resident")

    def note(module: nn.Module, args: tuple[torch.Tensor, ...], y: torch.Tensor) -> None:
        seen["in"].append(args[0])
        seen["out"].append(y)

    form.get_submodule("layers.1.qkv.2").register_forward_hook(note)
    with torch.no_grad():
        for ids, mask in zip(IDS, MASK, strict=True):
            alone = ids[None, : mask.sum()]
            form(alone, torch.ones_like(alone), torch.zeros_like(alone))
    rubbish = torch.where(MASK == 1, IDS, 119 - IDS)
    found, again = (calibrated(tiny_model(), ids) for ids in (IDS, rubbish))
    torch.testing.assert_close(again.reach, found.reach, atol=1e-5, rtol=1e-5)
    ranges = found.by_product()["layers.1.qkv.2"]  # of rounded weights
    assert ranges.input == pytest.approx(limits(seen["in"]), rel=5e-3)
    assert ranges.output == pytest.approx(limits(seen["out"]), rel=5e-3)


def test_products_that_are_not_fused_have_ranges_of_their_own() -> None:
    model = tiny_model(k_groups=2)
    ranges = calibrated(model).by_product()
    assert {"layers.0.query.3", "layers.0.key.1", "layers.0.value.3"} <= ranges.keys()
    assert "layers.0.key.2" not in ranges
    assert ranges["layers.0.query.0"].input == ranges["layers.0.value.0"].input
    assert ranges["layers.0.query.0"].output != ranges["layers.0.value.0"].output


def test_every_parameter_learns_as_in_float_and_keeps_its_name() -> None:
    model = tiny_model()
    network = prepare_for_training(model, BatchNoise(torch.device("cpu")), dropout=None).eval()
    ranges = calibrated(network)
    ranges.set(1.5 * ranges.reach)  # what is clipped learns nothing
    assert network.state_dict().keys() == model.state_dict().keys()
    gradients = []
    for each in (model, network):
        F.cross_entropy(each(IDS, MASK, TYPES).logits, torch.tensor([0, 1, 0])).backward()
        gradients.append({name: value.grad for name, value in each.named_parameters()})
    for name, expected in gradients[0].items():
        assert torch.isfinite(gradients[1][name]).all()
        if expected.norm() > 1e-6:  # a key's bias has none: softmax is blind to it
            assert F.cosine_similarity(gradients[1][name].flatten(), expected.flatten(), dim=0) > 0.9, name


def test_ranges_follow_by_moving_averages() -> None:
    ranges = ActivationRanges(["pooler"], torch.device("cpu"))
    for high in (1.0, 2.0, 6.0):
        ranges.observe(torch.ones(1, 1))
        ranges.quantize(torch.tensor([[-high, high / 2]]), 0, slice(0, 1))
        ranges.learn(ALONE, 0.5)
    assert ranges.by_product()["pooler"].input == (-(0.125 + 0.5 + 3), 0.5 * (0.125 + 0.5 + 3))
    ranges.quantize(torch.tensor([[100.0, 100.0]]), 0, slice(0, 1))
    ranges.learn(ALONE, 0.0)
    assert ranges.by_product()["pooler"].input == (-3.625, 1.8125)


def test_it_writes_a_checkpoint_and_the_ranges_that_its_accuracy_was_measured_with(tmp_path: Path) -> None:
    from transformers import SqueezeBertForSequenceClassification

    told: list[str] = []
    result = fine_tune(tmp_path / "out", log=told.append)
    assert told[0].startswith("quantized, before training: ")
    assert result.accuracy == result.best.validation_accuracy >= 0.95
    loaded = load_checkpoint(tmp_path / "out")
    ranges = read(tmp_path / "out")
    assert ranges is not None
    assert set(ranges) == {n for names in products(loaded.config).values() for n in names}

    theirs = SqueezeBertForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    with torch.inference_mode():
        expected = theirs(IDS % 50, MASK, TYPES).logits
        torch.testing.assert_close(loaded.model(IDS % 50, MASK, TYPES).logits, expected, atol=1e-5, rtol=1e-5)

    network = copy.deepcopy(loaded.model)
    quantizing = fake_quantize(network)
    sides = [[ranges[name].input, ranges[name].output] for name in quantizing.names]
    quantizing.set(torch.tensor(sides).permute(2, 1, 0) * torch.tensor([-1.0, 1.0]).view(2, 1, 1))
    right = 0
    for example in VALIDATION:
        encoding = loaded.tokenizer.encode(example.text, max_length=24)
        ids = torch.tensor([encoding.ids])
        with torch.inference_mode():
            right += int(network(ids).logits.argmax()) == int(example.label)
    assert right / len(VALIDATION) == result.accuracy


def test_training_lowers_what_rounding_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In three bits, where rounding costs this small network something."""
    monkeypatch.setattr(fake_quantization, "LEAST", -4)
    monkeypatch.setattr(fake_quantization, "GREATEST", 3)
    told: list[str] = []
    result = fine_tune(tmp_path / "out", log=told.append)
    before = float(told[0].split("validation loss ")[1].split(",")[0])
    assert result.best.validation_loss < 0.7 * before


def test_outliers_are_balanced_away_before_training(tmp_path: Path) -> None:
    run(tmp_path / "float")
    loaded = training.from_checkpoint(tmp_path / "float", TRAINING, None, seed=0)
    losses = []
    for name, model in (("a", loaded.model), ("b", with_outliers(loaded.model, factor=1e4))):
        told: list[str] = []
        config = replace(INT8, epochs=1)
        training.train(
            config, model, loaded.tokenizer, TRAINING, VALIDATION, tmp_path / name, log=told.append
        )
        losses.append(float(told[0].split("validation loss ")[1].split(",")[0]))
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


@pytest.mark.parametrize("steps", [4, 15, 32])  # while ranges are learned, twice, and when they are frozen
def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path, steps: int) -> None:
    whole = fine_tune(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fine_tune(tmp_path / "out", progress=stop_after(steps))
    result = fine_tune(tmp_path / "out", resume=True)
    assert same(tmp_path / "whole", tmp_path / "out")
    assert read(tmp_path / "whole") == read(tmp_path / "out")
    assert result.epochs == whole.epochs


def test_ranges_are_frozen_for_the_last_quarter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    learn = ActivationRanges.learn

    def counted(self: ActivationRanges, processes: Processes, rate: float) -> None:
        rates.append(rate)
        learn(self, processes, rate)

    monkeypatch.setattr(ActivationRanges, "learn", counted)
    fine_tune(tmp_path / "out", replace(INT8, epochs=4))
    calibration = min(CALIBRATION_BATCHES, 11)
    assert len(rates) == calibration + 33  # of 44 steps


SCRIPT = """
import sys
from pathlib import Path
from dataclasses import replace
from tests.kit.trained import INT8, fine_tune

fine_tune(Path(sys.argv[1]), replace(INT8, batch_size=32, epochs=1))
"""


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """161 examples in batches of 32: the last batch has one, which leaves the second process without any."""
    fine_tune(tmp_path / "one", replace(INT8, batch_size=32, epochs=1))
    in_two_processes(SCRIPT, tmp_path, str(tmp_path / "two"))
    found = weights(tmp_path / "two")
    for name, expected in weights(tmp_path / "one").items():
        torch.testing.assert_close(found[name], expected, atol=2e-3, rtol=1e-2)
    one, two = (read(tmp_path / name) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    for name, ranges in one.items():
        torch.testing.assert_close(torch.tensor(two[name]), torch.tensor(ranges), atol=1e-3, rtol=1e-2)


def test_half_measures_what_is_stored(tmp_path: Path) -> None:
    fine_tune(tmp_path / "out", dtype=torch.float16)
    assert {tensor.dtype for tensor in weights(tmp_path / "out").values()} == {torch.float16}
    assert read(tmp_path / "out") is not None


def test_the_verb_quantizes_what_is_fine_tuned(tmp_path: Path) -> None:
    data = write_tsv(tmp_path / "t.tsv", TRAINING)
    run(tmp_path / "float", CONFIG)
    arguments = ("--quantize", "int8", "--max-length", "24", "--epochs", "1", "--json")
    done = train_verb(data, "--from", tmp_path / "float", "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.strip().split("\n")[-1])["accuracy"] >= 0.9
    assert read(tmp_path / "out") is not None

    done = train_verb(data, "--out", tmp_path / "scratch", *arguments)
    assert isinstance(done.exception, InputError)
    assert "a network from scratch cannot be trained for int8" in str(done.exception)
    done = train_verb(data, "--from", tmp_path / "float", "--out", tmp_path / "four", "--quantize", "int2")
    assert "quantize is int2\nallowed: int8, int4" in str(done.exception)
