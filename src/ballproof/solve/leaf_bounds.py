"""Proven bounds of many leaves at once: free slopes, and multipliers on the intervals that splits have cut.

A leaf says `low <= z <= high` of the argument z of a split neuron. For any number g, `g z <= max(g, 0) high + min(g, 0) low`
there, so adding g z to the query and taking that maximum away proves a lower bound, whatever g is (Wang et al. 2021 for the
rectifier, where one end is 0). The leaves lie along the query axis, so that the region itself is not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from ballproof.bounds.backward import matters
from ballproof.bounds.free import Places
from ballproof.graph import Graph
from ballproof.operations.relu import Relu
from ballproof.problems import Region
from ballproof.solve.leaf_backward import LeafBackward, Opening, Phases
from ballproof.solve.leaves import Leaves, Site
from ballproof.solve.marks import Joint
from ballproof.solve.planes import RootPlanes
from ballproof.values import Interval, Line, Relaxation

MOMENTS = 0.9, 0.999
DECAY = 0.95
RATE, RATE_BETA, RATE_CUT = 0.1, 0.1, 0.02
"""Of a first step. Measured on eight problems of mnist_fc, oval21 and safenlp: see docs/verification.md."""

FEW_WRONG = 4
"""Claims in single precision that may fail in double before their share is looked at."""


SLACK = {torch.float32: 1e-5, torch.float64: 1e-10}
"""What sums in floating point may err by, as a share of the size of their terms: a proof has to exceed zero by that."""


@dataclass
class Evaluation:
    """Bounds of some leaves: `values (leaves,)`; `at`: the cotangent at each site, `(leaves, neurons)`; `sway`: how far it
    turns at each mark, zeros elsewhere; `points`: where the relaxed problem is least, `(leaves, *input)`."""

    values: Tensor
    at: list[Tensor] = field(default_factory=list)
    sway: list[Tensor] = field(default_factory=list)
    points: Tensor | None = None

    def __getitem__(self, index: Tensor | slice) -> Evaluation:
        points = None if self.points is None else self.points[index]
        return Evaluation(self.values[index], [a[index] for a in self.at], [s[index] for s in self.sway], points)

    @staticmethod
    def joined(seen: list[Evaluation]) -> Evaluation:
        """Of the leaves of all; without points."""
        parts = [s.at for s in seen], [s.sway for s in seen]
        at, sway = ([torch.cat(x) for x in zip(*part, strict=True)] for part in parts)
        return Evaluation(torch.cat([s.values for s in seen]), at, sway)

    def to(self, kind: torch.dtype) -> Evaluation:
        """The same in another precision, rounded to the nearest."""
        points = None if self.points is None else self.points.to(kind)
        return Evaluation(self.values.to(kind), [a.to(kind) for a in self.at], [s.to(kind) for s in self.sway], points)


class CutWeights(Protocol):
    """Inequalities between phases of rectifiers that every violation meets."""

    def weights(self, leaves: Leaves) -> tuple[list[Tensor], Tensor]:
        """By the leaves' multipliers: of the phases at each site `(leaves, neurons)`, and their cost `(leaves,)`."""
        ...


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
        quick: bool = False,
        joints: tuple[Joint, ...] = (),
    ) -> None:
        """rows: `(groups, rows, *output)`; offsets: `(groups, rows)`; a positive mix of rows refutes a group.

        quick: what is in double precision climbs in single precision; what is found there is then proven in double. joints:
        the functions that are relaxed anew on each leaf.
        """
        self.joints, self.decay = joints, DECAY
        self.planes: Mapping[int, RootPlanes] = {}
        self._relaxed: tuple[tuple[Tensor, ...], tuple[Tensor, ...], dict[str, Relaxation]] | None = None
        self.graph, self.region, self.sites = graph, region, sites
        self.rows, self.offsets = rows, offsets
        self.constants = {k: v.detach() for k, v in graph.constants().items()}
        self.lines = relaxations
        self.cuts: CutWeights | None = None
        self.fixed = {n: _with_query_axis(r) for n, r in relaxations.items()}
        self.places = [_places(s, relaxations[s.node.name]) for s in sites]
        self.scout = self._single() if quick and rows.dtype == torch.float64 else self

    def _single(self) -> LeafBounds:
        """The same in single precision: a guide, whose bounds are no proofs of what is asked in double."""
        kind = torch.float32
        sites = [replace(s, constants=tuple(c.to(kind) for c in s.constants)) for s in self.sites]
        lines = {n: _typed(r, kind) for n, r in self.lines.items()}
        ends = self.rows.to(kind), self.offsets.to(kind)
        joints = tuple(j.to(kind) for j in self.joints)
        return LeafBounds(self.graph.to(dtype=kind), self.region.to(dtype=kind), sites, lines, *ends, joints=joints)

    def evaluate(self, leaves: Leaves, details: bool = False) -> Evaluation:
        """The bounds that the leaves' own slopes, multipliers and mixes prove. Differentiable in those."""
        mix = self._weights(leaves)
        rows = self.rows[leaves.group]
        cotangent = (rows * mix.reshape(*mix.shape, *(1 for _ in rows.shape[2:]))).sum(1).unsqueeze(0)
        walk = self.walk(leaves)
        found = walk.pulled(self.graph.output, cotangent, both=False)
        slope = cotangent.new_zeros(1, len(leaves), *self.region.shape) if found is None else found.lower
        offset = (slope.new_zeros(1, len(leaves)) + walk.offset_lower).reshape(-1) + (mix * self.offsets[leaves.group]).sum(1)
        values = self.region.minimum(slope).reshape(-1) + offset
        if self.cuts is not None:
            values = values - self.cuts.weights(leaves)[1]
        if not details:
            return Evaluation(values)
        zeros = [s.places.new_zeros(len(leaves), len(s.places), dtype=values.dtype) for s in self.sites]
        at = [
            walk.seen[s.node.name][0].expand(len(leaves), -1) if s.node.name in walk.seen else z
            for s, z in zip(self.sites, zeros, strict=True)
        ]
        return Evaluation(values, at, self._sway(walk, leaves, zeros), self.region.minimizer(slope)[0])

    def _sway(self, walk: LeafBackward, leaves: Leaves, zeros: list[Tensor]) -> list[Tensor]:
        """How far the coefficients of marked arguments turn, over all joint functions that were met."""
        found = list(zeros)
        for joint in (j for j in self.joints if j.node.name in walk.met):
            met = walk.met[joint.node.name][0]
            for number, own in joint.sway(met.expand(len(leaves), *met.shape[1:]), leaves, self.sites):
                found[number] = found[number] + own
        return found

    def _weights(self, leaves: Leaves) -> Tensor:
        """Of the rows, from their mixes."""
        return leaves.mix / leaves.mix.sum(1, keepdim=True)

    def walk(self, leaves: Leaves, multiplied: bool = True) -> LeafBackward:
        """A pull-back through the leaves' own lines: of one query for each leaf, with their multipliers and planes; or without
        these, of any queries of a single leaf."""
        phases = self.cuts.weights(leaves)[0] if self.cuts is not None and multiplied else [None for _ in self.sites]
        lines = {s.node.name: self._opening(i, leaves, multiplied, phases[i]) for i, s in enumerate(self.sites)}
        relaxations = {**self.fixed, **self._on(leaves)}
        return LeafBackward(self.graph, self.region, self.constants, relaxations, lines, self._more(leaves))

    def _on(self, leaves: Leaves) -> dict[str, Relaxation]:
        """The joint functions on what the leaves know of their arguments; kept while leaves with the same intervals ask."""
        if self._relaxed is None or self._relaxed[0] is not leaves.low or self._relaxed[1] is not leaves.high:
            found = {j.node.name: j.relaxed(leaves, self.sites) for j in self.joints}
            self._relaxed = leaves.low, leaves.high, found
        return self._relaxed[2]

    def _opening(self, number: int, leaves: Leaves, multiplied: bool, weight: Tensor | None) -> Opening:
        site, low, high, beta = self.sites[number], leaves.low[number], leaves.high[number], leaves.beta[number]
        own = site.operation.relax(Interval(low, high), *site.constants, slope=leaves.free[number])
        ahead = lambda x: Line((x.slopes[0].unsqueeze(0),), x.offset.unsqueeze(0))  # noqa: E731
        lines = Relaxation(ahead(own.lower), ahead(own.upper))
        phases = None
        if weight is not None and isinstance(site.operation, Relu):
            phases = Phases(*(t.unsqueeze(0) for t in (weight, leaves.free[number][0], low, high)))
        planes = self.planes.get(number)
        above = planes.on(leaves, number) if planes is not None and multiplied else None
        if not multiplied or not (beta.requires_grad or bool(beta.any())):
            return Opening(self.places[number], lines, phases=phases, above=above)
        cost = (beta.relu() * high - (-beta).relu() * low).sum(1)
        return Opening(self.places[number], lines, (beta.unsqueeze(0), cost.unsqueeze(0)), phases, above)

    def _more(self, leaves: Leaves) -> dict[str, Tensor]:
        """Queries of single nodes that are added to that of the leaf."""
        return {}

    def ascend(self, leaves: Leaves, steps: int, split: list[Tensor]) -> tuple[Leaves, Evaluation]:
        """The leaves with the slopes, multipliers and mixes that proved most, and those bounds; an evaluation near there.

        split: by site, `(leaves, neurons)`, the neurons that a split has cut; only those have multipliers.
        """
        if self.scout is self:
            leaves, best, seen = self._climbed(leaves, steps, split)
            return replace(leaves, bound=torch.maximum(best, leaves.bound)), seen
        kind = self.rows.dtype
        found, best, seen = self.scout._climbed(leaves.to(self.scout.rows.dtype), steps, split)
        leaves = replace(found.to(kind), low=leaves.low, high=leaves.high, bound=leaves.bound)
        return self._proven(leaves, best > 0), seen.to(kind)

    def _proven(self, leaves: Leaves, claimed: Tensor) -> Leaves:
        """The leaves with bounds in double precision. Where many claims do not hold, nothing climbs in single from now on."""
        bound = torch.maximum(leaves.bound, self.evaluate(leaves).values)
        wrong = int((claimed & ~(bound > 0)).sum())
        if wrong > max(FEW_WRONG, int(claimed.sum()) // 2):
            self.scout = self
        return replace(leaves, bound=bound)

    @property
    def late(self) -> bool:
        """Whether there is no time for a further step."""
        return False

    def _climbed(self, leaves: Leaves, steps: int, split: list[Tensor]) -> tuple[Leaves, Tensor, Evaluation]:
        """The leaves with what proved most of them on the way, those values, and the last evaluation."""
        leaves = _own(leaves)
        parameters, seen = self._parameters(leaves), self.evaluate(leaves, details=True)
        if not parameters:
            return leaves, seen.values, seen
        rates = self._rates(leaves, seen)
        known, best, kept = leaves.bound, seen.values, [p.clone() for p in parameters]
        moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
        for number in range(1, steps + 1):
            if bool((torch.maximum(best, known) > 0).all()):
                return leaves, best, seen
            if self.late:
                break
            values, gradients = self._slopes(leaves, parameters)
            better = values > best
            if number > 1:
                best = torch.where(better, values, best)
                for mine, now in zip(kept, parameters, strict=True):
                    mine[better] = now[better]
            signs = [b.sign() for b in leaves.beta]
            for p, g, m, r in zip(parameters, gradients, moments, rates, strict=True):
                _adam(p, g, m, number, r, self.decay ** (number - 1))
            for beta, sign in zip(leaves.beta, signs, strict=True):
                beta.masked_fill_(beta * sign < 0, 0.0)
            self._confine(leaves, split)
        seen = self.evaluate(leaves, details=True)
        better = seen.values > best
        for mine, now in zip(kept, parameters, strict=True):
            now[~better] = mine[~better]
        return leaves, torch.where(better, seen.values, best), seen

    def _slopes(self, leaves: Leaves, parameters: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The values, and their gradients in the parameters."""
        for p in parameters:
            p.requires_grad_(True)
        with torch.enable_grad():
            values = self.evaluate(leaves).values
            gradients = torch.autograd.grad(values.sum(), parameters, materialize_grads=True)
        for p in parameters:
            p.requires_grad_(False)
        first = sum(len(f) for f in leaves.free)
        ends = zip(leaves.beta, gradients[first:], leaves.low, leaves.high, strict=False)
        kinks = [_at_zero(b, g, low, high) for b, g, low, high in ends]
        return values.detach(), (*gradients[:first], *kinks, *gradients[first + len(kinks) :])

    def _rates(self, leaves: Leaves, seen: Evaluation) -> list[Tensor | float]:
        """How far the first step goes: a share of a slope's own size, of the cotangent for a multiplier, of a mix."""
        slopes: list[Tensor | float] = [
            RATE * max(float(p.abs().amax()), 1e-3) if p.numel() else RATE for f in leaves.free for p in f
        ]
        sizes = [a.abs() for a in seen.at]
        betas: list[Tensor | float] = [RATE_BETA * (a + 0.1 * a.mean(1, keepdim=True)) for a in sizes]
        cuts: list[Tensor | float] = [RATE_CUT * seen.values.abs().unsqueeze(1)] if self.cuts is not None else []
        return [*slopes, *betas, *self._mix_rates(leaves), *cuts]

    def _parameters(self, leaves: Leaves) -> list[Tensor]:
        cuts = [leaves.learnt] if self.cuts is not None else []
        return [*(p for f in leaves.free for p in f), *leaves.beta, *self._mixes(leaves), *cuts]

    def stand_on(self, planes: Mapping[int, RootPlanes]) -> None:
        """Use these planes above the rectifiers of sites, by number, for every leaf."""
        self.planes = planes
        if self.scout is not self:
            self.scout.stand_on({k: p.to(self.scout.rows.dtype) for k, p in planes.items()})

    def use(self, cuts: CutWeights) -> None:
        """Add these cuts to every leaf's query, with multipliers of its own."""
        self.cuts = self.scout.cuts = cuts

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
        leaves.learnt.clamp_(min=0)


def _at_zero(beta: Tensor, slope: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The slope in a multiplier, given that without its cost where it is 0: there the cost bends.

    A multiplier of 0 is best while the argument stays between its ends. One of an end at 0, where a split was, is moved all the
    same, in the direction that costs nothing.
    """
    turned = torch.where((low == 0) | (high == 0), slope - low - high, slope - slope.clamp(low, high))
    return torch.where(beta == 0, turned, slope)


def _own(leaves: Leaves) -> Leaves:
    """The same leaves with parameters that may be changed in place."""
    free = tuple(tuple(p.detach().clone() for p in f) for f in leaves.free)
    beta = tuple(b.detach().clone() for b in leaves.beta)
    return replace(leaves, free=free, beta=beta, mix=leaves.mix.detach().clone(), learnt=leaves.learnt.detach().clone())


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


def _places(site: Site, lines: Relaxation) -> Places:
    """The site's neurons, and the lines of the others, which are one."""
    slope, offset = (
        lines.lower.slopes[0].reshape(1, 1, -1),
        lines.lower.offset.expand_as(lines.lower.slopes[0]).reshape(1, 1, -1),
    )
    slope, offset = (t.index_fill(2, site.places, 0.0) for t in (slope, offset))
    return Places(site.node.shape, site.places.reshape(1, 1, -1), slope, offset if matters(offset) else None)


def _typed(relaxation: Relaxation, kind: torch.dtype) -> Relaxation:
    lines = [Line(tuple(s.to(kind) for s in x.slopes), x.offset.to(kind)) for x in (relaxation.lower, relaxation.upper)]
    return Relaxation(lines[0], lines[1], relaxation.parallel)
