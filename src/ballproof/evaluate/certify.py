"""`certify`: one row an example, with what was proven and what was broken, and totals that cannot contradict each other."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ballproof.attacks import PGD
from ballproof.bounds import Method, margins, method_named, stopping
from ballproof.bounds.memory import divided_memory
from ballproof.certificate.rigorous import Rigorous
from ballproof.errors import InputError, SoundnessError
from ballproof.evaluate.rows import Batches, Examples, OfNetwork, collected, evaluating
from ballproof.evaluate.staged import SEARCHES, Staged, cheaply
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.problems import Region, ball, classified_as
from ballproof.runs import Run
from ballproof.spread import HERE, Row, Rows, Workers


@dataclass(frozen=True)
class CertifySettings:
    """What is asked of every example. eps is in the units of the data; clip is the valid range, None for the plain ball.

    method: one of `bounds.METHODS`, or a search (`bab`, `milp`, `smt`), which gets what cheaper bounds leave, one example at a
    time, `limit_each` seconds each. attack_steps: steps of PGD, 0 for no attack. batch: examples at once; the answers do not
    depend on it.
    memory: working memory of the bounds in bytes.
    """

    eps: float
    norm: str = "linf"
    clip: tuple[float, float] | None = (0.0, 1.0)
    method: str | Method = "dual"
    attack_steps: int = 40
    attack_restarts: int = 1
    batch: int = 100
    memory: int | None = None
    seed: int = 0
    limit_each: float = 10.0

    def __post_init__(self) -> None:
        if not self.limit_each > 0:
            raise InputError(f"`limit_each` is {self.limit_each}, expected seconds > 0")
        if self.batch < 1 or self.attack_steps < 0:
            raise InputError(f"`batch` is {self.batch} and `attack_steps` {self.attack_steps}; expected >= 1 and >= 0")
        if not self.searches:
            method_named(self.method)

    @property
    def searches(self) -> bool:
        """Whether the method decides example by example."""
        return isinstance(self.method, str) and self.method in SEARCHES

    @property
    def attacks(self) -> bool:
        """Whether anything is attacked."""
        return self.attack_steps > 0 or self.searches

    @property
    def named(self) -> str:
        """The method as rows call it."""
        return self.method if isinstance(self.method, str) else type(self.method).__name__

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "method": str(self.method), "clip": None if self.clip is None else list(self.clip)}


@dataclass(frozen=True)
class Table:
    """One row an example, in the order of the data.

    Keys of a row: index, label, prediction, correct, margins (proven lower bound of the label's logit minus each other
    one, classes in order), margin (the least of them), certified, attacked (an adversarial point or a wrong clean
    prediction was found; None without an attack), by (the method that certified or broke it, `clean` where the prediction
    is wrong as it is, "" where none did), reason (why neither: `gap` between bound and attack, `time`, `memory`, `rounding`, or
    what the search says; else ""), seconds.
    """

    rows: Sequence[Row]
    settings: CertifySettings

    @property
    def totals(self) -> dict[str, Any]:
        """Fractions of all examples; certified_accuracy <= the true robust accuracy <= attacked_accuracy.

        attacked_accuracy is None where nothing was attacked.
        """
        n = len(self.rows)
        sums = Counter[str]()
        for row in self.rows:
            sums.update({k: row.get(k) or 0 for k in ("correct", "attacked", "certified", "lost", "seconds")})
        share = {k: sums[k] / max(1, n) for k in ("correct", "attacked", "certified")}
        attacked = 1 - share["attacked"] if self.settings.attacks else None
        method = self.settings.method if isinstance(self.settings.method, str) else repr(self.settings.method)
        told: dict[str, Any] = {"n": n, "clean_accuracy": share["correct"], "attacked_accuracy": attacked}
        told |= {"certified_accuracy": share["certified"], "method": method, "eps": self.settings.eps}
        if n and "lost" in self.rows[0]:
            told["lost_by_rounding"] = sums["lost"]
        return told | {"norm": self.settings.norm, "seconds": sums["seconds"]}


def certify(
    network: nn.Module | Graph,
    data: Batches,
    eps: float | None = None,
    method: str | Method = "dual",
    settings: CertifySettings | None = None,
    run: Run | None = None,
    watch: Callable[[int], None] = lambda done: None,
    rigorous: Rigorous | None = None,
    workers: Workers = HERE,
    **more: Any,
) -> Table:
    """Proves and attacks every example of a data set, or of a loader that gives `(x, y)` batches.

    An example is certified only if every margin is proven positive over its whole region. An example that is both
    certified and broken raises `SoundnessError`: one of the two is wrong, and no table is printed.
    With a run, finished rows are kept as they come and are not computed again. rigorous: an example counts as certified only if
    the checker accepts a proof of it, with all rounding errors taken off. workers: who does the work; the rows do not depend on
    it, but for `seconds` and for what time or memory ran out on.
    """
    from ballproof.evaluate.searching import by_search

    if settings is None:
        if eps is None:
            raise InputError("`eps` is missing: the radius of the ball, in the units of the inputs")
        settings = CertifySettings(eps=eps, method=method, **more)
    with evaluating(network):
        if settings.searches:
            return Table(by_search(network, data, settings, run, watch, rigorous, workers), settings)
        return Table(collected(Bounding(network, settings, rigorous), data, settings.batch, run, watch, workers), settings)


@dataclass(frozen=True, eq=False)
class Bounding(OfNetwork[Examples]):
    """Attacks and bounds of many examples at once. With a search for method: the bounds that come before it."""

    network: nn.Module | Graph
    settings: CertifySettings
    rigorous: Rigorous | None = None

    def rows(self, item: Examples) -> Rows:
        with divided_memory(item.parts):
            return _rows(self.network, item, self.settings, self.rigorous)

    def smaller(self, item: Examples) -> list[Examples]:
        return item.smaller()

    def given_up(self, item: Examples, reason: str) -> Rows:
        """Nothing proven, nothing broken; the prediction is -1, for nobody asked."""
        lost = {} if self.rigorous is None else {"lost": False}
        attacked = False if self.settings.attacks else None
        told: Row = {"prediction": -1, "correct": False, "margins": [], "margin": -math.inf, "certified": False}
        told |= {"attacked": attacked, "by": "", "reason": reason, "seconds": 0.0, **lost}
        return [{"index": i, "label": int(y), **told} for i, y in zip(item.index, item.y, strict=True)]


def _rows(network: nn.Module | Graph, item: Examples, settings: CertifySettings, rigorous: Rigorous | None) -> Rows:
    started, x, y, index = time.perf_counter(), item.x, item.y, item.index
    region = ball(settings.norm, x, settings.eps, settings.clip)
    graph = as_graph(network, region)
    with torch.no_grad():
        outputs = graph(x)
        wrong = broken = outputs.argmax(1) != y
        if settings.attack_steps:
            attack = PGD(steps=settings.attack_steps, restarts=settings.attack_restarts, seed=settings.seed)
            broken = attack(network, region, classified_as(y)).success
        found = _proven(graph, region, y, broken, settings)
    proven, certified = found.margins, found.certified
    alarm(certified & (broken | wrong), index)
    kept = confirmed(rigorous, x, y, index, certified)
    each = (time.perf_counter() - started) / len(y)
    return [
        {
            "index": index[i],
            "label": int(y[i]),
            "prediction": int(outputs[i].argmax()),
            "correct": bool(outputs[i].argmax() == y[i]),
            "margins": [float(m) for m in proven[i]],
            "margin": float(proven[i].min()),
            "certified": bool(kept[i]),
            "attacked": bool(broken[i]) if settings.attacks else None,
            "by": "clean" if wrong[i] else found.by[i] if kept[i] or not certified[i] else "",
            "reason": "" if kept[i] or broken[i] else "rounding" if certified[i] else "gap",
            "seconds": each,
            **({} if rigorous is None else {"lost": bool(certified[i] & ~kept[i])}),
        }
        for i in range(len(y))
    ]


def confirmed(rigorous: Rigorous | None, x: Tensor, y: Tensor, index: list[int], certified: Tensor) -> Tensor:
    """The certified examples that the checker's arithmetic certifies too."""
    if rigorous is None or not bool(certified.any()):
        return certified
    at = certified.nonzero().flatten()
    found = rigorous.proves(x[at].cpu().numpy(), y[at].cpu().numpy(), [index[i] for i in at.tolist()])
    kept = torch.zeros_like(certified)
    kept[at] = torch.from_numpy(found).to(kept.device)
    return kept


def _proven(graph: Graph, region: Region, y: Tensor, broken: Tensor, settings: CertifySettings) -> Staged:
    if settings.searches:
        return cheaply(graph, region, y, broken, settings.memory)
    proven = margins(graph, region, y, stopping(settings.method, 0.0), settings.memory)
    certified = (proven > 0).all(1)
    by = [settings.named if c else "attack" if b else "" for c, b in zip(certified, broken, strict=True)]
    return Staged(proven, certified, by)


def alarm(both: Tensor, index: list[int]) -> None:
    """Raises `SoundnessError` that names the examples of which both a proof and a counterexample are there."""
    if bool(both.any()):
        named = [index[i] for i in both.nonzero().flatten().tolist()]
        raise SoundnessError(f"examples {named} are certified and yet broken: a bound or the attack is wrong; please report it")
