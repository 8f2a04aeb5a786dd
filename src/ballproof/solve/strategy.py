"""Which engine works on a problem, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from ballproof.bounds import lower_bounds
from ballproof.bounds.interval import step
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.methods import LinearMethod
from ballproof.errors import DomainError, InputError, UnsupportedError
from ballproof.graph import Graph
from ballproof.graph.fuse import fused, on_free_inputs
from ballproof.graph.squares import sums_of_products, with_squares
from ballproof.operations import Nonlinear
from ballproof.problems import Box, Linf, Property, Region
from ballproof.solve.clock import Answer, Clock, Confirm, Task, TimeUp
from ballproof.solve.falsify import LONG, QUICK, THOROUGH, Walk, falsify, sampled
from ballproof.solve.inputs import InputSplitting
from ballproof.solve.leaf_bounds import SLACK
from ballproof.solve.neurons import NeuronSplitting
from ballproof.verdict import Status, Verdict

ENGINES = ("auto", "attack", "bounds", "inputs", "neurons", "milp", "smt")

FEW_INPUTS = 12
"""Up to so many inputs boxes are the better parts; beyond, neurons get their turn as well."""

MANY_SAMPLES = 100_000

FIRST_TURN = 0.1
"""The share of the time that is left which the first turns take; each next one takes twice as much."""

FEW_NEURONS = 150
"""Up to so many open neurons a mixed integer program is worth half of the time."""

MANY_INPUTS = 64
"""Beyond so many inputs halving one of them tells next to nothing."""


def decide(graph: Graph, region: Region, asked: Property, confirm: Confirm, clock: Clock, engine: str = "auto") -> Verdict:
    """`verified` only with a proof, `falsified` only with a point that `confirm` has confirmed, else `unknown` with the reason.

    region: of one example. confirm: takes points of the region's own shape.
    """
    if engine not in ENGINES:
        raise InputError(f"`engine` is {engine!r}, expected one of {', '.join(ENGINES)}")
    task = prepared(graph, region, guarded(graph, region, asked), confirm, clock)
    found = _Course(engine, clock)
    for name, run in _plan(task, engine):
        if clock.over:
            return found.unknown(found.late("the limit is over"))
        found.engine = name
        try:
            answer = run()
        except DomainError as error:
            found.reasons.append(f"not defined on the region: {error}")
            continue
        except UnsupportedError as error:
            found.reasons.append(f"not modelled: {error}")
            continue
        except TimeUp:
            return found.unknown(found.late(f"the limit came in the midst of a step of `{name}`"))
        found.best = max(found.best, answer.bound)
        if answer.counterexample is not None:
            margin = float(asked.worst(asked.values(graph(answer.counterexample.unsqueeze(0).to(graph.dtype))))[0].detach())
            return Verdict(Status.FALSIFIED, margin, name, counterexample=answer.counterexample)
        if answer.proven:
            return Verdict(Status.VERIFIED, max(found.best, 0.0), name)
        found.reasons += [answer.reason] if answer.reason else []
    return found.unknown([])


@dataclass
class _Course:
    """What is known while engines take their turns: whose turn it is, the best bound, why there is no answer yet."""

    engine: str
    clock: Clock
    best: float = float("-inf")
    reasons: list[str] = field(default_factory=list)

    def late(self, why: str) -> list[str]:
        """That the time is over, unless an engine has told what it leaves then."""
        return [] if any(r.startswith("time") for r in self.reasons) else [f"time: {why}"]

    def unknown(self, first: list[str]) -> Verdict:
        reason = "; ".join(dict.fromkeys([*first, *self.reasons])) or "no engine has an answer"
        return Verdict(Status.UNKNOWN, self.best, self.engine, reason)


def guarded(graph: Graph, region: Region, asked: Property) -> Property:
    """The property with a margin for rounding: a proof must exceed zero by what float sums of this size may err."""
    with torch.no_grad():
        outputs = graph(region.project(region.box().center)).abs()
        asked = Property(asked.coefficients.to(outputs), asked.offsets.to(outputs), asked.groups)
        size = Property(asked.coefficients.abs(), asked.offsets.abs(), asked.groups).values(outputs)
    share = SLACK[outputs.dtype]
    return Property(asked.coefficients, asked.offsets - share * size, asked.groups)


def prepared(graph: Graph, region: Region, asked: Property, confirm: Confirm, clock: Clock) -> Task:
    """The problem with as few nodes and inputs as it has: affine runs joined, inputs of one value left out."""
    if not isinstance(region, (Box, Linf)):
        return Task(fused(graph), region, asked, confirm, clock)
    box = region.box()
    free = (box.upper > box.lower)[0].flatten().nonzero().flatten()
    if len(free) == box.lower[0].numel() or not len(free):
        ends = Box(box.lower, box.upper)
        return Task(_squared(fused(graph), ends), ends, asked, confirm, clock)
    ends = Box(box.lower.flatten(1)[:, free], box.upper.flatten(1)[:, free])
    small = _squared(fused(on_free_inputs(graph, box.lower[0], free)), ends)

    def widened(points: torch.Tensor) -> torch.Tensor | None:
        whole = box.lower.flatten(1).repeat(len(points), 1)
        whole[:, free] = points.to(whole.dtype)
        return confirm(whole.reshape(-1, *region.shape))

    return Task(small, ends, asked, widened, clock)


def _squared(graph: Graph, box: Box) -> Graph:
    """The network with sums of products as sums of squares, in units of how far its values reach on the box."""
    if not sums_of_products(graph) or bool((box.lower == box.upper).all()):
        return graph
    with torch.no_grad():
        try:
            found = LinearPass(graph, box, LinearMethod("adaptive")).run()
            bends = [n for n in graph.varying if isinstance(n.operation, Nonlinear)]
            reach = {n.name: step(graph, n, found.intervals, found.constants) for n in bends}
        except DomainError:
            return graph
        return with_squares(graph, {**reach, graph.input: box.box()})


def _plan(task: Task, engine: str) -> Iterator[tuple[str, Callable[[], Answer]]]:
    match engine:
        case "attack":
            yield "attack", lambda: _attack(task, THOROUGH, LONG)
        case "bounds":
            yield "bounds", lambda: _bounds(task, "alpha-all")
        case "inputs":
            yield "inputs", InputSplitting(task).run
        case "neurons":
            yield "neurons", NeuronSplitting(task).run
        case "milp":
            from ballproof.solve.milp import milp

            yield "milp", lambda: milp(task)
        case "smt":
            from ballproof.solve.smt import smt

            yield "smt", lambda: smt(task)
        case _:
            yield from _mixed(task)


def _mixed(task: Task) -> Iterator[tuple[str, Callable[[], Answer]]]:
    """From the cheapest to the complete ones; those that can go on take turns, each turn longer than the last."""
    count, boxed = task.region.like[0].numel(), isinstance(task.region, Box)
    yield "attack", lambda: _attack(task, QUICK)
    yield "bounds", lambda: _bounds(task, "crown")
    if boxed and count <= FEW_INPUTS:
        soon = replace(task, clock=task.clock.part(0.1))
        yield "attack", lambda: Answer(False, counterexample=sampled(soon, soon.clock, MANY_SAMPLES))
        yield "attack", lambda: _attack(soon, LONG, LONG, LONG)
        yield "inputs", InputSplitting(task).run
        return
    yield "attack", lambda: _attack(replace(task, clock=task.clock.part(0.15)), THOROUGH, LONG)
    neurons = NeuronSplitting(task)
    if not boxed or count > MANY_INPUTS:
        yield "neurons", neurons.run
        yield "milp", lambda: _integers(task)
        return
    inputs, share = InputSplitting(task), FIRST_TURN
    while not neurons.finished:
        yield "neurons", partial(_turn, neurons, task, share)
        yield "inputs", partial(_turn, inputs, task, share)
        if neurons.open <= FEW_NEURONS and share == FIRST_TURN:
            yield "milp", partial(_integers, replace(task, clock=task.clock.part(0.5)))
        share = min(2 * share, 0.5)
    yield "inputs", inputs.run


def _integers(task: Task) -> Answer:
    from ballproof.solve.milp import milp

    return milp(task)


def _turn(engine: NeuronSplitting | InputSplitting, task: Task, share: float) -> Answer:
    """The engine's turn: this share of the time that is left."""
    return engine.run(task.clock.part(share))


def _attack(task: Task, *walks: Walk) -> Answer:
    for seed, walk in enumerate(walks):
        if (found := falsify(task, task.clock, walk, seed)) is not None:
            return Answer(False, counterexample=found)
    return Answer(False)


def _bounds(task: Task, method: str) -> Answer:
    with torch.no_grad():
        bounds = lower_bounds(task.graph, task.region, task.property.coefficients, method) + task.property.offsets
    worst = float(task.property.worst(bounds)[0])
    return Answer(worst > 0, bound=worst, reason=f"gap: the worst margin proven is {worst:.4g}", leaves=1)
