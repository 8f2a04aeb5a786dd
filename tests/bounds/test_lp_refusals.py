"""What the linear program refuses, and that no wrong input gives a number."""

from __future__ import annotations

import highspy
import numpy as np
import pytest
import torch
from lp_zoo import make, point

from ballproof.bounds import lower_bounds
from ballproof.bounds.interval import interval_pass
from ballproof.bounds.lp import TriangleLP
from ballproof.bounds.program import Program
from ballproof.bounds.solver import Solver
from ballproof.errors import BallproofError, InputError, SoundnessError, UnsupportedError
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.operations import Role
from ballproof.problems import L2, Linf, Region
from ballproof.values import Interval


def prepared(region: Region) -> tuple[Graph, dict[str, Interval]]:
    net, _ = make("relu", 0)
    graph = as_graph(net, region)
    with torch.no_grad():
        return graph, interval_pass(graph, region.box())


def test_an_l2_ball_is_refused_by_name() -> None:
    net, _ = make("relu", 0)
    with pytest.raises(UnsupportedError, match="l2 ball; supported: linf, box, l1"):
        lower_bounds(net, L2(point(0), 0.3), torch.ones(1, 1, 2).double(), "lp")


def test_two_examples_in_one_model_are_refused() -> None:
    region = Linf(point(0).expand(2, -1), 0.3)
    graph, known = prepared(region)
    with pytest.raises(InputError, match="holds 2 examples"):
        TriangleLP(graph, region, known)


def test_missing_intervals_are_named() -> None:
    region = Linf(point(0), 0.3)
    graph, known = prepared(region)
    first = next(n.inputs[0] for n in graph.varying if n.role is Role.NONLINEAR)
    with pytest.raises(InputError, match=f"lack `{first}`"):
        TriangleLP(graph, region, {k: v for k, v in known.items() if k != first})


def test_intervals_that_nothing_satisfies_are_a_soundness_error_in_words() -> None:
    region = Linf(point(0), 0.3)
    graph, known = prepared(region)
    last = [n.inputs[0] for n in graph.varying if n.role is Role.NONLINEAR][-1]
    output = graph.node[graph.output].inputs[0]
    wrong = {k: v for k, v in known.items() if k != output}
    wrong[last] = Interval(torch.full_like(known[last].lower, -1e-3), known[last].upper * 0 + 1e-3)
    with pytest.raises(SoundnessError, match=r"`Infeasible`: the region is empty, or an interval is wrong"):
        TriangleLP(graph, region, wrong).minimum(torch.ones(1, 2).double())


@pytest.mark.parametrize("end", [float("nan"), float("inf")])
def test_ends_that_are_no_numbers_are_refused(end: float) -> None:
    with pytest.raises(SoundnessError, match="ends of `x`"):
        Program().variables(Interval(torch.zeros(1, 2), torch.tensor([[1.0, end]])), "x")


def test_a_solver_that_stops_early_gives_no_number() -> None:
    program = Program()
    first = program.variables(Interval(torch.zeros(1, 4), torch.ones(1, 4)), "x")
    rows = program.one_each(first, np.ones(4))
    program.at_least(rows[:1] + rows[1:2] * 0, np.array([0.5]))
    solver = Solver(program)
    assert solver.minimum(np.ones(4)) == pytest.approx(0.5)
    solver.highs.setOptionValue("presolve", "off")
    solver.highs.setOptionValue("simplex_iteration_limit", 0)
    solver.highs.clearSolver()
    with pytest.raises(BallproofError, match="expected `Optimal`: nothing is proven"):
        solver.minimum(np.array([1.0, -1.0, 2.0, -3.0]))
    assert solver.highs.getModelStatus() == highspy.HighsModelStatus.kIterationLimit
