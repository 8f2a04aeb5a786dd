"""The laws that every attack keeps on every region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_nets import REGIONS, inputs, label_margins, plane_net, region
from torch import nn

from ballproof.attacks import APGD, ATTACKS, BIM, CW, DDN, FAB, FGSM, PGD, Auto, Saliency, SparseRS, Square, Towards, run_attack
from ballproof.attacks.goal import goal_of
from ballproof.attacks.search import Task, diversified
from ballproof.errors import InputError
from ballproof.networks import as_graph
from ballproof.problems import L1, L2, Linf, Property, classified_as

EVERY: list[Callable[..., Any]] = [
    FGSM(),
    FGSM(loss="cross-entropy"),
    BIM(steps=7),
    BIM(steps=7, loss="cross-entropy", momentum=0.8),
    PGD(steps=7),
    PGD(steps=7, restarts=3, seed=5),
    PGD(steps=7, restarts=2, diversify=2),
    PGD(steps=7, step_size=0.5, loss="cross-entropy", momentum=0.5, early_stop=False),
    APGD(steps=7, loss="dlr", targets=2),
    APGD(steps=7, loss="margin", early_stop=False),
]
LIBRARIES: list[Callable[..., Any]] = [FAB(steps=5, targets=2), Square(queries=30), Auto(steps=5, targets=2, queries=20)]
EUCLIDEAN: list[Callable[..., Any]] = [CW(steps=20, searches=3), DDN(steps=10)]
CUT = ["linf-clip", "l2-clip", "l1-clip"]
OWN = [(a, r) for a in EVERY for r in REGIONS]
PAIRS = [*OWN, (LIBRARIES[0], "l1-clip"), (LIBRARIES[1], "l2-clip"), (LIBRARIES[2], "linf-clip"), (LIBRARIES[2], "l2")]
PAIRS += [(a, "l2-clip") for a in EUCLIDEAN]
DETERMINISTIC = [a for a in EVERY if isinstance(a, FGSM) or (isinstance(a, PGD) and not a.random_start)]


def naming(method: object) -> str:
    return repr(method)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("method", "name"), PAIRS, ids=naming)
def test_results_are_inside_and_say_what_the_network_says(method: Any, name: str, dtype: torch.dtype) -> None:
    net, x = plane_net(1, dtype), inputs(12, 2, 2, dtype)
    y = net(x).argmax(1)
    y[0] = (y[0] + 1) % 3
    ball = region(name, x, 0.1)
    found = method(net, ball, y)
    outputs = net(found.inputs)
    assert found.inputs.dtype == dtype and found.inputs.shape == x.shape
    assert ball.contains(found.inputs, 1e-5 if dtype == torch.float32 else 1e-12).all()
    assert torch.equal(found.predictions, outputs.argmax(1))
    assert torch.equal(found.success, found.predictions != y)
    assert torch.allclose(found.margins, label_margins(outputs, y))
    assert found.success[0] and found.success[1:].any() and not found.success.all()
    assert found.rate == pytest.approx(float(found.success.sum()) / 12)


@pytest.mark.parametrize(("method", "name"), OWN, ids=naming)
def test_it_is_never_weaker_than_the_center(method: Any, name: str) -> None:
    net, x = plane_net(3), inputs(12, 2, 4)
    y = net(x).argmax(1)
    ball = region(name, x, 0.1)
    center = x + 0.05 if name == "box" else x
    assert (method(net, ball, y).margins <= label_margins(net(center), y) + 1e-12).all()


@pytest.mark.parametrize(("method", "name"), [p for p in PAIRS if p[1] in CUT], ids=naming)
def test_at_radius_zero_only_the_misclassified_are_broken(name: str, method: Any) -> None:
    net, x = plane_net(3), inputs(9, 2, 4)
    y = net(x).argmax(1)
    wrong = torch.arange(9) % 3 == 0
    y = torch.where(wrong, (y + 1) % 3, y)
    found = method(net, region(name, x, 0.0), y)
    assert torch.equal(found.success, wrong)
    assert torch.equal(found.inputs, x)


@pytest.mark.parametrize("method", EVERY, ids=naming)
def test_a_misclassified_input_is_its_own_counterexample(method: Any) -> None:
    net, x = plane_net(3), inputs(9, 2, 4)
    y = (net(x).argmax(1) + 1) % 3
    found = method(net, region("linf-clip", x, 0.1), y)
    assert found.success.all()
    assert torch.equal(found.inputs, x) or not getattr(method, "early_stop", True)


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("method", DETERMINISTIC, ids=naming)
def test_examples_do_not_touch_each_other(method: Any, name: str) -> None:
    net, x = plane_net(5), inputs(6, 2, 6)
    y = net(x).argmax(1)
    together = method(net, region(name, x, 0.15), y)
    for i in range(6):
        alone = method(net, region(name, x[i : i + 1], 0.15), y[i : i + 1])
        assert torch.allclose(alone.inputs[0], together.inputs[i], rtol=0, atol=1e-9)
        assert alone.success[0] == together.success[i]


@pytest.mark.parametrize("name", REGIONS)
def test_the_size_of_the_chunks_changes_nothing(name: str) -> None:
    net, x = plane_net(5), inputs(10, 2, 6)
    y, ball = net(x).argmax(1), region(name, x, 0.15)
    whole, parts = (PGD(steps=5, restarts=3, batch_size=size)(net, ball, y) for size in (100, 3))
    assert torch.allclose(whole.inputs, parts.inputs, rtol=0, atol=1e-9) and torch.equal(whole.success, parts.success)


@pytest.mark.parametrize("name", REGIONS)
def test_the_seed_decides_everything(name: str) -> None:
    net, x = plane_net(7), inputs(10, 2, 8)
    y, ball = net(x).argmax(1), region(name, x, 0.1)
    first, again, other = (PGD(steps=3, seed=seed)(net, ball, y).inputs for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("early_stop", [True, False])
@pytest.mark.parametrize("name", REGIONS)
def test_more_restarts_never_weaken(name: str, early_stop: bool) -> None:
    net, x = plane_net(9), inputs(20, 2, 10)
    y, ball = net(x).argmax(1), region(name, x, 0.12)
    one, two, five = (PGD(steps=2, restarts=n, early_stop=early_stop)(net, ball, y) for n in (1, 2, 5))
    assert (two.margins <= one.margins).all() and (five.margins <= two.margins).all()
    assert (five.margins < one.margins).any()
    assert not (one.success & ~two.success).any() and not (two.success & ~five.success).any()


def test_early_stop_asks_less_and_breaks_the_same() -> None:
    asked = []

    def counting(points: torch.Tensor) -> torch.Tensor:
        asked.append(len(points))
        return net(points)

    net, x = plane_net(9), inputs(20, 2, 10)
    y, ball = net(x).argmax(1), region("linf", x, 0.3)
    full = PGD(steps=10, early_stop=False)(counting, ball, y)
    price, asked = sum(asked), []
    stopped = PGD(steps=10)(counting, ball, y)
    assert torch.equal(full.success, stopped.success) and (full.margins <= stopped.margins).all()
    assert price == 20 * (1 + 11 + 1) and sum(asked) < price - 10 * int(stopped.success.sum()) + 40


def test_labels_and_classified_as_are_the_same_question() -> None:
    net, x = plane_net(9), inputs(10, 2, 10)
    y, ball = net(x).argmax(1), region("linf", x, 0.1)
    one, two = PGD(steps=5)(net, ball, y), PGD(steps=5)(net, ball, classified_as(y))
    three = PGD(steps=5)(net, ball, classified_as(y).property(3))
    assert torch.equal(one.inputs, two.inputs)
    assert torch.allclose(one.margins, three.margins) and torch.equal(one.success, three.success)


def test_an_empty_batch_gives_an_empty_result() -> None:
    net, x = plane_net(9), inputs(0, 2, 10)
    found = run_attack(net, x, torch.zeros(0, dtype=torch.long), eps=0.1)
    assert len(found) == 0 and found.rate == 0 and found.inputs.shape == (0, 2)


def test_every_registered_attack_is_in_the_list() -> None:
    made = {type(a) for a in [*EVERY, *LIBRARIES, *EUCLIDEAN, Saliency(), SparseRS()]}  # the last two: test_pixel_attacks.py
    assert {type(ATTACKS[name]()) for name in ATTACKS} <= made
    with pytest.raises(InputError):
        ATTACKS["pgd"](loss="hinge")


def test_a_property_takes_outputs_of_any_shape_and_labels_do_not() -> None:
    flat, x = plane_net(9), inputs(10, 2, 10)
    net = nn.Sequential(flat, nn.Unflatten(1, (1, 3)))
    ball, y = region("linf", x, 0.1), flat(x).argmax(1)
    asked = classified_as(y).property(3)
    shaped = Property(asked.coefficients.unsqueeze(2), asked.offsets, asked.groups)
    one, two = PGD(steps=5)(flat, ball, asked), PGD(steps=5)(net, ball, shaped)
    assert torch.equal(one.inputs, two.inputs) and torch.equal(one.predictions, two.predictions)
    with pytest.raises(InputError, match=r"labels need outputs \(batch, classes\).*\(10, 1, 3\)"):
        PGD(steps=5)(net, ball, y)
    with pytest.raises(InputError, match="'cross-entropy' needs labels"):
        PGD(loss="cross-entropy")(flat, ball, asked)


@pytest.mark.parametrize("method", [*EVERY, LIBRARIES[0]], ids=naming)
def test_a_graph_is_attacked_as_its_module(method: Any) -> None:
    net, x = plane_net(9), inputs(10, 2, 10)
    ball, y = region("linf-clip", x, 0.1), net(x).argmax(1)
    module, graph = method(net, ball, y), method(as_graph(net, ball), ball, y)
    assert torch.allclose(module.inputs, graph.inputs, rtol=0, atol=1e-9)
    assert torch.equal(module.success, graph.success) and all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("norm", [Linf, L2, L1])
def test_every_example_has_its_own_radius(norm: Any) -> None:
    net, x = plane_net(9), inputs(10, 2, 10)
    eps, y = torch.linspace(0, 0.2, 10, dtype=x.dtype), net(x).argmax(1)
    together = BIM(steps=5)(net, norm(x, eps), y)
    for i in range(10):
        alone = BIM(steps=5)(net, norm(x[i : i + 1], float(eps[i])), y[i : i + 1])
        assert torch.allclose(alone.inputs[0], together.inputs[i], rtol=0, atol=1e-9)
    assert together.success.any() and not together.success.all() and torch.equal(together.inputs[0], x[0])


@pytest.mark.parametrize(
    "method", [PGD(steps=20, restarts=3), APGD(steps=20, loss="dlr"), BIM(loss="cross-entropy")], ids=naming
)
def test_a_targeted_attack_reaches_its_class_and_no_other_counts(method: Any) -> None:
    net, x = plane_net(1), inputs(30, 2, 2)
    y = net(x).argmax(1)
    free, all_ = method(net, region("linf-clip", x, 0.12), y).success, torch.zeros(30, dtype=torch.bool)
    for aim in range(3):
        found = run_attack_towards(net, x, aim, method)
        said = net(found.inputs)
        assert torch.equal(found.success, said.argmax(1) == aim) and torch.equal(
            found.margins, -label_margins(said, 0 * y + aim)
        )
        assert found.success[y == aim].all() and not found.success.all()
        all_ |= found.success & (y != aim)
    assert (all_ & free).sum() >= all_.sum() - 1 and (all_ | ~free).sum() >= 29  # some class is reached where the label is lost


def run_attack_towards(net: nn.Module, x: torch.Tensor, aim: int, method: Any) -> Any:
    return method(net, region("linf-clip", x, 0.12), Towards(torch.full((len(x),), aim)))


def test_a_targeted_attack_on_a_linear_network_is_exact() -> None:
    """Two classes: the answer 0 is reached where the margin of class 1 can be taken to zero."""
    net, x = nn.Linear(2, 2).double(), inputs(40, 2, 5)
    w = (net.weight[1] - net.weight[0]).detach()
    margin = (net(x)[:, 1] - net(x)[:, 0]).detach()
    found = run_attack(net, x, 0 * margin.long(), 0.05, clip=None, towards=0)
    assert torch.equal(found.success, margin - 0.05 * w.abs().sum() <= 0)
    assert torch.equal(
        run_attack(net, x, 0 * margin.long(), 0.05, clip=None, towards=torch.zeros(40).long()).inputs, found.inputs
    )
    theirs = run_attack(net, x, 0 * margin.long(), 0.05, clip=None, method="fab", towards=0)
    assert torch.equal(theirs.success, found.success)


def test_diversified_starts_take_steps_as_long_as_the_radius_towards_random_outputs() -> None:
    net, x = plane_net(1), inputs(6, 2, 2)
    goal = goal_of(net(x).argmax(1), region("linf", x, 0.1), "margin")
    task = Task(net, region("linf", x, 0.1), goal, torch.arange(6))
    aims = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    leaf = x.clone().requires_grad_()
    (uphill,) = torch.autograd.grad((aims * net(leaf)).sum(), leaf)
    assert torch.allclose(diversified(task, x, aims, 1), x + 0.1 * uphill.sign())
    assert torch.equal(diversified(task, x, aims, 0), x)
    y = net(x).argmax(1)
    still = PGD(steps=1, random_start=False, diversify=2, restarts=2, early_stop=False)
    assert not torch.equal(still(net, task.region, y).inputs, PGD(steps=1, random_start=False)(net, task.region, y).inputs)
