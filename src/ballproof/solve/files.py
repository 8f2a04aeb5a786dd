"""`verify_files`: an ONNX file and a VNN-LIB file in, a verdict and its evidence out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ballproof.errors import InputError
from ballproof.graph import Graph
from ballproof.graph.extend import with_inputs
from ballproof.networks.onnx_file import read_onnx
from ballproof.problems import Box, Property
from ballproof.problems.vnnlib import Case, Row, Specification, read_vnnlib
from ballproof.solve.clock import Clock, Confirm, TimeUp, interrupting
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


def verify_files(network: Path | str, specification: Path | str, timeout: float = 60.0, engine: str = "auto") -> FileVerdict:
    """Decides the problem that two files state; `.gz` is unpacked.

    `sat` only with an input that ONNX Runtime (where installed) was given and that meets the violation exactly; `unsat`
    only with a proof, in real arithmetic up to rounding. timeout: seconds, reading included. Raises `InputError` for files
    that are damaged or do not fit each other, `UnsupportedError` for what is not modelled.
    """
    clock = Clock(timeout)
    asked = read_vnnlib(specification)
    graph = read_onnx(network, join=True)
    _fitting(graph, asked, str(network))
    if _work(graph) <= DOUBLE_WORK:
        graph = graph.to(dtype=torch.float64)
    if not asked.cases:
        return FileVerdict(
            "unsat", "none", float("inf"), clock.spent, "the region is empty: no input satisfies its constraints"
        )
    search = _FileSearch(graph, Replay(Path(network), graph.to(dtype=torch.float32)), clock, engine)
    try:
        with interrupting(clock):
            return search.run(asked)
    except TimeUp:
        return search.told("timeout", search.engine, float("-inf"), f"time: {timeout:.3g} s are over")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        return search.told("unknown", search.engine, float("-inf"), "memory: the machine has none left for this problem")


def _fitting(graph: Graph, asked: Specification, name: str) -> None:
    for what, have, want in (
        ("inputs", int(torch.Size(graph.input_shape).numel()), asked.inputs),
        ("outputs", int(torch.Size(graph.output_shape).numel()), asked.outputs),
    ):
        if have != want:
            raise InputError(f"{name} has {have} {what}, the specification declares {want}")


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

    def run(self, asked: Specification) -> FileVerdict:
        self.wide = asked.relates_inputs
        graph = with_inputs(self.graph) if self.wide else self.graph
        cases = list(asked.cases)
        if len(cases) > 1 and self.engine in ("auto", "bounds"):
            open_ = screened(graph, cases, self.region_of, self.property_of, self.confirm_of, self.clock)
            if open_ is None:
                return self.told("sat", "attack", 0.0)
            cases = open_
        told = Verdict(Status.VERIFIED, 0.0, "bounds")
        for number, case in enumerate(cases):
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
        shape, inputs = self.graph.output_shape, len(case.lower)
        outputs = int(torch.Size(shape).numel())
        rows, ends, groups = [], [], []
        for number, group in enumerate(case.groups):
            for row in group or (Row((), (), 1.0),):  # a group without rows is met by every input, as 0 <= 1 is
                values = np.zeros(outputs + inputs)
                np.add.at(values, np.array([at for at, _ in row.on_y], int), [v for _, v in row.on_y])
                np.add.at(values, np.array([outputs + at for at, _ in row.on_x], int), [v for _, v in row.on_x])
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
