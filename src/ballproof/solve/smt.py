"""Satisfiability modulo linear real arithmetic: exact rationals by z3 (Huang et al. 2017, Katz et al. 2017, Ehlers 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from ballproof.errors import InputError, UnsupportedError
from ballproof.problems import L1, Box, Linf
from ballproof.solve.clock import Answer, Task, TimeUp
from ballproof.solve.leaves import sites_of
from ballproof.solve.milp import double, members
from ballproof.solve.milp_pieces import Piece, refuse_curved
from ballproof.solve.neurons import crown_pass
from ballproof.solve.smt_exact import Dyadic
from ballproof.solve.smt_forms import Bent, Forms, TooMany

MOST = 60
"""Unsettled neurons; each doubles the cases at worst."""

HOPELESS = 2 * MOST
"""Unsettled neurons by lines in floats, with which the exact bounds, about as tight, need not be tried."""

INSETS = Fraction(1, 10**3), Fraction(1, 10**6), Fraction(1, 10**9)
"""A model may lie on the edge of the violation, where floats miss it; then one is asked for that lies so far inside."""


def smt(task: Task) -> Answer:
    """`proven` exactly: no real number of the region violates the property on the task's graph, read as rationals.

    The weights, the ends of the region and the property are the rationals that their floats are; every step from there to
    the verdict is rational arithmetic. A model is a counterexample once it is confirmed. For boxes, L-infinity and L1 balls
    and piecewise linear networks with at most `MOST` unsettled neurons; with more, the answer says so. Raises `InputError`
    where z3 is not installed.
    """
    if find_spec("z3") is None:
        raise InputError("the engine `smt` needs z3, which is not installed: pip install 'ballproof[smt]'")
    if not isinstance(task.region, (Linf, Box, L1)):
        raise UnsupportedError(f"the exact solver has no {task.region.norm} ball; supported: linf, box, l1")
    if task.region.batch != 1:
        raise InputError(f"`region` holds {task.region.batch} examples, expected one: `region[[i]]`")
    refuse_curved(task.graph)
    try:
        with torch.no_grad():
            return _decided(task)
    except TooMany:
        return Answer(False, reason=f"size: more than {MOST} neurons are unsettled, too many for the exact solver", final=True)
    except TimeUp:
        return Answer(False, reason="time: the exact solver was not done")


def _decided(task: Task) -> Answer:
    exact, question = double(task), _Question(task)
    quick = crown_pass(exact)
    if sum(len(s.places) for s in sites_of(exact.graph, quick.intervals, quick.constants)) > HOPELESS:
        raise TooMany
    forms = Forms(exact.graph, box_ends(exact), MOST, question.in_time).run()
    question.state(forms, exact)
    asked = task.property
    rows = Dyadic.of(asked.coefficients[0].double().cpu().flatten(1).numpy())
    output = rows.times(forms.nodes[exact.graph.output].wide(forms.columns))
    offsets = Dyadic.of(asked.offsets[0].double().cpu().reshape(-1, 1).numpy())
    output = output + offsets.wide(forms.columns)
    reason = ""
    for own in members(asked.groups):
        found = question.group(output[own], forms)
        if isinstance(found, Tensor):
            return Answer(False, counterexample=found, leaves=question.asked)
        reason = reason or found
    return Answer(not reason, reason=reason, bound=float("-inf") if reason else 0.0, leaves=question.asked)


def box_ends(task: Task) -> list[tuple[Fraction, Fraction]]:
    """Ends of every input, not inside those of the region; a box's own exactly, a cut ball's moved out by a rounding."""
    box = task.region.box()
    low, high = box.lower, box.upper
    if isinstance(task.region, L1):
        low, high = (torch.nextafter(e, torch.full_like(e, far)) for e, far in ((low, -torch.inf), (high, torch.inf)))
    return [(Fraction(a), Fraction(b)) for a, b in zip(low.flatten().tolist(), high.flatten().tolist(), strict=True)]


@dataclass
class _Question:
    """One solver of z3 in a context of its own, so that threads do not meet. asked: how often it was."""

    task: Task
    asked: int = 0

    def __post_init__(self) -> None:
        import z3

        self.z3: Any = z3
        self.context = z3.Context()
        self.solver = z3.SolverFor("QF_LRA", ctx=self.context)
        self.columns: list[Any] = []
        self.model: Any = None

    def in_time(self) -> None:
        if self.task.clock.over:
            raise TimeUp

    def number(self, value: Fraction | float) -> Any:
        return self.z3.RealVal(str(Fraction(value)), self.context)

    def form(self, row: Dyadic) -> Any:
        """One row `(columns,)` as a sum of terms."""
        constant, *factors = row.fractions()
        terms = [self.number(f) * v for f, v in zip(factors, self.columns, strict=False) if f]
        return self.z3.Sum([self.number(constant), *terms])

    def state(self, forms: Forms, exact: Task) -> None:
        """The region and the network."""
        self.columns = [self.z3.Real(f"v{i}", self.context) for i in range(forms.columns - 1)]
        for x, (low, high) in zip(self.columns, forms.ends, strict=False):
            self.solver.add(x >= self.number(low), x <= self.number(high))
        if isinstance(exact.region, L1):
            self._l1(exact.region)
        for variable in forms.variables:
            self.in_time()
            y = self.columns[variable.column - 1]
            if isinstance(variable, Bent):
                self._bent(variable, y)
            else:
                elements = [self.form(variable.elements[i]) for i in range(len(variable.elements))]
                self.solver.add(*(y >= e for e in elements), self.z3.Or(*(y == e for e in elements)))

    def _l1(self, region: L1) -> None:
        centers = [Fraction(c) for c in region.center.flatten().tolist()]
        moves = [self.z3.Real(f"move{i}", self.context) for i in range(len(centers))]
        for x, c, move in zip(self.columns, centers, moves, strict=False):
            self.solver.add(move >= x - self.number(c), move >= self.number(c) - x)
        self.solver.add(self.z3.Sum(moves) <= self.number(float(region.reach.flatten()[0])))
        for x, end, sign in self._range(region):
            self.solver.add(sign * x >= sign * self.number(end))

    def _range(self, region: L1) -> list[tuple[Any, float, int]]:
        """The valid range, exactly."""
        if region.ends is None:
            return []
        low, high = (e.expand_as(region.center).flatten().tolist() for e in region.ends)
        rows = [(x, a, b) for x, a, b in zip(self.columns, low, high, strict=False)]
        return [(x, a, 1) for x, a, _ in rows if a > -float("inf")] + [(x, b, -1) for x, _, b in rows if b < float("inf")]

    def _bent(self, variable: Bent, y: Any) -> None:
        x = self.z3.Real(f"a{variable.column}", self.context)
        self.solver.add(x == self.form(variable.argument[0]))
        self.solver.add(x >= self.number(variable.ends[0]), x <= self.number(variable.ends[1]))
        self.solver.add(self.z3.Or(*(self._piece(p, x, y) for p in variable.pieces)))

    def _piece(self, piece: Piece, x: Any, y: Any) -> Any:
        rows = [y == self.number(piece.slope) * x + self.number(piece.offset)]
        if piece.start > -float("inf"):
            rows.append(x > self.number(piece.start) if piece.open else x >= self.number(piece.start))
        if piece.end < float("inf"):
            rows.append(x < self.number(piece.end) if piece.open else x <= self.number(piece.end))
        return self.z3.And(*rows)

    def group(self, rows: Dyadic, forms: Forms) -> Tensor | str:
        """A confirmed counterexample; or an empty word where all rows of a group at once are impossible; or what is open."""
        terms = [self.form(rows[i]) for i in range(len(rows))]
        scale = max(abs(forms.least(rows[i : i + 1])) for i in range(len(rows)))
        for inset in (Fraction(0), *INSETS):
            said = self._check([t <= self.number(-inset * scale) for t in terms])
            if said == self.z3.unknown:
                return f"time: the exact solver says `{self.solver.reason_unknown()}`"
            if said == self.z3.sat and (found := self._confirmed()) is not None:
                return found
            if said == self.z3.unsat and not inset:
                return ""
        return "rounding: an exact violation exists that the network's own arithmetic does not show"

    def _check(self, rows: list[Any]) -> Any:
        self.in_time()
        self.asked += 1
        self.solver.set("timeout", max(1, int(1000 * self.task.clock.left)))
        self.solver.push()
        self.solver.add(*rows)
        said = self.solver.check()
        self.model = self.solver.model() if said == self.z3.sat else None
        self.solver.pop()
        return said

    def _confirmed(self) -> Tensor | None:
        region = self.task.region
        count = region.like[0].numel()
        found = [self.model.eval(x, model_completion=True).as_fraction() for x in self.columns[:count]]
        point = torch.tensor([float(f) for f in found], dtype=torch.float64).reshape(1, *region.shape)
        return self.task.confirm(region.project(point.to(region.like)))
