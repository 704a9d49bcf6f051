"""Core ML's quantized precisions: beside torch's own fake quantization and coremltools' decompression."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporters.coreml import FORMAT
from exporters.coreml import export as coreml
from exporters.coreml import quantization as coreml_quantization
from exporters.coreml.mil import operations as mil_ops
from exporters.coreml.mil import program as mil
from exporters.coreml.runner import INPUT, load
from exporters.errors import InputError
from exporters.spec import Artifact, ExportRequest, Ranges
from squeezebert_edge.model.heads import ARCHITECTURES
from tests.kit.exported import LENGTHS, Small, computed, head, request, row

# coremltools leaves its temporary weights to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")

HEADS = sorted(ARCHITECTURES)
FORMS = ("plain", "group-resident", "neural-engine", "neural-engine-groups")
PRECISIONS = (
    ("int8-weights", "iOS17"),
    ("int8-weights", "iOS18"),
    ("int4-weights", "iOS17"),
    ("int4-weights", "iOS18"),
    ("int8-static", "iOS17"),
    ("int8-static", "iOS18"),
)
SCHEMES = PRECISIONS[:1] + PRECISIONS[2:5]  # each way to quantize
PALETTES, STATIC = ("int4-weights", "iOS17"), ("int8-static", "iOS17")
# What float16 leaves of a tiny model's answers. In int8-static it also moves values to the next level.
FLOORS = {"int8-weights": 48, "int4-weights": 48, "int8-static": 30}
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding)
CALIBRATION = [row(length, length) for length in range(4, 17)]


def quantized_request(
    architecture: str, form: str, precision: str, target: str, **overrides: Any
) -> ExportRequest:
    """A head of one layer; calibrated on rows without padding where that is needed."""
    module, outputs = head(architecture, form, **overrides)
    wish = request(module, outputs, precision, target=target)
    return replace(wish, calibration=CALIBRATION if precision == "int8-static" else ())


def export(wish: ExportRequest, directory: Path) -> tuple[Artifact, mil.Program]:
    directory.mkdir(parents=True, exist_ok=True)
    artifact = coreml.export(wish, directory / FORMAT.file_name)
    return artifact, program_of(artifact.path)


def program_of(package: Path) -> mil.Program:
    file = mil.model_file(package)
    return mil.Program(mil.read_model(file), file.parent)


def weighted(module: nn.Module) -> dict[str, Any]:
    """What is compressed: the table of token types is too small."""
    types = "token_type_embeddings"
    return {n: part for n, part in module.named_modules() if isinstance(part, WEIGHTED) and types not in n}


def rounded(weight: Tensor, precision: str) -> Tensor:
    """The weight in so many bits, symmetric: a scale per channel, in int4 per 32 of a channel.

    It is divided in float16, as coremltools does it: a quotient halfway between two levels may go either way.
    """
    bits, block = (
        (4, math.gcd(32, weight.shape[1])) if precision == "int4-weights" else (8, weight[0].numel())
    )
    most = np.float16(2 ** (bits - 1) - 1)
    blocks = weight.half().numpy().reshape(-1, block)
    scales = 2 * np.abs(blocks).max(1, keepdims=True) / (2 * most)
    values = np.rint(blocks / scales).clip(-most, most) * scales
    return torch.from_numpy(values).float().reshape(weight.shape)


def emulated(wish: ExportRequest) -> nn.Module:
    """The module as torch itself quantizes it."""
    module = copy.deepcopy(wish.module)
    done = set()
    for name, part in weighted(module).items():
        if id(part.weight) not in done:
            part.weight.data = rounded(part.weight.detach(), wish.precision)
            done.add(id(part.weight))
        if wish.precision == "int8-static" and not isinstance(part, nn.Embedding):
            part.register_forward_pre_hook(quantizer(greatest_input(wish.module, name)))
    return module


def greatest_input(module: nn.Module, name: str) -> float:
    """The largest absolute value of what goes into a submodule, over CALIBRATION."""
    seen = [0.0]
    hook = module.get_submodule(name).register_forward_pre_hook(
        lambda _, inputs: seen.append(float(inputs[0].abs().max()))
    )
    for inputs in CALIBRATION:
        computed(module, inputs)
    hook.remove()
    return max(seen)


def quantizer(greatest: float) -> Any:
    scale = max(greatest / 127, 2**-14)
    return lambda _, inputs: (torch.fake_quantize_per_tensor_affine(inputs[0], scale, 0, -128, 127),)


def sqnr(package: Path, module: nn.Module) -> float:
    """Of all outputs of the package over its lengths, against the module's, in dB."""
    runner = load(package, runtime="mil-evaluator")
    found, expected = [], []
    for length in LENGTHS:
        for tokens in (length, length // 2, 3):
            inputs = row(length, tokens)
            found += [value.flatten() for value in runner(inputs).values()]
            expected += [value.flatten() for value in computed(module, inputs)]
        for output in runner(row(length, 0)).values():
            assert np.isfinite(output).all()
    truth = np.concatenate(expected)
    return float(10 * np.log10(truth.var() / np.square(np.concatenate(found) - truth).mean()))


def decompressed(package: Path, path: Path) -> Path:
    """The package with plain weights, by coremltools."""
    ct = mil.import_coremltools()
    model = ct.models.MLModel(str(package), skip_model_load=True)
    ct.optimize.coreml.decompress_weights(model).save(str(path))
    return path


def weights_of(program: mil.Program) -> dict[str, Tensor]:
    """Operation -> its weight or table, decompressed."""
    seen: dict[str, Tensor] = {}
    watched = {op: mil_ops.OPERATIONS[op] for op in coreml_quantization.WEIGHT_OF}
    with pytest.MonkeyPatch.context() as patch:
        for op, parameter in coreml_quantization.WEIGHT_OF.items():

            def watch(op: str = op, parameter: str = parameter, **arguments: Any) -> Any:
                seen[f"{op} {len(seen)}"] = arguments[parameter]
                return watched[op](**arguments)

            patch.setitem(mil_ops.OPERATIONS, op, watch)
        program({INPUT: torch.ones(1, 3, LENGTHS[0], dtype=torch.int32)})
    return seen


def scales(program: mil.Program) -> list[float]:
    """The scales there are of what goes into products, sorted."""
    names = {step.arguments["scale"][0] for step in program.operations if step.type == "quantize"}
    return sorted({float(program.constants[name]) for name in names})


# The answers


@pytest.mark.parametrize(
    ("precision", "form"), [("int8-weights", "neural-engine"), ("int8-static", "neural-engine-groups")]
)
@pytest.mark.parametrize("architecture", HEADS)
def test_every_head_equals_what_torch_quantizes(
    architecture: str, precision: str, form: str, tmp_path: Path
) -> None:
    wish = quantized_request(architecture, form, precision, "iOS17")
    artifact, _ = export(wish, tmp_path)
    assert sqnr(artifact.path, emulated(wish)) >= FLOORS[precision]


@pytest.mark.parametrize("form", ["plain", "group-resident", "neural-engine"])
@pytest.mark.parametrize(("precision", "target"), [one for one in PRECISIONS if one != PALETTES])
def test_every_form_equals_what_torch_quantizes(
    precision: str, target: str, form: str, tmp_path: Path
) -> None:
    wish = quantized_request("SqueezeBertForSequenceClassification", form, precision, target)
    artifact, _ = export(wish, tmp_path)
    assert sqnr(artifact.path, emulated(wish)) >= FLOORS[precision]


@pytest.mark.parametrize(("precision", "target"), SCHEMES)
def test_weights_are_what_coremltools_decompresses(precision: str, target: str, tmp_path: Path) -> None:
    wish = quantized_request("SqueezeBertForSequenceClassification", "plain", precision, target)
    artifact, program = export(wish, tmp_path)
    plain = program_of(decompressed(artifact.path, tmp_path / "plain.mlpackage"))
    assert not any(step.is_constant for step in plain.operations)
    for name, weight in weights_of(plain).items():
        torch.testing.assert_close(weights_of(program)[name], weight, rtol=0, atol=0)


def test_for_ios17_int4_is_a_palette_of_each_tensor(tmp_path: Path) -> None:
    from sklearn.cluster import KMeans

    wish = quantized_request("SqueezeBertForMaskedLM", "plain", *PALETTES, vocab_size=400)
    _, program = export(wish, tmp_path)
    assert {step.type for step in program.operations if step.is_constant} == {"constexpr_lut_to_dense"}
    table = next(weight for weight in weights_of(program).values() if weight.shape == (400, 32))
    truth = wish.module.get_submodule("model.transformer.embeddings.word_embeddings").weight.detach()
    assert len(table.unique()) == 16
    best = KMeans(16, n_init=3, random_state=0).fit(truth.reshape(-1, 1).numpy()).inertia_ / truth.numel()
    assert (table - truth).square().mean() <= 1.01 * best


def test_a_row_and_a_channel_of_zeros_stay_zero(tmp_path: Path) -> None:
    module = Small().eval()
    module.words.weight.data[3] = 0
    module.linear.weight.data[5] = 0
    for precision, target in SCHEMES:
        wish = replace(request(module, Small.outputs, precision), target=target, calibration=[row(9, 9)])
        _, program = export(wish, tmp_path / precision / target)
        for weight in weights_of(program).values():
            assert torch.isfinite(weight).all()
        kept = [weight for weight in weights_of(program).values() if weight.shape[-1] == 16]
        if (precision, target) != PALETTES:
            assert sum(bool((weight == 0).all(-1).any()) for weight in kept) == 2


# Ranges


def test_ranges_come_from_the_request_and_the_rest_from_calibration(tmp_path: Path) -> None:
    wish = quantized_request("SqueezeBertForSequenceClassification", "group-resident", *STATIC)
    first = "layers.0.qkv.0"
    given = replace(wish, ranges={first: Ranges(input=(-1.0, 254.0))})
    artifact, program = export(given, tmp_path)
    products = [name for name, part in weighted(wish.module).items() if isinstance(part, nn.Linear)]
    assert artifact.calibrated == tuple(name for name in products if name != first)
    greatest = {name: greatest_input(wish.module, name) for name in artifact.calibrated}
    expected = {np.float16(value / 127).item() for value in (*greatest.values(), 254.0)}
    assert scales(program) == sorted(expected)


def test_with_all_ranges_no_calibration_is_needed(tmp_path: Path) -> None:
    wish = replace(quantized_request("SqueezeBertForTokenClassification", "plain", *STATIC), calibration=())
    products = [name for name, part in weighted(wish.module).items() if not isinstance(part, nn.Embedding)]
    ranges = {name: Ranges(input=(-2.54, 1.0)) for name in products}
    artifact, program = export(replace(wish, ranges=ranges), tmp_path)
    assert artifact.calibrated == ()
    assert scales(program) == [np.float16(0.02).item()]
    del ranges["model.classifier"]
    with pytest.raises(InputError, match=r"no ranges for model\.classifier"):
        export(replace(wish, ranges=ranges), tmp_path / "other")


def test_an_input_that_is_always_zero_has_a_scale(tmp_path: Path) -> None:
    wish = replace(
        request(Small().eval(), Small.outputs, "int8-static"), ranges={"linear": Ranges((0.0, 0.0))}
    )
    _, program = export(wish, tmp_path)
    assert scales(program) == [2.0**-14]


def test_the_module_is_left_as_it_was(tmp_path: Path) -> None:
    module = Small().eval()
    before = computed(module, row(16, 16))
    export(replace(request(module, Small.outputs, "int8-static"), calibration=CALIBRATION), tmp_path)
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in module.modules())
    for left, right in zip(computed(module, row(16, 16)), before, strict=True):
        np.testing.assert_array_equal(left, right)


# What is quantized, and what is not


@pytest.mark.parametrize("form", FORMS)
def test_only_inputs_of_products_are_quantized(form: str, tmp_path: Path) -> None:
    wish = quantized_request("SqueezeBertForSequenceClassification", form, *STATIC)
    _, program = export(wish, tmp_path)
    users: dict[str, set[str]] = {}
    for step in program.operations:
        for names in step.arguments.values():
            for name in names:
                users.setdefault(name, set()).add(step.type)
    for step in program.operations:
        if step.type == "quantize":
            assert users[step.results[0].name] == {"dequantize"}
        if step.type == "dequantize":
            assert users[step.results[0].name] <= {"conv", "linear"}
    left = coreml_quantization.float_operations(program)
    assert not {"conv", "linear"} & left.keys()
    assert {"softmax", "add", "gelu", "layer_norm", "tanh"} <= left.keys()
    assert left.keys() & {"matmul", "einsum"}


@pytest.mark.parametrize("precision", ["int8-weights", "int4-weights"])
def test_without_quantized_activations_products_compute_with_floats(precision: str, tmp_path: Path) -> None:
    wish = replace(request(Small().eval(), Small.outputs, precision), target="iOS18")
    _, program = export(wish, tmp_path)
    assert coreml_quantization.float_operations(program)["linear"] == 1


def test_what_is_left_of_integers_alone_has_no_float_operation(tmp_path: Path) -> None:
    class Projection(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.linear = nn.Embedding(50, 16), nn.Linear(16, 16)

        def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor]:
            return (self.linear(self.words(ids)),)

    wish = replace(request(Projection().eval(), ["y"], "int8-static"), calibration=CALIBRATION)
    _, program = export(wish, tmp_path)
    assert not coreml_quantization.float_operations(program)


@pytest.mark.parametrize(("precision", "target"), SCHEMES)
def test_parts_that_stay_float_are_not_touched(precision: str, target: str, tmp_path: Path) -> None:
    wish = quantized_request("SqueezeBertForMaskedLM", "plain", precision, target)
    kept = ("model.transformer.encoder.layers.0.attention", "model.cls.predictions.decoder")
    artifact, program = export(replace(wish, keep_float=kept), tmp_path)
    made = {spec.name: step.type for step in program.operations for spec in step.results}
    quantized = {
        step.results[0].name: made.get(step.arguments["weight"][0], "").startswith("constexpr_")
        or made.get(step.arguments["x"][0]) == "dequantize"
        for step in program.operations
        if step.type in ("conv", "linear")
    }
    assert list(quantized.values()) == [False] * 3 + [True] * 4 + [False]
    # The decoder shares the table of words, which therefore stays float too.
    table = wish.module.get_submodule("model.cls.predictions.decoder").weight.detach().half().float()
    assert sum(torch.equal(weight, table) for weight in weights_of(program).values()) == 2
    assert not [name for name in artifact.calibrated if name.startswith(kept)]


def test_a_weight_that_was_left_uncompressed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coreml_quantization, "_names", lambda placeholder: (f"{placeholder}_elsewhere",))
    with pytest.raises(InputError, match="uncompressed: .*words_weight.*linear_weight"):
        export(request(Small().eval(), Small.outputs, "int8-weights"), tmp_path)


@pytest.mark.parametrize(("precision", "target"), SCHEMES)
def test_a_planted_wrong_weight_is_seen(precision: str, target: str, tmp_path: Path) -> None:
    module = Small().eval()
    wish = replace(request(module, Small.outputs, precision), target=target, calibration=CALIBRATION)
    artifact, _ = export(wish, tmp_path)
    weights = mil.model_file(artifact.path).parent / "weights" / "weight.bin"
    right = load(artifact.path, runtime="mil-evaluator")(row(16, 16))
    data = bytearray(weights.read_bytes())
    table = data.index(b"\xef\xbe\xad\xde") + 64  # the table of words, behind the header of the first blob
    for place in range(table, table + 200):
        data[place] ^= 0x55
    weights.write_bytes(data)
    wrong = load(artifact.path, runtime="mil-evaluator")(row(16, 16))
    assert any(np.abs(wrong[name] - right[name]).max() > 0.01 for name in right)


# The file


def test_weights_take_their_bits(tmp_path: Path) -> None:
    bits = {"int8-weights": 8, "int8-static": 8, "int4-weights": 4}
    for precision, target in SCHEMES:
        wish = quantized_request(
            "SqueezeBertForMaskedLM",
            "plain",
            precision,
            target,
            vocab_size=8000,
            hidden_size=64,
            embedding_size=64,
        )
        artifact, _ = export(wish, tmp_path / precision / target)
        size = (mil.model_file(artifact.path).parent / "weights" / "weight.bin").stat().st_size
        values = sum(parameter.numel() for parameter in wish.module.parameters())
        assert size <= values * bits[precision] / 8 * 1.15 + 20_000


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "target"), PRECISIONS)
def test_the_full_size_is_as_small_as_promised(precision: str, target: str, tmp_path: Path) -> None:
    sizes = {"vocab_size": 30528, "hidden_size": 768, "embedding_size": 768, "intermediate_size": 3072}
    depth = {"num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 512}
    wish = quantized_request(
        "SqueezeBertForSequenceClassification", "plain", precision, target, **sizes, **depth
    )
    artifact, _ = export(wish, tmp_path)
    size = sum(file.stat().st_size for file in artifact.path.rglob("*") if file.is_file())
    assert size <= (32e6 if precision == "int4-weights" else 55e6)
