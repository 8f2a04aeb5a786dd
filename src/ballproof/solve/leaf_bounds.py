"""Proven bounds of many leaves at once: free slopes, and multipliers on the intervals that splits have cut.

A leaf says `low <= z <= high` of the argument z of a split neuron. For any number g, `g z <= max(g, 0) high + min(g, 0) low`
there, so adding g z to the query and taking that maximum away proves a lower bound, whatever g is (Wang et al. 2021 for the
rectifier, where one end is 0). The leaves lie along the query axis, so that the region itself is not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ballproof.bounds.backward import Backward, Cotangents
from ballproof.graph import Graph, Node
from ballproof.problems import Region
from ballproof.solve.leaves import Leaves, Site
from ballproof.values import Interval, Line, Relaxation

MOMENTS = 0.9, 0.999
DECAY = 0.95
RATE, RATE_BETA = 0.1, 0.1
"""Of a first step. Measured on eight problems of mnist_fc, oval21 and safenlp: see docs/verification.md."""


class LeafBackward(Backward):
    """A pull-back that adds the multipliers on its way, and remembers the cotangents of the sites if asked."""

    def __init__(
        self,
        graph: Graph,
        region: Region,
        constants: Mapping[str, Tensor],
        relaxations: Mapping[str, Relaxation],
        multipliers: Mapping[str, tuple[Tensor, Tensor]],
    ) -> None:
        super().__init__(graph, region, constants, relaxations)
        self.multipliers = multipliers
        self.remember: tuple[str, ...] = ()
        self.seen: dict[str, Tensor] = {}

    def _through(self, node: Node, cotangents: Cotangents) -> None:
        if node.name in self.multipliers:
            multiplier, cost = self.multipliers[node.name]
            cotangents = Cotangents(cotangents.lower + multiplier, None)
            self.offset_lower = self.offset_lower - cost
        if node.name in self.remember:
            self.seen[node.name] = cotangents.lower
        super()._through(node, cotangents)


@dataclass
class Evaluation:
    """Bounds of some leaves: `values (leaves,)`; `at`: the cotangent at each site, `(leaves, neurons)`; `points`: where the
    relaxed problem is least, `(leaves, *input)`."""

    values: Tensor
    at: list[Tensor] = field(default_factory=list)
    points: Tensor | None = None


class LeafBounds:
    """Bounds for leaves of one network, region and property, on fixed intervals of everything that is not split."""

    def __init__(
        self,
        graph: Graph,
        region: Region,
        sites: list[Site],
        relaxations: Mapping[str, Relaxation],
        rows: Tensor,
        offsets: Tensor,
    ) -> None:
        """rows: `(groups, rows, *output)`; offsets: `(groups, rows)`; a positive mix of rows refutes a group."""
        self.graph, self.region, self.sites = graph, region, sites
        self.rows, self.offsets = rows, offsets
        self.constants = {k: v.detach() for k, v in graph.constants().items()}
        self.fixed = {n: _with_query_axis(r) for n, r in relaxations.items()}

    def evaluate(self, leaves: Leaves, details: bool = False) -> Evaluation:
        """The bounds that the leaves' own slopes, multipliers and mixes prove. Differentiable in those."""
        mix = self._weights(leaves)
        rows = self.rows[leaves.group]
        cotangent = (rows * mix.reshape(*mix.shape, *(1 for _ in rows.shape[2:]))).sum(1).unsqueeze(0)
        walk = LeafBackward(self.graph, self.region, self.constants, self.relaxations(leaves), self._multipliers(leaves))
        walk.remember = tuple(s.node.name for s in self.sites) if details else ()
        found = walk.pulled(self.graph.output, cotangent, both=False)
        slope = cotangent.new_zeros(1, len(leaves), *self.region.shape) if found is None else found.lower
        offset = (slope.new_zeros(1, len(leaves)) + walk.offset_lower).reshape(-1) + (mix * self.offsets[leaves.group]).sum(1)
        values = self.region.minimum(slope).reshape(-1) + offset
        if not details:
            return Evaluation(values)
        zeros = [s.places.new_zeros(len(leaves), len(s.places), dtype=values.dtype) for s in self.sites]
        at = [
            walk.seen[s.node.name][0].flatten(1)[:, s.places].expand(len(leaves), -1) if s.node.name in walk.seen else z
            for s, z in zip(self.sites, zeros, strict=True)
        ]
        return Evaluation(values, at, self.region.minimizer(slope)[0])

    def _weights(self, leaves: Leaves) -> Tensor:
        """Of the rows, from their mixes."""
        return leaves.mix / leaves.mix.sum(1, keepdim=True)

    def relaxations(self, leaves: Leaves) -> dict[str, Relaxation]:
        """The lines of every nonlinear node, those of the sites from the leaves' intervals and slopes, along the query axis."""
        found = dict(self.fixed)
        for site, low, high, free in zip(self.sites, leaves.low, leaves.high, leaves.free, strict=True):
            own = site.operation.relax(Interval(low, high), *site.constants, slope=free)
            base = self.fixed[site.node.name]
            lines = [self._placed(site, a, b) for a, b in ((base.lower, own.lower), (base.upper, own.upper))]
            found[site.node.name] = Relaxation(lines[0], lines[1])
        return found

    def _placed(self, site: Site, base: Line, own: Line) -> Line:
        """The lines of all coordinates, those of the site's neurons from the leaves."""
        count, shape = len(own.offset), site.node.shape

        def put(known: Tensor, new: Tensor) -> Tensor:
            wide = known.reshape(1, -1).expand(count, -1)
            return wide.index_copy(1, site.places, new.expand(count, -1)).reshape(1, count, *shape)

        return Line((put(base.slopes[0], own.slopes[0]),), put(base.offset, own.offset))

    def _multipliers(self, leaves: Leaves) -> dict[str, tuple[Tensor, Tensor]]:
        """By argument: the multipliers spread over the node, `(1, leaves, *node)`, and what they cost, `(1, leaves)`."""
        found = {}
        for site, low, high, beta in zip(self.sites, leaves.low, leaves.high, leaves.beta, strict=True):
            if site.argument == self.graph.input or site.argument in found or not (beta.requires_grad or bool(beta.any())):
                continue
            shape = self.graph.node[site.argument].shape
            spread = beta.new_zeros(len(beta), int(torch.Size(shape).numel())).index_copy(1, site.places, beta)
            cost = (beta.clamp(min=0) * high + beta.clamp(max=0) * low).sum(1)
            found[site.argument] = (spread.reshape(1, len(beta), *shape), cost.unsqueeze(0))
        return found

    def ascend(self, leaves: Leaves, steps: int, split: list[Tensor]) -> tuple[Leaves, Evaluation]:
        """The leaves with the slopes, multipliers and mixes that proved most, and those bounds; the evaluation there.

        split: by site, `(leaves, neurons)`, the neurons that a split has cut; only those have multipliers.
        """
        leaves = _own(leaves)
        first = self.evaluate(leaves, details=True)
        parameters = self._parameters(leaves)
        if not parameters:
            return replace(leaves, bound=torch.maximum(first.values, leaves.bound)), first
        rates = self._rates(leaves, first)
        known, best, kept = leaves.bound, first.values, [p.clone() for p in parameters]
        moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
        for number in range(1, steps + 1):
            if bool((torch.maximum(best, known) > 0).all()):
                break
            values, gradients = self._slopes(leaves, parameters)
            better = values > best
            if number > 1:
                best = torch.where(better, values, best)
                for mine, now in zip(kept, parameters, strict=True):
                    mine[better] = now[better]
            for p, g, m, r in zip(parameters, gradients, moments, rates, strict=True):
                _adam(p, g, m, number, r, DECAY ** (number - 1))
            self._confine(leaves, split)
        values = self.evaluate(leaves).values
        better = values > best
        for mine, now in zip(kept, parameters, strict=True):
            now[~better] = mine[~better]
        found = self.evaluate(leaves, details=True)
        return replace(leaves, bound=torch.maximum(torch.maximum(best, found.values), known)), found

    def _slopes(self, leaves: Leaves, parameters: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The values, and their gradients in the parameters."""
        for p in parameters:
            p.requires_grad_(True)
        with torch.enable_grad():
            values = self.evaluate(leaves).values
            gradients = torch.autograd.grad(values.sum(), parameters, materialize_grads=True)
        for p in parameters:
            p.requires_grad_(False)
        return values.detach(), gradients

    def _rates(self, leaves: Leaves, seen: Evaluation) -> list[Tensor | float]:
        """How far the first step goes: a share of a slope's own size, of the cotangent for a multiplier, of a mix."""
        slopes: list[Tensor | float] = [
            RATE * max(float(p.abs().amax()), 1e-3) if p.numel() else RATE for f in leaves.free for p in f
        ]
        sizes = [a.abs() for a in seen.at]
        betas: list[Tensor | float] = [RATE_BETA * (a + 0.1 * a.mean(1, keepdim=True)) for a in sizes]
        return [*slopes, *betas, *self._mix_rates(leaves)]

    def _parameters(self, leaves: Leaves) -> list[Tensor]:
        return [*(p for f in leaves.free for p in f), *leaves.beta, *self._mixes(leaves)]

    def _mixes(self, leaves: Leaves) -> list[Tensor]:
        return [leaves.mix] if leaves.mix.shape[1] > 1 else []

    def _mix_rates(self, leaves: Leaves) -> list[Tensor | float]:
        return [RATE] if leaves.mix.shape[1] > 1 else []

    def _confine_mix(self, mix: Tensor) -> None:
        mix.clamp_(min=0)
        mix[mix.sum(1) <= 0] = 1.0

    def _confine(self, leaves: Leaves, split: list[Tensor]) -> None:
        for site, free, beta, cut in zip(self.sites, leaves.free, leaves.beta, split, strict=True):
            site.operation.confine(free)
            beta.masked_fill_(~cut, 0.0)
        self._confine_mix(leaves.mix)


def _own(leaves: Leaves) -> Leaves:
    """The same leaves with parameters that may be changed in place."""
    free = tuple(tuple(p.detach().clone() for p in f) for f in leaves.free)
    return replace(leaves, free=free, beta=tuple(b.detach().clone() for b in leaves.beta), mix=leaves.mix.detach().clone())


def _adam(
    value: Tensor, gradient: Tensor, moments: tuple[Tensor, Tensor], number: int, rate: Tensor | float, share: float
) -> None:
    first, second = MOMENTS
    mean, square = moments
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    size = (square / (1 - second**number)).sqrt_().add_(1e-30)
    value.add_(mean / size * rate, alpha=share / (1 - first**number))


def _with_query_axis(relaxation: Relaxation) -> Relaxation:
    lines = [Line(tuple(s.unsqueeze(1) for s in x.slopes), x.offset.unsqueeze(1)) for x in (relaxation.lower, relaxation.upper)]
    return Relaxation(lines[0], lines[1], relaxation.parallel)
