"""Activations and what is none: rectifiers, absolute value, dropout in evaluation, copies."""

from __future__ import annotations

import torch

from ballproof.networks import composed
from ballproof.networks.aten.site import Masked, Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.operations.abs import Abs
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.relu import Relu


@translates("aten.relu.default")
def relu(site: Site) -> Ref:
    return site.add(Relu(), site.ref("self"))


@translates("aten.clamp.default", "aten.clamp_min.default", "aten.clamp_max.default", "aten.clip.default")
def clamp(site: Site) -> Ref:
    low, high = (site.number(n) if site.given(n) else None for n in ("min", "max"))
    return Ref(composed.clamp(AtenSketch(site), site.ref("self"), low, high))


@translates("aten.threshold.default")
def threshold(site: Site) -> Ref:
    if site.number("threshold") != 0 or site.number("value") != 0:
        raise site.refuse("a threshold that is not 0, 0", "threshold(x, 0, 0), the rectifier")
    return site.add(Relu(), site.ref("self"))


@translates("aten.leaky_relu.default")
def leaky_relu(site: Site) -> Ref:
    return site.add(LeakyRelu(float(site.number("negative_slope"))), site.ref("self"))


@translates("aten.abs.default", "aten.absolute.default")
def absolute(site: Site) -> Ref:
    return site.add(Abs(), site.ref("self"))


@translates(
    "aten.dropout.default",
    "aten.feature_dropout.default",
    "aten.alpha_dropout.default",
    "aten.feature_alpha_dropout.default",
    masked=True,
)
def dropout(site: Site) -> Ref | Masked:
    if site.arguments["train"] and site.number("p") > 0:
        raise site.refuse("dropout that stays on in evaluation", "dropout that follows `self.training`")
    return site.given_as("input")


@translates(
    "aten.alias.default",
    "aten.clone.default",
    "aten.contiguous.default",
    "aten.detach.default",
    "aten.positive.default",
    masked=True,
)
def same(site: Site) -> Ref | Masked:
    return site.given_as("self")


@translates(
    "aten.to.dtype",
    "aten.to.device",
    "aten.to.dtype_layout",
    "aten.to.other",
    "aten._to_copy.default",
    "aten.type_as.default",
    masked=True,
)
def convert(site: Site) -> Ref | Masked:
    wanted = site.arguments.get("dtype")
    other = site.arguments.get("other")
    changes = wanted is not None and wanted != site.like.dtype
    if changes or (isinstance(other, Ref) and site.dtype(other) != site.like.dtype):
        raise site.refuse(f"conversion to {wanted or 'another type'}", f"one floating type, here {site.like.dtype}")
    if site.arguments.get("device") not in (None, site.like.device, torch.device(site.like.device.type)):
        raise site.refuse(f"a move to {site.arguments['device']}", f"one device, here {site.like.device}")
    return site.given_as("self")
