"""Einsum of a file."""

from __future__ import annotations

import numpy as np

from ballproof.errors import InputError
from ballproof.networks.contraction import Equation, Term, contracted
from ballproof.networks.onnx_operators.site import Array, BatchAxisError, Site, Value
from ballproof.networks.onnx_operators.sketch import OnnxSketch
from ballproof.networks.onnx_operators.table import translates


@translates("Einsum", settings=("equation",), folds=True)
def einsum(site: Site) -> Value | Array:
    """Of one or two values. Where there is a batch axis, it stands in front of what varies and of the result."""
    text, count = site.attribute("equation", ""), range(len(site.node.input))
    if not site.varying:
        return np.asarray(np.einsum(text, *(site.array(i, "a value") for i in count)))
    equation = Equation.read(text)
    if len(equation.inputs) != len(count):
        raise InputError(f"equation {text!r} for {len(count)} values")
    batch = equation.output[:1] if site.batched else ""
    for i, axes in zip(count, equation.inputs, strict=True):
        if batch and (site.varies(i) != (axes[:1] == batch) or batch in axes[1:]):
            raise BatchAxisError(f"einsum {text!r} mixes the batch axis; supported: in front of what varies and of the result")
    if site.batched and not batch:
        raise BatchAxisError(f"einsum {text!r} sums over the batch axis")
    cut = len(batch)
    terms = [Term(site.name(i), a[cut:] if site.varies(i) else a) for i, a in zip(count, equation.inputs, strict=True)]
    s, builder = OnnxSketch(site), site.builder
    found = contracted(
        s,
        terms,
        equation.output[cut:],
        lambda n, f, p: builder.constant(f(builder.values[n]).contiguous(), f"{site.label}.{p}"),
    )
    return Value(found, site.batched)
