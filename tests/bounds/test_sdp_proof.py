"""Whatever the multipliers: what they are said to prove is true, and the proof of semidefiniteness does not lie."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from lp_zoo import REGIONS, make, point
from numpy.typing import NDArray

from ballproof.bounds.linear import LinearPass
from ballproof.bounds.methods import METHODS, LinearMethod
from ballproof.bounds.sdp_first_order import FirstOrder
from ballproof.bounds.sdp_forms import Forms, Lifting
from ballproof.bounds.sdp_interior import Interior
from ballproof.bounds.sdp_proof import Multipliers, proven, semidefinite
from ballproof.bounds.sdp_start import Start
from ballproof.errors import SoundnessError
from ballproof.networks import as_graph

Array = NDArray[np.float64]


def lifted(name: str, seed: int) -> tuple[Lifting, Array, torch.Tensor, torch.Tensor]:
    """The relaxation, a cost row, points of the region, and the query's values there."""
    net, _ = make(name, seed)
    region, c = REGIONS["box"](point(seed)), torch.randn(1, 2, dtype=torch.float64)
    graph, settings = as_graph(net, region), METHODS["crown"]
    assert isinstance(settings, LinearMethod)
    with torch.no_grad():
        lifting = Lifting(graph, region.box(), LinearPass(graph, region, settings).run().intervals)
        points = torch.cat([region.sample() for _ in range(500)])
        return lifting, lifting.cost(c)[0], points, (net(points) @ c.T)[:, 0]


def variables(lifting: Lifting, points: torch.Tensor) -> Array:
    """(1, w) of some inputs, through the rectifiers' own rows, one node after the other."""
    v = np.zeros((len(points), len(lifting.center)))
    v[:, : points.shape[1]] = points.numpy()
    for part in lifting.rectifiers:
        y = v[:, : part.rows.shape[1]] @ part.rows.T.toarray() + part.constant
        v[:, part.first : part.first + y.shape[1]] = np.maximum(y, 0)
    return np.column_stack([np.ones(len(v)), (v - lifting.center) / lifting.radius])


@pytest.mark.parametrize("name", ["relu", "deep", "residual"])
@pytest.mark.parametrize("seed", range(3))
def test_every_point_satisfies_the_relaxation_and_has_the_networks_value(name: str, seed: int) -> None:
    lifting, cost, points, values = lifted(name, seed)
    w = variables(lifting, points)
    assert np.abs(w).max() <= 1 + 1e-9
    assert np.allclose(w @ cost, values.numpy(), atol=1e-9)
    products = np.array([lifting.forms.products(np.outer(row, row)) for row in w])
    assert products.min(initial=0) >= -1e-9
    assert np.abs(products[:, lifting.forms.equal]).max(initial=0) < 1e-9


@pytest.mark.parametrize("name", ["relu", "deep", "residual"])
@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0, 1e3])
def test_any_multipliers_prove_a_value_below_every_point(name: str, size: float) -> None:
    lifting, cost, _, values = lifted(name, 1)
    forms, drawn = lifting.forms, np.random.default_rng(0)
    best = Interior(forms).solve(cost)
    optimum = proven(forms, cost, best)
    for centered in (best, Multipliers(0 * best.diagonal, 0 * best.products)):
        for _ in range(20):
            diagonal = centered.diagonal + size * drawn.normal(size=forms.size)
            products = centered.products + size * drawn.normal(size=len(forms.left))
            found = proven(forms, cost, Multipliers(diagonal, products))
            assert found <= float(values.min()) + 1e-9 and found <= optimum + 1e-7


@pytest.mark.parametrize("name", ["relu", "deep", "residual"])
def test_a_multiplier_of_the_wrong_sign_proves_nothing(name: str) -> None:
    """Multipliers sought as if every product were = 0 claim too much; with the true signs they are cut and prove less."""
    lifting, cost, _, values = lifted(name, 1)
    claimed = replace(lifting.forms, equal=np.ones_like(lifting.forms.equal))
    _, start = Start(lifting.forms).minimum(cost)
    wrong = FirstOrder(200).ascend(claimed, cost, start)
    assert proven(claimed, cost, wrong) > float(values.min())
    assert proven(lifting.forms, cost, wrong) <= float(values.min()) + 1e-9


@pytest.mark.parametrize("name", ["relu", "residual"])
def test_the_start_proves_the_linear_program(name: str) -> None:
    lifting, cost, _, _ = lifted(name, 2)
    value, start = Start(lifting.forms).minimum(cost)
    assert proven(lifting.forms, cost, start) == pytest.approx(value, abs=1e-8)
    assert proven(lifting.forms, cost, FirstOrder(1).ascend(lifting.forms, cost, start)) == pytest.approx(value, abs=1e-8)


def test_matrix_and_products_are_adjoint() -> None:
    """combined(y) · P = y · products(P), against the definition row by row."""
    lifting, _, _, _ = lifted("relu", 0)
    forms, drawn = lifting.forms, np.random.default_rng(1)
    P = drawn.normal(size=(forms.size, forms.size))
    P, y = P + P.T, drawn.normal(size=len(forms.left))
    by_hand = [forms.rows[a] @ P @ forms.rows[b] for a, b in zip(forms.left, forms.right, strict=True)]
    assert np.allclose(forms.products(P), by_hand) and (forms.combined(y) * P).sum() == pytest.approx(np.dot(y, by_hand))


def test_one_variable_by_hand() -> None:
    """The least w on [-1, 1] is -1; multipliers 1/2 and 1/2 prove it: w + 1/2 + w^2 / 2 = (1 + w)^2 / 2."""
    none = np.zeros(0, dtype=np.int64)
    forms = Forms(np.array([[1.0, 0.0]]), none, none, np.zeros(0, dtype=bool))
    cost = np.array([0.0, 1.0])
    assert proven(forms, cost, Multipliers(np.array([0.5, 0.5]), np.zeros(0))) == pytest.approx(-1, abs=1e-12)
    assert proven(forms, cost, Multipliers(np.array([0.5, 0.5]), np.zeros(0))) <= -1
    assert proven(forms, cost, Multipliers(np.array([0.3, 0.4]), np.zeros(0))) < -1


def definite(matrix: Array) -> bool:
    """Whether a symmetric matrix of floats is positive definite, by elimination in fractions."""
    rows = [[Fraction(float(value)) for value in row] for row in matrix]
    while rows:
        pivot, *rest = rows
        if pivot[0] <= 0:
            return False
        rows = [[b - row[0] / pivot[0] * a for a, b in zip(pivot[1:], row[1:], strict=True)] for row in rest]
    return True


def test_what_is_proven_semidefinite_is_so_in_exact_arithmetic() -> None:
    drawn, proofs = np.random.default_rng(2), 0
    for trial in range(60):
        half = drawn.normal(size=(6, 5))
        S = half @ half.T
        S = (S + S.T) / 2 + (trial % 12 - 8) * 1e-15 * np.eye(6)
        exact = definite(S)
        proofs += semidefinite(S, 1e-13)
        assert exact or not semidefinite(S, 0.0)
    assert proofs == 60


def test_multipliers_that_are_no_numbers_are_refused() -> None:
    lifting, cost, _, _ = lifted("relu", 0)
    wrong = Multipliers(np.full(lifting.forms.size, np.nan), np.zeros(len(lifting.forms.left)))
    with pytest.raises(SoundnessError, match="NaN or infinite"):
        proven(lifting.forms, cost, wrong)
