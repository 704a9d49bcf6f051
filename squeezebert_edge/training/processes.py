"""The processes that train together: one, or as many as torchrun started, on one machine or several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from exporters.errors import UnavailableError


def rank() -> int:
    """This process's number, as torchrun says it; 0, which prints and writes, without torchrun."""
    return int(os.environ.get("RANK", "0"))


@dataclass(frozen=True)
class Processes:
    """This process among those that train together, and the device it computes on."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_leader(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def share(self, total: int) -> tuple[slice, float]:
        """Which of `total` rows are this process's, and the weight of each in the mean over all.

        One that is left without a row takes the first with weight 0: every process must take every step.
        """
        if self.rank >= total:
            return slice(0, 1), 0.0
        return slice(self.rank, total, self.count), 1 / total

    def sum_over_all(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes, the same in each."""
        sums = torch.tensor(values, dtype=torch.float64)
        if self.count == 1:
            return sums.tolist()
        sums = sums.to(self.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def max_over_all(self, values: Tensor) -> Tensor:
        """The greatest of each value over all processes, the same in each; it may overwrite `values`."""
        if self.count > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def broadcast(self, value: Any) -> Any:
        """The leading process's value, in every process."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.sum_over_all([0.0])


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started (gloo between CPUs, nccl between GPUs), or be the only one.

    Args:
        device: auto, cpu, cuda or mps; auto is a CUDA GPU where there is one, else the CPU.

    Raises:
        UnavailableError: the device is not there.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = _device(device, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    if count == 1:
        yield Processes(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(rank(), count, chosen)
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[name]
    if there == 0:
        raise UnavailableError(f"this machine has no {name} device that torch can use", hint="--device cpu")
    if name == "cuda" and local_rank >= there:
        raise UnavailableError(
            f"process {local_rank + 1} of this machine has no GPU of its own: there are {there}",
            hint=f"torchrun --nproc-per-node {there}",
        )
    return torch.device(name, local_rank) if name == "cuda" else torch.device(name)
