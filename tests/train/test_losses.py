"""Every training loss against its definition, written out anew, and against points of the ball."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.bounds import margins
from ballproof.errors import InputError
from ballproof.networks import as_graph
from ballproof.problems import Box, Linf, ball
from ballproof.train.config import BETWEEN, ESTIMATED, PLAIN, PROVEN, TRAIN_METHODS, TrainConfig
from ballproof.train.loss import training_graph
from ballproof.train.losses import LOSSES, Moment, worst_cross_entropy
from ballproof.train.losses.adversary import walked
from ballproof.train.losses.plain import attacked
from ballproof.train.losses.sabr import small_box
from ballproof.values import Interval

EPS = 0.1


def net(norm: bool = False, method: str = "") -> nn.Sequential:
    torch.manual_seed(3)
    middle = [nn.BatchNorm1d(12)] if norm else []
    if method == "sdp":  # which is for one hidden layer
        return nn.Sequential(nn.Linear(4, 12), *middle, nn.ReLU(), nn.Linear(12, 3)).double()
    return nn.Sequential(nn.Linear(4, 12), *middle, nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def moment(module: nn.Module, eps: float = EPS, method: str = "interval", **settings: object) -> Moment:
    config = TrainConfig(method=method, eps=EPS, eps_until=1, **settings)  # type: ignore[arg-type]
    torch.manual_seed(5)
    x, y = torch.rand(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0, 2])
    region = ball("linf", x, eps, (0.0, 1.0))
    graph = training_graph(module, region, x)
    return Moment(config, graph, as_graph(module, region), x, y, eps, torch.Generator().manual_seed(0))


def test_every_method_of_a_recipe_has_a_loss() -> None:
    assert set(LOSSES) == set(TRAIN_METHODS) == {*PLAIN, *ESTIMATED, *BETWEEN, *PROVEN}


@pytest.mark.parametrize("method", [m for m in LOSSES if m != "trades"])
def test_at_radius_zero_every_loss_is_cross_entropy(method: str) -> None:
    module, at = net(method=method), moment(net(method=method), 0.0, method)
    assert LOSSES[method](at).item() == pytest.approx(F.cross_entropy(module(at.x), at.y).item(), abs=1e-6)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("method", PROVEN)
def test_proven_losses_are_above_the_mean_of_each_examples_worst_sampled_point(method: str, norm: bool) -> None:
    module = net(norm, method).train()
    at = moment(module, EPS, method, crown_beta_start=0.6, crown_beta_end=0.6)
    worst = torch.full((6,), -torch.inf, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(500):
        points = Linf(at.x, EPS, clip=(0, 1)).sample(generator)
        worst = torch.maximum(worst, F.cross_entropy(at.graph(points), at.y, reduction="none").detach())
    assert LOSSES[method](at).item() >= worst.mean().item() - 1e-9


@pytest.mark.parametrize("method", LOSSES)
def test_every_loss_trains_every_parameter(method: str) -> None:
    module = net(True, method).train()
    LOSSES[method](moment(module, EPS, method)).backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in module.parameters())
    assert all(bool((p.grad != 0).any()) for n, p in module.named_parameters() if n != "0.bias" and p.grad is not None)


def test_crown_ibp_goes_from_lines_to_intervals() -> None:
    at = moment(net(), EPS, "crown-ibp", crown_beta_start=1.0, crown_beta_end=0.0)
    assert LOSSES["crown-ibp"](at).item() == pytest.approx(LOSSES["interval"](at).item(), abs=1e-12)
    lines = moment(net(), EPS, "crown-ibp", crown_beta_start=1.0, crown_beta_end=1.0)
    by_lines = LOSSES["crown-ibp"](lines).item()
    region = ball("linf", lines.x, EPS, (0.0, 1.0))
    best = worst_cross_entropy(margins(net(), region, lines.y, "crown-interval")).item()  # cut with the intervals
    assert best <= by_lines + 1e-12
    half = moment(net(), EPS / 2, "crown-ibp", crown_beta_start=1.0, crown_beta_end=0.0)
    assert half.config.crown_beta_at(half.eps) == pytest.approx(0.5)


def test_loss_fusion_is_the_bound_of_the_sum_by_one_query() -> None:
    """One hidden unit that is never off: the network is linear, lines are exact, and so is the chord's bound, by hand."""
    module = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2)).double()
    with torch.no_grad():
        for p, v in zip(module.parameters(), ([[1.0]], [5.0], [[1.0], [0.0]], [0.0, 5.0]), strict=True):
            p.copy_(torch.tensor(v, dtype=torch.float64))
    config = TrainConfig(method="crown-ibp-fused", eps=0.2, clip=False, crown_beta_start=1.0, crown_beta_end=1.0)
    x, y = torch.tensor([[0.5]], dtype=torch.float64), torch.tensor([0])
    graph = as_graph(module, ball("linf", x, 0.2, None))
    at = Moment(config, graph, graph, x, y, 0.2, torch.Generator())
    # the margin is x in [0.3, 0.7]; exp(-m) is at most its value at 0.3, where the chord touches it
    assert LOSSES["crown-ibp-fused"](at).item() == pytest.approx(math.log(1 + math.exp(-0.3)), abs=1e-9)


def test_loss_fusion_with_huge_margins_stays_finite() -> None:
    module = net()
    with torch.no_grad():
        module[-1].weight.mul_(1e4)  # type: ignore[operator]
    assert math.isfinite(LOSSES["crown-ibp-fused"](moment(module, EPS, "crown-ibp-fused")).item())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_small_box_lies_in_the_ball_and_has_its_share_of_it(share: float) -> None:
    at = moment(net(), EPS, "sabr", sabr_share=share, walk_factor=2.0)
    small, whole = small_box(at), at.region.box()
    assert bool((small.lower >= whole.lower - 1e-12).all() & (small.upper <= whole.upper + 1e-12).all())
    assert torch.allclose(small.box().radius, share * whole.radius, atol=1e-12)
    if share == 1.0:
        assert LOSSES["sabr"](at).item() == pytest.approx(LOSSES["interval"](at).item(), abs=1e-9)


@pytest.mark.parametrize("method", ["cc-ibp", "mtl-ibp", "exp-ibp"])
def test_expressive_losses_have_their_two_ends(method: str) -> None:
    proven = moment(net(), EPS, method, expressive_alpha=1.0)
    assert LOSSES[method](proven).item() == pytest.approx(LOSSES["interval"](proven).item(), abs=1e-9)
    found = moment(net(), EPS, method, expressive_alpha=0.0)
    points = attacked(moment(net(), EPS, method), 1.0)
    assert LOSSES[method](found).item() == pytest.approx(F.cross_entropy(net()(points), found.y).item(), abs=1e-9)
    between = moment(net(), EPS, method, expressive_alpha=0.5)
    assert LOSSES[method](found).item() < LOSSES[method](between).item() < LOSSES[method](proven).item()


def test_a_walk_of_a_linear_function_ends_in_its_best_corner() -> None:
    slope = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    box = Interval(-torch.ones(2, 3, dtype=torch.float64), 2 * torch.ones(2, 3, dtype=torch.float64))
    found = walked(lambda x: x @ slope, box, 1, 2.0, torch.Generator().manual_seed(0))
    assert found.tolist() == [[2.0, -1.0, 2.0]] * 2


def test_attacked_points_stay_in_the_ball_and_hurt() -> None:
    at = moment(net(), EPS, "pgd", walk_steps=5, walk_size=0.5)
    points = attacked(at, 1.0)
    whole = at.region.box()
    assert bool(Box(whole.lower, whole.upper).contains(points, 1e-12).all())
    assert F.cross_entropy(net()(points), at.y) > F.cross_entropy(net()(at.x), at.y)


def test_trades_is_the_clean_loss_and_the_divergence_at_the_walks_end() -> None:
    at, again = (moment(net(), EPS, "trades", trades_beta=2.0) for _ in range(2))
    clean: Tensor = net()(again.x).softmax(1).detach()

    def ask(x: Tensor) -> Tensor:
        return (clean * (clean.log() - net()(x).log_softmax(1))).sum(1)

    points = walked(ask, again.region.box(), again.config.walk_steps, again.config.walk_size, again.generator)
    wanted = F.cross_entropy(net()(at.x), at.y) + 2.0 * ask(points).mean()
    assert LOSSES["trades"](at).item() == pytest.approx(wanted.item(), abs=1e-9)


@pytest.mark.parametrize("method", BETWEEN)
def test_losses_of_boxes_refuse_other_norms(method: str) -> None:
    at = moment(net(), EPS, method, norm="l2")
    if method in {"sabr", "staps"}:
        with pytest.raises(InputError, match="linf"):
            LOSSES[method](at)
    else:
        assert math.isfinite(LOSSES[method](at).item())
