"""On a linear network the worst point is known in closed form: the attacks attain it, and never claim to pass it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_nets import inputs, linear, region
from torch import Tensor

from ballproof.attacks import APGD, BIM, CW, DDN, FAB, FGSM, PGD, Auto, Square

EPS = 0.3
Example = tuple[torch.nn.Linear, Tensor, Tensor]


def worst_step(norm: str, c: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """The least `c · d` over `||d|| <= EPS` and `lower <= d <= upper`, one example; from the optimality conditions."""
    towards = torch.where(c > 0, lower, upper)
    if norm == "linf":
        return c @ torch.sign(towards).mul(towards.abs().clamp(max=EPS))
    if norm == "l1":
        left, total = EPS, torch.zeros(())
        for i in c.abs().argsort(descending=True).tolist():
            spent = min(left, float(towards[i].abs()))
            left, total = left - spent, total - spent * c[i].abs()
        return total
    short, long = 0.0, 1e6
    for _ in range(200):
        middle = (short + long) / 2
        d = torch.minimum(torch.maximum(-middle * c, lower), upper)
        short, long = (middle, long) if d.norm() <= EPS else (short, middle)
    return c @ torch.minimum(torch.maximum(-short * c, lower), upper)


def worst_margins(name: str, net: torch.nn.Linear, x: Tensor, y: Tensor) -> Tensor:
    norm, cut = name.removesuffix("-clip"), name.endswith("-clip")
    low, high = (-x, 1 - x) if cut else (torch.full_like(x, -9.0), torch.full_like(x, 9.0))
    weight, bias = net.weight.detach(), net.bias.detach()
    rows = []
    for i, label in enumerate(y.tolist()):
        c = weight[label] - weight[1 - label]
        rows.append(c @ x[i] + bias[label] - bias[1 - label] + worst_step(norm, c, low[i], high[i]))
    return torch.stack(rows)


@pytest.fixture
def example() -> Example:
    net, x = linear(6, 2, seed=3), inputs(16, 6, seed=4)
    net.bias.data[0] -= net.weight.data[0] @ x.mean(0) - net.weight.data[1] @ x.mean(0)
    return net, x, net(x).argmax(1)


ROUND = ["linf", "linf-clip", "l2", "l2-clip", "l1", "l1-clip"]
EXACT_IN_ONE_STEP = ["linf", "linf-clip", "l2", "l1"]


@pytest.mark.parametrize("loss", ["margin", "cross-entropy"])
@pytest.mark.parametrize("name", EXACT_IN_ONE_STEP)
def test_one_step_attains_the_closed_form(name: str, loss: str, example: Example) -> None:
    net, x, y = example
    found, exact = FGSM(loss=loss)(net, region(name, x, EPS), y), worst_margins(name, net, x, y)
    assert torch.allclose(found.margins, exact, rtol=0, atol=1e-9)
    assert torch.equal(found.success, exact <= 0) and found.success.any() and not found.success.all()


@pytest.mark.parametrize("start", ["center", "random"])
@pytest.mark.parametrize("name", ["linf", "linf-clip", "l2", "l2-clip", "l1", "l1-clip"])
def test_many_steps_attain_the_closed_form(name: str, start: str, example: Example) -> None:
    net, x, y = example
    walk = PGD(steps=60, step_size=1.0, early_stop=False) if start == "random" else BIM(60, 1.0, early_stop=False)
    found, exact = walk(net, region(name, x, EPS), y), worst_margins(name, net, x, y)
    assert torch.allclose(found.margins, exact, rtol=0, atol=1e-5), (found.margins - exact).abs().max()


@pytest.mark.parametrize("name", ["linf", "linf-clip", "l2", "l2-clip"])
def test_success_is_exactly_where_the_closed_form_says(name: str, example: Example) -> None:
    net, x, y = example
    found, exact = PGD()(net, region(name, x, EPS), y), worst_margins(name, net, x, y)
    assert (exact.abs() > 0.005).all(), "the examples must not sit on the edge"
    assert torch.equal(found.success, exact < 0)


APPROXIMATE = [
    *[(APGD(loss=loss, targets=targets), name) for loss, targets in [("cross-entropy", 0), ("dlr", 1)] for name in ROUND],
    *[(FAB(steps=30, targets=1), name) for name in ROUND],
    *[(Auto(steps=20, queries=30), name) for name in ("linf-clip", "l2", "l1-clip")],
    (Square(queries=300), "linf-clip"),
    *[(method, name) for method in (CW(60, searches=4, step_size=0.05), DDN()) for name in ("l2", "l2-clip")],
]


@pytest.mark.parametrize(("method", "name"), APPROXIMATE, ids=repr)
def test_every_attack_breaks_what_the_closed_form_says(method: Any, name: str, example: Example) -> None:
    """Never what stands, and all that falls by 1 % of the largest margin, 10 % for the two that are slow to settle."""
    net, x, y = example
    found, exact = method(net, region(name, x, EPS), y), worst_margins(name, net, x, y)
    near = (0.1 if isinstance(method, (Square, CW)) else 0.01) * exact.abs().max()
    assert not (found.success & (exact > 1e-9)).any() and (found.margins >= exact - 1e-6).all()
    assert (found.success | (exact > -near)).all(), exact[~found.success]
