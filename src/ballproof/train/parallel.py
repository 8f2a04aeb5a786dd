"""One training by several processes, a device each, as `torchrun` starts them: all keep the same weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ballproof.errors import InputError


@dataclass(frozen=True)
class Ranks:
    """This process among those of the training; by default it is alone.

    Every process takes its share of every batch. Gradients are averaged inside `DistributedDataParallel` round the loss itself,
    because bounds that are computed outside of its forward would leave the processes out of step.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def lead(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, index: Tensor) -> Tensor:
        """This process's part of a batch; none of any where there are fewer examples than processes."""
        return index[self.rank :: self.size] if len(index) >= self.size else index[:0]

    def wrapped(self, loss: nn.Module) -> nn.Module:
        """The loss, with gradients averaged over the processes in its backward pass."""
        if self.size == 1:
            return loss
        return DistributedDataParallel(loss, device_ids=[self.device] if self.device.startswith("cuda") else None)

    def total(self, values: list[float]) -> list[float]:
        """The sums over all processes."""
        if self.size == 1:
            return values
        found = torch.tensor(values, dtype=torch.float64, device=self.device if self.device.startswith("cuda") else "cpu")
        distributed.all_reduce(found)
        return found.tolist()

    def agreed(self, mask: Tensor) -> Tensor:
        """The first process's mask, at every process: rounding may tell theirs apart."""
        if self.size == 1:
            return mask
        found = mask.to(self.device if self.device.startswith("cuda") else "cpu", torch.uint8)
        distributed.broadcast(found, 0)
        return found.to(mask.device).bool()

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The processes that `torchrun` started, or this one alone; device: `cpu` or `cuda`."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(device=device)
        return
    rank, place = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda" and place >= torch.cuda.device_count():
        raise InputError(f"process {rank} has no GPU of its own: this machine has {torch.cuda.device_count()}")
    own = f"cuda:{place}" if device == "cuda" else "cpu"
    if device == "cuda":
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Ranks(rank, size, own)
    finally:
        distributed.destroy_process_group()
