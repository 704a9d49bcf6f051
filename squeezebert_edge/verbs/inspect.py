"""What a checkpoint holds, and what its network costs to compute."""

from __future__ import annotations

from dataclasses import dataclass

from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.model import complexity


@dataclass(frozen=True)
class CheckpointFacts:
    """A checkpoint in numbers.

    task, labels: of its head. vocabulary: how many pieces. longest: tokens that it has positions for.
    accepted: in words, each departure from a plain checkpoint that was taken in.
    length: tokens that the kinds of layer in `parts`, and `total`, are counted for.
    """

    checkpoint: str
    sha256: str
    architecture: str
    task: str
    labels: list[str]
    vocabulary: int
    longest: int
    accepted: list[str]
    length: int
    parts: list[complexity.Part]
    total: complexity.Part


USUAL_LENGTH = 128


def describe_checkpoint(checkpoint: Checkpoint, length: int | None = None) -> CheckpointFacts:
    """What a checkpoint holds, and what a text of `length` tokens costs.

    Args:
        length: by default USUAL_LENGTH, as far as the network has positions.

    Raises:
        InputError: more tokens than the network has positions for.
    """
    if length is None:
        length = min(USUAL_LENGTH, checkpoint.config.max_position_embeddings)
    task = task_of(checkpoint)
    architecture = type(checkpoint.model).__name__
    parts = complexity.count(checkpoint.config, length, architecture)
    return CheckpointFacts(
        checkpoint=checkpoint.source,
        sha256=checkpoint.sha256,
        architecture=architecture,
        task=task.name,
        labels=list(task.labels),
        vocabulary=len(checkpoint.tokenizer.vocab),
        longest=checkpoint.config.max_position_embeddings,
        accepted=list(checkpoint.accepted),
        length=length,
        parts=parts,
        total=complexity.total(parts),
    )
