"""The minimal adversarial distance of a point: the radius of the smallest ball that holds a violation (Tjeng et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from ballproof.bounds.program import Program
from ballproof.errors import BallproofError, InputError, SoundnessError, UnsupportedError
from ballproof.graph import Graph
from ballproof.graph.fuse import fused
from ballproof.networks import as_graph
from ballproof.problems import Label, Property, Region, classified_as
from ballproof.problems.ball import ball
from ballproof.problems.checks import Clip
from ballproof.solve.clock import Clock, Task, TimeUp, interrupting
from ballproof.solve.falsify import Walk, falsify
from ballproof.solve.milp import members, on_box, refuse
from ballproof.solve.milp_program import MixedProgram
from ballproof.solve.milp_solver import FEASIBILITY, TRUSTED, Found, copied, least
from ballproof.solve.verify import confirmed_by
from ballproof.values import Interval

WALK = Walk(20, 40)

SHRINK = 0.8
"""How much smaller than the last counterexample's ball the next one is in which the attack looks."""

CLOSE = 1e-4
"""A violation so near to the proven distance needs no further search."""

INSETS = 1e-8, 1e-5
"""How far inside the violation, relative to its rows' size, a point is looked for that the network itself confirms."""

PUSHES = torch.cat([torch.zeros(1), 10.0 ** torch.linspace(-12, -2, 41)]).double()
"""A solver's point lies on the edge of the violation; so much further from the center, relatively, it is looked for."""


class Distance(NamedTuple):
    """No violation is nearer than `lower`; `point (*input)` is one at distance `upper`, or None with an infinite `upper`.

    In the units of the input. Where the search was complete the two agree but for the solver's tolerance.
    """

    lower: float
    upper: float
    point: Tensor | None


def minimal_distance(
    network: nn.Module | Graph,
    x: Tensor,
    property: int | Label | Property,
    norm: str = "linf",
    timeout: float = 60.0,
    clip: Clip | None = None,
    limit: float = 1.0,
) -> Distance:
    """How far the nearest input lies that violates the property, from below by proof and from above by a point.

    x: `(1, *input)`. property: a label, or any OR of ANDs as a violation. norm: `linf` or `l1`. clip: the valid range. limit:
    distances beyond it are not looked at; `lower` is at most this. timeout: seconds. `lower` is exact but for floats and the
    solver's tolerance (see `milp`); `upper` is that of a point asked of the network itself. For piecewise linear networks;
    others raise `UnsupportedError`.
    """
    if norm not in ("linf", "l1"):
        raise UnsupportedError(f"`norm` is {norm!r}, expected linf or l1")
    if len(x) != 1:
        raise InputError(f"`x` holds {len(x)} examples, expected one: x[:1]")
    if not 0 < limit < float("inf"):
        raise InputError(f"`limit` is {limit}, expected a finite distance above 0")
    region = ball(norm, x, limit, clip)
    graph = as_graph(network, region)
    label = classified_as(property) if isinstance(property, int) else property
    asked = label.property(graph.output_shape[0]) if isinstance(label, Label) else label
    task = Task(fused(graph), region, asked, confirmed_by(network, region, asked), Clock(timeout))
    refuse(task)
    search = _Search(task, norm, x, clip, limit)
    try:
        with interrupting(task.clock), torch.no_grad():
            search.attack()
            search.prove()
    except TimeUp:
        pass
    return search.answer()


@dataclass
class _Search:
    """lower: proven for all groups. upper, point: the nearest violation so far."""

    task: Task
    norm: str
    x: Tensor
    clip: Clip | None
    limit: float
    lower: float = 0.0
    upper: float = float("inf")
    point: Tensor | None = None

    def attack(self) -> None:
        """Counterexamples in smaller and smaller balls."""
        self._nearer(self.task.confirm(self.x))
        reach, clock = self.limit, self.task.clock.part(0.2)
        while reach > 0 and not clock.over:
            found = falsify(replace(self.task, region=self._ball(reach)), clock, WALK)
            if found is None:
                return
            self._nearer(found)
            reach = SHRINK * self.upper

    def prove(self) -> None:
        """One program for each group, on the largest ball that matters; each looks for something nearer than is known."""
        if self.upper == 0.0:
            return
        reach = min(self.upper, self.limit)
        model = on_box(replace(self.task, region=self._ball(reach)))
        distance = _distance(model.program, model, self.x, reach, self.norm)
        bounds = [self._group(own, model, distance) for own in members(self.task.property.groups)]
        self.lower = max(0.0, min(*bounds, reach))

    def answer(self) -> Distance:
        slack = 1e-4 if self.x.dtype == torch.float32 else TRUSTED
        if self.lower > self.upper + slack * max(1.0, self.upper):
            raise SoundnessError(f"no violation is nearer than {self.lower:.9g}, and one is at {self.upper:.9g}: one is wrong")
        return Distance(min(self.lower, self.upper), self.upper, self.point)

    def _ball(self, reach: float) -> Region:
        return ball(self.norm, self.x, reach, self.clip)

    def _nearer(self, point: Tensor | None) -> None:
        if point is None:
            return
        moves = (point.double() - self.x[0].double()).abs()
        size = float(moves.max() if self.norm == "linf" else moves.sum())
        if size < self.upper:
            self.upper, self.point = size, point

    def _group(self, own: list[int], model: MixedProgram, distance: int) -> float:
        """A proven lower distance of this group's violations; a nearer violation is kept where one is found."""
        found = self._nearest(own, model, distance, TRUSTED)
        if found is None or found.impossible:
            return 0.0 if found is None else float(model.program.column_ends()[1][distance])
        self._pushed(found, model)
        for inset in INSETS:
            if self.upper > found.bound + CLOSE * max(1.0, found.bound) and not self.task.clock.over:
                self._pushed(self._nearest(own, model, distance, -inset) or found, model)
        return max(found.bound, 0.0) - 10 * FEASIBILITY

    def _nearest(self, own: list[int], model: MixedProgram, distance: int, slack: float) -> Found | None:
        """The nearest point at which the group's rows are at most `slack`, relative to their size; None without an answer."""
        asked, program = self.task.property, copied(model.program)
        rows, constants = model.rows(model.graph.output, asked.coefficients[0][own].double())
        ends = constants + asked.offsets[0][own].double().numpy()
        program.at_most(rows, slack * np.maximum(1.0, np.abs(ends)) - ends)
        cost = np.zeros(program.count)
        cost[distance] = 1.0
        gap = TRUSTED * float(program.column_ends()[1][distance]) / 10
        try:
            return least(program, model.whole, cost, self.task.clock.left, gap=gap)
        except BallproofError:
            return None

    def _pushed(self, found: Found, model: MixedProgram) -> None:
        """The solver's point, or one a little beyond it that violates the property on the network itself."""
        if found.point is None:
            return
        first = model.composition.written[model.graph.input].first
        center = self.x.double()
        move = torch.from_numpy(found.point[first : first + self.x.numel()]).reshape(center.shape) - center
        stretch = (1 + PUSHES).reshape(-1, *(1 for _ in center.shape[1:]))
        self._nearer(self.task.confirm((center + stretch * move).to(self.x)))


def _distance(program: Program, model: MixedProgram, x: Tensor, reach: float, norm: str) -> int:
    """A variable that is at least the distance of the input from x; its column."""
    center = x.detach().double().flatten().numpy()
    first, count = model.composition.written[model.graph.input].first, len(center)
    inputs = first + np.arange(count)
    none = torch.zeros(count if norm == "l1" else 1, dtype=torch.float64)
    moves = program.variables(Interval(none, none + reach), "the moves from x")
    each = moves + (np.arange(count) if norm == "l1" else np.zeros(count, dtype=int))
    for sign in (1.0, -1.0):
        data, row = np.concatenate([np.full(count, sign), -np.ones(count)]), np.tile(np.arange(count), 2)
        rows = sparse.csr_matrix((data, (row, np.concatenate([inputs, each]))), (count, program.count))
        program.at_most(rows, sign * center)
    if norm == "linf":
        return moves
    total = program.variables(Interval(none[:1], none[:1] + reach), "the distance from x")
    data, columns = np.append(np.ones(count), -1.0), np.append(each, total)
    program.at_most(sparse.csr_matrix((data, (np.zeros(count + 1, dtype=int), columns)), (1, program.count)), np.zeros(1))
    return total
