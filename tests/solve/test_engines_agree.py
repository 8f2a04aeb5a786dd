"""All engines on the same questions, whose answers the oracles know: enumeration to about 1e-8, cells to 1e-4.

30 networks by default; `BALLPROOF_NETS=2000` asks for as many (half an hour on one core).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from _pytest.mark import ParameterSet
from net_zoo import KINDS, SMOOTH, Question, question, tiny

from ballproof.problems import L1, Linf
from ballproof.solve import verify
from ballproof.verdict import Verdict

NETS = int(os.environ.get("BALLPROOF_NETS", "30"))
BLOCK = 4
"""Networks of one kind in one test."""

EVERY = (*KINDS, *SMOOTH)

TIME, LITTLE = 60, 1
"""Seconds for a question, so many that a busy machine changes no outcome; and for one that may well take for ever."""


def blocks() -> Iterator[ParameterSet]:
    each = -(-NETS // len(EVERY))
    for start in range(0, each, BLOCK):
        for kind in EVERY:
            yield pytest.param(kind, start, min(BLOCK, each - start), marks=[pytest.mark.slow] if start else [])


def expected(asked: Question) -> str:
    return "verified" if asked.margin > 0 else "falsified"


def told(verdict: Verdict) -> str:
    return verdict.status.name.lower()


@pytest.mark.parametrize(("kind", "start", "count"), list(blocks()))
def test_engines_agree_with_an_oracle(kind: str, start: int, count: int) -> None:
    """All engines decide everything; but where one is not complete it may be unknown, and is never wrong."""
    for seed in range(start, start + count):
        asked = question(kind, seed)
        for engine in ("auto", *engines(asked)):
            verdict = verify(asked.tiny.net, asked.region, asked.asked, timeout=patience(engine, asked), engine=engine)
            where = f"{kind} {seed} {asked.region.norm} margin {asked.margin}: {engine}: {verdict}"
            assert told(verdict) == expected(asked) or (verdict.unknown and excused(engine, asked, verdict)), where
            check_counterexample(asked, verdict)


def engines(asked: Question) -> tuple[str, ...]:
    """Splitting the input of a ball that is no box would search its whole box; two engines know straight pieces alone."""
    boxes = () if isinstance(asked.region, L1) else ("inputs",)
    return (*boxes, "neurons") if asked.tiny.smooth else (*boxes, "neurons", "milp", "smt")


def patience(engine: str, asked: Question) -> float:
    return LITTLE if excusable(engine, asked) else TIME


def excusable(engine: str, asked: Question) -> bool:
    """Neurons of smooth functions are cut without an end."""
    return engine == "neurons" and asked.tiny.smooth


def excused(engine: str, asked: Question, verdict: Verdict) -> bool:
    return excusable(engine, asked) and "time" in verdict.reason


def check_counterexample(asked: Question, verdict: Verdict) -> None:
    if verdict.falsified:
        assert verdict.counterexample is not None
        point = verdict.counterexample.unsqueeze(0)
        with torch.no_grad():
            assert bool(asked.asked.violated(asked.tiny.net(point))[0])
        assert bool(asked.region.contains(point, 1e-12).all())


@pytest.mark.parametrize("engine", ["milp", "smt"])
def test_engines_of_straight_pieces_refuse_curves(engine: str) -> None:
    asked = question("tanh", 0)
    assert "not modelled" in verify(asked.tiny.net, asked.region, asked.asked, engine=engine).reason


@pytest.mark.parametrize("kind", EVERY)
def test_the_questions_ask_something(kind: str) -> None:
    """The networks are no lines: on the region some neuron changes its piece, and the questions have both answers."""
    net = tiny(kind, 0)
    points = Linf(net.point, 0.35)[[0] * 64].sample(torch.Generator().manual_seed(0))
    with torch.no_grad():
        bend = net.net(points).mean(0) - net.net(points.mean(0, keepdim=True))[0]
    assert float(bend.abs().max()) > 1e-3
    assert {question(kind, seed).margin > 0 for seed in range(3)} == {True, False}
