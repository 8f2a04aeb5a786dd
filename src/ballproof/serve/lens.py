"""What the page asks of a network: the answer, its proven intervals, the strongest attack, and both against the radius."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ballproof.attacks import PGD
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.methods import LinearMethod, method_named
from ballproof.data import Dataset
from ballproof.errors import InputError, SoundnessError
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.operations import Nonlinear
from ballproof.operations.relu import Relu
from ballproof.problems import ball, classified_as

LARGEST = {"linf": 0.4, "l2": 0.4, "l1": 1.5}
"""The radii that the page offers, in the units of the data."""

Told = dict[str, Any]


@dataclass
class Lens:
    """A network and the data it is looked at through. Every answer is a JSON object; nothing is kept between questions.

    method: `crown`, `dual` or a hybrid of them, whose bounds are the proofs. clip: the valid range, with which balls are cut.
    steps: of the attack. Proofs are bounds in float32 whose rounding is not enclosed.
    """

    network: nn.Module | Graph
    data: Dataset
    name: str
    method: str = "crown"
    clip: tuple[float, float] | None = (0.0, 1.0)
    steps: int = 20
    settings: LinearMethod = field(init=False)

    def __post_init__(self) -> None:
        settings = method_named(self.method)
        if not isinstance(settings, LinearMethod):
            raise InputError(f"`method` is {self.method!r}, expected one that answers at once: crown, dual or a hybrid of them")
        self.settings = settings

    def about(self) -> Told:
        """What the page must know before it asks."""
        told = {"name": self.name, "data": self.data.name, "examples": len(self.data), "shape": list(self.data.shape)}
        return told | {"classes": self.data.classes, "method": self.method, "clip": self.clip, "largest": LARGEST}

    def example(self, index: int) -> Told:
        """One example of the data: `input` as a flat list, `label`."""
        if not 0 <= index < len(self.data):
            raise InputError(f"`index` is {index}, expected 0 to {len(self.data) - 1}")
        return {"input": _list(self.data.inputs[index]), "label": int(self.data.labels[index])}

    def look(self, given: list[float], norm: str, eps: float) -> Told:
        """The answer at an input, what is proven of it in the ball of radius eps, and the strongest point found there.

        `lower`, `upper`: proven ends of every logit. `margin`: proven lower value of the answer's logit minus the nearest other
        one; positive is certified. `layers`: how many neurons the ball leaves on, off and undecided. `twin`: the point of the
        attack, whose margin is `attack_margin`. A proof that a point contradicts raises `SoundnessError`.
        """
        started = time.perf_counter()
        outputs, told = self._both(given, norm, eps)
        proof = told.pop("proof")
        with torch.no_grad():
            ends = proof.every_coordinate(proof.graph.output)
        told |= {"logits": _list(outputs), "lower": _list(ends.lower), "upper": _list(ends.upper), "layers": layers(proof)}
        return told | {"milliseconds": 1000 * (time.perf_counter() - started)}

    def step(self, given: list[float], norm: str, eps: float) -> Told:
        """Only the margins at one radius: `proven`, at most the least one in the ball, and `found`, at least it."""
        started = time.perf_counter()
        _, told = self._both(given, norm, eps)
        found = {"eps": eps, "proven": told["margin"], "found": told["attack_margin"]}
        return found | {"milliseconds": 1000 * (time.perf_counter() - started)}

    def _both(self, given: list[float], norm: str, eps: float) -> tuple[Tensor, Told]:
        """Proof and attack in one ball; the pass of the proof is `proof`."""
        x = self._input(given)
        outputs = self._outputs(x)
        answer = outputs.argmax(1)
        region = ball(norm, x, self._radius(norm, eps), self.clip)
        graph = as_graph(self.network, region)
        with torch.no_grad():
            proof = LinearPass(graph, region, self.settings).run()
            rows = classified_as(answer).property(outputs.shape[1]).coefficients.to(x)
            margin, against = proof.lower(graph.output, rows).min(1)
        found = PGD(steps=self.steps, random_start=False, early_stop=False)(self.network, region, answer)
        alarm(bool(margin > 0), bool(found.success), eps)
        told: Told = {"answer": int(answer), "margin": float(margin), "against": int(against + (against >= answer))}
        told |= {"certified": bool(margin > 0), "broken": bool(found.success), "attack_margin": float(found.margins)}
        told |= {"twin": _list(found.inputs), "twin_answer": int(found.predictions), "proof": proof}
        return outputs, told

    def _outputs(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = self.network(x)
        if not bool(torch.isfinite(found).all()):
            raise InputError("the network gives NaN or infinite outputs for this input")
        return found

    def _input(self, given: list[float]) -> Tensor:
        wanted = torch.Size(self.data.shape).numel()
        if not isinstance(given, list) or len(given) != wanted:
            raise InputError(f"`input` has {len(given) if isinstance(given, list) else 'no'} numbers, expected {wanted}")
        try:
            x = torch.tensor(given, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError("`input` holds something that is no number") from error
        low, high = self.data.range
        if x.ndim != 1 or not bool(((x >= low) & (x <= high)).all()):
            raise InputError(f"`input` holds numbers outside [{low:g}, {high:g}]")
        return x.reshape(1, *self.data.shape)

    @staticmethod
    def _radius(norm: str, eps: float) -> float:
        largest = LARGEST[_known(norm)]
        if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 <= eps <= largest:
            raise InputError(f"`eps` is {eps!r}, expected 0 to {largest:g} for {norm} balls, in the units of the data")
        return float(eps)


def layers(proof: LinearPass) -> list[Told]:
    """For each nonlinear node that has lines: how many of its neurons are on, off, undecided on the region of a batch of one.

    On and off are those of rectifiers; of other operations `undecided` are the coordinates whose lines are not exact.
    """
    found = []
    for node in proof.graph.varying:
        if node.name not in proof.relaxations or not isinstance(node.operation, Nonlinear):
            continue
        ends = proof.intervals[next(i for i in node.inputs if proof.graph.node[i].varies)]
        neurons = ends.lower[0].numel()
        told: Told = {"name": node.name, "kind": type(node.operation).__name__.lower(), "neurons": neurons}
        if isinstance(node.operation, Relu):
            on, off = int((ends.lower >= 0).sum()), int(((ends.upper <= 0) & (ends.lower < 0)).sum())
            told |= {"on": on, "off": off, "undecided": neurons - on - off}
        else:
            undecided = int((ends.upper > ends.lower).sum())
            told |= {"on": neurons - undecided, "off": 0, "undecided": undecided}
        found.append(told)
    return found


def alarm(certified: bool, broken: bool, eps: float) -> None:
    """Raises where a ball is proven and broken at once."""
    if certified and broken:
        raise SoundnessError(f"radius {eps:g} is certified and a point breaks it: a bound or the attack is wrong")


def _known(norm: str) -> str:
    if norm not in LARGEST:
        raise InputError(f"`norm` is {norm!r}, expected one of {', '.join(LARGEST)}")
    return norm


def _list(value: Tensor) -> list[float]:
    found: list[float] = value.flatten().tolist()
    return found
