"""The proof passes what is equal and sees what is not."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from exporters.errors import InputError, UnavailableError
from exporters.precision import FLOAT16_GATES, FLOAT32_GATES, Gates
from squeezebert_edge.bundle.manifest import Verification
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms.catalog import FORMS, lay_out
from squeezebert_edge.proof import parity
from squeezebert_edge.proof.comparison import Comparison
from squeezebert_edge.proof.parity import NO_FLOAT16
from squeezebert_edge.tasks.heads import TASKS
from squeezebert_edge.verbs.plan import check_lengths
from tests.kit.small import VOCABULARY, TorchRunner, small_checkpoint

LENGTHS = (16, 32, 64)
ARCHITECTURES = [task.architecture for task in TASKS.values()]


def verified(
    runner_type: type[TorchRunner] = TorchRunner,
    damage: Callable[[nn.Module], None] = lambda model: None,
    architecture: str = ARCHITECTURES[0],
    gates: Gates = FLOAT32_GATES,
    *,
    apart: bool = False,
) -> Verification:
    checkpoint = small_checkpoint(architecture)
    damaged = copy.deepcopy(checkpoint.model)
    with torch.no_grad():
        damage(damaged)
    task = task_of(checkpoint)
    return parity.verify(checkpoint, task, runner_type(damaged, type(task), LENGTHS), gates, apart=apart)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_equal_network_is_verified(architecture: str) -> None:
    found = verified(architecture=architecture)
    assert (found.status, found.failures) == ("verified", [])
    assert found.inputs >= 64
    assert found.max_abs_error is not None
    assert found.max_abs_error <= 1e-4
    assert found.sqnr_db is not None
    assert found.sqnr_db > 100
    assert found.agreement == (None if architecture == "SqueezeBertModel" else 1.0)


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_a_network_and_its_artifact_may_be_computed_at_the_same_time() -> None:
    seen = set()

    class Beside(TorchRunner):
        def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            seen.add(threading.current_thread())
            return super().__call__(inputs)

    found = verified(Beside, apart=True)
    assert (found.status, found.inputs, found.agreement) == ("verified", verified().inputs, 1)
    assert len(seen) == 2  # one of them for what has no reference
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_what_fails_beside_the_reference_is_said() -> None:
    class Unknown(TorchRunner):
        def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            raise UnavailableError("the evaluator does not know the op 'erfinv'")

    assert "erfinv" in verified(Unknown, apart=True).failures[0]
    assert torch.get_num_threads() == 4


class Rounding(TorchRunner):
    """A processor without float16, which rounds to it."""

    computed_by = "float16-rounding"


def test_float16_that_was_rounded_to_and_not_computed_in_proves_nothing_and_still_fails() -> None:
    found = verified(Rounding, gates=FLOAT16_GATES)
    assert (found.status, found.by, found.failures) == ("not verified", Rounding.computed_by, [NO_FLOAT16])
    assert found.words == "not verified (float32 sums)"
    assert found.sqnr_db is not None
    impossible = verified(Rounding, gates=Gates(min_sqnr_db=500.0))
    assert impossible.status == "failed"
    assert NO_FLOAT16 not in impossible.failures


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_checkpoint_whose_configuration_wants_tuples_is_verified(architecture: str) -> None:
    checkpoint = small_checkpoint(architecture, return_dict=False)
    task = task_of(checkpoint)
    found = parity.verify(checkpoint, task, TorchRunner(checkpoint.model, type(task), LENGTHS), FLOAT32_GATES)
    assert (found.status, found.failures) == ("verified", [])


@settings(max_examples=25, deadline=None)
@given(
    architecture=st.sampled_from(ARCHITECTURES),
    form=st.sampled_from(sorted(FORMS)),
    sizes=st.fixed_dictionaries(
        {
            "type_vocab_size": st.integers(1, 4),
            "max_position_embeddings": st.sampled_from([4, 5, 16, 33, 64]),
            "vocab_size": st.sampled_from([len(VOCABULARY), 120]),
            "num_hidden_layers": st.integers(1, 2),
        }
    ),
)
def test_every_input_keeps_to_the_sizes_of_the_configuration(
    architecture: str, form: str, sizes: dict[str, int]
) -> None:
    checkpoint = small_checkpoint(architecture, **sizes)
    task, lengths = task_of(checkpoint), check_lengths(None, checkpoint.config)
    runner = TorchRunner(checkpoint.model, type(task), lengths)
    runner.form = lay_out(checkpoint.model, type(task), form)
    found = parity.verify(checkpoint, task, runner, FLOAT32_GATES)
    assert (found.status, found.failures) == ("verified", [])
    for length in lengths:  # what an export traces
        runner.form(*(torch.ones(1, length, dtype=torch.int32) for _ in runner.inputs))


def zero_a_head(model: nn.Module) -> None:
    value = model.transformer.encoder.layers[0].attention.value
    value.weight[:8] = 0
    value.bias[:8] = 0


def drop_a_bias(model: nn.Module) -> None:
    model.transformer.encoder.layers[1].output.conv1d.bias.zero_()


def swap_labels(model: nn.Module) -> None:
    model.classifier.weight.copy_(model.classifier.weight.flip(0))


def one_token_type(model: nn.Module) -> None:
    types = model.transformer.embeddings.token_type_embeddings.weight
    types[1] = types[0]


def shifted_positions(model: nn.Module) -> None:
    positions = model.transformer.embeddings.position_embeddings.weight
    positions.copy_(positions.roll(1, 0))


@pytest.mark.parametrize("damage", [zero_a_head, drop_a_bias, swap_labels, one_token_type, shifted_positions])
def test_damage_is_seen(damage: Callable[[nn.Module], None]) -> None:
    found = verified(damage=damage)
    assert found.status == "failed"
    assert any("largest error" in failure for failure in found.failures)


def test_a_mask_that_is_ignored_is_seen() -> None:
    class Unmasked(TorchRunner):
        def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return super().__call__({**inputs, "attention_mask": np.ones_like(inputs["attention_mask"])})

    found = verified(Unmasked)
    assert found.status == "failed"
    assert any("padding changes it" in failure for failure in found.failures)


def test_not_a_number_is_seen() -> None:
    class Broken(TorchRunner):
        def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = super().__call__(inputs)
            if not inputs["attention_mask"].any():
                outputs["logits"][:] = np.nan
            return outputs

    assert verified(Broken).failures == [
        f"a row that is all padding gives NaN or infinity at length {length}" for length in LENGTHS
    ]

    class AllBroken(TorchRunner):
        def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: np.full_like(value, np.nan) for name, value in super().__call__(inputs).items()}

    found = verified(AllBroken, gates=FLOAT16_GATES)
    assert found.status == "failed"
    assert found.max_abs_error is None


def test_what_cannot_be_computed_is_not_verified() -> None:
    class Unknown(TorchRunner):
        def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            raise UnavailableError("the evaluator does not know the op 'erfinv'")

    found = verified(Unknown)
    assert (found.status, found.by) == ("not verified", None)
    assert "erfinv" in found.failures[0]


def test_inputs_are_short_full_cut_and_empty_at_every_length() -> None:
    checkpoint = small_checkpoint()
    task = task_of(checkpoint)
    inputs = parity.choose_inputs(task, checkpoint.tokenizer, LENGTHS, task.built_in_examples())
    for length in LENGTHS:
        sizes = [len(item.encodings[0]) for item in inputs if item.length == length]
        cut = [item for item in inputs if item.length == length and item.encodings[0].truncated]
        assert min(sizes) == 2
        assert max(sizes) == length
        assert cut


def test_sqnr_is_variance_over_mean_squared_error() -> None:
    random = np.random.default_rng(1)
    reference = random.normal(3, 2, (50, 4))
    found = reference + random.normal(0, 0.02, (50, 4))
    comparison = Comparison()
    for row, other in zip(reference, found, strict=True):
        comparison.add(row, other)
    expected = 10 * np.log10(reference.var() / ((found - reference) ** 2).mean())
    assert comparison.sqnr_db == pytest.approx(expected, abs=1e-6)
    assert comparison.max_error == pytest.approx(np.abs(found - reference).max())


def test_a_wish_replaces_one_gate_and_keeps_the_others() -> None:
    assert FLOAT32_GATES.replaced_by(Gates(max_error=0.5)) == Gates(
        max_error=0.5, max_padding_error=FLOAT32_GATES.max_padding_error
    )


def test_a_reference_that_is_no_number_passes_nothing() -> None:
    comparison = Comparison()
    comparison.add(np.array([np.nan, 1.0]), np.array([1.0, 1.0]))
    assert comparison.max_error == np.inf


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_gate_is_a_finite_number(value: float) -> None:
    with pytest.raises(InputError, match="a finite number"):
        Gates(max_error=value)
