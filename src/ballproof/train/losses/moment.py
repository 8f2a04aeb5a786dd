"""`Moment`: all that a loss may look at in one step of a training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.bounds.elision import elided
from ballproof.bounds.interval import interval_pass
from ballproof.errors import InputError
from ballproof.graph import Graph
from ballproof.problems import Box, Region, ball, classified_as
from ballproof.train.config import TrainConfig
from ballproof.values import Interval


@dataclass(frozen=True, eq=False)
class Moment:
    """A batch at one time of a training.

    graph: the network as it trains, with the clean batch's statistics. still: as it will be evaluated, with the running ones;
    attacks walk there. x: `(batch, *input)`, y: `(batch,)`. eps: the radius now, in the units of x. generator: of this step
    alone, so that a resumed training draws the same numbers.
    """

    config: TrainConfig
    graph: Graph
    still: Graph
    x: Tensor
    y: Tensor
    eps: float
    generator: torch.Generator

    @property
    def clip(self) -> tuple[float, float] | None:
        return (0.0, 1.0) if self.config.clip else None

    @cached_property
    def region(self) -> Region:
        """The ball of the radius now."""
        return self.ball(1.0)

    def ball(self, factor: float) -> Region:
        """The ball of `factor` times the radius now."""
        return ball(self.config.norm, self.x, factor * self.eps, self.clip)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Interval bounds of every node on the region; shared by losses and regularisers."""
        return dict(interval_pass(self.graph, self.region.box()))

    @cached_property
    def rows(self) -> Tensor:
        """The margins as queries at the output, `(batch, classes - 1, classes)`."""
        if len(self.graph.output_shape) != 1:
            raise InputError(f"the network gives outputs of shape {self.graph.output_shape}, expected (classes,)")
        return classified_as(self.y).property(self.graph.output_shape[0]).coefficients.to(self.x)

    def interval_margins(self, region: Region | None = None) -> Tensor:
        """Proven margins by intervals on the region (by default the ball of the radius now), `(batch, classes - 1)`."""
        return self.interval_lower(self.rows, region)

    def interval_lower(self, rows: Tensor, region: Region | None = None) -> Tensor:
        """Proven lower values of queries at the output by intervals, the queries folded into the last layer."""
        intervals = self.intervals if region is None else interval_pass(self.graph, region.box())
        region = self.region if region is None else region
        return elided(self.graph, region, rows, intervals, self.graph.constants())

    def logits(self, x: Tensor) -> Tensor:
        """Of the network as it trains; in bfloat16 inside where the precision is `mixed`. Proves nothing."""
        with self.cheap():
            return self.graph(x).to(x.dtype)

    def cheap(self) -> torch.autocast:
        """Round attacks and plain passes, never round bounds: bfloat16 where the precision is `mixed`."""
        return torch.autocast(self.x.device.type, torch.bfloat16, enabled=self.config.precision == "mixed")

    def margins_at(self, x: Tensor) -> Tensor:
        """The margins of the network as it trains at the points x, `(batch, classes - 1)`. Proves nothing."""
        return (self.rows @ self.logits(x).unsqueeze(2)).squeeze(2)

    def box(self, factor: float) -> Box:
        """The ball of `factor` times the radius as a box; only where the norm is Linf."""
        if self.config.norm != "linf":
            raise InputError(f"`method` {self.config.method!r} needs `norm` linf, got {self.config.norm!r}")
        ends = self.ball(factor).box()
        return Box(ends.lower, ends.upper)


def worst_cross_entropy(margins: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy of the label against logits `-margin` of the other classes. margins: `(batch, classes - 1)`."""
    logits = torch.cat([margins.new_zeros(margins.shape[0], 1), -margins], 1)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device), reduction=reduction)
