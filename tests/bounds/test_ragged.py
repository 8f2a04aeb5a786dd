"""Products that leave out what fills up: every number that is wanted is that of the whole product."""

from __future__ import annotations

import pytest
import torch

from ballproof.bounds import ragged
from ballproof.bounds.ragged import add_products, products, reach

COUNTS, TERMS = [3, 0, 5, 2, 4], [4, 2, 1, 0, 6]


@pytest.fixture(params=[0, ragged.LEAST])
def numbers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and matrices of five examples, with zeros behind the terms; in many parts and in one."""
    monkeypatch.setattr(ragged, "LEAST", request.param)
    torch.manual_seed(0)
    queries, matrices = torch.randn(5, 5, 6).double(), torch.randn(5, 6, 7).double()
    for example, terms in enumerate(TERMS):
        queries[example, :, terms:] = 0
    return queries, matrices


def test_the_reach_ends_at_the_last_one_wanted() -> None:
    assert reach(torch.tensor([[True, False, True, False], [False] * 4, [True] * 4])) == [3, 0, 4]
    assert reach(torch.ones(2, 0, dtype=torch.bool)) == [0, 0]


def test_products_of_what_is_counted(numbers: tuple[torch.Tensor, torch.Tensor]) -> None:
    queries, matrices = numbers
    found, whole = products(queries, matrices, COUNTS, TERMS), queries @ matrices
    for example, count in enumerate(COUNTS):
        assert torch.allclose(found[example, :count], whole[example, :count], atol=1e-12)
    assert bool(torch.isfinite(found).all())


def test_products_added_in_place(numbers: tuple[torch.Tensor, torch.Tensor]) -> None:
    queries, matrices = numbers
    onto = torch.randn(5, 5, 9).double()
    wanted = torch.cat([onto[:, :, :7] + queries @ matrices, onto[:, :, 7:]], 2)
    add_products(onto[:, :, :7], queries, matrices, TERMS)
    assert torch.allclose(onto, wanted, atol=1e-12)
