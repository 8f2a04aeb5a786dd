"""The laws that every operation obeys, for every registered operation; a new one is tested before its author writes a test."""

from __future__ import annotations

from math import inf

import pytest
import torch
from examples import EXAMPLES, Domain, Example
from torch import Tensor

from ballproof.operations import Affine, Nonlinear, Role, registered
from ballproof.operations.base import Argument, Slope, interval_by_rows, vector_jacobian
from ballproof.operations.stairs import Stairs
from ballproof.values import Interval, Line

BATCH = 3
WIDTHS = (0.0, 1e-7, 0.3, 2.0, 1e6)
EVERY = pytest.mark.parametrize("example", EXAMPLES, ids=[f"{e.name}-{i}" for i, e in enumerate(EXAMPLES)])
NONLINEAR = pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if isinstance(e.operation, Nonlinear)], ids=lambda e: repr(e.operation)
)
AFFINE = [e for e in EXAMPLES if isinstance(e.operation, Affine)]
LINEAR = pytest.mark.parametrize("example", AFFINE, ids=[f"{e.name}-{i}" for i, e in enumerate(AFFINE)])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def intervals(example: Example, width: float, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Argument]:
    """Random boxes for what varies: around 0, touching it, and away from it; constants for the rest."""
    generator = torch.Generator().manual_seed(seed)
    found: list[Argument] = []
    for shape, constant in zip(example.shapes, example.constants(dtype), strict=True):
        if constant is not None:
            found.append(constant)
            continue
        draw = torch.rand(3, BATCH, *shape, generator=generator, dtype=torch.float64)
        center = (draw[0] - 0.5) * (2 * width if width > 1e-3 else 2.0)
        radius = width * draw[1] / 2
        center = torch.where(draw[2] < 0.2, radius, torch.where(draw[2] < 0.4, -radius, center))
        found.append(within(example.domain, center - radius, center + radius, dtype))
    return found


def within(domain: Domain, lower: Tensor, upper: Tensor, dtype: torch.dtype) -> Interval:
    """A box folded into the domain."""
    ends = [lower, upper]
    if domain[0] > -inf:
        ends = [domain[0] + (e - domain[0]).abs() for e in ends]
    if domain[1] < inf:
        ends = [domain[1] - (domain[1] - e).abs() for e in ends]
    ends = [e.clamp(*domain).to(dtype) for e in ends]
    return Interval(torch.minimum(*ends), torch.maximum(*ends))


def points(given: list[Argument], count: int = 40, seed: int = 1) -> list[list[Tensor]]:
    """Random points, corners, kinks and ends."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for i in range(count):
        draws = []
        for g in given:
            if isinstance(g, Tensor):
                draws.append(g)
                continue
            share = torch.rand(g.lower.shape, generator=generator, dtype=torch.float64).to(g.lower.dtype)
            share = share.round() if i % 3 == 0 else share
            point = torch.minimum(torch.maximum(g.lower + share * g.width, g.lower), g.upper)
            draws.append(torch.zeros_like(point).clamp(g.lower, g.upper) if i % 5 == 4 else point)
        found.append(draws)
    return found


def size(given: list[Argument], result: Tensor) -> Tensor:
    """The numbers in sight: rounding is measured against them."""
    largest = max(float(torch.maximum(g.lower.abs(), g.upper.abs()).max()) for g in given if isinstance(g, Interval))
    return result.abs() + largest + 1


def test_every_operation_has_examples() -> None:
    assert set(registered()) == {e.name for e in EXAMPLES}


@EVERY
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampled_points_lie_inside_the_interval(example: Example, width: float, dtype: torch.dtype) -> None:
    given = intervals(example, width, dtype=dtype)
    found = example.operation.interval(*given)
    for arguments in points(given):
        y = example.operation.forward(*arguments)
        slack = TOLERANCE[dtype] * size(given, y)
        assert bool((y >= found.lower - slack).all()) and bool((y <= found.upper + slack).all())


@EVERY
@pytest.mark.parametrize("width", WIDTHS)
def test_sampled_points_lie_inside_the_codomain(example: Example, width: float) -> None:
    low, high = example.operation.codomain
    for arguments in points(intervals(example, width)):
        y = example.operation.forward(*arguments)
        assert bool((y >= low).all()) and bool((y <= high).all())


@EVERY
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_rule_for_given_constants_is_the_interval(example: Example, width: float, dtype: torch.dtype) -> None:
    given = intervals(example, width, dtype=dtype)
    boxes = [torch.stack([g.lower, g.upper]) for g in given if isinstance(g, Interval)]
    kept = [b.clone() for b in boxes]
    lower, upper = example.operation.rule(tuple(example.constants(dtype)))(*boxes)
    found = example.operation.interval(*given)
    for ours, theirs in ((lower, found.lower), (upper, found.upper)):
        assert ours.shape == theirs.shape and bool(((ours - theirs).abs() <= TOLERANCE[dtype] * size(given, theirs)).all())
    for arguments in points(given):
        y = example.operation.forward(*arguments)
        slack = TOLERANCE[dtype] * size(given, y)
        assert bool((y >= lower - slack).all()) and bool((y <= upper + slack).all())
    assert all(torch.equal(a, b) for a, b in zip(boxes, kept, strict=True))


@EVERY
def test_a_point_gives_a_point(example: Example) -> None:
    given = intervals(example, 0.0)
    found = example.operation.interval(*given)
    y = example.operation.forward(*points(given, 1)[0])
    assert torch.allclose(found.lower, y, atol=1e-12) and torch.allclose(found.upper, y, atol=1e-12)


@EVERY
def test_batch_entries_do_not_touch_each_other(example: Example) -> None:
    given = intervals(example, 1.0)
    whole = example.operation.interval(*given)
    for i in range(BATCH):
        alone = example.operation.interval(*(g[i : i + 1] if isinstance(g, Interval) else g for g in given))
        assert torch.allclose(alone.lower[0], whole.lower[i], atol=1e-13)
        assert torch.allclose(alone.upper[0], whole.upper[i], atol=1e-13)


@EVERY
def test_float32_encloses_float64(example: Example) -> None:
    exact, rounded = intervals(example, 1.0), intervals(example, 1.0, dtype=torch.float32)
    a, b = example.operation.interval(*exact), example.operation.interval(*rounded)
    slack = 1e-5 * size(exact, a.lower)
    assert bool((b.lower.double() <= a.lower + slack).all()) and bool((b.upper.double() >= a.upper - slack).all())


@EVERY
def test_the_role_is_what_the_class_says(example: Example) -> None:
    operation = example.operation
    assert operation.role(example.varies) is (Role.AFFINE if isinstance(operation, Affine) else Role.NONLINEAR)
    assert operation.role(tuple(False for _ in example.varies)) is Role.CONSTANT


@LINEAR
def test_pull_back_is_the_vector_jacobian_product(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Affine)
    arguments = tuple(example.constants(torch.float64))
    output = operation.forward(*points(intervals(example, 1.0), 1)[0])
    cotangent = torch.randn(5, *output.shape[1:], dtype=torch.float64)
    found = operation.pull_back(cotangent, arguments, example.shapes)
    wanted = vector_jacobian(operation, cotangent, arguments, example.shapes)
    for a, b, varies in zip(found, wanted, example.varies, strict=True):
        assert (a is not None) == (b is not None) == varies
        if a is not None and b is not None:
            assert a.shape == b.shape and torch.allclose(a, b, atol=1e-12)


@LINEAR
def test_the_linear_part_and_the_constant_make_the_forward(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Affine)
    arguments = tuple(example.constants(torch.float64))
    x = points(intervals(example, 1.0), 1)[0]
    y = operation.forward(*x)
    rows = torch.eye(y[0].numel(), dtype=torch.float64).reshape(-1, *y.shape[1:])
    pulled = operation.pull_back(rows, arguments, example.shapes)
    linear = sum(v.flatten(1) @ p.flatten(1).T for v, p in zip(x, pulled, strict=True) if p is not None)
    constant = operation.constant_term(arguments, example.shapes)
    assert isinstance(linear, Tensor)
    whole = linear if constant is None else linear + constant.to(linear).flatten(1)
    assert torch.allclose(whole.reshape(y.shape), y, atol=1e-12)


@LINEAR
def test_the_interval_is_the_exact_range(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Affine)
    given = intervals(example, 1.0)
    found, wanted = operation.interval(*given), interval_by_rows(operation, tuple(given))
    assert torch.allclose(found.lower, wanted.lower, atol=1e-11) and torch.allclose(found.upper, wanted.upper, atol=1e-11)


@LINEAR
def test_pull_back_is_differentiable_in_the_constants(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Affine)
    constants = [c.requires_grad_() if c is not None and c.is_floating_point() else c for c in example.constants(torch.float64)]
    if not any(c is not None and c.requires_grad for c in constants):
        return
    output = operation.forward(
        *(x if c is None else c for x, c in zip(points(intervals(example, 1.0), 1)[0], constants, strict=True))
    )
    cotangent = torch.randn(2, *output.shape[1:], dtype=torch.float64)

    def value(*given: Tensor) -> Tensor:
        rest = iter(given)
        arguments = tuple(next(rest) if c is not None and c.requires_grad else c for c in constants)
        found = operation.pull_back(cotangent, arguments, example.shapes)
        term = operation.constant_term(arguments, example.shapes)
        total = sum(((f * f).sum() for f in found if f is not None), cotangent.new_zeros(()))
        return total if term is None else total + (term * term).sum()

    leaves = tuple(c for c in constants if c is not None and c.requires_grad)
    assert torch.autograd.gradcheck(value, leaves, atol=1e-6)


def evaluate(example: Example, line: Line, xs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The line at a point, and the size of the numbers in its sum, against which rounding is measured. In float64."""
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    varying = [x.double() for x, varies in zip(xs, example.varies, strict=True) if varies]
    shapes = tuple(s for s, varies in zip(example.shapes, example.varies, strict=True) if varies)
    offset = line.offset.double().expand(len(varying[0]), *line.offset.shape[1:])
    count = offset[0].numel()
    rows = torch.eye(count, dtype=torch.float64).reshape(1, count, *offset.shape[1:])
    slopes = tuple(s.double().unsqueeze(1) for s in line.slopes)
    terms = [p * x.unsqueeze(1) for p, x in zip(operation.pull_slopes(rows, slopes, shapes), varying, strict=True)]
    value = sum((t.flatten(2).sum(2) for t in terms), torch.zeros(())).reshape(offset.shape) + offset
    scale = sum((t.abs().flatten(2).sum(2) for t in terms), torch.zeros(())).reshape(offset.shape) + offset.abs()
    return value, scale


def check_lines(example: Example, given: list[Argument], slope: Slope, draws: list[list[Tensor]], dtype: torch.dtype) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    found = operation.relax(*given, slope=slope)
    for xs in draws:
        y = operation.forward(*(x.double() for x in xs))
        below, size_below = evaluate(example, found.lower, xs)
        above, size_above = evaluate(example, found.upper, xs)
        slack = TOLERANCE[dtype] * (y.abs() + 1)
        assert bool((below <= y + slack + TOLERANCE[dtype] * size_below).all())
        assert bool((above >= y - slack - TOLERANCE[dtype] * size_above).all())


def asked(example: Example, given: list[Argument], slope: str, seed: int = 3) -> Slope:
    """The slope of that name; random values for all free parameters under the name `random`."""
    if slope != "random":
        return slope  # type: ignore[return-value]
    assert isinstance(example.operation, Nonlinear)
    generator = torch.Generator().manual_seed(seed)
    free = example.operation.start(*given)
    return tuple(torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype) for p in free) or "adaptive"


@NONLINEAR
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("slope", ["parallel", "adaptive", "random"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lines_enclose_every_point(example: Example, width: float, slope: str, dtype: torch.dtype) -> None:
    given = intervals(example, width, dtype=dtype)
    check_lines(example, given, asked(example, given, slope), points(given), dtype)


@NONLINEAR
def test_parallel_lines_are_parallel(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    found = operation.relax(*intervals(example, 1.0), slope="parallel")
    assert found.parallel
    assert all(torch.equal(a, b) for a, b in zip(found.lower.slopes, found.upper.slopes, strict=True))
    assert not (operation.coordinatewise and operation.relax(*intervals(example, 1.0), slope="adaptive").parallel)


@NONLINEAR
def test_settled_coordinates_have_exact_lines(example: Example) -> None:
    """Where no tighter interval is asked for, the two lines meet on the interval."""
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    given = [Interval(torch.cat([g.lower, g.lower]), torch.cat([g.upper, g.lower])) if isinstance(g, Interval) else g
             for g in intervals(example, 1.0)]  # fmt: skip
    open_ = operation.unsettled(*given)
    assert all(bool(o.any()) and not bool(o[BATCH:].any()) for o in open_)
    found = operation.relax(*given, slope="adaptive")
    if not operation.coordinatewise:
        return
    for xs in points(given, 5):
        gap = evaluate(example, found.upper, xs)[0] - evaluate(example, found.lower, xs)[0]
        assert bool((gap[~open_[0]].abs() < 1e-9).all())


@NONLINEAR
def test_free_parameters_start_at_the_adaptive_lines(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    given = intervals(example, 1.0)
    if not (free := operation.start(*given)):
        return
    found, wanted = operation.relax(*given, slope=free), operation.relax(*given, slope="adaptive")
    for xs in points(given, 5):
        for a, b in ((found.lower, wanted.lower), (found.upper, wanted.upper)):
            assert torch.allclose(evaluate(example, a, xs)[0], evaluate(example, b, xs)[0], atol=1e-9)


@NONLINEAR
def test_free_parameters_with_a_query_axis_are_those_without(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    given = intervals(example, 1.0)
    queries = [asked(example, given, "random", seed) for seed in (1, 2)]
    if queries[0] == "adaptive":
        return
    both = tuple(torch.stack(pair, 1) for pair in zip(*queries, strict=True))
    wide = [Interval(g.lower.unsqueeze(1), g.upper.unsqueeze(1)) if isinstance(g, Interval) else g for g in given]
    found = operation.relax(*wide, slope=both)
    for i, query in enumerate(queries):
        alone = operation.relax(*given, slope=query)
        for a, b in ((found.lower, alone.lower), (found.upper, alone.upper)):
            assert torch.allclose(a.offset.expand(-1, 2, *b.offset.shape[1:])[:, i], b.offset, atol=1e-9)
            assert all(torch.allclose(p.expand(-1, 2, *q.shape[1:])[:, i], q) for p, q in zip(a.slopes, b.slopes, strict=True))


@NONLINEAR
def test_relaxations_are_differentiable(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    if isinstance(operation, Stairs):
        return  # their lines jump where an end crosses a jump
    given = intervals(example, 1.0, seed=5)
    generator = torch.Generator().manual_seed(2)
    ends: list[Tensor] = []
    for g in given:
        if isinstance(g, Interval):
            noise = torch.rand(2, *g.lower.shape, generator=generator, dtype=torch.float64) / 10 + 0.05
            away = 0.1 if example.domain[0] > -inf else -0.1 if example.domain[1] < inf else 0.0
            ends += [(e + away).requires_grad_() for e in (g.lower - noise[0] * (away == 0), g.upper + noise[1] / 10)]

    def value(*flat: Tensor) -> tuple[Tensor, ...]:
        rest = iter(flat)
        boxes = tuple(Interval(next(rest), next(rest)) if isinstance(g, Interval) else g for g in given)
        found = operation.relax(*boxes, slope="parallel")
        return *found.lower.slopes, found.lower.offset, found.upper.offset

    assert torch.autograd.gradcheck(value, ends, atol=1e-4, rtol=1e-3, eps=1e-7)


@pytest.mark.slow
@NONLINEAR
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ten_thousand_boxes(example: Example, dtype: torch.dtype) -> None:
    """Of widths from 1e-7 to 1e6, at random places, at the origin, and touching it."""
    count = BATCH * sum(torch.Size(s).numel() for s, v in zip(example.shapes, example.varies, strict=True) if v)
    rounds = 10_000 // count + 1
    some = [intervals(example, 10.0 ** (seed % 14 - 7), seed=seed, dtype=dtype) for seed in range(rounds)]
    given = [_joined([s[i] for s in some]) for i in range(len(example.shapes))]
    draws = points(given, 6)
    for slope in ("parallel", "adaptive", "random"):
        check_lines(example, given, asked(example, given, slope), draws, dtype)


def _joined(parts: list[Argument]) -> Argument:
    boxes = [p for p in parts if isinstance(p, Interval)]
    return Interval(torch.cat([b.lower for b in boxes]), torch.cat([b.upper for b in boxes])) if boxes else parts[0]
