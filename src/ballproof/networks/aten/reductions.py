"""Softmax, maxima, norms, normalisation by the input's own statistics."""

from __future__ import annotations

from math import prod

import torch

from ballproof.networks import composed, composed_more
from ballproof.networks.aten.site import Masked, Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.operations.arithmetic import Add, Multiply
from ballproof.operations.log_sum_exp import LogSumExp
from ballproof.operations.reshape import Reshape
from ballproof.operations.softmax import Softmax


def _same_type(site: Site) -> None:
    """Refuse a reduction that changes the floating type of its argument."""
    if site.arguments.get("dtype") not in (None, site.like.dtype) or site.arguments.get("half_to_float"):
        raise site.refuse(f"a result of type {site.arguments.get('dtype')}", f"one floating type, here {site.like.dtype}")


@translates("aten.softmax.int", "aten._softmax.default", "aten.special_softmax.default", masked=True)
def softmax(site: Site) -> Ref:
    """Masked places are left out, which is exact: their share is 0."""
    _same_type(site)
    given = site.arguments["self"]
    if isinstance(given, Masked):
        axis = site.axis("dim", given.ref)
        return Ref(composed_more.softmax_of_some(AtenSketch(site), given.ref, axis, given.places))
    return site.add(Softmax(site.axis("dim", site.ref("self"))), site.ref("self"))


@translates("aten.log_softmax.int", "aten._log_softmax.default")
def log_softmax(site: Site) -> Ref:
    _same_type(site)
    return Ref(composed.log_softmax(AtenSketch(site), site.ref("self"), site.axis("dim", site.ref("self"))))


def _axes(site: Site, name: str = "dim") -> tuple[int, ...]:
    """The axes of a reduction, in order; a reduction over the batch is refused."""
    x = site.ref("self")
    if not site.given(name) or not site.ints(name):
        raise site.refuse("a reduction over all axes, the batch included", "named axes, each example by itself")
    return tuple(sorted({site.inner_axis(a, x) for a in site.ints(name)}))


@translates("aten.logsumexp.default")
def log_sum_exp(site: Site) -> Ref:
    (axis, *more) = _axes(site)
    if more:
        raise site.refuse("log_sum_exp over several axes", "one axis")
    return site.add(LogSumExp(axis, bool(site.arguments["keepdim"])), site.ref("self"))


@translates("aten.amax.default")
def amax(site: Site) -> Ref:
    return Ref(composed.largest(AtenSketch(site), site.ref("self"), _axes(site), bool(site.arguments["keepdim"])))


@translates("aten.amin.default")
def amin(site: Site) -> Ref:
    return Ref(composed.smallest(AtenSketch(site), site.ref("self"), _axes(site), bool(site.arguments["keepdim"])))


@translates("aten.maximum.default", "aten.max.other")
def maximum(site: Site) -> Ref:
    return Ref(composed.maximum(AtenSketch(site), site.ref("self"), site.ref("other")))


@translates("aten.minimum.default", "aten.min.other")
def minimum(site: Site) -> Ref:
    return Ref(composed.minimum(AtenSketch(site), site.ref("self"), site.ref("other")))


@translates("aten.linalg_vector_norm.default")
def vector_norm(site: Site) -> Ref:
    _same_type(site)
    return Ref(
        composed.norm(AtenSketch(site), site.ref("self"), site.number("ord"), _axes(site), bool(site.arguments["keepdim"]))
    )


@translates("aten.norm.ScalarOpt_dim")
def old_norm(site: Site) -> Ref:
    order = site.number("p") if site.given("p") else 2.0
    return Ref(composed.norm(AtenSketch(site), site.ref("self"), order, _axes(site), bool(site.arguments["keepdim"])))


@translates("aten.layer_norm.default")
def layer_norm(site: Site) -> Ref:
    x = site.ref("input")
    axes = tuple(range(site.rank(x) - len(site.ints("normalized_shape")), site.rank(x)))
    if axes[0] == 0:
        raise site.refuse("a normalisation over the batch", "over the axes of each example")
    return _scaled(site, composed.standardised(AtenSketch(site), x, axes, site.number("eps"), part="standardised"), 0)


@translates("aten.rms_norm.default")
def rms_norm(site: Site) -> Ref:
    x = site.ref("input")
    axes = tuple(range(site.rank(x) - len(site.ints("normalized_shape")), site.rank(x)))
    eps = site.number("eps") if site.given("eps") else torch.finfo(site.like.dtype).eps
    return _scaled(site, composed.standardised(AtenSketch(site), x, axes, eps, centered=False, part="standardised"), 0)


@translates("aten.group_norm.default")
def group_norm(site: Site) -> Ref:
    x, groups = site.ref("input"), site.integer("num_groups")
    shape = site.shape(x)
    split = site.add(Reshape((groups, prod(shape) // groups)), x, part="groups")
    flat = composed.standardised(AtenSketch(site), split, (2,), site.number("eps"), part="standardised")
    return _scaled(site, site.add(Reshape(shape), flat, part="joined"), len(shape) - 1)


@translates("aten.instance_norm.default")
def instance_norm(site: Site) -> Ref:
    if not site.arguments["use_input_stats"]:
        raise site.refuse("an instance normalisation with running statistics", "one with the statistics of its input")
    x = site.ref("input")
    axes = tuple(range(2, site.rank(x)))
    found = composed.standardised(AtenSketch(site), x, axes, site.number("eps"), part="standardised")
    return _scaled(site, found, len(axes))


def _scaled(site: Site, x: str, behind: int) -> Ref:
    """x * weight + bias, whose last axis meets the axis `behind` axes from the end."""
    for name, operation in (("weight", Multiply()), ("bias", Add())):
        if site.arguments.get(name) is not None:
            given = site.ref(name)
            given = site.call(name, _along, given, behind) if behind else given
            x = site.add(operation, x, given, part=f"by_{name}")
    return Ref(x)


def _along(value, axes):  # type: ignore[no-untyped-def]
    return value.reshape(-1, *(1 for _ in range(axes)))
