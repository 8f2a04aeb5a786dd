"""The table of translators, and how a rule is applied to a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ballproof.errors import UnsupportedError
from ballproof.graph import GraphBuilder
from ballproof.networks.onnx_operators.site import Array, BatchAxisError, Site, Value

Found = Value | Array | tuple[Value | Array, ...]
Translator = Callable[[Site], Found]


@dataclass(frozen=True)
class Rule:
    """How one operator is translated.

    settings: all attributes that it models, None for whatever there is. folds: it computes constants itself. masked: it
    takes values that are -infinity at some places.
    """

    translate: Translator
    settings: tuple[str, ...] | None
    folds: bool
    masked: bool


TRANSLATORS: dict[str, Rule] = {}


def translates(
    *operators: str, settings: tuple[str, ...] | None = (), folds: bool = False, masked: bool = False
) -> Callable[[Translator], Translator]:
    """Enter a translator for these operators; a second one for the same operator is refused."""

    def enter(translator: Translator) -> Translator:
        for operator in operators:
            if operator in TRANSLATORS:
                raise TypeError(f"ONNX operator `{operator}` has two translators")
            TRANSLATORS[operator] = Rule(translator, settings, folds, masked)
        return translator

    return enter


def translated(site: Site) -> Found:
    """The results of a node. Attributes that its rule does not model are refused by name."""
    rule = TRANSLATORS[site.node.op_type]
    for attribute in site.node.attribute:
        if rule.settings is not None and attribute.name not in rule.settings:
            told = ", ".join(rule.settings) or "none"
            raise UnsupportedError(f"attribute `{attribute.name}` is not modelled; supported: {told}")
    if not rule.masked and any(site.value(i).masked is not None for i in site.varying):
        raise UnsupportedError("values of which some are -infinity; supported: masks that are added before a softmax")
    if not site.varying and not rule.folds:
        return _folded(rule, site)
    return _applied(rule, site)


def _applied(rule: Rule, site: Site) -> Found:
    """Where the batch is one example, its axis may be worked on like any other."""
    try:
        return rule.translate(site)
    except BatchAxisError:
        if not site.single:
            raise
    return rule.translate(site.opened())


def _folded(rule: Rule, site: Site) -> Array:
    """A constant result, computed by the operations themselves: argument 0 stands for the input of a little graph."""
    name = site.node.input[0]
    array = np.array(site.constants[name])
    builder = GraphBuilder(array.shape, fold=True)
    inner = replace(site, builder=builder, known={name: Value(builder.input, batched=False)}, single=True)
    found = _applied(rule, inner)
    assert isinstance(found, Value), "an operator with one result gives one value"
    x = torch.from_numpy(array)
    y = builder.build(found.node)((x.to(site.dtype) if x.is_floating_point() else x).unsqueeze(0))
    result: Array = (y if found.batched else y.squeeze(0)).numpy()
    return result.astype(array.dtype)
