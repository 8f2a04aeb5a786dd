"""All engines on the same questions, whose answers enumeration knows to about 1e-8; and on smooth networks, sampled points.

36 networks by default; `BALLPROOF_NETS=2000` asks for as many (the better part of an hour on one core).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from _pytest.mark import ParameterSet
from net_zoo import KINDS, Question, question, tiny
from torch import nn

from ballproof.problems import L1, Linf, Property
from ballproof.solve import verify
from ballproof.verdict import Verdict

NETS = int(os.environ.get("BALLPROOF_NETS", "36"))
BLOCK = 4
"""Networks of one kind in one test."""

EXACT = "milp", "smt"

TIME, LITTLE = 60, 3
"""Seconds for a question, so many that a busy machine changes no outcome; and for one that may well take for ever."""


def blocks() -> Iterator[ParameterSet]:
    each = -(-NETS // len(KINDS))
    for start in range(0, each, BLOCK):
        for kind in KINDS:
            yield pytest.param(kind, start, min(BLOCK, each - start), marks=[pytest.mark.slow] if start else [])


def expected(asked: Question) -> str:
    return "verified" if asked.margin > 0 else "falsified"


def told(verdict: Verdict) -> str:
    return verdict.status.name.lower()


@pytest.mark.parametrize(("kind", "start", "count"), list(blocks()))
def test_engines_agree_with_enumeration(kind: str, start: int, count: int) -> None:
    """The exact engines decide everything; the others may be unknown where they are not complete, but never wrong."""
    for seed in range(start, start + count):
        asked = question(kind, seed)
        for engine in (*EXACT, *others(asked)):
            verdict = verify(asked.tiny.net, asked.region, asked.asked, timeout=patience(engine, asked), engine=engine)
            where = f"{kind} {seed} {asked.region.norm} margin {asked.margin}: {engine}: {verdict}"
            assert told(verdict) == expected(asked) or (verdict.unknown and excused(engine, asked, verdict)), where
            check_counterexample(asked, verdict)


def others(asked: Question) -> tuple[str, ...]:
    """Splitting the input of a ball that is no box would search its whole box."""
    return ("neurons",) if isinstance(asked.region, L1) else ("inputs", "neurons")


def together(asked: Question) -> bool:
    """Whether some rows violate the property only together."""
    return len(set(asked.asked.groups)) < len(asked.asked.groups)


def patience(engine: str, asked: Question) -> float:
    return LITTLE if engine == "inputs" and together(asked) else TIME


def excused(engine: str, asked: Question, verdict: Verdict) -> bool:
    """Rows that are violated only together are looked for by splitting the input until the time is over."""
    return engine == "inputs" and together(asked) and "time" in verdict.reason


def check_counterexample(asked: Question, verdict: Verdict) -> None:
    if verdict.falsified:
        assert verdict.counterexample is not None
        point = verdict.counterexample.unsqueeze(0)
        with torch.no_grad():
            assert bool(asked.asked.violated(asked.tiny.net(point))[0])
        assert bool(asked.region.contains(point, 1e-12).all())


SMOOTH = {
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "softplus": nn.Softplus(),
    "elu": nn.ELU(),
    "hardswish": nn.Hardswish(),
}


@pytest.mark.parametrize("name", list(SMOOTH))
@pytest.mark.parametrize("engine", ["inputs", "neurons", "auto"])
def test_no_point_contradicts_a_proof_of_a_smooth_network(name: str, engine: str) -> None:
    """The property's margin is that of the lowest of many points: a little above it must break, well below it may be proven."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(2, 4), SMOOTH[name], nn.Linear(4, 3), SMOOTH[name], nn.Linear(3, 1)).double()
    region = Linf(torch.rand(1, 2, dtype=torch.float64), 0.4)
    axis = torch.linspace(-1, 1, 121, dtype=torch.float64)
    with torch.no_grad():
        low = float(net(region.center + 0.4 * torch.cartesian_prod(axis, axis)).min())
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    for by, outcomes in ((-1e-3, {"falsified", "unknown"}), (0.05, {"verified", "unknown"})):
        verdict = verify(net, region, Property(one, torch.tensor([[by - low]], dtype=torch.float64), (0,)), 5, engine)
        assert told(verdict) in outcomes, str(verdict)
        if engine == "inputs":
            assert not verdict.unknown, str(verdict)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_questions_ask_something(kind: str) -> None:
    """The networks are no lines: on the region some neuron changes its piece, and the questions have both answers."""
    net = tiny(kind, 0)
    points = Linf(net.point, 0.35)[[0] * 64].sample(torch.Generator().manual_seed(0))
    with torch.no_grad():
        bend = net.net(points).mean(0) - net.net(points.mean(0, keepdim=True))[0]
    assert float(bend.abs().max()) > 1e-3
    assert {question(kind, seed).margin > 0 for seed in range(3)} == {True, False}
