"""The float model, called as an artifact is."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from exporters.arrays import Array
from squeezebert_edge.tasks.heads import Task


class Reference:
    """The float model in torch, called as a runner is: name -> (1, S) arrays in, name -> float32 out."""

    def __init__(self, model: torch.nn.Module, task: type[Task]) -> None:
        self.model, self.task = model, task

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the task's outputs; a choice is asked about alone, (1, S) -> (1, 1, S)."""
        tensors = {name: torch.from_numpy(value).long() for name, value in inputs.items()}
        if self.task.name == "multiple-choice":
            tensors = {name: value[:, None] for name, value in tensors.items()}
        with torch.inference_mode():
            result = self.model(**tensors)
        return {name: result[name].numpy() for name in self.task.outputs}
