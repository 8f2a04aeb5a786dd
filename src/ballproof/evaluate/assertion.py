"""`assert_robust`: a proof inside a user's own test suite."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ballproof.attacks import PGD
from ballproof.bounds import Method
from ballproof.errors import InputError
from ballproof.evaluate.certify import CertifySettings, Table, certify
from ballproof.evaluate.rows import evaluating
from ballproof.evaluate.staged import SEARCHES
from ballproof.graph import Graph
from ballproof.problems import ball, classified_as
from ballproof.solve import verify


@dataclass(frozen=True, eq=False)
class Counterexample:
    """An example whose label is not the network's only answer in the ball, and a point of the ball that shows it.

    index: place in x. input, point: `(*input)`; they are equal where the answer is wrong as it is.
    """

    index: int
    label: int
    answer: int
    input: Tensor
    point: Tensor


class NotRobust(AssertionError):  # noqa: N818  what was asserted does not hold; it is no error of the test
    """Fewer examples are proven than were asked for. counterexample: one of those that are broken, None where none is."""

    def __init__(self, told: str, table: Table, counterexample: Counterexample | None) -> None:
        super().__init__(told)
        self.table, self.counterexample = table, counterexample


def assert_robust(
    network: nn.Module | Graph,
    x: Tensor,
    y: Tensor,
    eps: float,
    norm: str = "linf",
    clip: tuple[float, float] | None = (0.0, 1.0),
    method: str | Method = "crown",
    share: float = 1.0,
) -> Table:
    """Passes only if at least this share of the examples is proven to keep its label in the whole ball; returns the rows.

    x: `(batch, *input)`, y: `(batch,)` labels, eps in the units of x. Raises `NotRobust`, an `AssertionError`, with the share
    that was proven, the share that an attack broke, and the examples of both; never passes on an attack alone.
    """
    if not 0 < share <= 1:
        raise InputError(f"`share` is {share}, expected a number in (0, 1]")
    y = torch.as_tensor(y)
    if len(y) == 0:
        raise InputError("`x` has no examples: nothing would be proven")
    settings = CertifySettings(eps=eps, method=method, norm=norm, clip=clip)
    table = certify(network, [(x, y)], settings=settings)
    if table.totals["certified_accuracy"] >= share:
        return table
    raise NotRobust(_told(table, share), table, _counterexample(network, x, y, table))


def _told(table: Table, share: float) -> str:
    settings = table.settings
    broken = [r["index"] for r in table.rows if r["attacked"]]
    open_ = [r["index"] for r in table.rows if not r["certified"] and not r["attacked"]]
    proven = 100 * table.totals["certified_accuracy"]
    return (
        f"{proven:.1f} % of {len(table.rows)} examples are proven at {settings.norm} eps {settings.eps} by {settings.named}, "
        f"wanted {100 * share:.1f} %; "
        f"broken or wrong: {_few(broken)}; neither proven nor broken: {_few(open_)}"
    )


def _counterexample(network: nn.Module | Graph, x: Tensor, y: Tensor, table: Table) -> Counterexample | None:
    """The first example that is right and broken, else the first that is wrong as it is."""
    for row in sorted((r for r in table.rows if r["attacked"]), key=lambda r: not r["correct"]):
        i = row["index"]
        point = _point(network, x[[i]], y[[i]], table.settings) if row["correct"] else x[i]
        if point is not None:
            with evaluating(network), torch.no_grad():
                answer = int(network(point[None]).argmax(1))
            return Counterexample(i, row["label"], answer, x[i].detach().cpu(), point.detach().cpu())
    return None


def _point(network: nn.Module | Graph, x: Tensor, y: Tensor, settings: CertifySettings) -> Tensor | None:
    """A point that breaks this one example: by a longer attack than that of the table, else by the search it was found by."""
    region = ball(settings.norm, x, settings.eps, settings.clip)
    attack = PGD(steps=2 * settings.attack_steps, restarts=3, seed=settings.seed)
    with evaluating(network):
        found = attack(network, region, classified_as(y))
        if bool(found.success[0]):
            return found.inputs[0]
        if not settings.searches:
            return None
        engine = SEARCHES[settings.named]
        return verify(network, region, classified_as(y), timeout=settings.limit_each, engine=engine).counterexample


def _few(indices: list[int], most: int = 10) -> str:
    told = ", ".join(map(str, indices[:most])) or "none"
    return told + (f" and {len(indices) - most} more" if len(indices) > most else "")
