"""Small classifiers of made-up opinions, trained in a second or two."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import typer
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from squeezebert_edge.cli.train import train
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.training import train as training
from squeezebert_edge.training.config import NetworkSize, TrainingConfig

SIZE = NetworkSize(hidden_size=64, layers=1, heads=4)
NARROW = NetworkSize(hidden_size=32, layers=2, heads=4)
CONFIG = TrainingConfig(3e-3, epochs=5, batch_size=16, max_length=24)
INT8 = replace(CONFIG, quantize="int8", epochs=3)
LABELS = ("negative", "positive")
FILLERS = ["the", "film", "was", "a", "story", "of", "people", "in", "town", "and", "music"]
GOOD, BAD = ["lovely", "great", "warm"], ["awful", "dull", "cold"]


def opinions(count: int, seed: int = 0) -> list[Example]:
    """Texts of different lengths whose class one word decides."""
    choose = random.Random(seed)
    examples = []
    for number in range(count):
        words = choose.choices(FILLERS, k=choose.randint(2, 12))
        words.insert(choose.randrange(len(words)), choose.choice((BAD, GOOD)[number % 2]))
        examples.append(Example(" ".join(words), label=str(number % 2)))
    return examples


def write_tsv(path: Path, examples: list[Example]) -> Path:
    rows = [f"{example.text}\t{example.label}\n" for example in examples]
    path.write_text("sentence\tlabel\n" + "".join(rows), encoding="utf-8")
    return path


TRAINING, VALIDATION = opinions(161), opinions(40, seed=1)
TOKENIZER = Tokenizer.train([example.text for example in TRAINING], 200)


def run(
    out: Path,
    config: TrainingConfig = CONFIG,
    training_examples: list[Example] = TRAINING,
    validation: list[Example] | None = VALIDATION,
    labels: tuple[str, ...] = LABELS,
    **options: Any,
) -> training.TrainingResult:
    model = training.from_scratch(SIZE, TOKENIZER, labels, config)
    return training.train(config, model, TOKENIZER, training_examples, validation, out, **options)


def distil(out: Path, config: Any = CONFIG, size: NetworkSize = NARROW, **options: Any) -> Path:
    model = training.from_scratch(size, TOKENIZER, LABELS, config)
    training.train(config, model, TOKENIZER, TRAINING, VALIDATION, out, **options)
    return out


def fine_tune(out: Path, config: Any = INT8, **options: Any) -> training.TrainingResult:
    """Quantization-aware training of what an epoch of float training learned."""
    first = out.with_name("float")
    if not first.exists():
        run(first, replace(CONFIG, epochs=4))
    loaded = training.from_checkpoint(first, TRAINING, None, seed=0)
    return training.train(config, loaded.model, loaded.tokenizer, TRAINING, VALIDATION, out, **options)


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def same(first: Path, second: Path) -> bool:
    return (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def stop_after(steps: int, number: signal.Signals = signal.SIGINT) -> Callable[[str, int, int], None]:
    seen = 0

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal seen
        seen += stage.startswith("epoch")
        if seen == steps:
            os.kill(os.getpid(), number)

    return progress


def in_two_processes(script: str, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script under torchrun, which gives each process half the batch."""
    (directory / "script.py").write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    command += ["--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
    }
    done = subprocess.run(
        [*command, str(directory / "script.py"), *arguments],
        env=environment, cwd=root, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def train_verb(*arguments: str | Path) -> Result:
    """`squeezebert-edge train` as a user calls it."""
    app = typer.Typer()
    app.command()(train)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
