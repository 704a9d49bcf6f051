"""Teachers of every kind are read strictly, and asked as they expect to be."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from exporters.errors import InputError, UnavailableError
from squeezebert_edge.checkpoint import weights
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.training.teacher import load_teacher
from tests.kit.teachers import BATCH, MASK, OTHERS, another, squeezebert
from tests.kit.tiny import tiny_config, tiny_model
from tests.kit.trained import CONFIG, LABELS, TOKENIZER, run


def test_a_squeezebert_teaches_what_it_computes(tmp_path: Path) -> None:
    teacher = load_teacher(squeezebert(tmp_path / "t"))
    loaded = load_checkpoint(tmp_path / "t")
    logits, hidden, _ = teacher(BATCH)
    expected = loaded.model(BATCH.input_ids, MASK, BATCH.token_type_ids, output_hidden_states=True)
    assert torch.equal(logits, expected.logits)
    assert torch.equal(hidden[2], expected.hidden_states[2])
    assert not logits.requires_grad
    assert teacher.sha256 == weights.sha256(weights.read(tmp_path / "t" / "model.safetensors"))


@pytest.mark.parametrize("kind", OTHERS)
def test_any_classifier_of_transformers_teaches(tmp_path: Path, kind: str) -> None:
    from transformers import AutoModelForSequenceClassification

    teacher = load_teacher(another(tmp_path / "t", kind))
    teacher.check(TOKENIZER, LABELS, 24)
    assert (teacher.config.hidden_size, teacher.config.num_hidden_layers) == (32, 3)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "t").eval()
    logits, hidden, _ = teacher(BATCH)
    torch.testing.assert_close(logits, theirs(BATCH.input_ids, MASK).logits)
    assert len(hidden) == 4


def test_a_teacher_that_knows_other_words_labels_or_positions_is_refused(tmp_path: Path) -> None:
    teacher = load_teacher(squeezebert(tmp_path / "t"))
    teacher.check(TOKENIZER, LABELS, 64)
    other = Tokenizer([*TOKENIZER.vocab[:-1], "another"])
    with pytest.raises(InputError, match=r"vocabulary.*is not the student's"):
        teacher.check(other, LABELS, 64)
    for labels in (("positive", "negative"), ("negative", "neutral", "positive")):
        with pytest.raises(InputError, match="the teacher's labels are negative, positive, the student's"):
            teacher.check(TOKENIZER, labels, 64)
    with pytest.raises(InputError, match=r"max_length is 65\nallowed: at most 64"):
        teacher.check(TOKENIZER, LABELS, 65)
    several = load_teacher(squeezebert(tmp_path / "s", problem_type="multi_label_classification"))
    with pytest.raises(InputError, match="problem_type is multi_label_classification"):
        several.check(TOKENIZER, LABELS, 64)
    with pytest.raises(InputError, match="teacher's labels"):
        run(tmp_path / "out", replace(CONFIG, epochs=1), labels=("a", "b"), teacher=teacher)
    assert not (tmp_path / "out").exists()


def test_a_teacher_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no weights for classifier\.bias, classifier\.weight"):
        load_teacher(another(tmp_path / "bare", "bert", auto="AutoModel"))
    with pytest.raises(InputError, match="architecture|head"):
        model = tiny_model("SqueezeBertForMaskedLM", vocab_size=len(TOKENIZER.vocab))
        config = tiny_config(vocab_size=len(TOKENIZER.vocab))
        save_checkpoint(tmp_path / "masked", config=config, model=model, tokenizer=TOKENIZER)
        load_teacher(tmp_path / "masked")


def test_what_is_no_teacher_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="is not a directory"):
        load_teacher(tmp_path / "nothing")
    another(tmp_path / "t", "bert")
    (tmp_path / "t" / "config.json").write_text('{"model_type": "no such"}')
    with pytest.raises(InputError, match="transformers cannot load a classifier"):
        load_teacher(tmp_path / "t")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UnavailableError, match="need transformers"):
        load_teacher(tmp_path / "t")
    (tmp_path / "t" / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is not JSON"):
        load_teacher(tmp_path / "t")
    load_teacher(squeezebert(tmp_path / "ours"))
