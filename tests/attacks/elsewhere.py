"""A device that is not the CPU, played on the CPU: what is made there by mistake does not meet what lives there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

NAME = torch.device("meta")
"""The only device besides the CPU whose tensors can be made without one."""


class Far(Tensor):
    """A tensor of the other device; `held` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Far:
        made = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=NAME
        )
        made.held = held
        return made  # type: ignore[no-any-return]

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Far({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, op: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(op, args, kwargs or {})


Far.__module__ = "torch"  # by which eagerpy, and so foolbox, knows a tensor


class Elsewhere(TorchDispatchMode):
    """Inside, tensors may be made on the other device and brought there and back."""

    def __torch_dispatch__(self, op: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(op, args, kwargs or {})


def computed(op: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """As a device computes: a CPU tensor of more than one number among its own is refused."""
    met: list[Tensor] = []
    tree_map(lambda a: met.append(a) if isinstance(a, Tensor) else None, (args, kwargs))
    far = [t for t in met if isinstance(t, Far)]
    asked = kwargs.get("device")
    moves = op in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    near = [tuple(t.shape) for t in met if not isinstance(t, Far) and t.ndim]
    indices = op in (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten.index_put.default)
    if far and near and not moves and not (indices and isinstance(args[0], Far)):
        raise AssertionError(f"{op} mixes tensors of two devices: {near} are on the CPU")
    there = torch.device(asked) == NAME if asked is not None else bool(far)
    if op is torch.ops.aten.copy_.default:
        there = isinstance(args[0], Far)
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map(lambda a: a.held if isinstance(a, Far) else a, (args, kwargs))
    found = op(*args, **kwargs)
    if not there:
        return found
    first = met[0] if met else None
    if isinstance(first, Far) and found is first.held:
        return first
    return tree_map(lambda a: Far(a) if isinstance(a, Tensor) else a, found)


class Making(TorchFunctionMode):
    """Numbers of Python become tensors of the other device without being lost."""

    def __torch_function__(self, made: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        told = dict(kwargs or {})
        if made in (torch.as_tensor, torch.tensor) and told.get("device") == NAME:
            return made(*args, **{**told, "device": "cpu"}).to(NAME)
        if made is Tensor.tolist and isinstance(args[0], Far):
            return args[0].held.tolist()
        return made(*args, **told)


@contextmanager
def elsewhere() -> Iterator[None]:
    with Making(), Elsewhere():
        yield
