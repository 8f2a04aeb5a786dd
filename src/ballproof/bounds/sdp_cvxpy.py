"""The semidefinite relaxation as one would write it on a blackboard, through CVXPY: slow, readable.

For teaching, and as a second opinion on `sdp`: it shares no row and no scale with it. Every node is a vector of affine
expressions in the input and the unsettled neurons, and the matrix stands for v v^T of these as they are. Extra `lp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ballproof.bounds.program import Array
from ballproof.errors import BallproofError, InputError, SoundnessError, UnsupportedError
from ballproof.graph import Graph, Node
from ballproof.operations import Affine
from ballproof.operations.relu import Relu
from ballproof.problems import Box, Linf, Region
from ballproof.values import Interval

TOLERANCE = 1e-7
"""What Clarabel reaches on these programs; it calls 1e-8 inaccurate on some."""


def sdp_minimum_cvxpy(graph: Graph, region: Region, intervals: Mapping[str, Interval], cotangent: Tensor) -> Tensor:
    """The minimum of each `cotangent (query, *output)` over the relaxation of one example, `(query,)` float64.

    The numbers are the solver's own, to its tolerance: an estimate of the relaxation's optimum, not a proof.
    """
    cp = _cvxpy()
    if not isinstance(region, (Linf, Box)) or region.batch != 1:
        raise UnsupportedError(f"`region` is a {region.norm} region of {region.batch} examples; supported: one of linf, box")
    ends = {graph.input: region.box(), **intervals}
    count, places = _count(graph, ends)
    P = cp.Variable((1 + count, 1 + count), PSD=True)
    size = region.like[0].numel()
    x = np.eye(1 + count)[1 : 1 + size]
    known, constraints = {graph.input: x}, [P[0, 0] == 1, *_box(P, x, ends[graph.input])]
    for node in graph.varying:
        if isinstance(node.operation, Affine):
            known[node.name] = _affine(graph, node, node.operation, known)
        else:
            own = np.eye(1 + count)[places[node.name]]
            known[node.name] = _rectified(known[node.inputs[0]], own, ends[node.inputs[0]])
            constraints += _rectifier(P, known[node.inputs[0]], own, ends[node.inputs[0]])
    costs = cotangent.flatten(1).double().numpy() @ known[graph.output]
    return torch.tensor([_solve(cp, cost @ P[0], constraints) for cost in costs]).double()


def _cvxpy() -> Any:
    try:
        import cvxpy
    except ImportError as error:
        raise InputError("CVXPY is not installed: pip install 'ballproof[lp]'") from error
    return cvxpy


def _count(graph: Graph, ends: Mapping[str, Interval]) -> tuple[int, dict[str, NDArray[np.int64]]]:
    """How many variables there are, and which of (1, variables) belong to the unsettled coordinates of each rectifier."""
    count = int(torch.Size(graph.input_shape).numel())
    places: dict[str, NDArray[np.int64]] = {}
    for node in graph.varying:
        if not isinstance(node.operation, (Affine, Relu)):
            raise UnsupportedError(f"node `{node.name}`: {node.operation} is not written here; supported: relu")
        if isinstance(node.operation, Relu):
            many = int(_open(ends[node.inputs[0]]).sum())
            places[node.name] = 1 + count + np.arange(many)
            count += many
    return count, places


def _open(x: Interval) -> NDArray[np.bool_]:
    return (_numbers(x.lower) < 0) & (_numbers(x.upper) > 0)


def _rectified(y: Array, own: Array, x: Interval) -> Array:
    """Rows of the outputs: the argument's, nothing, or the variable's own."""
    z = np.where((_numbers(x.lower) >= 0)[:, None], y, 0.0)
    z[_open(x)] = own
    return z


def _box(P: Any, rows: Array, x: Interval) -> list[Any]:
    """v between its ends, and v^2 <= (l + u) v - l u."""
    lines = []
    for row, low, high in zip(rows, _numbers(x.lower), _numbers(x.upper), strict=True):
        v = row @ P[0]
        lines += [v >= low, v <= high, row @ P @ row <= (low + high) * v - low * high]
    return lines


def _rectifier(P: Any, y: Array, own: Array, x: Interval) -> list[Any]:
    """z >= 0, z >= y, z under the chord, z (z - y) = 0, and the squares of z in [0, u] and of z - y in [0, -l]."""
    open_ = _open(x)
    lines = []
    for row, z, low, high in zip(y[open_], own, _numbers(x.lower)[open_], _numbers(x.upper)[open_], strict=True):
        n = z - row
        lines += [z @ P[0] >= 0, n @ P[0] >= 0, (high - low) * (z @ P[0]) <= high * (row @ P[0] - low), z @ P @ n == 0]
        lines += [z @ P @ z <= high * (z @ P[0]), n @ P @ n <= -low * (n @ P[0])]
    return lines


def _affine(graph: Graph, node: Node, operation: Affine, known: Mapping[str, Array]) -> Array:
    """Rows over (1, variables), column by column through the forward of the node itself."""
    constants, columns = graph.constants(), next(iter(known.values())).shape[1]
    given = []
    for name, shape in zip(node.inputs, graph.shapes(node), strict=True):
        if graph.node[name].varies:
            given.append(torch.from_numpy(known[name].T.copy()).reshape(columns, *shape))
        else:
            given.append(constants[name].detach().double())
    zero = [torch.zeros_like(g[:1]) if graph.node[i].varies else g for g, i in zip(given, node.inputs, strict=True)]
    found = (operation.forward(*given) - operation.forward(*zero)).flatten(1).T
    found[:, 0] += operation.forward(*zero).flatten()
    return found.numpy()


def _solve(cp: Any, objective: Any, constraints: list[Any]) -> float:
    problem = cp.Problem(cp.Minimize(objective), constraints)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=TOLERANCE, tol_gap_rel=TOLERANCE, tol_feas=TOLERANCE)
    if problem.status in {"infeasible", "unbounded"}:
        raise SoundnessError(f"the relaxation ended as `{problem.status}`: the region is empty, or an interval is wrong")
    if problem.status != "optimal":
        raise BallproofError(f"Clarabel ended as `{problem.status}`, expected `optimal`")
    return float(problem.value)


def _numbers(value: Tensor) -> Array:
    return value.detach().flatten().double().cpu().numpy()
