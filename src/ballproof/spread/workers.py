"""`Workers`: who carries out the items."""

from __future__ import annotations

from dataclasses import dataclass

from ballproof.errors import InputError


@dataclass(frozen=True)
class Workers:
    """By default this process alone; `count` processes of this machine, or the workers of a Dask cluster.

    cluster: address of a Dask scheduler, `tcp://host:8786`, in a trusted network: its workers are sent code, and need the same
    versions. threads: CPU threads of each worker, 0 for one; a table is equal bit for bit only where they are.
    memory: bytes that an item may use, 0 for an equal share of the machine.
    """

    count: int = 0
    cluster: str = ""
    threads: int = 0
    memory: int = 0

    def __post_init__(self) -> None:
        if self.count < 0 or self.threads < 0 or self.memory < 0:
            told = f"`workers` is {self.count}, `threads` {self.threads}, `worker_memory` {self.memory}"
            raise InputError(f"{told}; expected numbers >= 0")
        if self.cluster and self.count:
            raise InputError("`workers` starts processes here and `cluster` names those of others; give one of the two")

    @property
    def alone(self) -> bool:
        """Whether this process needs no others."""
        return not self.cluster and self.count <= 1


HERE = Workers()
