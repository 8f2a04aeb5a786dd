"""einsum of a module: the batch is the first axis of every value that depends on the input, and of the result."""

from __future__ import annotations

from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.networks.contraction import Equation, Term, contracted


@translates("aten.einsum.default")
def einsum(site: Site) -> Ref:
    equation, refs = Equation.read(str(site.arguments["equation"])), site.refs("tensors")
    batch = equation.output[:1]
    terms = []
    for axes, ref in zip(equation.inputs, refs, strict=True):
        if site.varies(ref) != (bool(batch) and axes[:1] == batch) or batch in axes[1:]:
            raise site.refuse(f"einsum {site.arguments['equation']!r}", "the batch in front of what varies and of the result")
        terms.append(Term(ref, axes[1:] if site.varies(ref) else axes))
    return Ref(contracted(AtenSketch(site), terms, equation.output[1:], lambda n, f, p: site.call(p, f, Ref(n))))
