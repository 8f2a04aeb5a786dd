"""No attack makes anything on the CPU that meets the points: on a device that is played, results are those of the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from elsewhere import NAME, Far, elsewhere
from small_nets import inputs, plane_net
from torch import Tensor

from ballproof.attacks import APGD, BIM, CW, DDN, FAB, FGSM, PGD, Auto, Saliency, SparseRS, Square, Towards
from ballproof.problems import L0, L1, L2, Box, Linf, Region

OURS: list[Any] = [
    FGSM(),
    BIM(steps=3, momentum=0.5),
    PGD(steps=3, diversify=1),
    APGD(steps=5, loss="dlr", targets=2),
]
THEIRS: list[Any] = [FAB(steps=4), Square(queries=10), Auto(steps=4, queries=8)]
PIXELS: list[Any] = [Saliency(), SparseRS(queries=10), Auto(queries=8)]
EUCLIDEAN: list[Any] = [CW(10, searches=2), DDN(steps=5)]


def regions(x: Tensor) -> dict[str, Region]:
    cut = Box((x - 0.1).clamp(0, 1), (x + 0.2).clamp(0, 1))
    return {"linf": Linf(x, 0.1, (0, 1)), "l2": L2(x, 0.1), "l1": L1(x, 0.1, (0, 1)), "l0": L0(x, 1, (0, 1)), "box": cut}


CASES = [(m, n, n == "box") for m in OURS + THEIRS for n in ("linf", "l1", "box")]
CASES += [(m, "l0", t) for m in PIXELS for t in (False, True)] + [(m, n, True) for m in EUCLIDEAN for n in ("l2", "box")]


@pytest.mark.parametrize(("method", "name", "targeted"), CASES, ids=repr)
def test_results_are_those_of_the_cpu_and_nothing_of_the_cpu_is_met(method: Any, name: str, targeted: bool) -> None:
    net, x = plane_net(1), inputs(6, 2, 2)
    y = net(x).argmax(1)
    aims = (y + 1) % 3
    here = method(net, regions(x)[name], Towards(aims) if targeted else y)
    weights = [p.detach() for p in net.parameters()]
    with elsewhere():
        first, bias, second, last = (w.to(NAME) for w in weights)

        def far(points: Tensor) -> Tensor:
            return torch.relu(points @ first.T + bias) @ second.T + last

        target = Towards(aims.to(NAME)) if targeted else y.to(NAME)
        there = method(far, regions(x.to(NAME))[name], target)
        assert all(isinstance(t, Far) for t in (there.inputs, there.success, there.margins, there.predictions))
        assert torch.allclose(there.inputs.cpu(), here.inputs) and torch.equal(there.success.cpu(), here.success)


def test_the_device_that_is_played_refuses_what_lives_on_the_cpu() -> None:
    with elsewhere():
        there = torch.ones(3, device=NAME)
        assert isinstance(there, Far) and float((there + 1).sum()) == 6 and (there * torch.tensor(2.0)).tolist() == [2, 2, 2]
        with pytest.raises(AssertionError, match="mixes tensors of two devices"):
            there + torch.ones(3)
