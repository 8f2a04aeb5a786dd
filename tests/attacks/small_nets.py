"""Small networks and regions that the tests of the attacks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ballproof.problems import L1, L2, Box, Linf, Region


def linear(inputs: int, outputs: int, seed: int, dtype: torch.dtype = torch.float64) -> nn.Linear:
    generator = torch.Generator().manual_seed(seed)
    net = nn.Linear(inputs, outputs, dtype=dtype).requires_grad_(False)
    net.weight.copy_(torch.randn(outputs, inputs, generator=generator, dtype=dtype))
    net.bias.copy_(torch.randn(outputs, generator=generator, dtype=dtype))
    return net.requires_grad_(True)


def plane_net(seed: int, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """A bent 2-10-3 ReLU net on the plane whose three classes meet at (0.5, 0.5)."""
    net = nn.Sequential(linear(2, 10, seed, dtype), nn.ReLU(), linear(10, 3, seed + 1, dtype))
    with torch.no_grad():
        net[2].bias -= net(torch.full((2,), 0.5, dtype=dtype))
    return net


def label_margins(outputs: Tensor, labels: Tensor) -> Tensor:
    """The label's output minus the largest other, computed in another way than the library's."""
    own = outputs.gather(1, labels[:, None]).squeeze(1)
    return own - outputs.masked_fill(nn.functional.one_hot(labels, outputs.shape[1]).bool(), -torch.inf).amax(1)


def inputs(batch: int, count: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(batch, count, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def region(name: str, x: Tensor, eps: float) -> Region:
    """A region round `x` by name; those that end in `-clip` are cut with [0, 1]."""
    clip = (0.0, 1.0) if name.endswith("-clip") else None
    kind = name.removesuffix("-clip")
    if kind == "box":
        return Box(x - eps, x + 2 * eps)
    return {"linf": Linf, "l2": L2, "l1": L1}[kind](x, eps, clip)


REGIONS = ["linf", "linf-clip", "l2", "l2-clip", "l1", "l1-clip", "box"]
