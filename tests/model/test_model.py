"""Each model computes what transformers' SqueezeBERT computes, from the same arguments and weights."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporters.errors import InputError
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.config import SqueezeBertConfig
from squeezebert_edge.model.heads import ARCHITECTURES
from tests.kit.reference import assert_same, reference, reference_config
from tests.kit.tiny import tiny_config, tiny_model

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "uncased": {},
    "groups": {
        "q_groups": 1,
        "k_groups": 2,
        "v_groups": 8,
        "post_attention_groups": 2,
        "intermediate_groups": 16,
        "output_groups": 1,
        "num_attention_heads": 2,
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-3,
        "intermediate_size": 48,
    },
    "dense": {
        "q_groups": 1,
        "k_groups": 1,
        "v_groups": 1,
        "intermediate_groups": 1,
        "output_groups": 1,
        "num_attention_heads": 8,
        "num_hidden_layers": 1,
        "type_vocab_size": 3,
        "pad_token_id": None,
        "hidden_act": "xielu",
        "tie_word_embeddings": False,
    },
}


def make(architecture: str, **overrides: Any) -> SqueezeBertPreTrainedModel:
    model = tiny_model(architecture, **overrides)
    assert isinstance(model, SqueezeBertPreTrainedModel)
    return model


def inputs(model: SqueezeBertPreTrainedModel, length: int = 9, seed: int = 1) -> dict[str, Tensor]:
    """Random rows, the second one padded, with labels for the model's head."""
    generator = torch.Generator().manual_seed(seed)
    config, name = model.config, type(model).__name__

    def draw(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    rows = (2, 3) if name == "SqueezeBertForMultipleChoice" else (2,)
    given = {
        "input_ids": 1 + draw(config.vocab_size - 1, *rows, length),
        "attention_mask": torch.ones(*rows, length, dtype=torch.long),
        "token_type_ids": draw(config.type_vocab_size, *rows, length),
        "position_ids": draw(config.max_position_embeddings, *rows, length),
    }
    given["attention_mask"][1, ..., length - 4 :] = 0
    if name == "SqueezeBertForQuestionAnswering":
        return given | {"start_positions": draw(length, 2), "end_positions": draw(length, 2)}
    if name == "SqueezeBertForMaskedLM":
        return given | {
            "labels": torch.where(draw(2, 2, length) == 0, draw(config.vocab_size, 2, length), -100)
        }
    if name == "SqueezeBertForTokenClassification":
        return given | {
            "labels": torch.where(draw(2, 2, length) == 0, draw(config.num_labels, 2, length), -100)
        }
    if name == "SqueezeBertForSequenceClassification":
        return given | {"labels": draw(config.num_labels, 2)}
    if name == "SqueezeBertForMultipleChoice":
        return given | {"labels": draw(3, 2)}
    return given


def loss_of(output: Any) -> Any:
    """The loss, or for the bare model a number that depends on every output."""
    if hasattr(output, "loss"):
        return output.loss
    return output.last_hidden_state.square().mean() + output.pooler_output.sum()


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_transformers(architecture: str, configuration: str) -> None:
    model = make(architecture, **CONFIGURATIONS[configuration])
    check_everything(model, inputs(model))


def check_everything(model: SqueezeBertPreTrainedModel, given: dict[str, Tensor]) -> nn.Module:
    """Outputs, loss and gradients are transformers', whose model it gives back; ours keeps its config."""
    other = reference(model)
    config = copy.deepcopy(model.config)
    ours = model(**given, output_hidden_states=True, output_attentions=True)
    theirs = other(**given, output_hidden_states=True, output_attentions=True)
    assert list(ours.keys()) == list(theirs.keys())
    assert_same(ours.to_tuple(), theirs.to_tuple())
    loss_of(ours).backward()
    loss_of(theirs).backward()
    compare_gradients(model, other)
    assert model.config == config  # transformers writes the problem's type into its own
    return other


def compare_gradients(model: nn.Module, other: nn.Module) -> None:
    expected = dict(other.named_parameters())
    assert list(dict(model.named_parameters())) == list(expected)
    seen = 0
    for name, parameter in model.named_parameters():
        gradient = expected[name].grad
        assert (parameter.grad is None) == (gradient is None), name
        if gradient is not None and parameter.grad is not None:
            # bfloat16 parameters (xIELU's) have bfloat16 gradients.
            tolerance = 1e-5 if gradient.dtype == torch.float32 else 1e-2
            assert_same(parameter.grad, gradient, tolerance)
            seen += int(gradient.abs().max() > 0)
    assert seen > len(expected) / 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_state_dict_names(architecture: str) -> None:
    for overrides in CONFIGURATIONS.values():
        model = make(architecture, **overrides)
        theirs = reference(model).state_dict()
        ours = model.state_dict()
        assert list(ours) == list(theirs)
        assert [(v.shape, v.dtype) for v in ours.values()] == [(v.shape, v.dtype) for v in theirs.values()]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_arguments_of_forward(architecture: str) -> None:
    import transformers

    ours = inspect.signature(ARCHITECTURES[architecture].forward).parameters
    theirs = inspect.signature(getattr(transformers, architecture).forward).parameters
    positional = [p.name for p in ours.values() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert positional == [p for p in theirs if p != "kwargs"]
    assert all(p.default is None for p in ours.values() if p.name != "self")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dropout_is_where_it_is_there(architecture: str) -> None:
    model = make(architecture, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2).train()
    other, given = reference(model), inputs(model)
    torch.manual_seed(0)
    ours = model(**given)
    torch.manual_seed(0)
    assert_same(ours.to_tuple(), other(**given).to_tuple())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_embeddings_in_place_of_ids(architecture: str) -> None:
    model = make(architecture)
    other, given = reference(model), inputs(model)
    given["inputs_embeds"] = model.get_input_embeddings()(given.pop("input_ids")).detach()
    assert_same(model(**given).to_tuple(), other(**given).to_tuple())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_defaults_and_integer_widths(architecture: str) -> None:
    model = make(architecture)
    ids = inputs(model)["input_ids"]
    expected = reference(model)(ids).to_tuple()
    assert_same(model(ids).to_tuple(), expected)
    ones, zeros = torch.ones_like(ids), torch.zeros_like(ids)
    positions = torch.arange(ids.shape[-1]).expand_as(ids)
    assert_same(model(ids.int(), ones.int(), zeros.int(), positions.int()).to_tuple(), expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tuples(architecture: str) -> None:
    model = make(architecture)
    given = inputs(model)
    for extra in ({}, {"output_hidden_states": True}, {"output_attentions": True}):
        ours = model(**given, **extra, return_dict=False)
        assert isinstance(ours, tuple)
        assert_same(ours, reference(model)(**given, **extra, return_dict=False))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_configuration_decides_what_is_returned(architecture: str) -> None:
    model = make(architecture, output_attentions=True, output_hidden_states=True, return_dict=False)
    given = inputs(model)
    ours = model(**given)
    assert isinstance(ours, tuple)
    assert_same(ours, reference(model)(**given))
    less = model(**given, output_attentions=False, output_hidden_states=False, return_dict=True)
    assert less.hidden_states is less.attentions is None


@pytest.mark.parametrize(
    ("num_labels", "labels", "expected"),
    [
        (1, torch.tensor([0.5, -1.0]), "regression"),
        (1, torch.tensor([[0.5], [-1.0]]), "regression"),
        (3, torch.tensor([2, 0]), "single_label_classification"),
        (3, torch.tensor([[2], [0]]), "single_label_classification"),
        (3, torch.tensor([-100, 0]), "single_label_classification"),
        (3, torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]), "multi_label_classification"),
    ],
)
def test_sequence_losses(num_labels: int, labels: Tensor, expected: str) -> None:
    model = make("SqueezeBertForSequenceClassification", num_labels=num_labels)
    given = inputs(model) | {"labels": labels}
    other = check_everything(model, given)
    assert other.config.problem_type == expected  # type: ignore[union-attr]


def test_a_problem_type_that_is_set_decides() -> None:
    labels = torch.tensor([[0.5, 1.0, -3.0], [2.0, 0.0, 0.1]])
    for kind in ("regression", "multi_label_classification"):
        model = make("SqueezeBertForSequenceClassification", num_labels=3, problem_type=kind)
        check_everything(model, inputs(model) | {"labels": labels})


def test_labels_that_are_all_ignored() -> None:
    for architecture in ("SqueezeBertForMaskedLM", "SqueezeBertForTokenClassification"):
        model = make(architecture)
        given = inputs(model)
        given["labels"] = torch.full_like(given["labels"], -100)
        ours, theirs = model(**given).loss, reference(model)(**given).loss
        assert ours.isnan()
        assert theirs.isnan()


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ([0, 8], [8, 8]),
        ([-5, 2], [3, -1]),
        ([9, 2], [3, 100]),
        ([[1], [2]], [[3], [4]]),
        ([9, 50], [9, 9]),
    ],
)
def test_span_positions_outside_the_text(start: list[Any], end: list[Any]) -> None:
    model = make("SqueezeBertForQuestionAnswering")
    given = inputs(model) | {"start_positions": torch.tensor(start), "end_positions": torch.tensor(end)}
    assert_same(model(**given).to_tuple(), reference(model)(**given).to_tuple())
    del given["end_positions"]
    assert model(**given).loss is None


def test_question_answering_needs_two_outputs() -> None:
    with pytest.raises(InputError, match="3 outputs"):
        ARCHITECTURES["SqueezeBertForQuestionAnswering"](tiny_config(num_labels=3))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_seed_draws_the_same_weights(architecture: str) -> None:
    import transformers

    config = tiny_config(initializer_range=0.3, pad_token_id=5, hidden_act="prelu", tie_word_embeddings=False)
    torch.manual_seed(3)
    ours = ARCHITECTURES[architecture](config).state_dict()
    torch.manual_seed(3)
    theirs = getattr(transformers, architecture)(reference_config(config)).state_dict()
    for name, weight in theirs.items():
        assert torch.equal(ours[name], weight), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_refusals(architecture: str) -> None:
    model = make(architecture)
    ids = inputs(model)["input_ids"]
    with pytest.raises(InputError, match="both input_ids and inputs_embeds"):
        model(ids, inputs_embeds=model.get_input_embeddings()(ids))
    with pytest.raises(InputError, match="neither"):
        model()
    with pytest.raises(InputError, match="head masks"):
        model(ids, head_mask=torch.ones(2, 4))
    with pytest.raises(InputError, match="cannot be pruned"):
        model.prune_heads({0: [1]})
    with pytest.raises(InputError, match=r"input_ids of shape \(9,\)"):
        model(ids.flatten()[:9])
    with pytest.raises(InputError, match=r"inputs_embeds of shape"):
        model(inputs_embeds=torch.zeros(*ids.shape, 33).flatten(0, -2))
    with pytest.raises(InputError, match="65 tokens"):
        model(torch.ones(*ids.shape[:-1], 65, dtype=torch.long))
    with pytest.raises(InputError, match="attention_mask of shape"):
        model(ids, torch.ones(*ids.shape[:-1], 8))


@pytest.mark.parametrize(
    "sizes", [{"num_attention_heads": 5}, {"v_groups": 3}, {"embedding_size": 16}, {"hidden_act": "none"}]
)
def test_sizes_that_do_not_fit(sizes: dict[str, Any]) -> None:
    config = tiny_config()
    for name, value in sizes.items():
        setattr(config, name, value)
    with pytest.raises(InputError, match=next(iter(sizes))):
        ARCHITECTURES["SqueezeBertModel"](config)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_exports(architecture: str) -> None:
    model = make(architecture)
    given = inputs(model)
    arguments = tuple(given[name] for name in ("input_ids", "attention_mask", "token_type_ids"))
    program = torch.export.export(model, arguments).module()
    other = tuple(value.flip(0) for value in arguments)
    output = program(*other)
    assert type(output) is type(model(*other))
    assert_same(output.to_tuple(), model(*other).to_tuple())


def test_exports_with_any_length() -> None:
    model = make("SqueezeBertForTokenClassification")
    length = torch.export.Dim("length", min=2, max=64)
    ids = inputs(model)["input_ids"]
    dynamic = ({1: length}, {1: length}, {1: length})
    arguments = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    program = torch.export.export(model, arguments, dynamic_shapes=dynamic).module()
    other = tuple(torch.ones(2, 33, dtype=torch.long) for _ in range(3))
    assert_same(program(*other).to_tuple(), model(*other).to_tuple())


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_traces(architecture: str) -> None:
    model = make(architecture, return_dict=False)
    given = inputs(model)
    arguments = tuple(given[name] for name in ("input_ids", "attention_mask", "token_type_ids"))
    traced = torch.jit.trace(model, arguments)  # type: ignore[no-untyped-call]
    other = tuple(value.flip(0) for value in arguments)
    assert_same(traced(*other), model(*other))


def test_copies_in_half_precision() -> None:
    model = make("SqueezeBertForMaskedLM")
    given = inputs(model)
    half = copy.deepcopy(model).to(torch.bfloat16)
    theirs = reference(model).to(torch.bfloat16)
    assert_same(half(**given).to_tuple(), theirs(**given).to_tuple())
    assert next(model.parameters()).dtype == torch.float32


def test_a_trained_checkpoint_gives_its_reference_logits(shared: Path) -> None:
    from safetensors.torch import load_file

    directory = shared / "checkpoints/squeezebert-medium-sst2"
    model = ARCHITECTURES["SqueezeBertForSequenceClassification"](
        SqueezeBertConfig.from_file(directory / "config.json")
    )
    model.load_state_dict(load_file(directory / "model.safetensors"))
    expected = np.load(directory / "sst2_dev_reference.npz")
    rows = slice(0, 32)
    ids, lengths = expected["input_ids"][rows], expected["lengths"][rows]
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(ids), torch.from_numpy(mask)).logits
    assert_same(logits, torch.from_numpy(expected["logits"][rows]))
    one = int(lengths[0])
    with torch.no_grad():
        alone = model(torch.from_numpy(ids[:1, :one])).logits
    assert_same(alone, torch.from_numpy(expected["logits"][:1]))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_squeezebert_uncased_equals_transformers(architecture: str) -> None:
    torch.manual_seed(0)
    config = SqueezeBertConfig(vocab_size=30528)
    model = ARCHITECTURES[architecture](config).eval()
    check_everything(model, inputs(model, length=32))
