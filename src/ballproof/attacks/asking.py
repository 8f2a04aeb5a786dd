"""How an attack asks a network: in evaluation mode, leaving no trace, and refusing answers that are no numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ballproof.errors import InputError

Network = Callable[[Tensor], Tensor]
"""Anything that maps `(batch, *input)` to `(batch, *output)`: an `nn.Module`, a `Graph`, a function."""


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """Inside, every submodule of an `nn.Module` is in evaluation mode; after, each has its own flag again.

    That holds after an exception too, and a part that the user froze by hand stays frozen. What is no `nn.Module` is
    left alone: a function round a module answers for the mode of that module itself.
    """
    modules = [m for m in network.modules() if m.training] if isinstance(network, nn.Module) else []
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module in modules:
            module.training = True


def ask(network: Network, points: Tensor) -> Tensor:
    """The network's outputs `(batch, *output)` at `points (batch, *input)`, all finite.

    Raises `InputError` where the outputs have another shape, or are NaN or infinite: no margin could be told from them.
    """
    outputs = network(points)
    if not isinstance(outputs, Tensor) or outputs.ndim < 2 or outputs.shape[0] != points.shape[0]:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise InputError(f"`network` must give (batch, *output); on inputs {tuple(points.shape)} it gave {shape}")
    if not bool(torch.isfinite(outputs).all()):
        kind = "NaN" if bool(torch.isnan(outputs).any()) else "infinity"
        raise InputError(f"the network gives {kind} on a point of the region; are its weights and its inputs finite?")
    return outputs


def chunks(rows: Tensor, size: int) -> list[Tensor]:
    """The rows in order, at most `size` at a time; nothing for no rows."""
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def slope(value: Tensor, points: Tensor) -> Tensor:
    """The gradient of `value.sum()` at `points`, `(batch, *input)`; no parameter's `.grad` is touched.

    It is zero where the network does not depend on its input, and where a derivative is NaN or infinite (a square root
    at 0): such a coordinate gives the search no direction.
    """
    if not value.requires_grad:
        return torch.zeros_like(points)
    (gradient,) = torch.autograd.grad(value.sum(), points, allow_unused=True)
    return torch.zeros_like(points) if gradient is None else gradient.nan_to_num(0.0, 0.0, 0.0)
