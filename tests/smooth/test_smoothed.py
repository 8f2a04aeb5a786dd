"""Predictions and radii against classifiers whose smoothed form is known, their draws, and refusals."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import binom, norm
from torch import Tensor, nn

import ballproof as bp
from ballproof.smooth import draws

W = torch.tensor([3.0, -4.0])
X = torch.tensor([0.5, 0.25])  # w x = 0.5, |w| = 5: the border is 0.1 away


class Half(nn.Module):
    """Class 1 where w x > 0."""

    def forward(self, x: Tensor) -> Tensor:
        z = x @ W
        return torch.stack([-z, z], 1)


def test_a_linear_classifiers_radius_is_its_distance_and_is_passed_in_alpha_of_the_draws_only() -> None:
    """Smoothed by Gaussian noise a halfspace is itself; the true radius is the distance to its border, for every sigma."""
    smoothed, alpha, times = bp.Smoothed(Half(), 0.2, classes=2), 0.05, 400
    found = [smoothed.certify(X, 10, 200, alpha, seed, 5) for seed in range(times)]
    over = sum(f.label == 1 and f.radius > 0.1 for f in found)
    assert 0 < over <= binom.ppf(1 - 1e-6, times, alpha)
    assert not any(f.label == 0 for f in found)


def test_the_radius_tends_to_the_true_one() -> None:
    told = [bp.Smoothed(Half(), 0.2).certify(X, 100, n, 0.001).radius for n in (100, 10_000, 1_000_000)]
    assert told[0] < told[1] < told[2] <= 0.1 and told[2] == pytest.approx(0.1, abs=1.5e-3)


def test_a_radius_is_the_papers_formula_on_its_counts() -> None:
    from scipy.stats import beta

    found = bp.Smoothed(Half(), 0.2).certify(X, 50, 1000, 0.01, seed=3)
    assert sum(found.counts0) == 50 and sum(found.counts) == 1000 and found.guess == 1
    want = 0.2 * norm.ppf(beta.ppf(0.01, found.counts[1], found.counts[0] + 1))
    assert found.radius == pytest.approx(want, abs=1e-6)
    assert found.converted("linf") == pytest.approx(want / math.sqrt(2), abs=1e-6)
    assert found.converted("l1") == found.radius
    with pytest.raises(bp.InputError, match="converts to l2, l1, linf"):
        found.converted("l0")


def test_the_class_is_chosen_by_draws_of_its_own() -> None:
    """Chosen by the draws that bound its probability, the best of many equal classes would seem better than it is."""
    at_border = torch.tensor([0.4, 0.3])
    found = [bp.Smoothed(Half(), 0.2).certify(at_border, 1, 200, 0.05, seed) for seed in range(40)]
    assert all(f.guess == f.counts0.index(1) for f in found)
    assert any(f.counts[f.guess] < max(f.counts) for f in found)


def test_uniform_noise_on_a_step_along_one_axis() -> None:
    """Class 1 where x0 > 0 at x0 = 0.3 with width 1: p = 0.65, and the true radius is 0.3 in L1."""

    class Step(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([-x[:, 0], x[:, 0]], 1)

    found = bp.Smoothed(Step(), bp.Uniform(1.0)).certify(torch.tensor([0.3, 0.0]), 100, 100_000)
    assert found.norm == "l1" and 0.28 < found.radius < 0.3
    assert found.converted("linf") == found.radius / 2


def test_ablation_on_a_vote_of_pixels() -> None:
    """Class 1 where any kept pixel is white; all 20 are white, one is kept: p = 1, and 9 of 20 may change."""

    class White(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.full((len(x),), 0.5), x[:, 0].flatten(1).sum(1)], 1)

    found = bp.Smoothed(White(), bp.Ablation(1)).certify(torch.ones(1, 4, 5), 10, 1000)
    assert found.label == 1 and found.radius == 9.0 and found.norm == "l0"


def test_prediction_abstains_at_the_border_and_answers_away_from_it() -> None:
    smoothed = bp.Smoothed(Half(), 0.2)
    assert smoothed.predict(X, 1000, 0.001).label == 1
    border = [smoothed.predict(torch.tensor([0.4, 0.3]), 100, 0.05, seed) for seed in range(300)]
    answered = sum(f.label is not None for f in border)
    assert answered <= binom.ppf(1 - 1e-6, 300, 0.05)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 5)).eval()


@pytest.mark.parametrize("noise", [bp.Gaussian(1.0), bp.Uniform(1.0)], ids=repr)
def test_the_batch_changes_nothing(noise: bp.Gaussian | bp.Uniform) -> None:
    x = torch.rand(1, 4, 4)
    found = {bp.Smoothed(network(), noise, batch=b).certify(x, 70, 2500, seed=4, index=9) for b in (1, 7, 1000, 5000)}
    assert len(found) == 1


def test_seed_and_index_decide_the_draws_and_no_chunk_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return x

    def noise_of(seed: int, index: int) -> Tensor:
        seen.clear()
        bp.Smoothed(Watched(), 1.0).certify(torch.zeros(3), 100, 2500, seed=seed, index=index)
        return torch.cat(seen[3:])  # behind the three passes that look for randomness

    first = noise_of(1, 2)
    assert len(first) == 2600 and len(torch.unique(first, dim=0)) == 2600
    assert torch.equal(first, noise_of(1, 2))
    for other in (noise_of(1, 3), noise_of(2, 2), noise_of(2, 1)):
        assert not torch.isin(other[:, 0], first[:, 0]).all()
    monkeypatch.setattr(draws, "NUMBERS", 30)  # chunks of 10
    assert len(torch.unique(noise_of(1, 2), dim=0)) == 2600


ODD = {
    "dropout": lambda logits: nn.functional.dropout(logits, 0.1, training=True),
    "rand": lambda logits: logits + 1e-3 * torch.rand_like(logits),
    "company": lambda logits: logits - logits.mean(0),
    "nan": lambda logits: logits / 0 * 0,
    "shape": lambda logits: logits[0],
    "one": lambda logits: logits[:, :1],
    "pair": lambda logits: (logits, logits),
    "misfit": lambda logits: logits @ torch.ones(3, 2),
}


class Odd(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return ODD[self.kind](x[:, :2])  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Odd("dropout"), "two passes of the same input disagree"),
        (Odd("rand"), "two passes of the same input disagree"),
        (Odd("company"), "no function of one input"),
        (Odd("nan"), "gives NaN"),
        (Odd("shape"), "gives outputs of shape"),
        (Odd("one"), "gives one output, expected a logit for each"),
        (Odd("pair"), "gives a tuple"),
        (Odd("misfit"), r"fails on inputs of shape \(4,\), torch.float32"),
        (nn.Sequential(nn.Dropout(0.5)), r"`0` \(Dropout\) is in training mode.*call eval"),
        (nn.Sequential(nn.BatchNorm1d(4)), r"`0` \(BatchNorm1d\) is in training mode"),
        (nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False)).eval(), "normalises by the batch"),
    ],
    ids=repr,
)
def test_what_is_no_classifier_of_one_input_is_refused(module: nn.Module, said: str) -> None:
    smoothed = bp.Smoothed(module, 0.5)
    for ask in (smoothed.certify, smoothed.predict):
        with pytest.raises(bp.InputError, match=said):
            ask(torch.rand(4))


def test_bad_settings_are_refused() -> None:
    for sigma in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(bp.InputError, match="`sigma`"):
            bp.Smoothed(Half(), sigma)
    smoothed = bp.Smoothed(Half(), 0.2)
    for more, said in (
        ({"alpha": 0.0}, "`alpha`"),
        ({"alpha": 1.0}, "`alpha`"),
        ({"n0": 0}, "`n0`"),
        ({"n": 9}, "at least 10"),
        ({"n": 0}, "at least 10"),
        ({"seed": -1}, "`seed`"),
    ):
        with pytest.raises(bp.InputError, match=said):
            smoothed.certify(X, **more)
    with pytest.raises(bp.InputError, match=r"expected .*, 3"):
        bp.Smoothed(Half(), 0.2, classes=3).certify(X)
    with pytest.raises(bp.InputError, match="floating-point"):
        smoothed.certify(torch.ones(2, dtype=torch.long))
