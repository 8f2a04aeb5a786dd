"""Mixed integer programming: a group of the property is impossible, or a point of the region has it (Tjeng et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from scipy import sparse
from torch import Tensor

from ballproof.bounds.interval import interval_pass
from ballproof.bounds.lp import l1_rows
from ballproof.bounds.program import Array
from ballproof.errors import BallproofError, InputError, UnsupportedError
from ballproof.operations.stairs import Jump
from ballproof.problems import L1, Box, Linf
from ballproof.solve.clock import Answer, Task
from ballproof.solve.milp_others import chosen
from ballproof.solve.milp_pieces import refuse_curved
from ballproof.solve.milp_program import MixedProgram
from ballproof.solve.milp_solver import TRUSTED, Found, copied, largest_row, least
from ballproof.solve.neurons import tight_pass

BESIDE = 1e-5
"""How far from a jump a counterexample is looked for, where the program's own point lies on the jump."""


def milp(task: Task) -> Answer:
    """`proven` if for every group the largest row stays above the solver's tolerance; a counterexample if one is confirmed.

    Exact but for floats: a minimum within `TRUSTED` of zero (a share of the rows' size) is neither. For boxes, L-infinity and
    L1 balls and piecewise linear networks; anything else raises `UnsupportedError`. Price: grows with the neurons that
    optimised slopes leave unsettled, from 0.01 s for ten to minutes for a few hundred.
    """
    refuse(task)
    with torch.no_grad():
        answer = _Groups(task, modelled(task)).run()
        if answer.decided or not any(isinstance(n.operation, Jump) for n in task.graph.varying):
            return answer
        beside = _Groups(task, modelled(task, BESIDE)).run()
        return answer if beside.counterexample is None else beside


def refuse(task: Task) -> None:
    """Raises where no mixed integer program is known, and where a solver is named that is not there."""
    chosen()
    if not isinstance(task.region, (Linf, Box, L1)):
        raise UnsupportedError(f"the mixed integer program has no {task.region.norm} ball; supported: linf, box, l1")
    if task.region.batch != 1:
        raise InputError(f"`region` holds {task.region.batch} examples, expected one: `region[[i]]`")
    refuse_curved(task.graph)


def modelled(task: Task, inset: float = 0.0) -> MixedProgram:
    """The program of the network on the region, on intervals with optimised slopes."""
    model, region = on_box(task, inset), double(task).region
    if isinstance(region, L1):
        l1_rows(model.program, region, model.composition.written[model.graph.input].first)
    return model


def on_box(task: Task, inset: float = 0.0) -> MixedProgram:
    """The same with the region's box in place of the region; the intervals are those of the region."""
    exact = double(task)
    box = exact.region.box()
    return MixedProgram(exact.graph, box, {**interval_pass(exact.graph, box), **tight_pass(exact).intervals}, inset)


def double(task: Task) -> Task:
    """The same question in double precision on the CPU; the numbers are the same."""
    graph, region = task.graph.to(device="cpu", dtype=torch.float64), task.region.to(device="cpu", dtype=torch.float64)
    return replace(task, graph=graph, region=region)


def members(groups: tuple[int, ...]) -> list[list[int]]:
    """The numbers of each group's rows."""
    return [[i for i, g in enumerate(groups) if g == name] for name in dict.fromkeys(groups)]


@dataclass
class _Groups:
    """The groups of the property, one program each. bound: the worst so far."""

    task: Task
    model: MixedProgram
    bound: float = float("inf")
    programs: int = 0

    def run(self) -> Answer:
        asked, reasons = self.task.property, []
        rows, constants = self.model.rows(self.model.graph.output, asked.coefficients[0].double().cpu())
        constants = constants + asked.offsets[0].double().cpu().numpy()
        scale = self._scale()
        for own in members(asked.groups):
            if self.task.clock.over:
                return self._open("time: not every group of the property was looked at")
            trusted = TRUSTED * max(1.0, float(scale[own].max()))
            answer = self._group(rows[own], constants[own], trusted)
            if isinstance(answer, Answer):
                return answer
            reasons += [answer] if answer else []
        if reasons:
            return self._open("; ".join(dict.fromkeys(reasons)))
        return Answer(True, bound=self.bound, leaves=self.programs)

    def _scale(self) -> Array:
        """The size of each row's terms at the region's center."""
        asked, exact = self.task.property, double(self.task)
        outputs = exact.graph(exact.region.project(exact.region.box().center)).abs()
        size = outputs.flatten(1) @ asked.coefficients[0].to(outputs).abs().flatten(1).T + asked.offsets[0].to(outputs).abs()
        return size[0].numpy()

    def _group(self, rows: sparse.csr_matrix, constants: Array, trusted: float) -> Answer | str:
        """A counterexample, or why there is none: an empty word where the group is impossible."""
        program = copied(self.model.program)
        column, bottom = largest_row(program, rows, constants, trusted)
        if column < 0:
            self.bound = min(self.bound, bottom)
            return ""
        cost = torch.zeros(program.count, dtype=torch.float64).numpy()
        cost[column] = 1.0
        for target in (0.0, float("-inf")):
            self.programs += 1
            try:
                found = least(program, self.model.whole, cost, self.task.clock.left, target, trusted / 10)
            except BallproofError as error:
                return str(error)
            if found.impossible:
                self.bound = min(self.bound, trusted)
                return ""
            if (point := self._confirmed(found)) is not None:
                return Answer(False, counterexample=point, leaves=self.programs)
            if found.complete or self.task.clock.over:
                break
        self.bound = min(self.bound, found.bound)
        return _why(found, trusted)

    def _confirmed(self, found: Found) -> Tensor | None:
        if found.point is None:
            return None
        first, region = self.model.composition.written[self.model.graph.input].first, self.task.region
        inputs = torch.from_numpy(found.point[first : first + region.like[0].numel()])
        return self.task.confirm(region.project(inputs.reshape(1, *region.shape).to(region.like)))

    def _open(self, reason: str) -> Answer:
        return Answer(False, reason=reason, bound=self.bound, leaves=self.programs)


def _why(found: Found, trusted: float) -> str:
    if not found.complete:
        return f"time: the integer program is open, the worst margin proven is {found.bound:.4g}"
    if found.value < -trusted:
        return f"a jump, or rounding: the program's worst margin is {found.value:.4g}, which its point does not have"
    return f"rounding: the worst margin is {found.value:.4g}, too near to zero for the solver's tolerance of {trusted:.1g}"
