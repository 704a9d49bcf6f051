"""The embedded model is small, is read by others too, and is as good as its card says."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import torch

import exporters
from squeezebert_edge.accuracy.answers import evaluate, reference_answers
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms.steps import is_on_steps
from squeezebert_edge.tasks.data import Example, read_texts
from squeezebert_edge.tasks.heads import TextClassification
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan, add_calibration, check_lengths, possible_pairs
from tests.kit.planted import with_outliers

DIRECTORY = Path(str(resources.files("squeezebert_edge"))) / "assets" / "default"
CARD = (DIRECTORY / "README.md").read_text(encoding="utf-8")
SENTENCES = TextClassification().built_in_examples("sentences.tsv")


@pytest.fixture(scope="module")
def loaded() -> Checkpoint:
    return load_checkpoint("default")


def right(loaded: Checkpoint, examples: list[Example]) -> str:
    lengths = check_lengths(None, loaded.config)
    accuracy = evaluate(reference_answers(loaded, examples, max_length=lengths[-1]))["accuracy"]
    return f"{accuracy * len(examples):.6g} of {len(examples)}"


def test_it_is_a_small_sentiment_classifier(loaded: Checkpoint) -> None:
    assert task_of(loaded).labels == ("negative", "positive")
    assert sum(path.stat().st_size for path in DIRECTORY.iterdir()) <= 16e6
    assert len(loaded.tokenizer.vocab) == loaded.config.vocab_size == 11000
    assert loaded.config.max_position_embeddings >= 128
    assert loaded.config.num_attention_heads % loaded.config.q_groups == 0


def test_its_weights_lie_on_steps_that_no_precision_rounds(loaded: Checkpoint) -> None:
    assert is_on_steps(loaded.model)


def test_transformers_reads_it_to_the_same_logits(loaded: Checkpoint) -> None:
    from transformers import AutoTokenizer, SqueezeBertForSequenceClassification

    theirs = SqueezeBertForSequenceClassification.from_pretrained(DIRECTORY, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(DIRECTORY)
    batch = tokenizer([example.text for example in SENTENCES], padding=True, return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(**batch).logits, theirs(**batch).logits, atol=1e-5, rtol=1e-5)


def test_it_is_as_good_on_the_built_in_sentences_as_its_card_says(loaded: Checkpoint) -> None:
    assert f"| the built-in sentences | {right(loaded, SENTENCES)} |" in CARD


def test_it_is_as_good_on_sst2_as_its_card_says(loaded: Checkpoint, shared: Path) -> None:
    found = right(loaded, read_texts(shared / "data" / "sst2" / "dev.tsv"))
    assert f"| SST-2's dev set | {found} |" in CARD
    assert int(found.split()[0]) / 872 >= 0.86


def test_the_card_names_the_licence_and_no_place_of_one_machine() -> None:
    assert "no\nlicence" in CARD or "no licence" in CARD
    assert not re.search(r"/(?:work|home|tmp|Users|root)\b|\.\./", CARD)


@pytest.mark.parametrize("pair", possible_pairs(exporters.names(), []), ids="-".join)
def test_it_is_verified_in_every_format_and_precision(
    tmp_path: Path, loaded: Checkpoint, pair: tuple[str, str]
) -> None:
    plan = add_calibration(Plan([pair], (32,)), loaded, None, samples=200)
    (bundle,) = export_bundles(loaded, plan, tmp_path)
    assert (bundle.manifest.verification.status, bundle.manifest.verification.failures) == ("verified", [])


@pytest.mark.parametrize(
    "pair", [pair for pair in possible_pairs(exporters.names(), []) if pair[1] == "fp16"], ids="-".join
)
def test_half_precision_is_verified_with_large_activations_too(
    tmp_path: Path, loaded: Checkpoint, pair: tuple[str, str]
) -> None:
    planted = replace(loaded, model=with_outliers(loaded.model, factor=1000.0))
    (bundle,) = export_bundles(planted, Plan([pair], (32,)), tmp_path)
    assert (bundle.manifest.verification.status, bundle.manifest.verification.failures) == ("verified", [])
