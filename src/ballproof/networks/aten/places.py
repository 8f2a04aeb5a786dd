"""Calls that only move numbers, or drop or repeat some: read off the same call on the numbers of the places."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.networks.composed_more import through_matrix
from ballproof.operations.arithmetic import Multiply
from ballproof.operations.gather import Gather
from ballproof.operations.reshape import Reshape

EXAMPLES = 3
"""How many examples the probe has: enough to tell a call that moves numbers from one example to another."""


@translates(
    "aten.roll.default",
    "aten.flip.default",
    "aten.fliplr.default",
    "aten.flipud.default",
    "aten.rot90.default",
    "aten.tile.default",
    "aten.repeat_interleave.self_int",
    "aten.diagonal.default",
    "aten.pixel_shuffle.default",
    "aten.pixel_unshuffle.default",
    "aten.channel_shuffle.default",
    "aten.native_channel_shuffle.default",
    "aten.unfold.default",
    "aten.im2col.default",
)
def moved(site: Site) -> Ref:
    """The padding of `im2col` is refused; an axis before it is padded gives the same."""
    if any(site.ints("padding")) if site.given("padding") else False:
        raise site.refuse("an unfolding with padding", "padding by `pad` before it")
    rest = {k: v for k, v in site.arguments.items() if k != "self"}
    return gathered(site, site.ref("self"), lambda x: site.function(x, **rest))


def gathered(site: Site, x: Ref, function: Callable[[Tensor], Tensor]) -> Ref:
    """The places of x that stand in `function(x)`, as one gather of the flattened example."""
    shape = site.shape(x)
    count = torch.Size(shape).numel()
    probe = torch.arange(EXAMPLES * count, dtype=torch.float64).reshape(EXAMPLES, *shape)
    places = function(probe).long()
    own = count * torch.arange(EXAMPLES).reshape(-1, *(1 for _ in places.shape[1:]))
    if len(places) != EXAMPLES or not torch.equal(places - own, places[:1].expand_as(places)):
        raise site.refuse("it moves numbers from one example to another", "along the axes 1 and on")
    flat = site.add(Reshape((count,)), x, part="flat")
    found = site.add(Gather(1), flat, site.index(places[0].reshape(-1), "places"), part="picked")
    return site.add(Reshape(site.result[0]), found)


@translates("aten.tril.default", "aten.triu.default")
def triangle(site: Site) -> Ref:
    """x times the triangle of ones."""
    x = site.ref("self")
    ones = torch.ones(site.shape(x)[-2:], dtype=site.like.dtype, device=site.like.device)
    mask = site.function(ones, site.integer("diagonal"))
    return site.add(Multiply(), x, Ref(site.builder.constant(mask, f"{site.label}.triangle")))


@translates("aten.cumsum.default")
def running_sum(site: Site) -> Ref:
    """One axis through the triangle of ones."""
    if site.arguments.get("dtype") not in (None, site.like.dtype):
        raise site.refuse(f"a result of type {site.arguments['dtype']}", f"one floating type, here {site.like.dtype}")
    x = site.ref("self")
    axis = site.axis("dim", x)
    size = site.shape(x)[axis - 1]
    matrix = torch.ones(size, size, dtype=site.like.dtype, device=site.like.device).tril()
    constant = site.builder.constant(matrix, f"{site.label}.triangle")
    return Ref(through_matrix(AtenSketch(site), x, axis, constant))


def fixed(site: Site, ref: Ref, what: str) -> Tensor:
    """The values of a constant that can never change; what a module holds may, so it is refused."""
    values = site.builder.values.get(ref)
    if values is None or ref in site.own:
        raise site.refuse(f"{what} `{ref}` that is kept in the module and may change", "one that the forward makes itself")
    return values
