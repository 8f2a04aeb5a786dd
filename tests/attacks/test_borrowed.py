"""Attacks of other people: only what breaks the network inside the region counts, and nothing else of theirs stays behind."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from small_nets import inputs, label_margins, plane_net, region
from torch import Tensor, nn

from ballproof.attacks import PGD, AsModule, Auto, Foreign, Mean, libraries, run_attack
from ballproof.errors import InputError


def problem() -> tuple[nn.Sequential, Tensor, Tensor]:
    net, x = plane_net(1), inputs(12, 2, 2)
    return net, x, net(x).argmax(1)


def far_away(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """The nearest of many points of the whole square that the network calls something else: outside the ball."""
    many = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)).to(x)
    said = model(many).argmax(1)
    return torch.stack(
        [many[said != label][(many[said != label] - p).norm(dim=1).argmax()] for p, label in zip(x, y, strict=True)]
    )


def test_points_outside_the_ball_do_not_count() -> None:
    net, x, y = problem()
    ball = region("l2-clip", x, 1e-4)
    found = Foreign(far_away)(net, ball, y)
    assert (net(far_away(net, x, y, 0.0)).argmax(1) != y).all(), "the cheat breaks everything, outside"
    assert ball.contains(found.inputs, 1e-12).all() and not found.success.any()


def test_a_claim_without_a_point_does_not_count() -> None:
    net, x, y = problem()
    for call in (lambda m, x, y, eps: x * torch.nan, lambda m, x, y, eps: x + torch.inf, lambda m, x, y, eps: x):
        found = Foreign(call)(net, region("linf-clip", x, 0.1), y)
        assert not found.success.any() and torch.equal(found.inputs, x)


def test_a_callable_that_changes_what_it_is_given_changes_nothing() -> None:
    net, x, y = problem()

    def vandal(model: nn.Module, points: Tensor, labels: Tensor, eps: float) -> Tensor:
        points.fill_(0.5)
        labels.fill_(1)
        model.zero_grad()
        model(points.requires_grad_()).sum().backward()
        np.random.rand(3), random.random(), torch.rand(3)  # noqa: NPY002
        return points

    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    kept, labels = x.clone(), y.clone()
    Foreign(vandal)(net, region("linf-clip", x, 0.1), y)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    assert torch.equal(x, kept) and torch.equal(y, labels) and all(p.grad is None for p in net.parameters())


def test_an_honest_callable_is_as_good_as_ours_and_gets_each_radius() -> None:
    net, x, y = problem()
    told: list[float] = []

    def sign_step(model: nn.Module, points: Tensor, labels: Tensor, eps: float) -> Tensor:
        told.append(eps)
        points.requires_grad_()
        (gradient,) = torch.autograd.grad(label_margins(model(points), labels).sum(), points)
        return points - eps * gradient.sign()

    eps = torch.tensor([0.05, 0.2], dtype=torch.float64).repeat(6)
    ball = type(region("linf-clip", x, 0.1))(x, eps, (0.0, 1.0))
    found, ours = Foreign(sign_step)(net, ball, y), PGD(1, 1.0, random_start=False)(net, ball, y)
    assert sorted(told) == [0.05, 0.2] and torch.allclose(found.inputs, ours.inputs)
    assert found.success.any() and torch.equal(found.success, ours.success)


@pytest.mark.parametrize("given", [torch.zeros(3), None, "done"])
def test_answers_that_are_no_points_are_named(given: object) -> None:
    net, x, y = problem()
    with pytest.raises(InputError, match=r"expected a tensor of points \(12, 2\)"):
        Foreign(lambda m, x, y, eps: given)(net, region("linf", x, 0.1), y)  # type: ignore[arg-type,return-value]


def test_our_networks_run_in_foolbox_and_in_calls_like_those_of_cleverhans() -> None:
    foolbox = libraries.needed("foolbox")
    net, x = plane_net(1, torch.float32).train(), inputs(12, 2, 2, torch.float32)
    y = net(x).argmax(1)
    model = foolbox.PyTorchModel(AsModule(net), bounds=(0, 1), device="cpu")
    points, _, success = foolbox.attacks.LinfPGD(steps=20)(model, x, y, epsilons=0.1)
    assert torch.equal(net(points).argmax(1) != y, success) and success.any() and not success.all()
    assert net.training and all(p.grad is None for p in net.parameters())
    ours = run_attack(net, x, y, 0.1, steps=40, restarts=3).success
    assert not (success & ~ours).any()


def test_a_missing_library_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, y = problem()
    monkeypatch.setitem(sys.modules, "pyautoattack.fab_pt", None)
    with pytest.raises(InputError, match=r"needs `pyautoattack`: pip install 'ballproof\[attacks\]'") as error:
        Auto()(net, region("linf-clip", x, 0.1), y)
    assert "\n" not in str(error.value)


def test_the_libraries_are_loaded_only_when_they_are_used() -> None:
    asked = "import sys, ballproof.attacks; print('foolbox' in sys.modules or 'pyautoattack' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_the_ensemble_says_who_broke_what() -> None:
    """One class is reached by the gradient; in another gradients are blind, and only squares that guess find the way."""

    def net(points: Tensor) -> Tensor:
        seen, hidden = points[:, 0, 0].sum(1), (points[:, 0, 1:] > 0.59).to(points).mean((1, 2))
        return torch.stack([0 * seen + 1, seen - 2.6, hidden / 0.7], 1)

    x = torch.full((3, 1, 6, 6), 0.5, dtype=torch.float64)
    x[0, 0, 0], x[1, 0, 0], x[2, 0, 0] = 0.55, 0.2, 0.9
    y = torch.zeros(3, dtype=torch.long)
    found = Auto(steps=10, queries=1000)(net, region("linf-clip", x, 0.1), y)
    assert found.by == ("apgd-ce", "square", "clean") and found.success.all()
    none = Auto(steps=5, queries=20)(net, region("linf-clip", x, 0.001), y)
    assert none.by == ("", "", "clean") and none.success.tolist() == [False, False, True]


class Noisy(nn.Module):
    """Dropout that was written as a function and so stays on in evaluation mode."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, points: Tensor) -> Tensor:
        answers: Tensor = nn.functional.dropout(self.net(points), 0.3)
        return answers


def test_random_answers_are_refused_and_their_mean_is_attacked() -> None:
    net, x, y = problem()
    with pytest.raises(InputError, match=r"two answers to one input.*`ballproof.attacks.Mean"):
        run_attack(Noisy(net), x, y, 0.1)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    mean = Mean(Noisy(net), samples=200)
    assert torch.equal(mean(x), mean(x)) and torch.equal(torch.get_rng_state(), before)
    exact = net(x).detach()
    assert torch.allclose(mean(x).detach(), exact, atol=0.15 * float(exact.abs().max()))
    found = run_attack(mean, x, mean(x).argmax(1), 0.1, steps=5)
    assert found.success.any() and torch.equal(mean(found.inputs).argmax(1), found.predictions)


def test_our_networks_run_in_calls_like_those_of_cleverhans() -> None:
    """A function of a model that calls `backward` through it, as its `fast_gradient_method` does."""

    def fast_gradient_method(model_fn: nn.Module, x: Tensor, eps: float, norm: float) -> Tensor:
        assert norm == np.inf
        x = x.clone().detach().float().requires_grad_(True)
        labels = model_fn(x).argmax(1)
        nn.functional.cross_entropy(model_fn(x), labels).backward()
        return (x + eps * x.grad.sign()).detach().clamp(0, 1)  # type: ignore[union-attr]

    net, x = plane_net(1, torch.float32), inputs(12, 2, 2, torch.float32)
    y = net(x).argmax(1)
    points = fast_gradient_method(AsModule(net), x, 0.1, np.inf)
    ours = run_attack(net, x, y, 0.1, method="fgsm", loss="cross-entropy")
    assert torch.equal(points, ours.inputs) and all(p.grad is None for p in net.parameters())


def test_an_attack_on_arrays_like_those_of_art_runs_both_ways() -> None:
    """An estimator that switches modes and clears gradients as it likes, and speaks NumPy in float32."""

    class Estimator:
        def __init__(self, model: nn.Module) -> None:
            self.model = model.to("cpu")

        def loss_gradient(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
            self.model.train(mode=True)
            self.model.zero_grad()
            points = torch.from_numpy(x).requires_grad_(True)
            nn.functional.cross_entropy(self.model(points), torch.from_numpy(y)).backward()
            return points.grad.numpy()  # type: ignore[union-attr]

    def generate(model: nn.Module, x: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
        step = eps * np.sign(Estimator(model).loss_gradient(x.astype(np.float32), y))
        return np.clip(x + step, 0, 1).astype(np.float32)

    net, x = plane_net(1, torch.float32).eval(), inputs(12, 2, 2, torch.float32)
    y, ball = net(x).argmax(1), region("linf-clip", x, 0.1)
    points = torch.from_numpy(generate(AsModule(net), x.numpy(), y.numpy(), 0.1))
    found = Foreign(lambda m, x, y, eps: torch.from_numpy(generate(m, x.numpy(), y.numpy(), eps)))(net, ball, y)
    assert torch.equal(found.success, net(points).argmax(1) != y) and found.success.any()
    assert not net.training and all(p.grad is None for p in net.parameters())
