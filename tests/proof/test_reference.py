"""Nothing is proven with a float model that does not compute what transformers does."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from exporters.errors import GateError
from squeezebert_edge.model import base, heads, layers
from squeezebert_edge.proof.reference import GOLDEN, Reference, require_sound_reference
from squeezebert_edge.tasks.heads import TASKS
from squeezebert_edge.text.tokenizer import Tokenizer
from tests.kit.golden import golden
from tests.kit.small import small_checkpoint


@pytest.fixture(autouse=True)
def computed_anew() -> Iterator[None]:
    require_sound_reference.cache_clear()
    yield
    require_sound_reference.cache_clear()


def test_the_package_carries_what_transformers_computes() -> None:
    tensors, texts = golden()
    with safe_open(str(resources.files("squeezebert_edge") / "assets" / GOLDEN), framework="pt") as file:
        assert set(file.keys()) == set(tensors)
        for name, tensor in tensors.items():
            torch.testing.assert_close(file.get_tensor(name), tensor, atol=2e-6, rtol=2e-6)
        assert {name: json.loads(text) for name, text in file.metadata().items()} == {
            name: json.loads(text) for name, text in texts.items()
        }


def test_our_model_computes_it_in_well_under_a_second() -> None:
    require_sound_reference()
    require_sound_reference.cache_clear()
    began = time.process_time()
    require_sound_reference()
    assert time.process_time() - began < 1


def positions_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = layers.Embeddings.forward

    def forward(
        self: layers.Embeddings, words: Tensor, types: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        last = self.position_embeddings.num_embeddings - 1
        shifted = (torch.arange(words.shape[1])[None] + 1).clamp(max=last)
        return whole(self, words, types, shifted)

    monkeypatch.setattr(layers.Embeddings, "forward", forward)


def token_types_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers.Embeddings, "known_types", lambda self, types: types * 0)


def another_gelu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "activation", lambda name: nn.GELU(approximate="tanh"))


def mask_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        base.SqueezeBertModel, "_additive_mask", lambda self, mask, embedded: torch.zeros(1, 1, 1, 1)
    )


def scores_not_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math, "sqrt", lambda value: 1.0)


def another_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    def wider(self: nn.LayerNorm, width: int, eps: float) -> None:
        nn.LayerNorm.__init__(self, width, eps=1e-3)

    monkeypatch.setattr(layers.ChannelLayerNorm, "__init__", wider)


def pooled_from_the_last_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers.Pooler, "forward", lambda self, hidden: torch.tanh(self.dense(hidden[:, -1])))


def ends_of_answers_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = heads.SpanOutput
    monkeypatch.setattr(
        heads, "SpanOutput", lambda loss, start, end, *others: whole(loss, end, start, *others)
    )


def masked_words_not_normalized(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: layers.PredictionTransform, hidden: Tensor) -> Tensor:
        return F.gelu(self.dense(hidden))

    monkeypatch.setattr(layers.PredictionTransform, "forward", forward)


def words_not_lower_cased(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Tokenizer.encode

    def encode(self: Tokenizer, text: str, *others: Any, **options: Any) -> Any:
        return whole(self, text.replace("déjà", "DÉJÀ!"), *others, **options)

    monkeypatch.setattr(Tokenizer, "encode", encode)


@pytest.mark.parametrize(
    "plant",
    [
        positions_off_by_one,
        token_types_ignored,
        another_gelu,
        mask_ignored,
        scores_not_scaled,
        another_epsilon,
        pooled_from_the_last_token,
        ends_of_answers_swapped,
        masked_words_not_normalized,
        words_not_lower_cased,
    ],
)
def test_an_error_in_our_own_code_is_refused(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = small_checkpoint()
    task = TASKS["text-classification"]
    with monkeypatch.context() as planted:
        plant(planted)
        for _ in range(2):  # a refusal is no pass the second time
            with pytest.raises(GateError, match="the float reference of this installation is wrong"):
                Reference(checkpoint.model, task)
    Reference(checkpoint.model, task)
