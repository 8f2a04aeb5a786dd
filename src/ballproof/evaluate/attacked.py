"""Attacked accuracy over a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ballproof.attacks import AttackResult, Towards
from ballproof.attacks.fickle import refuse_random
from ballproof.bounds.memory import divided_memory
from ballproof.data import Dataset
from ballproof.evaluate.limits import Limits
from ballproof.evaluate.points import Points
from ballproof.evaluate.results import write_rows
from ballproof.evaluate.rows import Examples, Kept, OfNetwork, Order, evaluating
from ballproof.graph import Graph
from ballproof.problems import Region, ball, classified_as
from ballproof.runs import Run
from ballproof.spread import HERE, Row, Rows, Workers, spread

POINT = "point"
"""Of a row on its way: the strongest point, which is kept beside the journal."""


def attack_data(
    network: nn.Module | Graph,
    data: Dataset,
    method: Callable[..., AttackResult],
    eps: float | Limits,
    norm: str,
    clip: tuple[float, float] | None,
    batch: int,
    run: Run | None = None,
    name: str = "attack",
    watch: Callable[[int], None] = lambda done: None,
    towards: int | None = None,
    workers: Workers = HERE,
) -> dict[str, Any]:
    """The fractions of examples that stand clean and under the attack, which is an upper bound of robust accuracy.

    `by` counts what broke them: `clean` (the answer is wrong already), the member of an ensemble, or `name`. With a run, the
    strongest point found for each example is kept with the network's answers and the labels, and a row an example with `index,
    label, correct, broken, by, prediction, margin, reason`; what is there is not searched again. A network whose answers are
    random is refused. eps: the radius of the ball of `norm`, or `Limits`, a box. batch: examples that are attacked together;
    the random numbers of an attack depend on it. towards: a class that is to be answered; broken, and margin, then speak of
    that class, and `attacked_accuracy` is the share that was not brought there.
    """
    refuse_random(network, data.inputs[:8])
    work, kept, order = Attacking(network, method, eps, norm, clip, name, towards), Kept(run), Order(data)
    points = Points.of(run, data, kept) if run else None
    with points or nullcontext():
        for item, rows in spread(work, order.missing(batch, kept), workers):
            found = [row.pop(POINT) for row in rows]
            if points:
                points.write(item.place, found)
            kept.add(rows)
            watch(len(kept))
        rows_in_order = kept.at(order.index)
        if points:
            points.finish([row["prediction"] for row in rows_in_order])
        if run:
            write_rows(run, rows_in_order)
    n, told, by = len(data), Counter[str](), Counter[str]()
    for row in rows_in_order:
        told.update({"clean_accuracy": row["correct"], "attacked_accuracy": not row["broken"]})
        by.update([row["by"]] if row["broken"] else [])
    share = {k: told[k] / max(1, n) for k in ("clean_accuracy", "attacked_accuracy")}
    return {"n": n, **share, "by": dict(by)}


@dataclass(frozen=True, eq=False)
class Attacking(OfNetwork[Examples]):
    """An attack on some examples together."""

    network: nn.Module | Graph
    method: Callable[..., AttackResult]
    eps: float | Limits
    norm: str
    clip: tuple[float, float] | None
    name: str
    towards: int | None = None

    def rows(self, item: Examples) -> Rows:
        x, y = item.x, item.y
        target = classified_as(y) if self.towards is None else Towards(torch.full_like(y, self.towards))
        with divided_memory(item.parts):
            found = self.method(self.network, self._region(x), target)
            with torch.no_grad(), evaluating(self.network):
                answers = self.network(x).argmax(1)
        right = answers == y
        stood = right if self.towards is None else answers != self.towards
        points = found.inputs.detach().cpu().numpy()
        return [
            {
                "index": item.index[i],
                "label": int(y[i]),
                "correct": bool(right[i]),
                "broken": bool(found.success[i]),
                "by": self._by(found, i, bool(stood[i])),
                "prediction": int(found.predictions[i]),
                "margin": float(found.margins[i]),
                "reason": "",
                POINT: points[i],
            }
            for i in range(len(y))
        ]

    def _region(self, x: Tensor) -> Region:
        return self.eps.round(x, self.clip) if isinstance(self.eps, Limits) else ball(self.norm, x, self.eps, self.clip)

    def _by(self, found: AttackResult, i: int, stood: bool) -> str:
        """`clean`: the example is wrong itself; `middle`: the middle of a box, which may lie elsewhere, is."""
        if not bool(found.success[i]):
            return ""
        if not stood:
            return "clean"
        by = found.by[i] if found.by else self.name
        return "middle" if by == "clean" and isinstance(self.eps, Limits) else by

    def smaller(self, item: Examples) -> list[Examples]:
        return item.smaller()

    def given_up(self, item: Examples, reason: str) -> Rows:
        """Not broken, for nobody asked: the attacked accuracy stays an upper bound."""
        told: Row = {"correct": False, "broken": False, "by": "", "prediction": -1, "margin": float("inf"), "reason": reason}
        each = zip(item.index, item.y, item.x.cpu().numpy(), strict=True)
        return [{"index": index, "label": int(y), **told, POINT: x} for index, y, x in each]
