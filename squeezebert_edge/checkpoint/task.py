"""The task of a checkpoint's head."""

from __future__ import annotations

from exporters.errors import InputError
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.tasks.heads import TASKS, Task, TextClassification, TokenClassification, of_architecture


def architecture_of(task: str | None) -> str | None:
    """The class of the head that a user asks for by its task; None leaves it to the checkpoint.

    Raises:
        InputError: no such task.
    """
    if task is None:
        return None
    if task not in TASKS:
        raise InputError(f"unknown task '{task}'", allowed=", ".join(TASKS))
    return TASKS[task].architecture


def task_of(checkpoint: Checkpoint) -> Task:
    """The task of a checkpoint's head, with its labels where the head has classes."""
    task = of_architecture(type(checkpoint.model).__name__)
    config = checkpoint.config
    has_classes = task in (TextClassification, TokenClassification)
    labels = [config.id2label[index] for index in range(config.num_labels)] if has_classes else []
    return task(labels, config.problem_type if task is TextClassification else None)
