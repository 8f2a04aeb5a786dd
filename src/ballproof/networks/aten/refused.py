"""Calls that are refused with a reason: steps, choices and orders that depend on the input."""

from __future__ import annotations

from ballproof.errors import UnsupportedError
from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.table import translates

COMPARISONS = [f"aten.{name}.{form}" for name in ("gt", "ge", "lt", "le", "eq", "ne") for form in ("Scalar", "Tensor")]
ORDERS = ["aten.sort.default", "aten.topk.default", "aten.median.dim", "aten.kthvalue.default", "aten.argsort.default"]
INDICES = ["aten.argmax.default", "aten.argmin.default", "aten.nonzero.default"]

REASONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(COMPARISONS, ("a comparison of values that depend on the input", "relu, clamp, maximum, minimum, sign")),
    **dict.fromkeys(ORDERS, ("an order of values that depends on the input", "amax, amin, max_pool2d")),
    **dict.fromkeys(INDICES, ("an index that depends on the input", "amax, amin, the logits themselves")),
    "aten.hardshrink.default": ("a function with jumps", "softshrink, tanhshrink, relu"),
    "aten.heaviside.default": ("a step with a value of its own at 0", "sign, floor, round"),
    "aten.prod.dim_int": ("a product along an axis", "products of two values"),
    "aten.cdist.default": ("distances of all pairs", "pairwise_distance, linalg.vector_norm"),
}


@translates(*REASONS)
def refused(site: Site) -> Ref:
    what, supported = REASONS[str(site.function)]
    raise UnsupportedError(f"{what} is not modelled; supported: {supported}")
