"""Core ML packages: every head equals its module, at every length, and the package is what apps expect."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporters.coreml import FORMAT
from exporters.coreml import export as coreml
from exporters.coreml.mil import program as mil
from exporters.coreml.runner import CoreMLRunner, load
from exporters.errors import InputError, UnavailableError
from exporters.spec import Artifact, ExportRequest, TensorSpec
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.forms.layouts import ChannelEmbedding
from squeezebert_edge.model.activations import activation
from squeezebert_edge.model.config import ACTIVATION_NAMES
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.tasks.heads import of_architecture
from tests.kit import exported
from tests.kit.exported import INPUTS, head
from tests.kit.tiny import tiny_model

LENGTHS = (16, 32)
request = partial(exported.request, lengths=LENGTHS)
HEADS = sorted(ARCHITECTURES)
FLOAT_PRECISIONS = ("fp32", "fp16")
FORMS = ("plain", "neural-engine")


def rows(length: int, tokens: int, vocabulary: int = 120) -> dict[str, Tensor]:
    """A row of so many random tokens, the second half of them of the second type, and padding."""
    random = torch.Generator().manual_seed(length + tokens)
    places = torch.arange(length)
    mask = (places < tokens).int()
    ids = torch.randint(1, vocabulary, (length,), generator=random, dtype=torch.int32) * mask
    return {
        "input_ids": ids[None],
        "attention_mask": mask[None],
        "token_type_ids": ((places >= tokens // 2).int() * mask)[None],
    }


def arrays(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def both(runner: CoreMLRunner, module: nn.Module, length: int, tokens: int) -> list[tuple[Tensor, Tensor]]:
    """The package's outputs beside the module's, at one length."""
    inputs = rows(length, tokens)
    found = runner(arrays(inputs))
    with torch.no_grad():
        expected = module(*inputs.values())
    return [(torch.from_numpy(found[name]), one) for name, one in zip(runner.outputs, expected, strict=True)]


def evaluated(path: Path) -> CoreMLRunner:
    """The package as it is computed everywhere; on a Mac, Core ML itself would be the default."""
    return load(path, runtime="mil-evaluator")


Made = tuple[Path, Artifact, nn.Module]


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One fp32 package that several tests look at; they do not change it."""
    module, outputs = head("SqueezeBertForQuestionAnswering")
    path = tmp_path_factory.mktemp("coreml") / FORMAT.file_name
    return path, coreml.export(request(module, outputs), path), module


# The answers


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", HEADS)
def test_every_head_equals_its_module_in_fp32(architecture: str, form: str, tmp_path: Path) -> None:
    module, outputs = head(architecture, form)
    path = tmp_path / FORMAT.file_name
    coreml.export(request(module, outputs), path)
    runner = evaluated(path)
    assert runner.outputs == outputs
    for length in LENGTHS:
        for tokens in (length, length // 3, 0):
            for found, expected in both(runner, module, length, tokens):
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", HEADS)
def test_every_head_in_fp16_is_near_its_module(architecture: str, form: str, tmp_path: Path) -> None:
    module, outputs = head(architecture, form)
    path = tmp_path / FORMAT.file_name
    coreml.export(request(module, outputs, "fp16"), path)
    runner = evaluated(path)
    pairs = [
        pair
        for length in LENGTHS
        for tokens in (length, 9, 5)
        for pair in both(runner, module, length, tokens)
    ]
    found = torch.cat([pair[0].flatten() for pair in pairs])
    expected = torch.cat([pair[1].flatten() for pair in pairs])
    assert found.dtype == torch.float32
    sqnr = 10 * torch.log10(expected.var() / (found - expected).square().mean())
    assert sqnr >= 55  # one rounding to float16 costs all but 74 dB, a layer has dozens
    for output in runner(arrays(rows(LENGTHS[0], 0))).values():
        assert np.isfinite(output).all()


@pytest.mark.parametrize("precision", FLOAT_PRECISIONS)
def test_every_activation_equals_torch(precision: str, tmp_path: Path) -> None:
    class Activations(nn.Module):
        """Each activation on (1, C, S), as in the encoder, and on (1, S, C), as in the masked-LM head."""

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(120, 6)
            # coremltools knows no bfloat16, in which xielu has its parameters
            self.activations = nn.ModuleList(activation(name).float() for name in ACTIVATION_NAMES)

        def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor, ...]:
            x = self.words(ids) * 3 + (mask + types)[..., None]
            flipped = x.permute(0, 2, 1)  # (1, S, C) -> (1, C, S)
            return tuple(act(y) for act in self.activations for y in (x, flipped))

    torch.manual_seed(0)
    module = Activations().eval()
    outputs = [f"{name}_{layout}" for name in ACTIVATION_NAMES for layout in ("last", "second")]
    path = tmp_path / FORMAT.file_name
    coreml.export(request(module, outputs, precision), path)
    tolerance = {"fp32": 1e-6, "fp16": 2e-3}[precision]
    runner = evaluated(path)
    for name, (found, expected) in zip(outputs, both(runner, module, 16, 16), strict=True):
        worst = ((found - expected).abs() / expected.abs().clamp(min=1)).max()
        assert worst < tolerance, name


@pytest.mark.parametrize("in_place", [True, False])
def test_what_coremltools_does_not_take_is_decomposed(in_place: bool, tmp_path: Path) -> None:
    class Sums(nn.Module):
        def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor]:
            x = (ids + types).to(torch.float32)
            if in_place:
                x.add_(1.0)
                return (x * mask,)
            once, twice = (x[..., None] * torch.tensor([1.0, 2.0])).chunk(2, dim=-1)
            return (once - twice * mask[..., None],)

    module, path = Sums().eval(), tmp_path / FORMAT.file_name
    coreml.export(request(module, ["sums"], "fp32"), path)
    for found, expected in both(evaluated(path), module, 16, 12):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_form_for_core_ml_is_captured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decompose(*_: object, **__: object) -> None:
        raise AssertionError("captured again")

    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", decompose)
    module, outputs = head("SqueezeBertForQuestionAnswering", "neural-engine")
    coreml.export(request(module, outputs, "fp16"), tmp_path / FORMAT.file_name)


@pytest.mark.parametrize("channels_first", [False, True])
def test_ids_beyond_int16_keep_their_words_in_fp16(channels_first: bool, tmp_path: Path) -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            table = nn.Embedding(70_000, 2)
            table.weight.data = torch.arange(140_000.0).reshape(-1, 2) % 1999
            self.words = ChannelEmbedding(table) if channels_first else table

        def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor]:
            words = self.words(ids)[:, :, 0, 0][None] if channels_first else self.words(ids)
            return (words * (mask + types)[..., None],)

    module = Words().eval()
    path = tmp_path / FORMAT.file_name
    coreml.export(request(module, ["vectors"], "fp16"), path)
    inputs = rows(16, 16) | {"token_type_ids": torch.zeros(1, 16, dtype=torch.int32)}
    inputs["input_ids"][0, :4] = torch.tensor([32_767, 32_768, 65_536, 69_999])
    found = evaluated(path)(arrays(inputs))["vectors"]
    np.testing.assert_array_equal(found, module(*inputs.values())[0].detach().numpy())


@pytest.mark.parametrize("precision", FLOAT_PRECISIONS)
def test_ios18_takes_the_same_input(precision: str, tmp_path: Path) -> None:
    module, outputs = head("SqueezeBertModel")
    path = tmp_path / FORMAT.file_name
    artifact = coreml.export(request(module, outputs, precision, target="iOS18"), path)
    assert artifact.inputs == (TensorSpec("inputs", "int32", (1, 3, None)),)
    assert mil.read_model(mil.model_file(path)).specificationVersion == 9
    for found, expected in both(evaluated(path), module, 32, 20):
        torch.testing.assert_close(found, expected, rtol=0, atol={"fp32": 1e-5, "fp16": 2e-2}[precision])


def test_a_planted_wrong_weight_is_seen(tmp_path: Path) -> None:
    module, outputs = head("SqueezeBertForSequenceClassification")
    path = tmp_path / FORMAT.file_name
    coreml.export(request(module, outputs), path)
    weight = module.get_parameter("model.classifier.weight").detach()
    weights = mil.model_file(path).parent / "weights" / "weight.bin"
    planted = weight.clone()
    planted[0, 0] += 0.5
    data = weights.read_bytes()
    assert data.count(weight.numpy().tobytes()) == 1
    weights.write_bytes(data.replace(weight.numpy().tobytes(), planted.numpy().tobytes()))
    ((found, expected),) = both(evaluated(path), module, 16, 16)
    assert (found - expected)[0, 0].abs() > 1e-3
    torch.testing.assert_close(found[0, 1], expected[0, 1])


@pytest.mark.skipif(sys.platform != "darwin", reason="Core ML computes on macOS only")
@pytest.mark.parametrize("precision", FLOAT_PRECISIONS)
def test_core_ml_and_the_evaluator_agree(precision: str, tmp_path: Path) -> None:
    module, outputs = head("SqueezeBertForSequenceClassification")
    path = tmp_path / FORMAT.file_name
    coreml.export(request(module, outputs, precision), path)
    inputs = arrays(rows(32, 20))
    ours = evaluated(path)(inputs)["logits"]
    theirs = load(path, runtime="coreml")(inputs)["logits"]
    np.testing.assert_allclose(ours, theirs, atol={"fp32": 1e-5, "fp16": 2e-2}[precision])


# The package


def test_the_artifact_says_what_it_is(question: Made) -> None:
    path, artifact, _ = question
    assert artifact.path == path
    assert artifact.inputs == (TensorSpec("inputs", "int32", (1, 3, None)),)
    assert artifact.outputs == (
        TensorSpec("start_logits", "float32", (1, None)),
        TensorSpec("end_logits", "float32", (1, None)),
    )
    assert artifact.entry_points == {16: "", 32: ""}
    assert artifact.delegation.delegated is artifact.delegation.total is None
    assert "compute plan" in (artifact.delegation.reason or "")
    assert set(artifact.versions) == {"torch", "coremltools"}


def test_lengths_are_enumerated_shapes_of_one_input(question: Made) -> None:
    model = mil.read_model(mil.model_file(question[0]))
    assert model.specificationVersion == 8  # iOS 17
    (single,) = model.description.input
    assert single.name == "inputs"
    array = single.type.multiArrayType
    assert array.dataType == array.INT32
    assert array.WhichOneof("ShapeFlexibility") == "enumeratedShapes"
    assert [list(entry.shape) for entry in array.enumeratedShapes.shapes] == [[1, 3, 16], [1, 3, 32]]
    assert {output.type.multiArrayType.dataType for output in model.description.output} == {array.FLOAT32}


def test_the_package_carries_its_metadata(question: Made) -> None:
    metadata = mil.read_model(mil.model_file(question[0])).description.metadata.userDefined
    assert metadata["task"] == "a test"
    assert metadata["input_rows"] == ",".join(INPUTS)


def test_everybody_may_read_the_package(question: Made) -> None:
    for file in question[0].rglob("*"):
        assert file.stat().st_mode & stat.S_IROTH, file


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_stored_once_for_all_lengths(form: str, tmp_path: Path) -> None:
    module, outputs = head("SqueezeBertForMaskedLM", form, vocab_size=3000)
    sizes = []
    for lengths in ((32,), (16, 32, 48)):
        path = tmp_path / f"{len(lengths)}.mlpackage"
        artifact = coreml.export(request(module, outputs, lengths=lengths), path)
        sizes.append((mil.model_file(path).parent / "weights" / "weight.bin").stat().st_size)
    assert sizes[1] <= 1.02 * sizes[0]
    assert sizes[0] < 1.02 * sum(p.numel() * p.element_size() for p in module.parameters())
    assert artifact.outputs == (TensorSpec("logits", "float32", (1, None, 3000)),)


def test_one_length_is_a_fixed_shape(tmp_path: Path) -> None:
    module, outputs = head("SqueezeBertForTokenClassification")
    path = tmp_path / FORMAT.file_name
    artifact = coreml.export(request(module, outputs, lengths=(24,)), path)
    assert artifact.inputs == (TensorSpec("inputs", "int32", (1, 3, None)),)
    array = mil.read_model(mil.model_file(path)).description.input[0].type.multiArrayType
    assert array.WhichOneof("ShapeFlexibility") is None
    runner = evaluated(path)
    assert runner.lengths == (24,)
    for found, expected in both(runner, module, 24, 11):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


# Running


def test_a_runner_reads_what_it_is_from_the_package(question: Made) -> None:
    runner = evaluated(question[0])
    assert runner.inputs == INPUTS
    assert runner.outputs == ("start_logits", "end_logits")
    assert runner.lengths == LENGTHS
    assert runner.computed_by == "mil-evaluator"


def test_the_number_of_threads_is_as_asked_for_while_computing(
    question: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = torch.get_num_threads(), []
    inner = mil.Program.__call__

    def call(program: mil.Program, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen.append(torch.get_num_threads())
        return inner(program, inputs)

    monkeypatch.setattr(mil.Program, "__call__", call)
    for threads in (1, 2):
        load(question[0], threads=threads, runtime="mil-evaluator")(arrays(rows(16, 16)))
    assert seen == [1, 2]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda inputs: inputs | {"token_type_ids": inputs["token_type_ids"][:, :8]},
        lambda inputs: {name: value[:, :20] for name, value in inputs.items()},
        lambda inputs: {name: value[0] for name, value in inputs.items()},
        lambda inputs: {name: value.astype(np.int64) for name, value in inputs.items()},
        lambda inputs: {"input_ids": inputs["input_ids"]},
        lambda inputs: inputs | {"more": inputs["input_ids"]},
    ],
)
def test_wrong_inputs_are_an_error_that_says_what_is_allowed(
    change: Callable[[dict[str, Any]], dict[str, Any]], question: Made
) -> None:
    with pytest.raises(
        InputError, match="allowed: (input_ids, attention_mask, token_type_ids|.* one of 16, 32)"
    ):
        evaluated(question[0])(change(arrays(rows(32, 32))))


def test_runtimes(question: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no runtime 'ane'"):
        load(question[0], runtime="ane")
    with pytest.raises(InputError, match="0 threads"):
        load(question[0], threads=0)
    monkeypatch.setattr(sys, "platform", "linux")
    assert load(question[0]).computed_by == "mil-evaluator"
    with pytest.raises(UnavailableError, match="macOS"):
        load(question[0], runtime="coreml")


class FakeMLModel:
    """What Core ML is where there is none; `refusal` is what it says of a package that it does not load."""

    refusal: str | None = None

    def __init__(self, path: str, compute_units: Any) -> None:
        assert path.endswith(".mlpackage")
        assert compute_units.name == "CPU_ONLY"
        if self.refusal:
            warnings.warn(self.refusal, RuntimeWarning, stacklevel=1)

    def get_compiled_model_path(self) -> str:
        return "compiled"

    def predict(self, data: dict[str, Any]) -> dict[str, Any]:
        assert data["inputs"].shape == (1, 3, 16)
        assert data["inputs"].dtype == np.int32
        return {name: np.ones((1, 16), np.float32) for name in ("start_logits", "end_logits")}


def test_on_a_mac_core_ml_itself_is_asked(question: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(mil.import_coremltools().models, "MLModel", FakeMLModel)
    runner = load(question[0])
    assert runner.computed_by == "runtime"
    assert set(runner(arrays(rows(16, 16)))) == {"start_logits", "end_logits"}


def test_a_package_that_core_ml_refuses_is_unavailable(
    question: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(mil.import_coremltools().models, "MLModel", FakeMLModel)
    monkeypatch.setattr(FakeMLModel, "refusal", "Unable to parse ML Program")
    with pytest.raises(UnavailableError, match=r"does not load .*Unable to parse"):
        load(question[0])


def test_a_package_without_row_names_is_an_error(question: Made, tmp_path: Path) -> None:
    file = mil.model_file(question[0])
    model = mil.read_model(file)
    del model.description.metadata.userDefined["input_rows"]
    other = tmp_path / "other.mlpackage"
    (other / "Data").mkdir(parents=True)
    (other / "Manifest.json").write_text((question[0] / "Manifest.json").read_text())
    (other / "Data" / file.parent.name).mkdir()
    (other / "Data" / file.parent.name / file.name).write_bytes(model.SerializeToString())
    (other / "Data" / file.parent.name / "weights").symlink_to(file.parent / "weights")
    with pytest.raises(InputError, match="what the rows of its input are"):
        load(other)


# Refusals, silence, and nothing left behind


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"precision": "int8"}, "no precision 'int8'"),
        ({"target": "iOS16"}, "unknown Core ML target 'iOS16'"),
    ],
)
def test_what_core_ml_cannot_be_asked_for(change: dict[str, str], problem: str, tmp_path: Path) -> None:
    wish = ExportRequest(nn.Identity(), {8: {"x": torch.ones(1, 8)}}, ["y"], **{"precision": "fp32"} | change)
    with pytest.raises(InputError, match=problem):
        coreml.export(wish, tmp_path / FORMAT.file_name)
    with pytest.raises(InputError, match=r"\*\.mlpackage"):
        coreml.export(request(nn.Identity(), ["y"]), tmp_path / "model.mlmodel")


def test_what_coremltools_cannot_convert_is_an_error(tmp_path: Path) -> None:
    class Unusual(nn.Module):
        def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor]:
            return (torch.special.bessel_j0(ids.float() + mask + types),)

    with pytest.raises(InputError, match="cannot make a package.*bessel"):
        coreml.export(request(Unusual().eval(), ["y"]), tmp_path / FORMAT.file_name)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, RuntimeError, OSError])
def test_nothing_stays_behind_when_a_conversion_ends_early(
    raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, outputs = head("SqueezeBertForMultipleChoice")
    from coremltools.converters.mil.backend.mil import load as backend

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    inner = backend.load

    def load(*args: Any, **kwargs: Any) -> None:
        inner(*args, **kwargs)
        assert list(temporary.rglob("weight.bin"))
        raise raised("interrupted")

    monkeypatch.setattr(backend, "load", load)
    with pytest.raises(InputError if raised is RuntimeError else raised, match="interrupted"):
        coreml.export(request(module, outputs, lengths=(8,)), tmp_path / FORMAT.file_name)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("precision", ["fp16", "int4-weights", "int8-static"])
def test_an_export_says_nothing_and_leaves_nothing(precision: str, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = f"""
import torch
from pathlib import Path
from exporters.coreml import FORMAT
from exporters.spec import ExportRequest

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.linear = torch.nn.Embedding(9, 4), torch.nn.Linear(4, 4)
    def forward(self, ids, mask):
        return (torch.nn.functional.gelu(self.linear(self.words(ids))) * mask[..., None],)

examples = {{s: {{n: torch.ones(1, s, dtype=torch.int32) for n in ("ids", "mask")}} for s in (8, 16)}}
path = Path({str(tmp_path / FORMAT.file_name)!r})
rows = [{{n: v.numpy() for n, v in examples[8].items()}}]
FORMAT.export(ExportRequest(Net().eval(), examples, ["vectors"], {precision!r}, calibration=rows), path)
runner = FORMAT.load(path, runtime="mil-evaluator")
assert runner({{n: v.numpy() for n, v in examples[8].items()}})["vectors"].shape == (1, 8, 4)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert not [
        left for left in temporary.iterdir() if not left.name.startswith("torchinductor_")
    ]  # torch's cache


@pytest.mark.slow
@pytest.mark.parametrize("precision", FLOAT_PRECISIONS)
def test_the_full_size_equals_its_module(precision: str, tmp_path: Path) -> None:
    sizes = {"vocab_size": 30528, "hidden_size": 768, "embedding_size": 768, "intermediate_size": 3072}
    depth = {"num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 512}
    task = of_architecture("SqueezeBertForMaskedLM")
    model = tiny_model("SqueezeBertForMaskedLM", **sizes, **depth)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.lower().endswith("layernorm.weight"):
                parameter.mul_(0.25)  # 768 wide, weights of a tiny model would saturate
    module = lay_out(model, task, "plain")
    path = tmp_path / FORMAT.file_name
    coreml.export(request(module, task.outputs, precision, lengths=(32, 64, 128)), path)
    runner = load(path, threads=2)
    for length in (32, 64, 128):
        ((found, expected),) = both(runner, module, length, length - 5)
        if precision == "fp32":
            assert (found - expected).abs().max() <= 1e-4 * expected.abs().max().clamp(min=1)
        else:
            assert 10 * torch.log10(expected.var() / (found - expected).square().mean()) >= 50
