"""What the semidefinite relaxation refuses, and that no wrong input gives a number."""

from __future__ import annotations

import sys

import pytest
import torch
from lp_zoo import REGIONS, make, point

from ballproof.bounds.interval import interval_pass
from ballproof.bounds.sdp import SDP, sdp_lower
from ballproof.bounds.sdp_cvxpy import sdp_minimum_cvxpy
from ballproof.errors import InputError, SoundnessError, UnsupportedError
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.operations import Role
from ballproof.problems import L2, Linf, Region
from ballproof.values import Interval

ONE = torch.ones(1, 1, 2, dtype=torch.float64)


def prepared(region: Region, name: str = "relu") -> tuple[Graph, dict[str, Interval]]:
    net, _ = make(name, 0)
    graph = as_graph(net, region)
    with torch.no_grad():
        return graph, interval_pass(graph, region.box())


def argument(graph: Graph) -> str:
    return next(n.inputs[0] for n in graph.varying if n.role is Role.NONLINEAR)


@pytest.mark.parametrize("region", [REGIONS["l1"](point(0)), L2(point(0), 0.3)], ids=["l1", "l2"])
def test_other_balls_are_refused_by_name(region: Region) -> None:
    graph, known = prepared(region)
    with pytest.raises(UnsupportedError, match=f"no {region.norm} ball; supported: linf, box"):
        sdp_lower(graph, region, known, ONE)
    with pytest.raises(UnsupportedError, match=f"is a {region.norm} region"):
        sdp_minimum_cvxpy(graph, region, known, ONE[0])


@pytest.mark.parametrize(("name", "operation"), [("leaky", "LeakyRelu"), ("abs", "Abs"), ("pool", "MaxPool")])
def test_other_operations_are_refused_with_their_node(name: str, operation: str) -> None:
    region = Linf(point(0), 0.3)
    graph, known = prepared(region, name)
    with pytest.raises(UnsupportedError, match=rf"node `.+`: the method `sdp` has no {operation}.*supported: relu"):
        sdp_lower(graph, region, known, ONE)
    with pytest.raises(UnsupportedError, match=rf"{operation}.* is not written here"):
        sdp_minimum_cvxpy(graph, region, known, ONE[0])


def test_an_unknown_solver_is_told_the_nearest_name() -> None:
    region = Linf(point(0), 0.3)
    graph, known = prepared(region)
    with pytest.raises(InputError, match=r"`solver` is 'interor', expected one of .*; did you mean `interior`"):
        sdp_lower(graph, region, known, ONE, "interor")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`steps` is 0"):
        sdp_lower(graph, region, known, ONE, steps=0)


def test_two_examples_in_one_relaxation_are_refused() -> None:
    region = Linf(point(0).expand(2, -1), 0.3)
    graph, known = prepared(region)
    with pytest.raises(InputError, match="holds 2 examples"):
        SDP(graph, region, known, "auto", 1)


def test_missing_intervals_are_named() -> None:
    region = Linf(point(0), 0.3)
    graph, known = prepared(region)
    lost = argument(graph)
    with pytest.raises(InputError, match=f"lack `{lost}`"):
        sdp_lower(graph, region, {k: v for k, v in known.items() if k != lost}, ONE)


@pytest.mark.parametrize(("lower", "upper"), [(float("nan"), 1.0), (-float("inf"), 1.0), (-1.0, float("inf")), (1.0, -1.0)])
def test_ends_that_are_no_numbers_or_crossed_are_refused(lower: float, upper: float) -> None:
    region = Linf(point(0), 0.3)
    graph, known = prepared(region)
    name = argument(graph)
    shape = known[name].lower.shape
    wrong = Interval(torch.full(shape, lower, dtype=torch.float64), torch.full(shape, upper, dtype=torch.float64))
    with pytest.raises(SoundnessError, match=r"NaN|infinite|exceeds"):
        sdp_lower(graph, region, {**known, name: wrong}, ONE)


def test_without_cvxpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    region = Linf(point(0), 0.3)
    graph, known = prepared(region)
    with pytest.raises(InputError, match=r"pip install 'ballproof\[lp\]'"):
        sdp_minimum_cvxpy(graph, region, known, ONE[0])
