"""Cuts learnt from closed leaves, against points that violate the property and against enumeration."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from net_zoo import question
from test_violated import outside, search_of
from torch import nn

from ballproof.networks import as_graph
from ballproof.solve.clock import Clock
from ballproof.solve.leaf_backward import phased
from ballproof.solve.neurons import NeuronSplitting
from ballproof.solve.strategy import guarded, prepared
from ballproof.solve.verify import confirmed_by


def test_a_weighted_phase_lies_above_its_line_at_every_point():
    torch.manual_seed(0)
    count = 5_000
    own, weight = torch.randn(2, count, dtype=torch.float64)
    share, low = torch.rand(count, dtype=torch.float64), torch.rand(count, dtype=torch.float64) * 2 - 1.5
    high = low + torch.rand(count, dtype=torch.float64) * 2
    weight[::3] = 0.0
    slope, offset = phased(own, weight, share, low, high)
    loose = torch.full_like(low, torch.inf)
    zero, wide = torch.zeros_like(low), (low <= 0) & (high >= 0)
    asked = [(zero, wide, 1.0), (zero, wide & (high > 0), 0.0)]
    for at in torch.linspace(0, 1, 41, dtype=torch.float64):
        z = low + at * (high - low)
        asked += [(z, z > 0, 1.0), (z, (z < 0) & (low < 0), 0.0)]
    for z, fits, phase in asked:
        gap = own * z.clamp(min=0) + weight * phase - slope * z - offset
        assert gap[fits].min() >= -1e-12
        loose = torch.where(fits, loose.minimum(gap), loose)
    assert loose.max() <= 1e-12  # the offset is as large as it can be


@cache
def searched(seed, quantile):
    """A search that learns, after some batches, perhaps with a narrowed root; and the points that violate its property."""
    search, bad = search_of(nn.ReLU, 1 + seed % 2, seed, quantile)
    search = NeuronSplitting(replace(search.task, clock=Clock(60.0)), cuts=True)
    search.clock = search.task.clock
    with torch.no_grad():
        if search._begin() is None and search.stack:
            for number in range(12):
                if not search.stack or search._step(search.stack) is not None:
                    break
                if number == 3 and search.stack and seed % 3 == 0:
                    search._again(search.stack)
    return search, bad


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("quantile", [0.02, 0.3])
def test_no_violation_is_cut_off(seed, quantile):
    search, bad = searched(seed, quantile)
    if search.cuts is None or not search.cuts.learnt:
        return
    seen = search.task.graph.activations(bad)
    phases = [(seen[s.argument].flatten(1)[:, s.places] > 0).double() for s in search.sites]
    for place in (search.cuts.group >= 0).nonzero().flatten().tolist():
        left = sum(p @ s[place] for p, s in zip(phases, search.cuts.signs, strict=True))
        assert (left <= search.cuts.ends[place] + 1e-12).all()


def leaves_beside(search, place):
    """The part of the root where all rectifiers of a cut but one are as it says, for each of them."""
    root, signs = search.roots[:1], [s[place] for s in search.cuts.signs]
    for number, own in enumerate(signs):
        for left in own.nonzero().flatten().tolist():
            kept = [s.clone() for s in signs]
            kept[number][left] = 0.0
            low = tuple(a.masked_fill(s > 0, 0.0) for a, s in zip(root.low, kept, strict=True))
            high = tuple(b.masked_fill(s < 0, 0.0) for b, s in zip(root.high, kept, strict=True))
            yield replace(root, low=low, high=high)


@pytest.mark.parametrize("seed", range(8))
def test_any_multipliers_of_cuts_bound_the_margin_of_violations(seed):
    """Most of all where the cut has something to say: it fixes one more rectifier."""
    search, bad = searched(seed, 0.3)
    margins = search.task.property.values(search.task.graph(bad))[:, 0].detach()
    for place in (search.cuts.group >= 0).nonzero().flatten().tolist()[:4]:
        for leaf in leaves_beside(search, place):
            inside = outside(search, leaf, bad) <= 0
            if not inside.any():
                continue
            size = torch.tensor([0.01, 0.1, 1.0, 10.0], dtype=torch.float64)
            leaves = leaf[[0] * 4]
            learnt, mix = torch.zeros_like(leaves.learnt), torch.zeros_like(leaves.mix)
            learnt[:, place], mix[:, 0] = size, 1.0
            with torch.no_grad():
                values = search.bounds.evaluate(replace(leaves, learnt=learnt, mix=mix)).values
            assert values.max() <= margins[inside].min() + 1e-9


def test_cuts_are_learnt_and_shortened():
    sizes = [s for seed in range(8) for s in searched(seed, 0.02)[0].cuts.sizes.tolist() if s]
    assert len(sizes) > 10
    assert min(sizes) <= 3


@pytest.mark.parametrize("kind", ["dense", "conv", "residual"])
def test_a_search_with_cuts_agrees_with_enumeration(kind):
    for seed in range(3):
        asked = question(kind, seed)
        graph = as_graph(asked.tiny.net, asked.region)
        confirm = confirmed_by(asked.tiny.net, asked.region, asked.asked)
        task = prepared(graph, asked.region, guarded(graph, asked.region, asked.asked), confirm, Clock(60.0))
        answer = NeuronSplitting(task, cuts=True).run()
        assert answer.decided
        assert answer.proven == (asked.margin > 0)
