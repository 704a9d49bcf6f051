"""A small classifier that has learned the built-in sentences, for tests that need more than random weights.

python -m tests.kit.sentiment      # trains tests/kit/sentiment_checkpoint anew
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from squeezebert_edge.tasks.heads import TASKS, TextClassification
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.training import train as training
from squeezebert_edge.training.config import NetworkSize, TrainingConfig

DIRECTORY = Path(__file__).with_name("sentiment_checkpoint")
LABELS = ("negative", "positive")
SIZE = NetworkSize(hidden_size=128, layers=2, heads=4, intermediate_size=256)
CONFIG = TrainingConfig(2e-3, epochs=12, batch_size=20, max_length=128, dropout=0.3)
WORDS = 1500


def sentiment() -> Checkpoint:
    """Two layers, 128 wide, that know the words of every built-in sample."""
    return load_checkpoint(DIRECTORY)


def main() -> None:
    """Train it on the built-in sentences; its words are those of the other samples too."""
    samples = [each for task in TASKS.values() for each in task(LABELS).built_in_examples()]
    texts = [text for each in samples for text in (each.text, each.pair, *each.choices) if text]
    tokenizer = Tokenizer.train(texts, WORDS)
    examples = [
        replace(each, label=str(LABELS.index(each.label)))
        for each in TextClassification(LABELS).built_in_examples("sentences.tsv")
    ]
    model = training.from_scratch(SIZE, tokenizer, LABELS, CONFIG)
    with TemporaryDirectory() as name:
        training.train(CONFIG, model, tokenizer, examples, examples, Path(name) / "out")
        trained = load_checkpoint(Path(name) / "out")
    save_checkpoint(
        DIRECTORY,
        config=trained.config,
        model=trained.model,
        tokenizer=tokenizer,
        dtype=torch.float16,
        force=True,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
