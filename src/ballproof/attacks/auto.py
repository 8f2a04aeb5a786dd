"""The standard ensemble (Croce & Hein 2020): four attacks, the cheapest first, each on what the others left standing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ballproof.attacks.apgd import APGD
from ballproof.attacks.asking import Network
from ballproof.attacks.goal import Labelled, Target, goal_of
from ballproof.attacks.libraries import FAB, Square, needed
from ballproof.attacks.recheck import recheck
from ballproof.attacks.result import AttackResult
from ballproof.attacks.saliency import Saliency
from ballproof.attacks.settings import whole
from ballproof.attacks.space import start
from ballproof.attacks.sparse_rs import SparseRS
from ballproof.errors import InputError
from ballproof.problems import Region

if TYPE_CHECKING:
    from ballproof.attacks.registry import Attack


@dataclass(frozen=True)
class Auto:
    """The ensemble that the field calls AutoAttack, standard version: nothing of it has to be chosen.

    In turn: `apgd-ce` (`APGD` on the cross-entropy), `apgd-t` (`APGD` on the targeted DLR loss), `fab-t` (`FAB`), `square`
    (`Square`). For balls of L0, for which the standard names none: `saliency` (`Saliency`) and `sparse-rs` (`SparseRS`), both
    our own. `by` of the result says which broke an example. Needs labels, or classes to head for, and but for L0 the extra
    `attacks`. An example that is left standing is not proven to stand. Price of one: about `steps * (1 + 2 * targets)` passes
    forward and backward, and `queries` forward; of L0: `eps * targets * 12 + queries`.
    """

    steps: int = 100
    targets: int = 9
    queries: int = 5000
    seed: int = 0
    batch_size: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("targets", 1), ("queries", 1), ("seed", 0), ("batch_size", 1)):
            whole(name, getattr(self, name), least)

    def members(self, norm: str) -> dict[str, Attack]:
        """The attacks by name, in the order in which they get their turns."""
        rest: dict[str, Any] = {"seed": self.seed, "batch_size": self.batch_size}
        if norm == "l0":
            return {"saliency": Saliency(targets=self.targets, **rest), "sparse-rs": SparseRS(self.queries, **rest)}
        return {
            "apgd-ce": APGD(self.steps, **rest),
            "apgd-t": APGD(self.steps, loss="dlr", targets=self.targets, **rest),
            "fab-t": FAB(self.steps, self.targets, **rest),
            "square": Square(self.queries, **rest),
        }

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        goal = goal_of(target, region, "margin")
        if not isinstance(goal, Labelled):
            raise InputError("`auto` needs labels or classes; attack a `Property` with `pgd` or `apgd`")
        for package in () if region.norm == "l0" else ("pyautoattack.fab_pt", "pyautoattack.square"):
            needed(package)
        points = start(region).clone()
        found = recheck(network, region, goal, points, self.batch_size)
        by = ["clean" if broken else "" for broken in found.success]
        margins, open_ = found.margins.clone(), (~found.success).nonzero().squeeze(1)
        for name, member in self.members(region.norm).items():
            if not len(open_):
                break
            part = member(network, region[open_], goal[open_].target)
            better = part.margins < margins[open_]
            points[open_[better]], margins[open_[better]] = part.inputs[better], part.margins[better]
            for i in open_[part.success].tolist():
                by[i] = name
            open_ = open_[~part.success]
        last = recheck(network, region, goal, points, self.batch_size)
        named = tuple(name if broken else "" for name, broken in zip(by, last.success, strict=True))
        return replace(last, by=named)
