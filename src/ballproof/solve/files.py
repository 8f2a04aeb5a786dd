"""`verify_files`: ONNX files and a VNN-LIB file in, a verdict and its evidence out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ballproof.errors import of_memory
from ballproof.graph import Graph
from ballproof.graph.extend import with_inputs, with_products
from ballproof.problems import Box, Property
from ballproof.problems.vnnlib import Case, Product, Row, Specification, read_vnnlib
from ballproof.solve.clock import Clock, Confirm, TimeUp, interrupting
from ballproof.solve.declared import Files, graph_of, parts_of
from ballproof.solve.ranges import possible
from ballproof.solve.replay import Replay, Witness
from ballproof.solve.screen import screened
from ballproof.solve.strategy import decide
from ballproof.verdict import Status, Verdict

DOUBLE_WORK = 4 * 10**6
"""Multiplications of a forward pass up to which everything is computed in double precision."""


@dataclass(frozen=True, eq=False)
class FileVerdict:
    """result: `unsat` (verified), `sat` (a violation, replayed), `unknown` or `timeout`, as VNN-COMP names them."""

    result: str
    engine: str
    bound: float
    seconds: float
    reason: str = ""
    witness: Witness | None = None


def verify_files(network: Files, specification: Path | str, timeout: float = 60.0, engine: str = "auto") -> FileVerdict:
    """Decides the problem that two files state; `.gz` is unpacked. network: by name where the specification names several.

    `sat` only with an input that ONNX Runtime (where installed) was given and that meets the violation exactly; `unsat`
    only with a proof, in real arithmetic up to rounding. timeout: seconds, reading included. Raises `InputError` for files
    that are damaged or do not fit each other, `UnsupportedError` for what is not modelled.
    """
    clock = Clock(timeout)
    try:
        with interrupting(clock):
            return _decided(network, specification, clock, engine)
    except TimeUp:
        return FileVerdict("timeout", engine, float("-inf"), clock.spent, "time: the limit came in the midst of a step")
    except Exception as error:
        if not of_memory(error):
            raise
        return FileVerdict("unknown", engine, float("-inf"), clock.spent, "memory: none is left for this problem")


def _decided(network: Files, specification: Path | str, clock: Clock, engine: str) -> FileVerdict:
    asked = read_vnnlib(specification)
    parts = parts_of(network, asked)
    graph = graph_of(parts)
    if _work(graph) <= DOUBLE_WORK:
        graph = graph.to(dtype=torch.float64)
    if not asked.cases:
        why = "the region is empty: no input satisfies its constraints"
        return FileVerdict("unsat", "none", float("inf"), clock.spent, why)
    search = _FileSearch(graph, Replay(parts, graph.to(dtype=torch.float32)), clock, engine)
    open_ = tuple(possible(graph, asked.cases, search.region_of))
    if not open_:
        return FileVerdict("unsat", "none", 0.0, clock.spent, "no output can be there, whatever the input")
    return search.run(replace(asked, cases=open_))


def _work(graph: Graph) -> int:
    """Multiplications of a forward pass, roughly."""
    total = 0
    for node in graph.varying:
        weights = [int(torch.Size(graph.node[i].shape).numel()) for i in node.inputs if not graph.node[i].varies]
        places = int(torch.Size(node.shape[1:]).numel()) if len(node.shape) == 3 else 1
        total += max(weights, default=0) * places
    return total


class _FileSearch:
    def __init__(self, graph: Graph, replay: Replay, clock: Clock, engine: str) -> None:
        self.graph, self.replay, self.clock, self.engine = graph, replay, clock, engine
        self.found: Witness | None = None
        self.wide = False
        self.products: dict[Product, int] = {}

    def run(self, asked: Specification) -> FileVerdict:
        graph, cases = self.told_of(asked), list(asked.cases)
        if len(cases) > 1 and self.engine in ("auto", "bounds"):
            open_ = screened(graph, cases, self.region_of, self.property_of, self.confirm_of, self.clock)
            if open_ is None:
                return self.told("sat", "attack", 0.0)
            cases = open_
        told = Verdict(Status.VERIFIED, 0.0, "bounds")
        for number, case in enumerate(cases):
            if self.clock.over and not told.verified:
                break
            share = Clock(self.clock.left / (len(cases) - number)) if self.engine == "auto" else self.clock
            verdict = decide(graph, self.region_of(case), self.property_of(case), self.confirm_of(case), share, self.engine)
            if verdict.falsified:
                assert self.found is not None
                return self.told("sat", verdict.method, verdict.bound)
            if told.verified:
                told = verdict
        if told.verified:
            return self.told("unsat", told.method, told.bound)
        return self.told("timeout" if self.clock.over else "unknown", told.method, told.bound, told.reason)

    def told_of(self, asked: Specification) -> Graph:
        """The network that tells all that a row weighs: its outputs; or those, its inputs and products of both."""
        self.wide = asked.relates_inputs
        if not self.wide:
            return self.graph
        graph = with_inputs(self.graph)
        outputs, count = self.outputs, graph.output_shape[0]
        factors = [[n if kind == "Y" else outputs + n for kind, n in p] for p in asked.products]
        self.products = {p: count + k for k, p in enumerate(asked.products)}
        return with_products(graph, factors) if factors else graph

    @property
    def outputs(self) -> int:
        return int(torch.Size(self.graph.output_shape).numel())

    def told(self, result: str, engine: str, bound: float, reason: str = "") -> FileVerdict:
        return FileVerdict(result, engine, bound, self.clock.spent, reason, self.found)

    def region_of(self, case: Case) -> Box:
        ends = []
        for exact, sign in ((case.lower, -1.0), (case.upper, 1.0)):
            end = torch.from_numpy(exact).to(self.graph.dtype)
            inside = sign * (end.double() - torch.from_numpy(exact)) < 0  # rounded outwards, so that nothing is lost
            end = torch.where(inside, torch.nextafter(end, torch.full_like(end, sign * torch.inf)), end)
            ends.append(end.reshape(1, *self.graph.input_shape))
        return Box(ends[0], ends[1])

    def property_of(self, case: Case) -> Property:
        """The rows of all groups on the outputs, and on the inputs behind them where some row weighs those."""
        shape, inputs, outputs = self.graph.output_shape, len(case.lower), self.outputs
        rows, ends, groups = [], [], []
        for number, group in enumerate(case.groups):
            for row in group or (Row((), (), 1.0),):  # a group without rows is met by every input, as 0 <= 1 is
                values = np.zeros(outputs + inputs + len(self.products))
                np.add.at(values, np.array([at for at, _ in row.on_y], int), [v for _, v in row.on_y])
                np.add.at(values, np.array([outputs + at for at, _ in row.on_x], int), [v for _, v in row.on_x])
                np.add.at(values, [self.products[p] for p, _ in row.on_products], [v for _, v in row.on_products])
                rows.append(values)
                ends.append(-row.bound)
                groups.append(number)
        matrix = torch.from_numpy(np.stack(rows)).to(self.graph.dtype)
        flat = matrix[None] if self.wide else matrix[None, :, :outputs].reshape(1, len(rows), *shape)
        return Property(flat, torch.tensor([ends], dtype=torch.float64).to(self.graph.dtype), tuple(groups))

    def confirm_of(self, case: Case) -> Confirm:
        def confirm(points: Tensor) -> Tensor | None:
            for point in points:
                found = self.replay.witness(case, point.detach().double().numpy().reshape(-1))
                if found is not None:
                    self.found = found
                    return torch.from_numpy(found.x).to(self.graph.dtype).reshape(self.graph.input_shape)
            return None

        return confirm


def written(witness: Witness) -> str:
    """The counterexample as VNN-COMP wants it: every X, then every Y."""
    lines = [f"(X_{i} {float(v)!r})" for i, v in enumerate(witness.x)] + [
        f"(Y_{i} {float(v)!r})" for i, v in enumerate(witness.y)
    ]
    return "(" + "\n ".join(lines) + ")\n"
