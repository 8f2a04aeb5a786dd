"""What a training step under noise minimises, against formulas written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ballproof.smooth.config import SmoothConfig
from ballproof.smooth.training import SmoothObjective, divergence, entropy, soft_attack


def answers() -> Tensor:
    """Log-probabilities of three draws, two examples, four classes."""
    return torch.randn(3, 2, 4, dtype=torch.float64).log_softmax(2)


def test_consistency_terms_are_the_papers_sums() -> None:
    told = answers()
    p = told.exp().tolist()
    kl, h = 0.0, 0.0
    for b in range(2):
        mean = [sum(p[d][b][c] for d in range(3)) / 3 for c in range(4)]
        h -= sum(m * math.log(m) for m in mean) / 2
        kl += sum(m * math.log(m / p[d][b][c]) for d in range(3) for c, m in enumerate(mean)) / 6
    assert float(divergence(told)) == pytest.approx(kl)
    assert float(entropy(told)) == pytest.approx(h)
    same = told[:1].expand(3, -1, -1)
    assert float(divergence(same)) == pytest.approx(0.0, abs=1e-12) and kl > 0.01


class Linear(nn.Module):
    """Logits (w x, -w x)."""

    def __init__(self, w: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x @ self.w, -x @ self.w], 1)


def test_the_attack_on_a_linear_network_goes_straight_against_its_weights_and_stays_in_ball_and_range() -> None:
    module = Linear([3.0, -4.0]).train()
    noise = [0.1 * torch.randn(2, 2) for _ in range(4)]
    x = torch.tensor([[0.5, 0.5], [0.05, 0.5]])
    found = soft_attack(module, x, torch.tensor([0, 0]), noise, 0.2, 5)
    assert torch.allclose(found[0], x[0] + 0.2 * torch.tensor([-0.6, 0.8]), atol=1e-5)  # the worst point of the ball
    assert bool((found >= 0).all()) and bool(((found - x).norm(dim=1) <= 0.2 + 1e-6).all())
    assert found[1, 0] == 0.0 and found[1, 1] > 0.6  # cut with the valid range
    assert module.training and module.w.grad is None
    still = soft_attack(module, x, torch.tensor([0, 0]), noise, 0.0, 5)
    assert torch.equal(still, x)


def test_the_loss_is_cross_entropy_on_copies_that_differ_by_step() -> None:
    seen: list[Tensor] = []

    class Watched(Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return super().forward(x)

    module = Watched([1.0, 2.0])
    loss = SmoothObjective(SmoothConfig(sigma=0.5, draws=3), module)
    x, y = torch.rand(40, 2), torch.arange(40) % 2
    plain, _, total = loss(x, y, 0.25)
    (copies,) = seen
    assert copies.shape == (120, 2) and torch.equal(plain, total.detach())
    margins = [float(c[0] + 2 * c[1]) * (1 - 2 * int(y[i % 40])) for i, c in enumerate(copies)]  # half the gap of the logits
    want = [math.log1p(math.exp(-2 * m)) for m in margins]
    assert float(plain) == pytest.approx(sum(want) / 120, rel=1e-5)
    z = copies.view(3, 40, 2) - x
    assert 0.4 < float(z.std()) < 0.6 and len(torch.unique(z.flatten(0, 1), dim=0)) == 120
    loss(x, y, 0.25)
    loss(x, y, 0.26)
    assert torch.equal(seen[1], copies) and not torch.isclose(seen[2], copies).any()


def test_the_adversarys_copies_have_the_same_noise_as_those_it_was_searched_with() -> None:
    module, seen = Linear([3.0, -4.0]), []
    module.register_forward_hook(lambda m, args, out: seen.append(args[0].detach()))
    config = SmoothConfig(sigma=0.1, draws=2, adversary_eps=0.3, adversary_steps=2, adversary_warm_up=1.0)
    SmoothObjective(config, module)(torch.full((3, 2), 0.5), torch.zeros(3, dtype=torch.long), 0.5)
    assert len(seen) == 3  # two steps of the attack, one of the loss
    shift = seen[2] - seen[0]
    assert torch.allclose(shift, 0.15 * torch.tensor([-0.6, 0.8]).expand(6, 2), atol=1e-5)  # half of the radius by then
    assert config.adversary_eps_at(0.0) == 0 and config.adversary_eps_at(7.0) == 0.3
