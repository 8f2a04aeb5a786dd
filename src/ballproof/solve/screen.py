"""Many cases of one specification at once: those that lines alone prove need no search of their own."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ballproof.bounds import lower_bounds
from ballproof.errors import DomainError
from ballproof.graph import Graph
from ballproof.graph.fuse import fused
from ballproof.problems import Box, Property
from ballproof.problems.vnnlib import Case
from ballproof.solve.clock import Clock, Confirm
from ballproof.solve.strategy import guarded

AT_ONCE = 512


def screened(
    graph: Graph,
    cases: list[Case],
    region_of: Callable[[Case], Box],
    property_of: Callable[[Case], Property],
    confirm_of: Callable[[Case], Confirm],
    clock: Clock,
) -> list[Case] | None:
    """The cases that stay open; None as soon as one has a confirmed counterexample."""
    small = fused(graph)
    batches: dict[object, list[tuple[Case, Box, Property]]] = {}
    for case in cases:
        region, asked = region_of(case), property_of(case)
        batches.setdefault((asked.coefficients.numpy().tobytes(), asked.groups), []).append((case, region, asked))
    left: list[Case] = []
    for same in batches.values():
        for start in range(0, len(same), AT_ONCE):
            part = same[start : start + AT_ONCE]
            if clock.over:
                left += [case for case, _, _ in part]
                continue
            region = Box(torch.cat([r.lower for _, r, _ in part]), torch.cat([r.upper for _, r, _ in part]))
            exact = Property(part[0][2].coefficients, torch.cat([a.offsets for _, _, a in part]), part[0][2].groups)
            if _broken(graph, region, exact, [confirm_of(case) for case, _, _ in part]):
                return None
            asked = guarded(small, region, exact)
            try:
                with torch.no_grad():
                    proven = asked.proven(lower_bounds(small, region, asked.coefficients, "crown") + asked.offsets)
            except DomainError:
                proven = torch.zeros(len(part), dtype=torch.bool)
            left += [case for (case, _, _), done in zip(part, proven.tolist(), strict=True) if not done]
    return left


def _broken(graph: Graph, region: Box, asked: Property, confirm: list[Confirm]) -> bool:
    """Whether the middle of some box is a counterexample."""
    middle = region.box().center
    with torch.no_grad():
        bad = asked.violated(graph(middle)).nonzero().flatten().tolist()
    return any(confirm[i](middle[[i]]) is not None for i in bad[:64])
