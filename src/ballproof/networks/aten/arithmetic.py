"""Sums and products of two branches, of a branch and a constant, of a branch and a number."""

from __future__ import annotations

from ballproof.networks import composed
from ballproof.networks.aten import masks
from ballproof.networks.aten.site import Masked, Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.operations.arithmetic import Add, Multiply, Negate, Subtract


def scaled(site: Site, ref: Ref, factor: float, part: str) -> Ref:
    """factor * ref."""
    if factor == 1:
        return ref
    if site.varies(ref):
        return site.add(Multiply(), ref, site.scalar(factor, f"{part}.scalar"), part=part)
    return site.call(part, _times, ref, factor)


def _times(x: object, factor: float) -> object:
    return x * factor  # type: ignore[operator]


@translates("aten.add.Tensor", "aten.add.Scalar", masked=True)
def add(site: Site) -> Ref | Masked:
    """A term that is -infinity at some places masks the sum there."""
    if site.number("alpha") == 1:
        return masks.total(site, masks.operand(site, "self"), masks.operand(site, "other"))
    return site.add(Add(), site.ref("self"), scaled(site, site.operand("other"), site.number("alpha"), "alpha"))


@translates("aten.sub.Tensor", "aten.sub.Scalar", "aten.subtract.Tensor", "aten.subtract.Scalar")
def subtract(site: Site) -> Ref:
    return site.add(Subtract(), site.ref("self"), scaled(site, site.operand("other"), site.number("alpha"), "alpha"))


@translates("aten.rsub.Tensor", "aten.rsub.Scalar")
def reverse_subtract(site: Site) -> Ref:
    return site.add(Subtract(), site.operand("other"), scaled(site, site.ref("self"), site.number("alpha"), "alpha"))


@translates("aten.mul.Tensor", "aten.mul.Scalar", "aten.multiply.Tensor", "aten.multiply.Scalar")
def multiply(site: Site) -> Ref:
    return Ref(composed.product(AtenSketch(site), site.ref("self"), site.operand("other")))


@translates("aten.div.Tensor", "aten.div.Scalar", "aten.true_divide.Tensor", "aten.divide.Tensor", "aten.divide.Scalar")
def divide(site: Site) -> Ref:
    return Ref(composed.quotient(AtenSketch(site), site.ref("self"), site.operand("other")))


@translates("aten.neg.default", "aten.negative.default")
def negate(site: Site) -> Ref:
    return site.add(Negate(), site.ref("self"))
