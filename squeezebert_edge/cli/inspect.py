"""`squeezebert-edge inspect`: what a checkpoint holds and what it costs to compute."""

from __future__ import annotations

from typing import Annotated

import typer

from squeezebert_edge.cli import options, show


def inspect(
    checkpoint: options.CheckpointArgument,
    length: Annotated[int, typer.Option("--length", min=1, help="Tokens to count the arithmetic for.")] = 128,
    task: options.TaskOption = None,
    json: options.JsonOption = False,
) -> None:
    """Show a checkpoint's head, sizes and labels, and its parameters, bytes and GFLOP by kind of layer."""
    from squeezebert_edge import checkpoint as checkpoints
    from squeezebert_edge import complexity, pipeline

    with show.progress() as progress:
        progress(f"loading {checkpoint}", 0, 0)
        loaded = checkpoints.load(checkpoint, architecture=pipeline.architecture_of(task))
    model_task = pipeline.task_of(loaded)
    architecture = type(loaded.model).__name__
    parts = complexity.count(loaded.config, length, architecture)
    total = complexity.total(parts)
    counts = [
        {"kind": p.kind, "parameters": p.parameters, "bytes": p.bytes, "gflop": p.gflop}
        for p in (*parts, total)
    ]
    facts = {
        "checkpoint": loaded.source,
        "sha256": loaded.sha256,
        "architecture": architecture,
        "task": model_task.name,
        "labels": list(model_task.labels),
        "vocabulary": len(loaded.tokenizer.vocab),
        "longest": loaded.config.max_position_embeddings,
        "accepted": list(loaded.accepted),
    }
    if json:
        show.as_json({**facts, "length": length, "parts": counts})
        return
    words = {
        name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in facts.items()
    }
    show.pairs(checkpoint, {name: text for name, text in words.items() if text})
    show.table(
        f"at {length} tokens, in float32; one multiply-accumulate is two FLOP",
        ("", ">parameters", ">MB", ">GFLOP", ">share"),
        [
            (
                p.kind,
                f"{p.parameters:,}",
                f"{p.bytes / 1e6:.2f}",
                f"{p.gflop:.3f}",
                f"{p.macs / total.macs:.1%}",
            )
            for p in (*parts, total)
        ],
    )
