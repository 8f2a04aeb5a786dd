"""Functions of two branches, and scalar functions of several nodes."""

from __future__ import annotations

from math import log

from ballproof.networks import composed, composed_more
from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.operations.arithmetic import Add, Subtract
from ballproof.operations.erf import Erf
from ballproof.operations.exp import Exp
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.log import Log
from ballproof.operations.slice import Slice


@translates("aten.glu.default")
def glu(site: Site) -> Ref:
    x = site.ref("self")
    axis = site.axis("dim", x)
    half = site.shape(x)[axis - 1] // 2
    value, gate = (site.add(Slice(axis, k * half, (k + 1) * half, 1), x, part=n) for k, n in enumerate(("value", "switch")))
    return Ref(composed_more.gated(AtenSketch(site), value, gate))


@translates("aten.softshrink.default")
def softshrink(site: Site) -> Ref:
    return Ref(composed_more.soft_shrink(AtenSketch(site), site.ref("self"), site.number("lambd")))


@translates("aten.rrelu.default")
def rrelu(site: Site) -> Ref:
    """In evaluation the slope is the middle of its range."""
    if site.arguments["training"]:
        raise site.refuse("a random slope", "evaluation, where it is the middle one")
    return site.add(LeakyRelu((site.number("lower") + site.number("upper")) / 2), site.ref("self"))


@translates("aten.exp2.default", "aten.special_exp2.default")
def exp2(site: Site) -> Ref:
    return Ref(composed_more.exponential(AtenSketch(site), 2.0, site.ref("self")))


@translates("aten.expm1.default", "aten.special_expm1.default")
def expm1(site: Site) -> Ref:
    return site.add(Subtract(), site.add(Exp(), site.ref("self"), part="exp"), site.scalar(1.0))


@translates("aten.log1p.default", "aten.special_log1p.default")
def log1p(site: Site) -> Ref:
    return site.add(Log(), site.add(Add(), site.ref("self"), site.scalar(1.0), part="more"))


@translates("aten.log2.default", "aten.log10.default")
def logarithm(site: Site) -> Ref:
    base = 2 if "log2" in str(site.function) else 10
    return Ref(composed_more.scaled(AtenSketch(site), site.add(Log(), site.ref("self"), part="log"), 1 / log(base)))


@translates("aten.erfc.default", "aten.special_erfc.default")
def erfc(site: Site) -> Ref:
    return site.add(Subtract(), site.scalar(1.0), site.add(Erf(), site.ref("self"), part="erf"))


@translates("aten.logit.default", "aten.special_logit.default")
def logit(site: Site) -> Ref:
    """log(x) - log(1 - x)."""
    if site.given("eps"):
        raise site.refuse("a logit that is cut", "logit(x), or x.clamp(...).logit()")
    rest = site.add(Subtract(), site.scalar(1.0), site.ref("self"), part="rest")
    return site.add(Subtract(), site.add(Log(), site.ref("self"), part="log"), site.add(Log(), rest, part="log_rest"))


@translates("aten.logaddexp.default")
def log_add_exp(site: Site) -> Ref:
    return Ref(composed_more.log_add_exp(AtenSketch(site), site.ref("self"), site.ref("other")))


@translates("aten.addcmul.default")
def add_product(site: Site) -> Ref:
    s = AtenSketch(site)
    found = composed.product(s, site.ref("tensor1"), site.ref("tensor2"), "product")
    return site.add(Add(), site.ref("self"), composed_more.scaled(s, found, site.number("value"), "scaled"))


@translates("aten.addcdiv.default")
def add_quotient(site: Site) -> Ref:
    s = AtenSketch(site)
    found = composed.quotient(s, site.ref("tensor1"), site.ref("tensor2"), "quotient")
    return site.add(Add(), site.ref("self"), composed_more.scaled(s, found, site.number("value"), "scaled"))


@translates("aten.lerp.Scalar", "aten.lerp.Tensor")
def between(site: Site) -> Ref:
    """start + weight * (end - start)."""
    start, end, weight = site.ref("self"), site.ref("end"), site.operand("weight")
    way = site.add(Subtract(), end, start, part="way")
    return site.add(Add(), start, composed.product(AtenSketch(site), way, weight, "gone"))


@translates("aten.clamp.Tensor", "aten.clip.Tensor")
def clamp(site: Site) -> Ref:
    low, high = (site.ref(n) if site.given(n) else None for n in ("min", "max"))
    return Ref(composed_more.clipped(AtenSketch(site), site.ref("self"), low, high))


@translates("aten.clamp_min.Tensor")
def clamp_min(site: Site) -> Ref:
    return Ref(composed_more.clipped(AtenSketch(site), site.ref("self"), site.ref("min"), None))


@translates("aten.clamp_max.Tensor")
def clamp_max(site: Site) -> Ref:
    return Ref(composed_more.clipped(AtenSketch(site), site.ref("self"), None, site.ref("max")))
