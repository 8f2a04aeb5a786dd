"""Masks: choices by a constant condition, and values at -infinity, which a softmax leaves out.

A value at -infinity is no number that bounds could be made of. So the translators keep two things, finite values and the
places that do not count (`Masked`), until a softmax comes, which computes among the others alone: exact, since exp(-infinity)
is 0. A mask that the module holds may change afterwards; then the graph refuses to compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from ballproof.errors import InputError
from ballproof.networks import composed, composed_more
from ballproof.networks.aten.site import Masked, Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.operations.arithmetic import Add, Multiply
from ballproof.operations.base import Shape

Term = Ref | Masked
ENDLESS = float("-inf")


@dataclass(frozen=True, eq=False)
class Pattern:
    """The places where a mask held when the network was read."""

    places: Tensor


def operand(site: Site, name: str) -> Term:
    """An argument of a call; a constant that is -infinity somewhere becomes `Masked`."""
    given = site.arguments[name]
    return given if isinstance(given, Masked) else split(site, site.operand(name))


def split(site: Site, ref: Ref) -> Term:
    """The node itself, or its finite values and the places where it is -infinity now."""
    if site.varies(ref):
        return ref
    value = site.current(ref)
    if not value.is_floating_point() or bool(value.isfinite().all()):
        return ref
    if not bool((value < -ENDLESS).all()):
        raise site.refuse(f"the constant `{ref}`, which holds +infinity or NaN", "finite values and -infinity")
    finite = site.call("finite", _finite, ref)
    return Masked(guarded(site, finite, ref), _where(value))


def total(site: Site, a: Term, b: Term, part: str = "") -> Term:
    """a + b, masked where one of the two is."""
    refs = [t.ref if isinstance(t, Masked) else t for t in (a, b)]
    found = site.add(Add(), *refs, part=part)
    hidden = [_spread(site, t.places, site.shape(found)) for t in (a, b) if isinstance(t, Masked)]
    return _masked(found, hidden)


@translates("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", masked=True)
def where(site: Site) -> Term:
    return chosen(site, site.ref("condition"), operand(site, "self"), operand(site, "other"))


@translates("aten.masked_fill.Scalar", "aten.masked_fill.Tensor", masked=True)
def masked_fill(site: Site) -> Term:
    return chosen(site, site.ref("mask"), operand(site, "value"), operand(site, "self"))


def chosen(site: Site, condition: Ref, yes: Term, no: Term) -> Term:
    """mask * yes + (1 - mask) * no: exact, as a mask is 0 or 1."""
    if site.varies(condition):
        raise site.refuse("a choice by a value that depends on the input", "by a constant mask; relu, clamp, maximum")
    terms, hidden = [], []
    for value, holds, part in ((yes, True, "chosen"), (no, False, "others")):
        ref = value.ref if isinstance(value, Masked) else value
        terms.append(_kept_part(site, ref, condition, holds, part))
        if isinstance(value, Masked):
            keep = site.current(condition).bool() == holds
            shape = site.result[0]
            hidden.append(_spread(site, value.places, shape) & _spread(site, keep, shape))
    found = site.add(Add(), *sorted(terms, key=lambda t: not site.varies(t)))
    return _masked(guarded(site, found, condition) if hidden else found, hidden)


def _kept_part(site: Site, ref: Ref, condition: Ref, holds: bool, part: str) -> Ref:
    """The value where the condition is as wanted, 0 elsewhere."""
    if not site.varies(ref):
        return site.call(part, _kept, ref, condition, holds, site.like.dtype)
    return site.add(Multiply(), ref, site.call(f"{part}.mask", _as_number, condition, holds, site.like.dtype), part=part)


@translates("aten.scaled_dot_product_attention.default", masked=True)
def attention(site: Site) -> Ref:
    """softmax(scale * query @ key' + mask) @ value. A mask of truth values says which places count."""
    if site.number("dropout_p") or site.arguments["enable_gqa"]:
        raise site.refuse("attention with dropout or grouped heads", "attention without, masked or not")
    query, key, value = (site.ref(name) for name in ("query", "key", "value"))
    scale = site.number("scale") if site.given("scale") else 1 / sqrt(site.shape(query)[-1])
    s = AtenSketch(site)
    scores = _with_mask(site, Ref(composed.scores(s, query, key, scale)))
    axis = len(site.shape(query))
    if isinstance(scores, Masked):
        weights = composed_more.softmax_of_some(s, scores.ref, axis, scores.places, "weights")
    else:
        weights = composed.weights(s, scores, axis)
    return Ref(composed.mixed(s, weights, value))


def _with_mask(site: Site, scores: Ref) -> Term:
    shape = site.shape(scores)
    if site.arguments["is_causal"]:
        return Masked(scores, _spread(site, torch.ones(shape[-2:]).tril() == 0, shape))
    if not site.given("attn_mask"):
        return scores
    mask = site.ref("attn_mask")
    if site.varies(mask) or site.current(mask).dtype != torch.bool:
        return total(site, scores, operand(site, "attn_mask"), "masked")
    return _masked(guarded(site, scores, mask), [_spread(site, ~site.current(mask), shape)])


def guarded(site: Site, x: Ref, source: Ref) -> Ref:
    """x, which from now on needs the mask to hold where it holds now; a mask that cannot change needs no guard."""
    if source in site.builder.values and source not in site.own:
        return x
    same = site.call("guard", _unchanged, source, Pattern(_where(site.current(source))), str(source))
    return site.add(Multiply(), x, same, part="guarded") if site.varies(x) else site.call("guarded", torch.mul, x, same)


def _masked(ref: Ref, hidden: list[Tensor]) -> Term:
    places = sum(hidden[1:], hidden[0]) if hidden else torch.zeros(1)
    return Masked(ref, places.bool()) if bool(places.any()) else ref


def _spread(site: Site, places: Tensor, shape: Shape) -> Tensor:
    """Places of a constant or of a node, broadcast to the shape of one example."""
    if places.ndim == len(shape) + 1:
        if len(places) != 1:
            raise site.refuse("a mask that differs between examples", "one mask for all examples")
        places = places[0]
    return places.cpu().broadcast_to(shape)


def _where(value: Tensor) -> Tensor:
    """Where a mask holds: truth values themselves, or what is -infinity."""
    return value == ENDLESS if value.is_floating_point() else value.bool()


def _finite(value: Tensor) -> Tensor:
    return value.masked_fill(value == ENDLESS, 0.0)


def _unchanged(value: Tensor, pattern: Pattern, name: str) -> Tensor:
    """1, as long as the mask holds at the same places."""
    if not value.is_meta and not torch.equal(_where(value).cpu(), pattern.places.cpu()):
        raise InputError(f"the mask `{name}` holds at other places than when the network was read; give it a tensor of its own")
    return torch.ones((), device=value.device)


def _as_number(condition: Tensor, holds: bool, dtype: torch.dtype) -> Tensor:
    return (condition.bool() if holds else ~condition.bool()).to(dtype)


def _kept(value: Tensor, condition: Tensor, holds: bool, dtype: torch.dtype) -> Tensor:
    """The constant where the condition is as wanted, 0 elsewhere."""
    keep = condition.bool() if holds else ~condition.bool()
    return torch.where(keep, value.to(dtype), torch.zeros((), dtype=dtype, device=value.device))
