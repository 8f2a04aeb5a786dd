"""Properties as violations: exact semantics by fractions, constructors, refusals."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ballproof.errors import InputError
from ballproof.problems import Label, Linf, Problem, Property, classified_as, linear_constraints

SMALL = st.integers(-3, 3)


def fractions(rows: torch.Tensor) -> list[list[Fraction]]:
    return [[Fraction(float(x)) for x in row] for row in rows]


def violated(coefficients: torch.Tensor, offsets: torch.Tensor, groups: tuple[int, ...], y: torch.Tensor) -> bool:
    """OR over groups of AND of coefficients·y + offset <= 0, in exact arithmetic."""
    (point,) = fractions(y[None])
    holds = [
        sum((a * b for a, b in zip(row, point, strict=True)), Fraction(float(d))) <= 0
        for row, d in zip(fractions(coefficients), offsets, strict=True)
    ]
    return any(all(h for h, g in zip(holds, groups, strict=True) if g == k) for k in set(groups))


@given(st.data())
def test_the_violation_is_an_or_of_ands_and_ties_violate(data: st.DataObject) -> None:
    queries, outputs = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    numbers = st.lists(SMALL, min_size=queries * outputs, max_size=queries * outputs)
    c = torch.tensor(data.draw(numbers)).reshape(queries, outputs).double()
    d = torch.tensor(data.draw(st.lists(SMALL, min_size=queries, max_size=queries))).double()
    groups = tuple(data.draw(st.lists(st.integers(-1, 2), min_size=queries, max_size=queries)))
    y = torch.tensor(data.draw(st.lists(SMALL, min_size=outputs, max_size=outputs))).double()
    stated = Property(c[None], d[None], groups)
    want = violated(c, d, groups, y)
    assert bool(stated.violated(y[None])) is want
    assert bool(stated.proven(stated.values(y[None]))) is not want
    assert bool(stated.worst(stated.values(y[None])) <= 0) is want


def test_in_every_group_some_query_must_be_proven() -> None:
    stated = Property(torch.ones(1, 3, 2), torch.zeros(1, 3), (7, 2, 7))
    bounds = torch.tensor([[1.0, 1, -1], [-1, 1, 1], [-1, 1, -1], [1, -1, 1], [1, 0, 1], [torch.nan, 1, 1], [1, torch.nan, 1]])
    assert stated.proven(bounds).tolist() == [True, True, False, False, False, False, False]
    assert stated.worst(bounds[:5]).tolist() == [1, 1, -1, -1, 0]


def test_nan_outputs_neither_violate_nor_hold() -> None:
    stated, y = linear_constraints([[1.0, 0.0]], [1.0]), torch.full((1, 2), torch.nan)
    assert not bool(stated.violated(y)) and not bool(stated.proven(stated.values(y)))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.lists(SMALL, min_size=16, max_size=16))
def test_a_label_is_violated_unless_it_wins_alone(labels: list[int], logits: list[int]) -> None:
    y = torch.tensor(logits).reshape(4, 4)[: len(labels)].double()
    stated = classified_as(labels).property(4)
    want = [any(row[j] >= row[k] for j in range(4) if j != k) for row, k in zip(y.tolist(), labels, strict=True)]
    assert stated.violated(y).tolist() == want
    assert stated.groups == (0, 1, 2)


def test_margins_stand_in_the_order_of_the_other_classes() -> None:
    y = torch.tensor([[5.0, 1, 2], [5, 1, 2]])
    assert classified_as([0, 1]).property(3).values(y).tolist() == [[4, 3], [-4, -1]]
    assert classified_as(2).property(3).values(y).tolist() == [[-3, 1], [-3, 1]]
    assert classified_as(torch.tensor([0, 1], dtype=torch.uint8)).property(3).worst(torch.ones(2, 2)).tolist() == [1, 1]


def test_a_label_for_all_stays_one_for_all() -> None:
    assert classified_as(3)[[4, 5]].labels.tolist() == [3]
    assert classified_as([3, 1, 2])[[2, 0]].labels.tolist() == [2, 3]
    assert classified_as([3, 1, 2])[torch.tensor([False, True, False])].labels.tolist() == [1]


@given(
    st.lists(SMALL, min_size=4, max_size=4), st.lists(SMALL, min_size=2, max_size=2), st.lists(SMALL, min_size=2, max_size=2)
)
def test_linear_constraints_hold_strictly(A: list[int], b: list[int], y: list[int]) -> None:
    rows = [A[:2], A[2:]]
    holds = all(r[0] * y[0] + r[1] * y[1] < e for r, e in zip(rows, b, strict=True))
    found = linear_constraints(rows, b).violated(torch.tensor([y]).double())
    assert found.tolist() == [not holds]


@given(
    st.lists(
        st.tuples(st.lists(SMALL, min_size=4, max_size=4), st.lists(SMALL, min_size=2, max_size=2)), min_size=1, max_size=3
    )
)
def test_forbidden_outputs_satisfy_a_disjunct(disjuncts: list[tuple[list[int], list[int]]]) -> None:
    pairs = [([A[:2], A[2:]], b) for A, b in disjuncts]
    stated = Property.forbid(pairs)
    for y in ([0, 0], [1, -2], [-3, 1], [2, 2]):
        want = any(all(r[0] * y[0] + r[1] * y[1] <= e for r, e in zip(A, b, strict=True)) for A, b in pairs)
        assert stated.violated(torch.tensor([y]).double()).tolist() == [want]


def test_a_property_of_its_own_for_each_example() -> None:
    c, y = torch.randn(3, 2, 2, 2), torch.randn(3, 2, 2)
    stated = Property(c, torch.tensor([[1.0, 2.0]]), (0, 1))
    want = torch.einsum("bqij,bij->bq", c, y) + torch.tensor([1.0, 2.0])
    torch.testing.assert_close(stated.values(y), want)
    torch.testing.assert_close(stated[[2, 0]].values(y[[2, 0]]), want[[2, 0]])
    assert stated.batch == 3 and stated.values(y.double()).dtype == torch.float64
    shared = Property(c[:1], torch.zeros(3, 2), [0, 0])  # type: ignore[arg-type]
    assert shared[[1]].offsets.shape == (1, 2) and shared[[1]].coefficients.shape[0] == 1 and shared.groups == (0, 0)


C, D = torch.ones(1, 2, 3), torch.zeros(1, 2)


@pytest.mark.parametrize(
    ("coefficients", "offsets", "groups", "told"),
    [
        (C, D, (0,), r"`coefficients` \(1, 2, 3\), `offsets` \(1, 2\), `groups` of 1; expected"),
        (C, torch.zeros(2, 1), (0, 1), r"`offsets` \(2, 1\)"),
        (C[0], D, (0, 1), r"`coefficients` \(2, 3\)"),
        (C[:, :0], D[:, :0], (), r"`groups` of 0"),
        (C.expand(2, 2, 3), D.expand(3, 2), (0, 1), r"`coefficients` \(2, 2, 3\), `offsets` \(3, 2\)"),
        (C / 0, D, (0, 1), r"`coefficients` is NaN or infinite"),
        (C, D / 0, (0, 1), r"`offsets` is NaN or infinite"),
        (C.int(), D, (0, 1), r"`coefficients` is torch.int32"),
    ],
)
def test_bad_properties(coefficients, offsets, groups, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=told):
        Property(coefficients, offsets, groups)


def test_outputs_and_bounds_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"`outputs` have shape \(5, 4\), the property expects"):
        Property(C, D, (0, 1)).values(torch.ones(5, 4))
    with pytest.raises(InputError, match=r"`outputs` have shape \(5, 3\), the property expects \(2,"):
        Property(C.expand(2, 2, 3), D, (0, 1)).values(torch.ones(5, 3))
    with pytest.raises(InputError, match=r"`values` have shape \(5, 3\), expected \(batch, 2\)"):
        Property(C, D, (0, 1)).proven(torch.ones(5, 3))


@pytest.mark.parametrize("index", [0, torch.tensor(0)])
@pytest.mark.parametrize("property", [Property(C, D, (0, 1)), classified_as([1, 2])], ids=["property", "label"])
def test_one_number_is_no_batch(property: Property | Label, index: object) -> None:
    with pytest.raises(InputError, match=r"`index` is 0"):
        property[index]  # type: ignore[index]


@pytest.mark.parametrize(
    ("A", "b", "told"),
    [
        ([[1.0, 2.0]], [1.0, 2.0], r"`A` is \(1, 2\) and `b` \(2,\), expected"),
        ([1.0, 2.0], [1.0], r"`A` is \(2,\)"),
        (torch.zeros(0, 2), torch.zeros(0), r"`A` is \(0, 2\).*not empty"),
    ],
)
def test_bad_constraints(A, b, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=told):
        linear_constraints(A, b)


def test_nothing_forbidden_and_outputs_of_two_widths() -> None:
    with pytest.raises(InputError, match="`disjuncts` is empty"):
        Property.forbid([])
    with pytest.raises(InputError, match=r"`disjuncts` have \[2, 3\] outputs"):
        Property.forbid([([[1, 2]], [0]), ([[1, 2, 3]], [0])])


@pytest.mark.parametrize(("labels", "at", "found"), [([1, 10], 1, 10), ([0, 1, -1], 2, -1), (12, 0, 12)])
def test_labels_out_of_range_name_the_example_and_the_range(labels: object, at: int, found: int) -> None:
    with pytest.raises(InputError, match=rf"`labels` holds {found} in example {at}, expected 0 to 9"):
        classified_as(labels).property(10)  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [1.0, True, torch.zeros(2, 2).long(), torch.tensor([0.0])])
def test_labels_are_integers(labels: object) -> None:
    with pytest.raises(InputError, match=r"`labels` are .* expected integers \(batch,\)"):
        classified_as(labels)  # type: ignore[arg-type]


def test_one_output_has_no_other_class() -> None:
    with pytest.raises(InputError, match="2 outputs or more, this has 1"):
        classified_as(0).property(1)


@pytest.mark.parametrize("property", [classified_as([0, 1]), classified_as([0, 1]).property(3)], ids=["label", "property"])
def test_a_problem_refuses_a_property_of_other_examples(property: Property | Label) -> None:
    net = torch.nn.Linear(2, 3)
    assert Problem(net, Linf(torch.zeros(2, 2), 0.1), property).region.batch == 2
    assert Problem(net, Linf(torch.zeros(5, 2), 0.1), classified_as(1)).region.batch == 5
    with pytest.raises(InputError, match="`property` is stated for 2 examples, `region` holds 5"):
        Problem(net, Linf(torch.zeros(5, 2), 0.1), property)
