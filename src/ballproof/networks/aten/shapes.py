"""Reshaping, turning, joining and repeating axes other than the batch."""

from __future__ import annotations

import torch

from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.table import translates
from ballproof.operations.concat import Concat
from ballproof.operations.gather import Gather
from ballproof.operations.permute import Permute
from ballproof.operations.reshape import Reshape


@translates(
    "aten.view.default",
    "aten.view_as.default",
    "aten.reshape.default",
    "aten.reshape_as.default",
    "aten._unsafe_view.default",
    "aten.flatten.using_ints",
    "aten.ravel.default",
    "aten.unflatten.int",
    "aten.squeeze.default",
    "aten.squeeze.dim",
    "aten.squeeze.dims",
    "aten.unsqueeze.default",
)
def reshape(site: Site) -> Ref:
    """The exporter knows the target shape; the walk checks that the batch stays axis 0."""
    x = site.ref("self")
    return x if site.shape(x) == site.result[0] else site.add(Reshape(site.result[0]), x)


@translates(
    "aten.permute.default",
    "aten.transpose.int",
    "aten.swapaxes.default",
    "aten.swapdims.default",
    "aten.movedim.int",
    "aten.movedim.intlist",
    "aten.moveaxis.int",
    "aten.moveaxis.intlist",
    "aten.t.default",
    "aten.numpy_T.default",
    "aten.mT.default",
    "aten.adjoint.default",
)
def permute(site: Site) -> Ref:
    """The axes are read off the same call on a tensor whose sizes are all different."""
    x, *rest = site.arguments.values()
    assert isinstance(x, Ref)
    sizes = site.function(torch.empty(*range(2, site.rank(x) + 2), device="meta"), *rest).shape
    axes = tuple(s - 2 for s in sizes)
    if axes == tuple(range(len(axes))):
        return x
    if axes[0] != 0:
        raise site.refuse(f"the batch axis moves to axis {axes.index(0)}", "permutations of the axes 1 and on")
    return site.add(Permute(axes), x)


@translates("aten.cat.default", "aten.concat.default", "aten.concatenate.default")
def concat(site: Site) -> Ref:
    parts = site.refs("tensors")
    return site.add(Concat(site.axis("dim", site.widest(parts))), *parts)


@translates("aten.stack.default")
def stack(site: Site) -> Ref:
    parts = site.refs("tensors")
    axis = site.axis("dim", site.widest(parts), extra=1)
    return site.add(Concat(axis), *(_with_axis(site, p, axis, k) for k, p in enumerate(parts)))


def _with_axis(site: Site, x: Ref, axis: int, index: int) -> Ref:
    if not site.varies(x):
        return site.call(f"part{index}", torch.unsqueeze, x, axis)
    shape = site.shape(x)
    return site.add(Reshape((*shape[: axis - 1], 1, *shape[axis - 1 :])), x, part=f"part{index}")


@translates("aten.expand.default", "aten.expand_as.default")
def expand(site: Site) -> Ref:
    """Axes of length 1 are gathered as often as wanted."""
    x = site.ref("self")
    wanted, shape = site.result[0], site.shape(x)
    if len(wanted) != len(shape):
        raise site.refuse("expand that adds axes", "expand of axes of length 1")
    for k, (have, want) in enumerate(zip(shape, wanted, strict=True)):
        if have != want:
            index = site.index(torch.zeros(want, dtype=torch.long), f"index{k}")
            x = site.add(Gather(k + 1), x, index, part=f"axis{k + 1}")
    return x


@translates("aten.repeat.default")
def repeat(site: Site) -> Ref:
    x = site.ref("self")
    if len(site.result[0]) != len(site.shape(x)):
        raise site.refuse("repeat that adds axes", "repeat along axes that are there")
    for k, (have, want) in enumerate(zip(site.shape(x), site.result[0], strict=True)):
        if have != want:
            x = site.add(Concat(k + 1), *[x] * (want // have), part=f"axis{k + 1}")
    return x
