"""Operators that are refused with a reason: steps, choices, orders and indices that depend on the input."""

from __future__ import annotations

from ballproof.errors import UnsupportedError
from ballproof.networks.onnx_operators.site import Site, Value
from ballproof.networks.onnx_operators.table import translates

INDEX = "an index that depends on the input", "the values themselves, ReduceMax, ReduceMin"
ORDER = "an order of values that depends on the input", "ReduceMax, ReduceMin, MaxPool"

REASONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("ArgMax", "ArgMin"), INDEX),
    **dict.fromkeys(("TopK", "Unique", "NonMaxSuppression"), ORDER),
    "Hardmax": ("a choice that depends on the input", "Softmax, ReduceMax"),
    **dict.fromkeys(
        ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"),
        ("a random value", "a network that is a function of its input"),
    ),
    **dict.fromkeys(("Loop", "Scan", "If"), ("a part of the network inside a node", "the same nodes one after another")),
    **dict.fromkeys(
        ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
        ("arithmetic of whole numbers", "the network in floats"),
    ),
}


@translates(*REASONS, settings=None, folds=True)
def refused(site: Site) -> Value:
    what, supported = REASONS[site.node.op_type]
    raise UnsupportedError(f"{what} is not modelled; supported: {supported}")
