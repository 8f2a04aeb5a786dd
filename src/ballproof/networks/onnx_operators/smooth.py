"""Smooth activations, steps and powers."""

from __future__ import annotations

from math import log

import numpy as np

from ballproof.errors import UnsupportedError
from ballproof.networks import composed
from ballproof.networks.onnx_operators.site import Array, Site, Value
from ballproof.networks.onnx_operators.sketch import OnnxSketch
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations import Operation
from ballproof.operations.arctan import Arctan
from ballproof.operations.arithmetic import Multiply
from ballproof.operations.elu import Elu
from ballproof.operations.erf import Erf
from ballproof.operations.exp import Exp
from ballproof.operations.gelu import Gelu
from ballproof.operations.hard_swish import HardSwish
from ballproof.operations.log import Log
from ballproof.operations.mish import Mish
from ballproof.operations.power import Power
from ballproof.operations.prelu import Prelu
from ballproof.operations.sigmoid import Sigmoid
from ballproof.operations.sine import Cos, Sin
from ballproof.operations.softplus import Softplus
from ballproof.operations.stairs import Floor, Round, Sign
from ballproof.operations.tanh import Tanh

PLAIN: dict[str, Operation] = {
    "Sigmoid": Sigmoid(),
    "Tanh": Tanh(),
    "Atan": Arctan(),
    "Erf": Erf(),
    "Exp": Exp(),
    "Log": Log(),
    "Sin": Sin(),
    "Cos": Cos(),
    "Softplus": Softplus(),
    "HardSwish": HardSwish(),
    "Mish": Mish(),
    "Sqrt": Power(0.5),
    "Reciprocal": Power(-1),
    "Sign": Sign(),
    "Floor": Floor(),
    "Round": Round(),
}


@translates(*PLAIN)
def plain(site: Site) -> Value:
    return site.made(PLAIN[site.node.op_type], site.name(0))


@translates("Ceil")
def ceil(site: Site) -> Value:
    return Value(composed.ceiling(OnnxSketch(site), site.name(0)), site.batched)


@translates("Gelu", settings=("approximate",))
def gelu(site: Site) -> Value:
    return site.made(Gelu(site.attribute("approximate", "none")), site.name(0))


@translates("Elu", settings=("alpha",))
def elu(site: Site) -> Value:
    return site.made(Elu(float(site.attribute("alpha", 1.0))), site.name(0))


@translates("Celu", settings=("alpha",))
def celu(site: Site) -> Value:
    alpha = float(site.attribute("alpha", 1.0))
    return site.made(Elu(alpha, 1.0, 1 / alpha), site.name(0))


@translates("Selu", settings=("alpha", "gamma"))
def selu(site: Site) -> Value:
    alpha = float(site.attribute("alpha", 1.67326319217681884765625))
    return site.made(Elu(alpha, float(site.attribute("gamma", 1.05070102214813232421875))), site.name(0))


@translates("HardSigmoid", settings=("alpha", "beta"))
def hard_sigmoid(site: Site) -> Value:
    slope, shift = float(site.attribute("alpha", 0.2)), float(site.attribute("beta", 0.5))
    return Value(composed.hard_sigmoid(OnnxSketch(site), site.name(0), slope, shift), site.batched)


@translates("PRelu")
def prelu(site: Site) -> Value:
    slope, rank = site.array(1, "a slope"), site.rank(0)
    if site.batched and slope.ndim == rank and slope.shape[0] != 1:
        raise UnsupportedError(f"a slope of shape {slope.shape}; supported: one for all examples")
    return site.made(Prelu(), site.name(0), site.tensor(slope, f"{site.label}.slope"))


@translates("Pow", folds=True)
def power(site: Site) -> Value | Array:
    """By a constant exponent, or of a constant positive base."""
    if not site.varying:
        return np.asarray(np.power(site.array(0, "a base"), site.array(1, "an exponent")))
    if site.varies(0):
        exponents = np.unique(site.array(1, "an exponent"))
        if exponents.size != 1:
            raise UnsupportedError("different exponents for different elements; supported: one exponent")
        return Value(composed.power(OnnxSketch(site), site.name(0), float(exponents[0])), site.batched)
    base = site.number(0, "a base")
    if base <= 0:
        raise UnsupportedError(f"the base {base}; supported: a positive one")
    return site.made(Exp(), site.add(Multiply(), site.name(1), OnnxSketch(site).number(log(base)), part="scaled"))
