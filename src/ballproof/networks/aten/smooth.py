"""Smooth activations, steps and powers, one node each."""

from __future__ import annotations

from ballproof.networks import composed, composed_more
from ballproof.networks.aten.places import fixed
from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.operations import Operation
from ballproof.operations.arctan import Arctan
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
from ballproof.operations.silu import Silu
from ballproof.operations.sine import Cos, Sin
from ballproof.operations.softplus import Softplus
from ballproof.operations.stairs import Floor, Round, Sign
from ballproof.operations.tanh import Tanh

PLAIN: dict[str, Operation] = {
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "atan": Arctan(),
    "arctan": Arctan(),
    "erf": Erf(),
    "special_erf": Erf(),
    "exp": Exp(),
    "log": Log(),
    "sin": Sin(),
    "cos": Cos(),
    "silu": Silu(),
    "mish": Mish(),
    "hardswish": HardSwish(),
    "sqrt": Power(0.5),
    "rsqrt": Power(-0.5),
    "reciprocal": Power(-1),
    "square": Power(2),
    "sign": Sign(),
    "floor": Floor(),
    "round": Round(),
    "selu": Elu(1.6732632423543772, 1.0507009873554805),
}
"""By the name of the ATen call."""


@translates(*(f"aten.{name}.default" for name in PLAIN))
def plain(site: Site) -> Ref:
    name = str(site.function).split(".")[1].removesuffix("_")
    return site.add(PLAIN[name], site.ref("self"))


@translates("aten.gelu.default")
def gelu(site: Site) -> Ref:
    return site.add(Gelu(str(site.arguments["approximate"])), site.ref("self"))


@translates("aten.softplus.default")
def softplus(site: Site) -> Ref:
    if site.number("beta") * site.number("threshold") < 0 or site.number("threshold") < 20:
        raise site.refuse(f"a threshold of {site.number('threshold')}", "20 or more, where the two forms agree")
    return site.add(Softplus(float(site.number("beta"))), site.ref("self"))


@translates("aten.elu.default")
def elu(site: Site) -> Ref:
    settings = (float(site.number(name)) for name in ("alpha", "scale", "input_scale"))
    return site.add(Elu(*settings), site.ref("self"))


@translates("aten.celu.default")
def celu(site: Site) -> Ref:
    alpha = float(site.number("alpha"))
    return site.add(Elu(alpha, 1.0, 1 / alpha), site.ref("self"))


@translates("aten.relu6.default")
def relu6(site: Site) -> Ref:
    return Ref(composed.clamp(AtenSketch(site), site.ref("self"), 0.0, 6.0))


@translates("aten.hardtanh.default")
def hardtanh(site: Site) -> Ref:
    return Ref(composed.clamp(AtenSketch(site), site.ref("self"), site.number("min_val"), site.number("max_val")))


@translates("aten.hardsigmoid.default")
def hardsigmoid(site: Site) -> Ref:
    return Ref(composed.hard_sigmoid(AtenSketch(site), site.ref("self")))


@translates("aten.log_sigmoid.default")
def log_sigmoid(site: Site) -> Ref:
    return Ref(composed.log_sigmoid(AtenSketch(site), site.ref("self")))


@translates("aten.ceil.default")
def ceil(site: Site) -> Ref:
    return Ref(composed.ceiling(AtenSketch(site), site.ref("self")))


@translates("aten.prelu.default")
def prelu(site: Site) -> Ref:
    """The weight is one number, or one for each channel, axis 1."""
    x, weight = site.ref("self"), site.ref("weight")
    count = site.shape(weight)[0] if site.shape(weight) else 1
    if count != 1:
        weight = site.call("weight", _along, weight, len(site.shape(x)) - 1)
    return site.add(Prelu(), x, weight)


def _along(weight, axes):  # type: ignore[no-untyped-def]
    return weight.reshape(-1, *(1 for _ in range(axes)))


@translates("aten.pow.Tensor_Scalar")
def power(site: Site) -> Ref:
    return Ref(composed.power(AtenSketch(site), site.ref("self"), site.number("exponent")))


@translates("aten.pow.Scalar")
def exponential(site: Site) -> Ref:
    return Ref(composed_more.exponential(AtenSketch(site), site.number("self"), site.ref("exponent")))


@translates("aten.pow.Tensor_Tensor")
def power_of_two(site: Site) -> Ref:
    """A constant on one side must be one fixed number."""
    x, exponent = site.ref("self"), site.ref("exponent")
    if site.varies(x) and site.varies(exponent):
        raise site.refuse("a power whose base and exponent depend on the input", "one of them a fixed number")
    number = fixed(site, exponent if site.varies(x) else x, "a number")
    if number.numel() != 1:
        raise site.refuse(f"a constant of shape {tuple(number.shape)} in a power", "one fixed number")
    function = composed.power if site.varies(x) else composed_more.exponential
    return Ref(function(AtenSketch(site), *((x, number.item()) if site.varies(x) else (number.item(), exponent))))
