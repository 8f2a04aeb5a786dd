"""The three noises against closed forms and enumeration."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from ballproof.errors import InputError
from ballproof.smooth.noise import Ablation, Gaussian, Uniform, named_noise


def drawn(noise: Gaussian | Uniform | Ablation, x: torch.Tensor, n: int) -> torch.Tensor:
    return noise.around(x.expand(n, *x.shape), torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("noise", "law"), [(Gaussian(0.5), ("norm", (0, 0.5))), (Uniform(0.5), ("uniform", (-0.5, 1.0)))])
def test_the_noise_has_its_law_on_every_coordinate_and_no_row_twice(noise: Gaussian | Uniform, law: tuple[str, tuple]) -> None:
    x = torch.rand(3, 4)
    z = (drawn(noise, x, 4000) - x).double()
    assert kstest(z.flatten().numpy(), law[0], args=law[1]).pvalue > 1e-3
    assert len(torch.unique(z.flatten(1), dim=0)) == 4000
    rows = np.corrcoef(z.flatten(1).numpy().T)
    assert np.abs(rows - np.eye(12)).max() < 0.08  # five standard deviations of 4000 draws


def test_uniform_noise_radius_by_exact_overlap_of_squares() -> None:
    """The worst classifier answers A on a set of volume p that the moved square leaves as far as it can."""
    width, cells = 1.0, 40
    side = 2 * width / cells
    for dx, dy in product(range(12), range(12)):
        inside = np.zeros((cells, cells), bool)
        inside[dx:, dy:] = True  # the cells that x's square shares with the one moved by (dx, dy) cells
        lost = 1 - inside.mean()
        length = (dx + dy) * side
        p = 0.5 + length / (2 * width)
        assert p - lost >= 0.5 - 1e-12  # what is left of p in the worst case where the radius is exactly this length
        assert Uniform(width).radius(p, (2,)) == pytest.approx(length)
        if dx == 0:  # along an axis nothing smaller would do: the radius is exact
            assert p - lost == pytest.approx(0.5)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_ablation_radius_by_enumeration_of_all_sets(keep: int) -> None:
    d = 7
    sets = list(combinations(range(d), keep))
    for hits in range(len(sets) + 1):
        p = hits / len(sets)
        if p <= 0.5:
            continue
        room = [r for r in range(d + 1) if 2 * (hits - sum(1 for s in sets if set(s) & set(range(r)))) > len(sets)]
        assert Ablation(keep).radius(p, (d,)) in (max(room), max(room) - 1)  # a float p may lie below its fraction
        assert Ablation(keep).radius(np.nextafter(p, 1), (d,)) == max(room)
        assert Ablation(keep).radius(np.nextafter(p, 0), (1, 1, d)) <= max(room)


def test_ablation_keeps_every_set_equally_often_and_tells_black_from_absent() -> None:
    x = torch.tensor([[[0.0, 0.3], [1.0, 0.6]], [[0.2, 0.0], [0.5, 0.9]]])  # two channels of 2 x 2
    seen = drawn(Ablation(2), x, 6000)
    assert seen.shape == (6000, 4, 2, 2)
    kept = (seen[:, :2] + seen[:, 2:]).flatten(2)
    assert torch.equal(kept[:, 0], kept[:, 1])  # both channels of a pixel together: (x) + (1 - x) = 1 where kept
    assert torch.equal(kept.sum(2), torch.full((6000, 2), 2.0))
    times = torch.unique(kept[:, 0], dim=0, return_counts=True)[1]
    assert len(times) == 6 and int((times - 1000).abs().max()) < 145  # five standard deviations
    mask = kept[:, :, :].unflatten(2, (2, 2))
    assert torch.equal(seen[:, :2], x * mask) and torch.equal(seen[:, 2:], (1 - x) * mask)


def test_ablation_of_a_vector() -> None:
    seen = drawn(Ablation(2), torch.tensor([0.0, 0.25, 1.0]), 50)
    assert seen.shape == (50, 6) and torch.equal((seen[:, :3] + seen[:, 3:]).sum(1), torch.full((50,), 2.0))


@pytest.mark.parametrize(
    ("kind", "sizes", "said"),
    [
        ("gaussian", {}, "takes `sigma`"),
        ("gaussian", {"sigma": 0.0}, "`sigma` is 0.0"),
        ("gaussian", {"sigma": float("nan")}, "`sigma` is nan"),
        ("gaussian", {"sigma": "a"}, "`sigma` is 'a'"),
        ("gaussian", {"sigma": 1e300}, r"`sigma` is 1e\+300"),
        ("gaussian", {"sigma": 1.0, "keep": 3}, "`keep` is 3"),
        ("uniform", {"width": -1.0}, "`width` is -1.0"),
        ("ablation", {"keep": 0}, "`keep` is 0"),
        ("laplace", {"sigma": 1.0}, "expected one of gaussian"),
    ],
)
def test_refusals(kind: str, sizes: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        named_noise(kind, **sizes)


def test_more_pixels_than_there_are() -> None:
    with pytest.raises(InputError, match="has 4 pixels"):
        drawn(Ablation(5), torch.zeros(3, 2, 2), 2)


@pytest.mark.parametrize("noise", [Gaussian(0.25), Uniform(0.25)], ids=repr)
@pytest.mark.parametrize("coarse", [torch.float16, torch.bfloat16])
def test_coarse_inputs_get_the_noise_of_float32_and_only_the_sum_is_rounded(
    noise: Gaussian | Uniform, coarse: torch.dtype
) -> None:
    x = torch.tensor([0.0, 0.5, 1.0])
    assert torch.equal(drawn(noise, x.to(coarse), 500), drawn(noise, x, 500).to(coarse))
