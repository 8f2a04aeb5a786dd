"""How far each example is robust: the largest radius that is proven, and the smallest at which it is broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor, nn

from ballproof.attacks import named_attack
from ballproof.attacks.fickle import refuse_random
from ballproof.attacks.nearest import nearest
from ballproof.attacks.space import rounding
from ballproof.bounds import margins, method_named, stopping
from ballproof.errors import InputError, SoundnessError
from ballproof.evaluate.rows import Batches, ByFunction, collected, evaluating
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.problems import ball
from ballproof.runs import Run
from ballproof.spread import Row, Rows

BEYOND = 1e-4
"""The alarm asks for a proof at a radius larger by this share than that of a broken point, so that no rounding can raise it."""


@dataclass(frozen=True)
class RadiusSettings:
    """What is asked of every example; radii are in the units of the data.

    method: one of `bounds.METHODS`. attack, attack_settings: one of `attacks.ATTACKS` with its settings. largest: radii above
    it are not looked at. halvings: rounds of bisection on either side; what is open shrinks by half each time. batch: examples
    at once. memory: working memory of the bounds in bytes.
    """

    norm: str = "linf"
    clip: tuple[float, float] | None = (0.0, 1.0)
    method: str = "crown"
    attack: str = "apgd"
    attack_settings: dict[str, Any] = field(default_factory=dict)
    largest: float = 0.5
    halvings: int = 12
    batch: int = 100
    memory: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.largest < float("inf"):
            raise InputError(f"`largest` is {self.largest}, expected a finite radius above 0, in the units of the data")
        if self.halvings < 1 or self.batch < 1:
            raise InputError(f"`halvings` is {self.halvings} and `batch` {self.batch}, expected at least 1 of both")
        method_named(self.method)
        named_attack(self.attack, **self.attack_settings)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "clip": None if self.clip is None else list(self.clip)}


def radii(
    network: nn.Module | Graph,
    data: Batches,
    settings: RadiusSettings,
    run: Run | None = None,
    watch: Callable[[int], None] = lambda done: None,
) -> Sequence[Row]:
    """One row an example: index, label, correct, certified, attacked, seconds.

    `certified`: no point nearer than that breaks the label: proven, 0 where the clean answer is wrong or nothing was proven.
    `attacked`: the distance of a point that breaks it, None where none was found up to `largest`. certified <= attacked in
    every row: where a proof reaches beyond a broken point, `SoundnessError` names the examples; no row of that batch is told.
    """
    with evaluating(network):
        work = ByFunction(lambda x, y, index: _rows(network, x, y, index, settings))
        return collected(work, data, settings.batch, run, watch)


def totals(rows: Sequence[Row], settings: RadiusSettings) -> dict[str, Any]:
    """Means and medians over all examples. One that was not broken counts with `largest`: `attacked_mean` is then too small."""
    certified = [r["certified"] for r in rows] or [0.0]
    attacked = [settings.largest if r["attacked"] is None else r["attacked"] for r in rows] or [0.0]
    told: dict[str, Any] = {"n": len(rows), "clean_accuracy": sum(r["correct"] for r in rows) / max(1, len(rows))}
    told |= {"certified_mean": mean(certified), "certified_median": median(certified)}
    told |= {"attacked_mean": mean(attacked), "attacked_median": median(attacked)}
    told |= {"unbroken": sum(r["attacked"] is None for r in rows), "largest": settings.largest, "norm": settings.norm}
    return told | {"method": settings.method, "attack": settings.attack, "seconds": sum(r["seconds"] for r in rows)}


def _rows(network: nn.Module | Graph, x: Tensor, y: Tensor, index: list[int], settings: RadiusSettings) -> Rows:
    started = time.perf_counter()
    graph = as_graph(network, ball(settings.norm, x, settings.largest, settings.clip))
    refuse_random(network, x[:8])
    attack = named_attack(settings.attack, **settings.attack_settings)
    bounds = settings.norm, settings.clip, settings.largest, settings.halvings
    broken = nearest(network, x, y, attack, *bounds).distance
    certified = largest_certified(graph, x, y, broken, index, settings)
    each = (time.perf_counter() - started) / len(y)
    return [
        {
            "index": index[i],
            "label": int(y[i]),
            "correct": bool(broken[i] > 0),
            "certified": float(certified[i]),
            "attacked": float(broken[i]) if bool(torch.isfinite(broken[i])) else None,
            "seconds": each,
        }
        for i in range(len(y))
    ]


def largest_certified(graph: Graph, x: Tensor, y: Tensor, broken: Tensor, index: list[int], settings: RadiusSettings) -> Tensor:
    """The largest radius found, `(batch,)` in float64, whose whole ball is proven to keep the label; at most `broken`.

    broken: `(batch,)`, the distance of a point that breaks the label, infinite where none is known. First a ball that holds
    that point is tried: where it is proven a bound or the point is wrong, and `SoundnessError` names the examples of `index`.
    """
    known = torch.isfinite(broken)
    beyond = broken * (1 + BEYOND) + 2 * rounding(ball(settings.norm, x, settings.largest, settings.clip))
    first = torch.where(known, beyond, torch.full_like(broken, settings.largest))
    whole, least = settings.norm == "l0", 1.0 if settings.norm == "l0" else 0.0  # pixels are whole, and none moved is no ball
    proven = torch.zeros_like(known)
    asked = (first >= least).nonzero().squeeze(1)
    proven[asked] = _proven(graph, x[asked], y[asked], first[asked], settings)
    wrong = (proven & known).nonzero().flatten().tolist()
    if wrong:
        named = [index[i] for i in wrong]
        raise SoundnessError(f"examples {named} are certified beyond a point that breaks them: a bound or the attack is wrong")
    low, high = torch.where(proven, first, 0.0), torch.where(known, broken, first)
    for _ in range(settings.halvings):
        open_ = (low + least < high).nonzero().squeeze(1)
        if not len(open_):
            break
        middle = ((low + high) / 2).floor() if whole else (low + high) / 2
        holds = torch.zeros_like(known)
        holds[open_] = _proven(graph, x[open_], y[open_], middle[open_], settings)
        low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
    return low.floor() if whole else low


def _proven(graph: Graph, x: Tensor, y: Tensor, eps: Tensor, settings: RadiusSettings) -> Tensor:
    """Which balls are proven; the radius is rounded up where the type of x is coarser."""
    asked = torch.nextafter(eps.to(x.dtype), torch.full_like(eps, torch.inf).to(x.dtype))
    with torch.no_grad():
        region = ball(settings.norm, x, asked, settings.clip)
        found = margins(graph, region, y, stopping(settings.method, 0.0), settings.memory)
    return (found > 0).all(1)
