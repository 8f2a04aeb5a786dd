"""Fully connected layers without their settled units, example by example: a query meets only what bends.

Over an example's region a unit that is off has slope 0 and one that is on is linear. So every unit is an affine function of the
first layer's units and of the units before it that bend, and a query goes from one layer's bent units to those of the next.
In a 6x256 network with every fifth unit open that is a quarter of the multiplications.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.bounds.backward import Lines, on_box, rowwise
from ballproof.bounds.interval import step
from ballproof.bounds.race import Race
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.operations.linear import Linear
from ballproof.operations.reshape import Reshape
from ballproof.problems.region import row_products
from ballproof.values import Interval, Relaxation

PAYS = 0.7
"""At most this share of the multiplications of the dense walk must be left."""

ALIKE = 1.05
"""How many times the smallest box the widest of all may reach: what is proven with it is looser by the root of that."""


@dataclass(frozen=True)
class Form:
    """The units of a layer as `rows · base + constant`: `(batch, unit, base)` and `(batch, unit)`.

    The base of the first layer is the layer's argument, that of the others the bent units before it, layer by layer.
    """

    rows: Tensor
    constant: Tensor

    @property
    def parts(self) -> tuple[Tensor, Tensor]:
        return self.rows, self.constant

    def at(self, index: Tensor) -> Form:
        """Some of the units, `index (batch, n)`."""
        units, width = self.rows.shape[1:]
        flat = index if len(self.rows) == 1 else index + units * torch.arange(len(index), device=index.device).unsqueeze(1)
        rows = self.rows.reshape(-1, width).index_select(0, flat.flatten())
        return Form(rows.reshape(*index.shape, width), self.constant.expand(len(index), -1).gather(1, index))


@dataclass(frozen=True)
class Bends:
    """The bent units of a layer: their forms, the lines through which a cotangent passes, `(batch, 1, unit)` each, and the
    proven ends of their values behind the nonlinearity, `(batch, unit)`."""

    form: Form
    lines: Lines
    values: Interval

    def through(self, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients `(batch, query, unit)` behind the nonlinearity as those before it, and the constant that this adds."""
        falling = cotangent.clamp(max=0)
        pulled = self.lines.pulled(cotangent, falling)
        return pulled, self.lines.offset(cotangent, falling) + row_products(pulled, self.form.constant)


@dataclass(frozen=True)
class Foot:
    """What tells, before the first layer is multiplied out, how far its argument may move a query; all by Cauchy and Schwarz.

    With the argument in `center +- radius` and v the coefficients on it, radius · |v| <= sqrt(sum radius) sqrt(radius · v^2).
    `gram` are the products of the layer's rows weighted with the radius, `(batch, unit, unit)`, `norms` the roots of its
    diagonal, none below `least`, `middle` the rows at the center, `(batch, unit)`, `total` the sum of the radius, `(batch, 1)`;
    `terms` how many numbers are added up in a square at most. `spread (batch or 1, 1)`: no square is larger than that
    times the sum of (c norms)^2, rounding included.
    """

    gram: Tensor
    norms: Tensor
    middle: Tensor
    total: Tensor
    terms: int
    spread: Tensor

    @staticmethod
    def of(rows: Tensor, box: Interval) -> Foot:
        center, radius = rowwise(box.center).unsqueeze(2), rowwise(box.radius)
        gram = (rows * radius.unsqueeze(1)) @ rows.transpose(1, 2)
        terms = sum(rows.shape[1:])
        norms = (gram.diagonal(dim1=1, dim2=2).clamp(min=0) + _least(terms, gram.dtype) ** 2).sqrt()
        middle, total = (rows @ center).squeeze(2), radius.sum(1, keepdim=True)
        return Foot(gram, norms, middle, total, terms, _spread(gram, norms, terms))

    @staticmethod
    def at(form: Form, index: Tensor, box: Interval) -> Foot:
        """That of some units `index (batch, n)`; boxes of nearly one size share the products of rows for the largest radius."""
        radius = rowwise(box.radius)
        widest = radius.amax(0, keepdim=True)
        if len(form.rows) > 1 or len(radius) == 1 or bool(widest.sum() > ALIKE * radius.sum(1).min()):
            return Foot.of(form.at(index).rows, box)
        own = Foot.of(form.rows, Interval(-widest, widest))
        units = own.gram.shape[1]
        gram = own.gram[0].index_select(0, index.flatten()).reshape(*index.shape, units)
        gram = gram.gather(2, index.unsqueeze(1).expand(-1, index.shape[1], -1))
        middle = (rowwise(box.center) @ form.rows[0].T).gather(1, index)
        return Foot(gram, own.norms[0][index], middle, own.total, own.terms, own.spread)

    @property
    def least(self) -> float:
        return _least(self.terms, self.gram.dtype)

    def glance(self, cotangent: Tensor) -> Tensor:
        """What `lower` gives, or less, without the products of the rows."""
        size: Tensor = torch.linalg.vector_norm(cotangent * self.norms.unsqueeze(1), dim=2) + self.least
        return row_products(cotangent, self.middle) - size * (self.spread * self.total).sqrt()

    def lower(self, cotangent: Tensor) -> Tensor:
        """Proven lower values of the coefficients `(batch, query, unit)` on the layer's units without their constants.

        Rounding of the square is covered: it is at most (count of terms) eps (|c| · norms)^2 by Cauchy and Schwarz once more,
        and what products too small for the type lose is less than that for a |c| and norms of `least`.
        """
        square = (cotangent @ self.gram).mul_(cotangent).sum(2)
        weight = torch.linalg.vector_norm(cotangent, dim=2) + self.least
        size: Tensor = weight * torch.linalg.vector_norm(self.norms, dim=1, keepdim=True) + self.least
        share = 4 * self.terms * torch.finfo(square.dtype).eps
        reach = (square.clamp(min=0) + share * size.square()).sqrt() * self.total.sqrt()
        return row_products(cotangent, self.middle) - reach


def _least(terms: int, dtype: torch.dtype) -> float:
    """The root of a sum of squares that rounding changes by as much as its products lose that are too small for the type."""
    kind = torch.finfo(dtype)
    return float((terms * kind.tiny / kind.eps) ** 0.5)


def _spread(gram: Tensor, norms: Tensor, terms: int) -> Tensor:
    """An upper bound of the largest eigenvalue of the products of rows of length 1, `(batch, 1)`.

    They are 1 + E with zeros on E's diagonal, and |E|^2 = |E E| is at most the largest sum of a row of |E E|.
    """
    scale, share = norms.reciprocal(), 4 * terms * torch.finfo(norms.dtype).eps
    rest = gram * scale.unsqueeze(1) * scale.unsqueeze(2)
    rest.diagonal(dim1=1, dim2=2).zero_()
    largest, square = (m.abs().sum(2).amax(1, keepdim=True) for m in (rest, rest @ rest))
    return (1 + share) * (1 + (square + share * largest.square()).sqrt()) + share * gram.shape[1]


@dataclass(frozen=True)
class Skeleton:
    """The layers up to one fully connected node; `head` is the argument of the first layer, of size `width`."""

    head: str
    form: Form
    bends: tuple[Bends, ...]
    own: int
    """Numbers in the last layer's matrix."""
    dense: int = 0
    """Multiplications of one query in the dense walk."""
    foot: Foot | None = None
    radius: Tensor | None = None
    """Of the head, `(batch, width)`, where it is the input, in a box, or the input in another shape."""

    @property
    def numbers(self) -> int:
        """Numbers held for one example."""
        return sum(f.rows[0].numel() for f in (self.form, *(b.form for b in self.bends)))

    @property
    def pays(self) -> bool:
        return bool(self.bends) and sum(b.form.rows[0].numel() for b in self.bends) <= PAYS * self.dense

    def ask(self, index: Tensor, race: Race, finish: Callable[[Tensor, Tensor], Tensor]) -> Interval:
        """The ends of the units `index (batch, query)` of which the race asks one side.

        finish: the lower values of coefficients `(batch, query, width)` at the head plus a constant `(batch, query)`.
        """
        assert self.foot is not None
        coefficients, constant = self.form.at(index).parts
        coefficients, constant = coefficients.mul_(race.sign.unsqueeze(2)), constant * race.sign
        if race.operation is not None:
            coefficients, constant = _left(race.after(self._glance(coefficients, constant)), coefficients, constant)
        coefficients, constant = self._at_first(coefficients, constant)
        if race.operation is not None:
            left = race.after(self.foot.lower(coefficients) + constant)
            coefficients, constant = _left(left, coefficients, constant)
        rows = coefficients @ self.bends[0].form.rows
        if self.radius is None:
            return race.finished(finish(rows, constant))
        middle = constant + row_products(coefficients, self.foot.middle)
        return race.finished(middle - row_products(rows.abs_(), self.radius))

    def _glance(self, coefficients: Tensor, constant: Tensor) -> Tensor:
        """Lower values of what `_at_first` takes, without a product of matrices: bent units anywhere on their intervals."""
        assert self.foot is not None
        first, *later = self.bends
        width = first.form.rows.shape[1]
        pulled, extra = first.through(coefficients[:, :, :width])
        found = self.foot.glance(pulled) + (constant + extra)
        if not later:
            return found
        box = Interval(*(torch.cat([getattr(b.values, end) for b in later], 1) for end in ("lower", "upper")))
        return on_box(coefficients[:, :, width:], box, found)

    def _at_first(self, coefficients: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
        """Queries of the base as coefficients on the rows of the first layer's units, and a constant; for lower values."""
        for bends in reversed(self.bends[1:]):
            before = coefficients.shape[2] - bends.form.rows.shape[1]
            pulled, extra = bends.through(coefficients[:, :, before:])
            coefficients, constant = torch.baddbmm(coefficients[:, :, :before], pulled, bends.form.rows), constant + extra
        pulled, extra = self.bends[0].through(coefficients)
        return pulled, constant + extra

    def behind(self, lines: Lines, values: Interval, weight: Tensor, bias: Tensor, box: Interval) -> Skeleton:
        """The same with one more layer: a nonlinearity with these lines, then `weight (out, unit)` and `bias (out,)`.

        values: proven ends of the nonlinearity, `(batch, unit)`. box: those of the head, `(batch, *head)`.
        """
        bent, straight = _kinds(lines, first=not self.bends)
        bends = Bends(self.form.at(bent.index), bent.of(lines), bent.within(values))
        columns = weight.T.contiguous()
        rows, constant = columns[bent.index].transpose(1, 2).contiguous(), bias.expand(len(bent.index), -1)
        if self.bends:
            slope, on = straight.of(lines).slope.transpose(1, 2), self.form.at(straight.index)
            passed = columns[straight.index].transpose(1, 2)
            rows = _beside(passed, on.rows * slope, rows)
            constant = constant + (passed @ (on.constant.unsqueeze(2) * slope)).squeeze(2)
        foot = Foot.at(self.form, bent.index, box) if self.foot is None else self.foot
        grown = Form(rows, constant), (*self.bends, bends), weight.numel(), self.dense + self.own
        return Skeleton(self.head, *grown, foot, self.radius)


@dataclass(frozen=True)
class _Units:
    """The places `index (batch, n)` of some units in each example, filled up with others where `real` is 0."""

    index: Tensor
    real: Tensor

    @staticmethod
    def where(mask: Tensor) -> _Units:
        count = int(mask.sum(1).max())
        index = mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count]
        return _Units(index, mask.gather(1, index))

    def of(self, lines: Lines) -> Lines:
        """Their lines; those of the others are zero."""
        pick = lambda t: None if t is None else (rowwise(t).gather(1, self.index) * self.real).unsqueeze(1)  # noqa: E731
        slope = pick(lines.slope)
        assert slope is not None
        return Lines(slope, pick(lines.above), pick(lines.over), pick(lines.under), pick(lines.gap))

    def within(self, values: Interval) -> Interval:
        """Their intervals; those of the others are zero."""
        return Interval(*(end.gather(1, self.index) * self.real for end in (values.lower, values.upper)))


def _left(left: Tensor | None, coefficients: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
    """The queries that go on."""
    return (coefficients, constant) if left is None else Form(coefficients, constant).at(left).parts


def _beside(left: Tensor, right: Tensor, more: Tensor) -> Tensor:
    """`left @ right`, with the columns of `more` behind."""
    width = right.shape[2]
    found = more.new_empty(*more.shape[:2], width + more.shape[2])
    torch.bmm(left, right, out=found[:, :, :width])
    found[:, :, width:] = more
    return found


def _kinds(lines: Lines, first: bool) -> tuple[_Units, _Units]:
    """The units that bend, and those that are linear with a slope; of the first layer all of them count as bent."""
    on = rowwise(lines.slope) != 0
    bent = torch.zeros_like(on)
    none = torch.zeros_like(lines.slope)
    for part, straight in ((lines.above, lines.slope), (lines.over, none), (lines.under, none)):
        bent = bent if part is None else bent | (rowwise(part) != rowwise(straight))
    return (_Units.where(bent | on) if first else _Units.where(bent)), _Units.where(on & ~bent)


class Skeletons:
    """The skeletons of one pass, each grown from the one before it."""

    def __init__(
        self,
        graph: Graph,
        constants: Mapping[str, Tensor],
        relaxations: Mapping[str, Relaxation],
        intervals: Mapping[str, Interval],
        boxed: bool,
        limit: int,
    ) -> None:
        """boxed: whether the region is a box; limit: numbers that one may hold."""
        self.graph, self.constants, self.relaxations = graph, constants, relaxations
        self.intervals, self.boxed, self.limit = intervals, boxed, limit
        self._known: dict[str, Skeleton | None] = {}

    def of(self, name: str) -> Skeleton | None:
        """That of a fully connected node; None where it has none or where it does not pay."""
        if name not in self._known:
            self._known[name] = self._made(self.graph.node[name])
        found = self._known[name]
        return found if found is not None and found.pays else None

    def _made(self, node: Node) -> Skeleton | None:
        if not isinstance(node.operation, Linear) or len(node.shape) != 1 or not self.graph.node[node.inputs[0]].varies:
            return None
        weight, *bias = (self.constants[i] for i in node.inputs[1:])
        shift = bias[0] if bias else weight.new_zeros(len(weight))
        bend = self.graph.node[node.inputs[0]]
        if not self._bends(bend):
            radius = rowwise(self.intervals[bend.name].radius) if self.boxed and self._is_input(bend) else None
            return Skeleton(bend.name, Form(weight.unsqueeze(0), shift.unsqueeze(0)), (), weight.numel(), radius=radius)
        before = self.graph.node[bend.inputs[0]]
        self.of(before.name)
        known = self._known[before.name]
        if known is None:
            return None
        box = self.intervals[known.head]
        if not bool(torch.isfinite(box.radius).all()):
            return None
        values = step(self.graph, bend, self.intervals, self.constants)
        found = known.behind(Lines.of(self.relaxations[bend.name], bend), values, weight, shift, box)
        assert found.foot is not None
        small = found.numbers * len(found.form.rows) <= self.limit
        return found if small and bool(torch.isfinite(found.foot.spread).all()) else None

    def _is_input(self, node: Node) -> bool:
        """The input itself, or the input in another shape."""
        while isinstance(node.operation, Reshape):
            node = self.graph.node[node.inputs[0]]
        return node.name == self.graph.input

    def _bends(self, node: Node) -> bool:
        """A coordinatewise nonlinearity behind a fully connected layer."""
        operation = node.operation
        alone = isinstance(operation, Nonlinear) and operation.coordinatewise and len(node.inputs) == 1
        return alone and isinstance(self.graph.node[node.inputs[0]].operation, Linear) and len(node.shape) == 1
