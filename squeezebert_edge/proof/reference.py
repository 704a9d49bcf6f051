"""The float model, called as an artifact is called."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from exporters.arrays import Array
from squeezebert_edge.tasks.heads import Task


class Reference:
    """The float model in torch, with the interface of an artifact's runner.

    Args:
        model: in eval mode.
        task: what its head is for.
    """

    def __init__(self, model: torch.nn.Module, task: type[Task]) -> None:
        self.model, self.task = model, task

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the task's outputs for a batch of rows.

        Args:
            inputs: name -> (B, S) integers. Each choice of a multiple choice is a row of its own.

        Returns:
            Name -> float32, its first axis B.
        """
        tensors = {name: torch.from_numpy(value).long() for name, value in inputs.items()}
        if self.task.name == "multiple-choice":  # the model takes (B, choices, S): here one choice in each
            tensors = {name: value[:, None] for name, value in tensors.items()}
        with torch.inference_mode():
            result = self.model(**tensors, return_dict=True)
        return {name: result[name].numpy() for name in self.task.outputs}
