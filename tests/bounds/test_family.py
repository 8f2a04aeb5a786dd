"""Every method on graphs of every kind: sound by sampling, and in the order in which theory puts the methods."""

from __future__ import annotations

import pytest
import torch
from smooth_zoo import ZOO, inputs
from torch import Tensor

from ballproof.bounds import AlphaMethod, bound, linear_bounds, lower_bounds
from ballproof.errors import DomainError, InputError
from ballproof.graph import Graph
from ballproof.graph.builder import GraphBuilder
from ballproof.operations.arithmetic import Subtract
from ballproof.operations.power import Power
from ballproof.operations.relu import Relu
from ballproof.problems import L2, Box, Linf, Region

METHODS = ("interval", "zonotope", "dual", "crown", "crown-interval", "alpha", "alpha-all", "lp", "lp-all", "zonotope+crown")
REGIONS = {"linf": lambda x: Linf(x, 0.2), "clip": lambda x: Linf(x, 0.3, clip=(0.0, 1.0)), "l2": lambda x: L2(x, 0.4)}
EVERY = pytest.mark.parametrize("name", list(ZOO))


def samples(region: Region, count: int = 300) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [region.sample(generator) for _ in range(count)]


def rows(graph: Graph) -> Tensor:
    return torch.randn(1, 4, *graph.output_shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@EVERY
@pytest.mark.parametrize("kind", list(REGIONS))
@pytest.mark.parametrize("method", METHODS)
def test_no_sample_is_below_the_bound(name: str, kind: str, method: str) -> None:
    if kind == "l2" and method.startswith("lp"):
        return
    graph, region = ZOO[name](), REGIONS[kind](inputs())
    asked = rows(graph)
    found = lower_bounds(graph, region, asked, method)
    lowest = torch.stack([(asked * graph(x).unsqueeze(1)).flatten(2).sum(2) for x in samples(region)]).amin(0)
    assert bool((found <= lowest + 1e-9).all())
    ends = bound(graph, region, method)
    outputs = torch.stack([graph(x) for x in samples(region, 60)])
    assert bool((ends.lower <= outputs.amin(0) + 1e-9).all()) and bool((ends.upper >= outputs.amax(0) - 1e-9).all())


@EVERY
@pytest.mark.parametrize("kind", list(REGIONS))
def test_zonotopes_are_the_dual_bounds_from_the_other_end(name: str, kind: str) -> None:
    """Parallel lines on the same intervals: forward and backward give one number."""
    graph, region = ZOO[name](), REGIONS[kind](inputs())
    asked = rows(graph)
    assert torch.allclose(lower_bounds(graph, region, asked, "zonotope"), lower_bounds(graph, region, asked, "dual"), atol=1e-9)


@EVERY
def test_the_methods_are_ordered(name: str) -> None:
    graph, region = ZOO[name](), Linf(inputs(), 0.2)
    asked = rows(graph)
    found = {
        m: lower_bounds(graph, region, asked, m) for m in ("crown", "alpha", "alpha-all", "lp", "lp-all", "zonotope+crown")
    }
    assert bool((found["alpha"] >= found["crown"] - 1e-9).all())
    assert bool((found["alpha-all"] >= found["crown"] - 1e-9).all())
    assert bool((found["zonotope+crown"] >= found["crown"] - 1e-12).all())
    assert bool((found["lp-all"] >= found["crown"] - 1e-7).all())
    if name == "relu":  # a smooth function's tangents stand elsewhere on a smaller interval
        assert bool((found["lp-all"] >= found["lp"] - 1e-7).all())
    assert bool((found["lp"] >= found["crown"] - 1e-7).all())


def test_alpha_reaches_the_linear_program_on_rectifiers() -> None:
    """With fixed intermediate intervals its optimum is the program's (Salman et al. 2019, strong duality)."""
    graph, region = ZOO["relu"](), Linf(inputs(), 0.4)
    asked = rows(graph)
    crown, lp = lower_bounds(graph, region, asked, "crown"), lower_bounds(graph, region, asked, "lp")
    found = lower_bounds(graph, region, asked, AlphaMethod(steps=300, rate=0.1, decay=0.99))
    assert bool((lp - crown).max() > 0.01)
    assert bool((found <= lp + 1e-7).all()) and bool((lp - found <= 1e-3).all())


def test_optimised_intermediate_intervals_are_tighter_than_fixed_ones() -> None:
    graph, region = ZOO["gelu"](), Linf(inputs(), 0.6)
    asked = rows(graph)
    fixed, free = lower_bounds(graph, region, asked, "alpha"), lower_bounds(graph, region, asked, "alpha-all")
    assert float((free - fixed).mean()) > 1e-3 and float((fixed - free).max()) < 0.05


def test_alpha_stops_where_it_is_told() -> None:
    """With a level that the adaptive lines reach, nothing is optimised; with one that nobody reaches, everything is."""
    graph, region = ZOO["relu"](), Linf(inputs(), 0.4)
    asked = rows(graph)
    crown = lower_bounds(graph, region, asked, "crown")
    low, high = float(crown.min()) - 1, float(crown.max()) + 100
    assert torch.equal(lower_bounds(graph, region, asked, AlphaMethod(stop=low)), crown)
    whole = lower_bounds(graph, region, asked, AlphaMethod())
    assert torch.allclose(lower_bounds(graph, region, asked, AlphaMethod(stop=high)), whole, atol=1e-12)
    some = float(crown.amin(1).median())
    part = lower_bounds(graph, region, asked, AlphaMethod(stop=some))
    done = crown.amin(1) > some
    assert bool(done.any()) and torch.equal(part[done], crown[done])


def test_examples_do_not_touch_each_other_in_the_optimisation() -> None:
    graph, region = ZOO["gelu"](), Linf(inputs(), 0.4)
    asked = rows(graph)
    whole = lower_bounds(graph, region, asked, "alpha")
    for i in range(region.batch):
        alone = lower_bounds(graph, region[[i]], asked, "alpha")
        assert bool((alone - whole[[i]]).abs().max() < 0.02)


@EVERY
@pytest.mark.parametrize("method", ["dual", "crown", "crown-interval"])
def test_the_lines_to_the_input_enclose_the_network(name: str, method: str) -> None:
    graph, region = ZOO[name](), Linf(inputs(), 0.2)
    found = linear_bounds(graph, region, method)
    for x in samples(region, 50):
        y = graph(x).flatten(1)
        below = (found.lower.slopes[0] * x.unsqueeze(1)).flatten(2).sum(2) + found.lower.offset
        above = (found.upper.slopes[0] * x.unsqueeze(1)).flatten(2).sum(2) + found.upper.offset
        assert bool((below <= y + 1e-9).all()) and bool((above >= y - 1e-9).all())


@EVERY
def test_the_lines_at_their_worst_point_are_the_bounds(name: str) -> None:
    graph, region = ZOO[name](), Linf(inputs(), 0.2)
    lines, ends = linear_bounds(graph, region, "dual"), bound(graph, region, "dual")
    slopes = lines.lower.slopes[0].expand(region.batch, -1, -1)
    worst = region.minimum(slopes) + lines.lower.offset
    assert torch.allclose(worst.reshape(ends.lower.shape), ends.lower, atol=1e-9)


def test_inner_nodes_have_bounds_and_lines() -> None:
    graph, region = ZOO["attention"](), Linf(inputs(), 0.2)
    ends, lines = bound(graph, region, "crown", node="softmax"), linear_bounds(graph, region, node="softmax")
    values = graph.activations(region.center)["softmax"]
    assert ends.lower.shape == values.shape and bool((ends.lower <= values).all()) and bool((values <= ends.upper).all())
    assert lines.lower.offset.shape == (3, 9)


def test_settings_are_checked() -> None:
    graph, region = ZOO["relu"](), Linf(inputs(), 0.1)
    with pytest.raises(InputError, match="did you mean `deepz`"):
        bound(graph, region, "depz")
    with pytest.raises(InputError, match="expected dual, crown or a hybrid"):
        linear_bounds(graph, region, "lp")
    with pytest.raises(InputError, match="steps and inner >= 1"):
        AlphaMethod(steps=0)
    assert torch.equal(bound(graph, region, "deeppoly").lower, bound(graph, region, "crown").lower)


@pytest.mark.parametrize("method", ["interval", "zonotope", "crown", "alpha"])
def test_a_region_on_which_the_network_is_not_defined_is_refused_with_its_node(method: str) -> None:
    from smooth_zoo import Sketch

    from ballproof.operations.log import Log

    s = Sketch()
    graph = s.end(s.then(Log(), s.linear("input", 3)))
    with pytest.raises(DomainError, match=r"node `log`: Log\(\) on the interval"):
        bound(graph, Box(inputs() - 5, inputs() + 5), method)


@pytest.mark.parametrize("method", METHODS)
def test_a_square_behind_a_rectifier_reaches_its_largest_value(method: str) -> None:
    """relu(x^2 - 8.5) on [1, 3] is 1/2 at 3: known to go wrong where a square is bounded by its tangent alone."""
    builder = GraphBuilder((1,))
    square = builder.add(Power(2), ("input",), "square")
    shift = builder.constant(torch.tensor(8.5).double(), "shift")
    graph = builder.build(builder.add(Relu(), (builder.add(Subtract(), (square, shift), "less"),), "relu"))
    found = bound(graph, Box(torch.tensor([[1.0]]).double(), torch.tensor([[3.0]]).double()), method)
    assert 0.5 <= float(found.upper) <= 0.5 + 1e-9 and float(found.lower) <= 0
