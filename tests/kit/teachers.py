"""Classifiers to learn from, and a batch to ask them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from squeezebert_edge.checkpoint.checkpoint import save_checkpoint
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.training.data import Batch
from tests.kit.tiny import tiny_config, tiny_model
from tests.kit.trained import LABELS, TOKENIZER

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
BATCH = Batch(torch.tensor([[2, 7, 9, 8, 3], [2, 9, 3, 0, 0]]), MASK, MASK * 0, torch.tensor([0, 1]))
OTHERS = {
    "bert": {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48},
}


def squeezebert(directory: Path, tokenizer: Tokenizer = TOKENIZER, **overrides: Any) -> Path:
    labels = {"id2label": {"0": "negative", "1": "positive"}, "label2id": {"negative": 0, "positive": 1}}
    fields = {"vocab_size": len(tokenizer.vocab)} | labels | overrides
    model = tiny_model(**fields)
    save_checkpoint(directory, config=tiny_config(**fields), model=model, tokenizer=tokenizer)
    return directory


def another(
    directory: Path, kind: str, auto: str = "AutoModelForSequenceClassification", **sizes: int
) -> Path:
    """A model of transformers' with the same vocabulary and labels."""
    import transformers

    labels = dict(enumerate(LABELS))
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=len(TOKENIZER.vocab), max_position_embeddings=32, id2label=labels, **OTHERS[kind]
    )
    torch.manual_seed(0)
    model = getattr(transformers, auto).from_config(config).eval()
    model.save_pretrained(directory)
    TOKENIZER.save(directory)
    settings = json.loads((directory / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = {"bert": "BertTokenizer", "distilbert": "DistilBertTokenizer"}[kind]
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory
