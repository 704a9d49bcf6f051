"""Tiny BERTs of transformers', trained to tell made-up opinions, or random."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch

from squeezebert_edge.text.tokenizer import Tokenizer
from tests.kit.trained import LABELS, TOKENIZER, TRAINING

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def random_bert(auto: str = "AutoModelForSequenceClassification", **sizes: Any) -> Any:
    """A BERT of transformers' whose outputs differ between inputs."""
    import transformers

    fields = {"max_position_embeddings": 32, "vocab_size": len(TOKENIZER.vocab)} | SIZES | sizes
    torch.manual_seed(0)
    model = getattr(transformers, auto).from_config(transformers.BertConfig(**fields)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(mean=float(name.endswith("LayerNorm.weight")), std=0.2)
    return model


@cache
def trained_bert() -> Any:
    """A BERT that has learned TRAINING."""
    import transformers

    sizes: Any = SIZES | {
        "id2label": dict(enumerate(LABELS)),
        "label2id": {n: i for i, n in enumerate(LABELS)},
    }
    config = transformers.BertConfig(
        max_position_embeddings=32, vocab_size=len(TOKENIZER.vocab), hidden_dropout_prob=0.0, **sizes
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    encoded = [TOKENIZER.encode(example.text, max_length=32) for example in TRAINING]
    ids = torch.zeros(len(encoded), max(map(len, encoded)), dtype=torch.long)
    for row, encoding in enumerate(encoded):
        ids[row, : len(encoding)] = torch.tensor(encoding.ids)
    labels = torch.tensor([int(example.label) for example in TRAINING])
    for _ in range(40):
        loss = model(ids, (ids != 0).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def save_bert(model: Any, directory: Path, tokenizer: Tokenizer = TOKENIZER, **settings: Any) -> Path:
    """Write a BERT as its users have it; `settings` are of its config.json."""
    model.save_pretrained(directory)
    tokenizer.save(directory)
    file = directory / "tokenizer_config.json"
    written = json.loads(file.read_text()) | {"tokenizer_class": "BertTokenizer"}
    file.write_text(json.dumps(written))
    file = directory / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return directory
