"""Averages, sums and maxima over windows or whole axes."""

from __future__ import annotations

from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.table import translates
from ballproof.operations.adaptive_average_pool import AdaptiveAveragePool
from ballproof.operations.average_pool import AveragePool
from ballproof.operations.max_pool import MaxPool
from ballproof.operations.mean import Mean
from ballproof.operations.sum import Sum


@translates("aten.avg_pool1d.default", "aten.avg_pool2d.default", "aten.avg_pool3d.default")
def average_pool(site: Site) -> Ref:
    n = _spatial(site)
    kernel = site.ints("kernel_size", n)
    divisor = site.integer("divisor_override") if site.given("divisor_override") else None
    flags = bool(site.arguments["ceil_mode"]), bool(site.arguments["count_include_pad"])
    operation = AveragePool(kernel, site.ints("stride", n) or kernel, site.ints("padding", n), *flags, divisor)
    return site.add(operation, site.ref("self"))


@translates("aten.max_pool1d.default", "aten.max_pool2d.default", "aten.max_pool3d.default")
def max_pool(site: Site) -> Ref:
    n = _spatial(site)
    kernel = site.ints("kernel_size", n)
    stride, padding, dilation = site.ints("stride", n) or kernel, site.ints("padding", n), site.ints("dilation", n)
    operation = MaxPool(kernel, stride, padding, dilation, bool(site.arguments["ceil_mode"]))
    return site.add(operation, site.ref("self"))


@translates("aten.adaptive_avg_pool1d.default", "aten.adaptive_avg_pool2d.default", "aten.adaptive_avg_pool3d.default")
def adaptive_average_pool(site: Site) -> Ref:
    n = _spatial(site)
    return site.add(AdaptiveAveragePool(site.ints("output_size", n)), site.ref("self"))


def _spatial(site: Site) -> int:
    """1, 2 or 3, from the name of the call; an input without a batch axis of its own is refused."""
    name = site.function._schema.name  # type: ignore[attr-defined]
    axes = int(name[-2])
    site.expect_rank(site.ref("self"), axes + 2)
    return axes


@translates("aten.mean.dim")
def mean(site: Site) -> Ref:
    return site.add(Mean(_axes(site), bool(site.arguments["keepdim"])), site.ref("self"))


@translates("aten.sum.dim_IntList")
def sum_(site: Site) -> Ref:
    return site.add(Sum(_axes(site), bool(site.arguments["keepdim"])), site.ref("self"))


def _axes(site: Site) -> tuple[int, ...]:
    if site.arguments.get("dtype") not in (None, site.like.dtype):
        raise site.refuse(f"a result of type {site.arguments['dtype']}", f"one floating type, here {site.like.dtype}")
    if not site.given("dim") or not site.ints("dim"):
        raise site.refuse("a reduction over every axis, the batch included", "over the axes 1 and on")
    return tuple(sorted(site.inner_axis(a, site.ref("self")) for a in site.ints("dim")))
