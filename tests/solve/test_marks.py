"""Cuts at the arguments of products and softmax: questions near the minimum that cells know, and what leaves know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from torch import Tensor

from ballproof.certificate.by_neurons import graph_of
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.verified import verify_with_certificate
from ballproof.networks import as_graph
from ballproof.operations.log_sum_exp import LogSumExp
from ballproof.operations.matrix_product import MatrixProduct
from ballproof.operations.product import Product
from ballproof.operations.softmax import Softmax
from ballproof.problems import Box, Property
from ballproof.solve import neurons, verify
from ballproof.solve.clock import Clock, Task
from ballproof.solve.leaves import Leaves
from ballproof.solve.marks import Mark, marked
from ballproof.solve.neurons import NeuronSplitting
from ballproof.values import Interval
from oracles.branches import BRANCHES, Branches
from oracles.onnx_nets import write_nodes, write_property
from oracles.smooth import minimum_by_cells

REACH = {"product": 0.25, "bilinear": 0.15, "matrices": 0.1, "softmax": 0.15, "log sum exp": 0.4, "attention": 0.1}
"""Half the width of the boxes, so that seconds are enough."""


def asked(kind: str, seed: int, inputs: int) -> tuple[Branches, Box, Tensor, float]:
    """A network, a box, a row, and the least value of it there: none is lower by more than 1e-4."""
    torch.manual_seed(seed)
    net = Branches(kind, inputs).double()
    with torch.no_grad():
        for layer in (net.first, net.second, net.last):
            layer.weight.mul_(2.0)
    x, row, reach = torch.rand(1, inputs).double(), torch.randn(2).double(), REACH[kind]
    box = Box(x - reach, x + reach)
    bend = net.curvature(torch.maximum(box.lower.abs(), box.upper.abs())[0].numpy(), row.numpy())
    return net, box, row, minimum_by_cells(net, bend, box.lower, box.upper, row)


def property_of(row: Tensor, offset: float) -> Property:
    return Property(row[None, None], torch.tensor([[offset]]).double(), (0,))


@pytest.mark.parametrize("kind", BRANCHES)
@pytest.mark.parametrize(("seed", "inputs"), [(0, 2), pytest.param(1, 2, marks=pytest.mark.slow)])
def test_properties_near_the_minimum_are_decided(kind: str, seed: int, inputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurons, "FIRST", 0.01)  # narrow intervals soon
    net, box, row, least = asked(kind, seed, inputs)
    for margin, expected in ((1e-3, "verified"), (-1e-3, "falsified")):
        verdict = verify(net, box, property_of(row, margin - least), timeout=60, engine="neurons")
        assert verdict.status.name.lower() == expected, verdict


@pytest.mark.parametrize("kind", BRANCHES)
def test_no_violation_lies_outside_of_the_open_leaves_and_none_beats_their_bounds(kind: str) -> None:
    """Points of the box, and where they lie among the cuts; no intervals are narrowed here."""
    net, box, row, least = asked(kind, 2, 3)
    offset = -least - 0.02
    search = NeuronSplitting(Task(as_graph(net, box), box, property_of(row, offset), lambda _: None, Clock(60.0)))
    search.clock = Clock(60.0)
    with torch.no_grad():
        assert search._begin() is None
        for _ in range(12):
            assert search.stack and search._step(search.stack) is None
    leaves = Leaves.joined([x for x, _ in search.stack])
    points = box[[0] * 20_000].sample(torch.Generator().manual_seed(0))
    with torch.no_grad():
        margins, known = net(points) @ row + offset, search.task.graph.activations(points)
    inside = torch.ones(len(points), len(leaves), dtype=torch.bool)
    for number, site in enumerate(search.sites):
        values = known[site.argument].flatten(1)[:, site.places].unsqueeze(1)
        inside &= ((values >= leaves.low[number] - 1e-9) & (values <= leaves.high[number] + 1e-9)).all(2)
    for number, site in enumerate(search.sites):
        if isinstance(site.operation, Mark):
            values, own = known[site.argument].flatten(1)[:, site.places].unsqueeze(1), marked(leaves, search.sites, number)
            assert bool(((values >= own.lower - 1e-9) & (values <= own.upper + 1e-9)).all(2)[inside].all())
    assert bool((margins <= 0).any()) and bool(inside[margins <= 0].any(1).all())
    assert bool((margins.unsqueeze(1) >= leaves.bound - 1e-9)[inside].all())


@pytest.mark.parametrize(
    ("operation", "shapes"),
    [(Product(), ((2, 3), (2, 1))), (MatrixProduct(), ((2, 3), (3, 2))), (Softmax(2), ((2, 3),)), (LogSumExp(2), ((2, 3),))],
)
def test_what_sways_nothing_is_not_cut(operation: Product, shapes: tuple[tuple[int, ...], ...]) -> None:
    """As large as the argument, never negative; nothing where all others are points, or where the output weighs nothing."""
    draw = torch.Generator().manual_seed(0)
    low = [torch.randn(4, *s, generator=draw).double() for s in shapes]
    box = [Interval(a, a + torch.rand(a.shape, generator=draw)) for a in low]
    weight = torch.randn(operation.forward(*low).shape, generator=draw).double()
    found = operation.sway(weight, *box)
    assert [tuple(f.shape) for f in found] == [tuple(a.shape) for a in low] and all(bool((f >= 0).all()) for f in found)
    assert all(float(f.max()) > 0 for f in found)
    points = [Interval(a, a) for a in low]
    assert all(float(f.abs().max()) < 1e-12 for f in (*operation.sway(weight, *points), *operation.sway(0 * weight, *box)))


def test_the_search_that_writes_certificates_cuts_no_products(tmp_path: Path) -> None:
    """It takes no such network; one of few inputs is proven by boxes, and its certificate checks."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Sigmoid", ["x"], ["s"]),
        helper.make_node("Mul", ["r", "s"], ["y"]),
    ]
    for inputs in (2, 20):
        net = write_nodes(tmp_path / "net.onnx", nodes, [1, inputs], {})
        spec = write_property(tmp_path / "p.vnnlib", np.full(inputs, -1.0), np.full(inputs, 1.0), inputs, "(<= Y_0 -0.1)")
        assert graph_of(read_network(net), net) is None
        found, told = verify_with_certificate(tmp_path / "c", net, spec, 20.0, "neurons")
        assert found.result == "unsat" and told.startswith("certificate")
        check(tmp_path / "c", net, spec)
