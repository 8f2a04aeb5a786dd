"""Variances, distances, and the largest or smallest element with its index."""

from __future__ import annotations

from ballproof.networks import composed, composed_more
from ballproof.networks.aten.site import Ref, Site, Unmodelled
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.operations.arithmetic import Add, Subtract
from ballproof.operations.max_pool import MaxPool


def _axes(site: Site) -> tuple[int, ...]:
    if not site.given("dim") or not site.ints("dim"):
        raise site.refuse("a reduction over all axes, the batch included", "named axes, each example by itself")
    return tuple(sorted({site.inner_axis(a, site.ref("self")) for a in site.ints("dim")}))


@translates("aten.var.dim", "aten.var.correction", "aten.std.dim", "aten.std.correction")
def spread(site: Site) -> Ref:
    correction = 1.0
    if site.given("correction"):
        correction = site.number("correction")
    elif "unbiased" in site.arguments:
        correction = float(bool(site.arguments["unbiased"]))
    function = composed_more.variance if "aten.var" in str(site.function) else composed_more.deviation
    return Ref(function(AtenSketch(site), site.ref("self"), _axes(site), correction, bool(site.arguments["keepdim"])))


@translates("aten.max.dim", "aten.min.dim")
def extreme(site: Site) -> list[Ref | Unmodelled]:
    function = composed.largest if "aten.max" in str(site.function) else composed.smallest
    axis = site.axis("dim", site.ref("self"))
    found = function(AtenSketch(site), site.ref("self"), (axis,), bool(site.arguments["keepdim"]))
    return [Ref(found), Unmodelled("the index of the largest or smallest element")]


@translates("aten.adaptive_max_pool1d.default", "aten.adaptive_max_pool2d.default", "aten.adaptive_max_pool3d.default")
def adaptive_max_pool(site: Site) -> list[Ref | Unmodelled]:
    x, n = site.ref("self"), int(str(site.function).split(".")[1][-2])
    site.expect_rank(x, n + 2)
    sizes, wanted = site.shape(x)[1:], site.ints("output_size", n)
    if any(size % want for size, want in zip(sizes, wanted, strict=True)):
        raise site.refuse(f"an adaptive maximum of {sizes} cells over {wanted} places", "places that divide the cells evenly")
    kernel = tuple(size // want for size, want in zip(sizes, wanted, strict=True))
    found = site.add(MaxPool(kernel, kernel, (0,) * n, (1,) * n), x)
    return [found, Unmodelled("the index of the largest element")]


@translates("aten.cosine_similarity.default")
def cosine(site: Site) -> Ref:
    a, b = site.ref("x1"), site.ref("x2")
    axis = site.axis("dim", site.widest([a, b]))
    if site.rank(a) != site.rank(b) or not (site.varies(a) and site.varies(b)):
        raise site.refuse("a similarity with a constant", "of two values that depend on the input, of as many axes")
    return Ref(composed_more.cosine(AtenSketch(site), a, b, axis, site.number("eps")))


@translates("aten.pairwise_distance.default")
def distance(site: Site) -> Ref:
    """The norm of x1 - x2 + eps along the last axis."""
    difference = site.add(Subtract(), site.ref("x1"), site.ref("x2"), part="difference")
    shifted = site.add(Add(), difference, site.scalar(site.number("eps")), part="shifted")
    axis, keep = site.rank(shifted) - 1, bool(site.arguments["keepdim"])
    return Ref(composed.norm(AtenSketch(site), shifted, site.number("p"), (axis,), keep))
