"""The triangle linear program as one would write it on a blackboard, through CVXPY: slow, readable, with any ball.

For teaching, and as a second opinion on `lp`: it shares no row with it. Needs the extra `lp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ballproof.bounds.program import Array
from ballproof.errors import BallproofError, InputError, SoundnessError, UnsupportedError
from ballproof.graph import Graph, Node
from ballproof.operations import Affine
from ballproof.operations.scalar import Scalar
from ballproof.problems import L1, L2, Box, Linf, Region
from ballproof.values import Interval


def lp_minimum_cvxpy(graph: Graph, region: Region, intervals: dict[str, Interval], cotangent: Tensor) -> Tensor:
    """The minimum of each `cotangent (query, *output)` over the triangle relaxation of one example, `(query,)` float64.

    intervals: the ends of every argument of a rectifier (or another piecewise linear function of one variable). The
    numbers are the solver's own, to its tolerance: an estimate of the program's optimum, not a proof.
    """
    cp = _cvxpy()
    if region.batch != 1:
        raise InputError(f"`region` holds {region.batch} examples, expected one: `region[[i]]`")
    x = cp.Variable(int(torch.Size(graph.input_shape).numel()))
    known, constraints = {graph.input: x}, _region(cp, x, region)
    for node in graph.varying:
        known[node.name] = cp.Variable(int(torch.Size(node.shape).numel()))
        if isinstance(node.operation, Affine):
            constraints.append(known[node.name] == _affine(graph, node, node.operation, known))
        elif isinstance(node.operation, Scalar):
            ends = intervals[node.inputs[0]]
            constraints += _triangle(node.operation, known[node.inputs[0]], known[node.name], ends)
        else:
            raise UnsupportedError(f"node `{node.name}`: {node.operation} is not written here; use the method `lp`")
    return torch.tensor([_solve(cp, row, known[graph.output], constraints) for row in cotangent.flatten(1)]).double()


def _cvxpy() -> Any:
    try:
        import cvxpy
    except ImportError as error:
        raise InputError("CVXPY is not installed: pip install 'ballproof[lp]'") from error
    return cvxpy


def _region(cp: Any, x: Any, region: Region) -> list[Any]:
    if not isinstance(region, (Box, Linf, L1, L2)):
        raise UnsupportedError(f"`region` is a {region.norm} region; supported: box, linf, l1, l2")
    box = region.box()
    constraints = [x >= _numbers(box.lower), x <= _numbers(box.upper)]
    if isinstance(region, (L1, L2)):
        order = 1 if isinstance(region, L1) else 2
        constraints.append(cp.norm(x - _numbers(region.center), order) <= float(region.reach.flatten()[0]))
    return constraints


def _affine(graph: Graph, node: Node, operation: Affine, known: dict[str, Any]) -> Any:
    """The matrix of the node, column by column from its forward, applied to the variables of its arguments."""
    constants = graph.constants()
    given = [None if graph.node[i].varies else constants[i].double() for i in node.inputs]
    shapes = graph.shapes(node)

    def value(at: int | None, numbers: Tensor) -> Tensor:
        count = len(numbers)
        zeros = [torch.zeros(count, *s).double() if g is None else g for g, s in zip(given, shapes, strict=True)]
        if at is not None:
            zeros[at] = numbers
        return operation.forward(*zeros).flatten(1)

    with torch.no_grad():
        zero = value(None, torch.zeros(1))
        total: Any = _numbers(zero)
        for i, name in enumerate(node.inputs):
            if given[i] is None:
                size = int(torch.Size(shapes[i]).numel())
                unit = torch.eye(size).double().reshape(size, *shapes[i])
                total = total + (value(i, unit) - zero).T.numpy() @ known[name]
    return total


def _triangle(operation: Scalar, before: Any, after: Any, ends: Interval) -> list[Any]:
    """The convex hull of the function's graph between the ends: its pieces on one side, the chord on the other."""
    turns = {turn for _, turn in operation.breaks}
    if any(operation.curvature) or len(turns) != 1:
        raise UnsupportedError(f"{operation} is not written here; supported: piecewise linear, convex or concave")
    lower, upper = _numbers(ends.lower), _numbers(ends.upper)
    first, last = (_numbers(operation.forward(e)) for e in (ends.lower, ends.upper))
    slope = np.where(upper > lower, (last - first) / np.where(upper > lower, upper - lower, 1.0), 0.0)
    chord = first + _cvxpy().multiply(slope, before - lower)
    (place,) = (p for p, _ in operation.breaks)
    sides = torch.tensor([place - 1, place + 1], dtype=torch.float64)
    heights, slopes = operation.forward(sides).tolist(), operation.derivative(sides).tolist()
    pieces = [h + k * (before - p) for h, k, p in zip(heights, slopes, sides.tolist(), strict=True)]
    inside = [before >= lower, before <= upper]
    if turns == {1}:
        return [*inside, after <= chord, *(after >= p for p in pieces)]
    return [*inside, after >= chord, *(after <= p for p in pieces)]


def _solve(cp: Any, row: Tensor, output: Any, constraints: list[Any]) -> float:
    problem = cp.Problem(cp.Minimize(row.double().numpy() @ output), constraints)
    problem.solve(solver=cp.CLARABEL)
    if problem.status in {"infeasible", "unbounded"}:
        raise SoundnessError(f"the linear program ended as `{problem.status}`: the region is empty, or an interval is wrong")
    if problem.status != "optimal":
        raise BallproofError(f"Clarabel ended as `{problem.status}`, expected `optimal`")
    return float(problem.value)


def _numbers(value: Tensor) -> Array:
    return value.detach().flatten().double().cpu().numpy()
