"""The mixed integer engine: against enumeration at the edge of tolerance, against cases written out, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from net_zoo import KINDS, REGIONS, largest_row_minimum, polytope, tiny
from torch import Tensor, nn

from ballproof.errors import InputError, UnsupportedError
from ballproof.operations.abs import Abs
from ballproof.operations.clamp import Clamp
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.prelu import Prelu
from ballproof.operations.relu import Relu
from ballproof.operations.scalar import Scalar
from ballproof.operations.stairs import Floor, Sign, Step
from ballproof.problems import L1, L2, Box, Linf, Property, Region, classified_as, linear_constraints
from ballproof.problems.ball import ball
from ballproof.solve import verify
from ballproof.solve.distance import minimal_distance
from ballproof.solve.milp_pieces import on_interval, pieces_of

SCALARS: dict[str, tuple[Scalar, tuple[float, ...]]] = {
    "relu": (Relu(), ()),
    "leaky": (LeakyRelu(0.3), ()),
    "steep leaky": (LeakyRelu(2.0), ()),
    "prelu": (Prelu(), (-0.5,)),
    "abs": (Abs(), ()),
    "clamp": (Clamp(-0.5, 1.5), ()),
    "one-sided clamp": (Clamp(-math.inf, 0.25), ()),
    "sign": (Sign(), ()),
    "step": (Step(0.5), ()),
}


@pytest.mark.parametrize("name", list(SCALARS))
@pytest.mark.parametrize("ends", [(-2.0, 2.0), (0.0, 2.0), (-2.0, 0.0), (-0.2, 0.1), (0.0, 0.0), (1.0, 1.0)])
def test_the_pieces_are_the_function(name: str, ends: tuple[float, float]) -> None:
    operation, constants = SCALARS[name]
    pieces = on_interval(pieces_of(operation, constants), *ends)
    for x in torch.linspace(*ends, 81, dtype=torch.float64).tolist():
        given = [torch.tensor([v], dtype=torch.float64) for v in (x, *constants)]
        values = {p.slope * x + p.offset for p in pieces if p.meets(x, x)}
        assert len({round(v, 12) for v in values}) == 1
        assert values.pop() == pytest.approx(float(operation.forward(*given)), abs=1e-15)


def least_is(net: nn.Module, region: Region, c: list[float], value: float, engine: str = "milp", by: float = 2e-5) -> None:
    """The engine proves what lies `by` below the value, and breaks what lies as much above it."""
    row = torch.tensor(c, dtype=torch.float64).reshape(1, 1, -1)
    below, above = (Property(row, torch.tensor([[-value + d]], dtype=torch.float64), (0,)) for d in (by, -by))
    proven, broken = verify(net, region, below, engine=engine), verify(net, region, above, engine=engine)
    assert proven.verified, str(proven)
    assert broken.falsified, str(broken)
    assert broken.counterexample is not None and bool(region.contains(broken.counterexample.unsqueeze(0), 1e-12).all())


@pytest.mark.parametrize("region", list(REGIONS))
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_minimum_is_that_of_enumeration(kind: str, region: str) -> None:
    net = tiny(kind, 11)
    where = REGIONS[region](net.point)
    c = torch.randn(1, net.outputs, dtype=torch.float64)
    least = largest_row_minimum(net.layers, polytope(where), c.numpy(), torch.zeros(1).numpy())
    least_is(net.net, where, c[0].tolist(), least)


class Tilted(nn.Module):
    """f(x) - tilt * x, for cases that can be written out."""

    def __init__(self, function: nn.Module, tilt: float) -> None:
        super().__init__()
        self.function, self.tilt = function.double(), tilt

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x) - self.tilt * x


class Signs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x)


def line(low: float, high: float) -> Linf:
    return Linf(torch.tensor([[(low + high) / 2]], dtype=torch.float64), (high - low) / 2)


WRITTEN = {
    "concave kink, from below": (Tilted(nn.PReLU(init=1.5), 1.2), (-1.0, 1.0), 1.0, -0.3),
    "concave kink, from above": (Tilted(nn.PReLU(init=1.5), 1.2), (-1.0, 1.0), -1.0, 0.0),
    "steep leaky": (Tilted(nn.LeakyReLU(2.0), 1.5), (-1.0, 2.0), -1.0, 0.0),
    "three pieces": (Tilted(nn.Hardtanh(-1.0, 1.0), 0.5), (-4.0, 3.0), 1.0, -0.5),
    "three pieces, from above": (Tilted(nn.Hardtanh(-1.0, 1.0), 0.5), (-3.0, 4.0), -1.0, -0.5),
    "a jump, beside it": (Tilted(Signs(), 3.0), (-0.2, 0.2), 1.0, -1.0),
    "a jump, at an end": (Tilted(Signs(), -0.5), (-1.0, 1.0), 1.0, -1.5),
}


@pytest.mark.parametrize("name", list(WRITTEN))
@pytest.mark.parametrize("engine", ["milp", "smt"])
def test_cases_that_are_written_out(name: str, engine: str) -> None:
    """With the jump at 0, sign(x) - 3x comes as near to -1 as you like, left of 0; on [-4, 3] clamp(x) - x/2 is least at 3
    and at -1; it is largest at -3, where it is -1 + 3/2, and at 1."""
    net, ends, sign, value = WRITTEN[name]
    least_is(net, line(*ends), [sign], value, engine, by=1e-3)


@pytest.mark.parametrize("engine", ["milp", "smt"])
def test_what_a_rectifier_excludes_a_sign_never_is(engine: str) -> None:
    """sign(relu(x)) is 0 or 1, and it is 0 on half of the line."""
    net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), Signs()).double()
    with torch.no_grad():
        net[0].weight.fill_(1.0), net[0].bias.fill_(0.0)
    assert verify(net, line(-2.0, 1.0), linear_constraints([[-1.0]], [0.5]), engine=engine).verified
    assert verify(net, line(-2.0, 1.0), linear_constraints([[-1.0]], [-0.5]), engine=engine).falsified


def test_a_tie_is_never_verified() -> None:
    """|x| > 0 fails at 0 alone."""
    net = Tilted(Magnitude(), 0.0)
    verdict = verify(net, line(-1.0, 2.0), linear_constraints([[-1.0]], [0.0]), engine="milp")
    assert not verdict.verified


class Magnitude(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


def test_every_row_of_a_group_must_hold_at_one_point() -> None:
    """On [-1, 1]: x <= -0.5 and -x <= -0.5 hold somewhere, but nowhere together."""
    net, rows = Tilted(nn.Identity(), 0.0), torch.tensor([[[1.0], [-1.0]]], dtype=torch.float64)
    ends = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    assert verify(net, line(-1.0, 1.0), Property(rows, ends, (0, 0)), engine="milp").verified
    assert verify(net, line(-1.0, 1.0), Property(rows, ends, (0, 1)), engine="milp").falsified
    assert verify(net, line(-1.0, 1.0), Property(rows, -ends, (0, 0)), engine="milp").falsified


REFUSED = {"HardSwish": nn.Hardswish(), "Sigmoid": nn.Sigmoid(), "Gelu": nn.GELU(), "Softmax": nn.Softmax(1)}


@pytest.mark.parametrize("engine", ["milp", "smt"])
@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_not_piecewise_linear_is_refused_by_name(name: str, engine: str) -> None:
    net = nn.Sequential(nn.Linear(2, 2), REFUSED[name]).double()
    verdict = verify(net, Linf(torch.zeros(1, 2, dtype=torch.float64), 0.5), classified_as(0), engine=engine)
    assert verdict.unknown and name in verdict.reason and "piecewise linear" in verdict.reason


def test_stairs_without_end_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="Floor"):
        pieces_of(Floor())


@pytest.mark.parametrize("engine", ["milp", "smt"])
def test_an_l2_ball_is_refused(engine: str) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).double()
    verdict = verify(net, L2(torch.zeros(1, 2, dtype=torch.float64), 0.5), classified_as(0), engine=engine)
    assert verdict.unknown and "l2" in verdict.reason


@pytest.mark.parametrize("engine", ["milp", "smt"])
def test_out_of_time_is_unknown(engine: str) -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 18), nn.ReLU(), nn.Linear(18, 1)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3.0)
    region = Linf(torch.zeros(1, 12, dtype=torch.float64), 1.0)
    low = float(net(region[[0] * 2000].sample(torch.Generator().manual_seed(0))).detach().min()) - 2.0
    verdict = verify(net, region, linear_constraints([[-1.0]], [-low]), timeout=0.8, engine=engine)
    assert verdict.unknown and "time" in verdict.reason


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize(("kind", "seed"), [("dense", 3), ("leaky", 1), ("clamp", 0), ("pool", 5), ("residual", 8)])
def test_nothing_is_nearer_than_the_minimal_distance_and_something_is_there(kind: str, seed: int, norm: str) -> None:
    net = tiny(kind, seed)
    label = int(net.net(net.point).argmax())
    found = minimal_distance(net.net, net.point, label, norm, limit=2.0)
    inside = verify(net.net, ball(norm, net.point, found.lower - 1e-4), classified_as(label), engine="smt")
    assert inside.verified, f"{found}: {inside}"
    if found.point is None:
        assert found.lower == 2.0 and found.upper == math.inf
        return
    assert found.lower <= found.upper <= found.lower + 2e-3
    moved = (found.point - net.point[0]).abs()
    assert float(moved.max() if norm == "linf" else moved.sum()) == pytest.approx(found.upper, abs=1e-12)
    outputs = net.net(found.point.unsqueeze(0))[0]
    assert bool((outputs >= outputs[label]).sum() > 1)


def test_the_minimal_distance_of_a_line_is_that_of_points_and_planes() -> None:
    """Of the origin to 3a + 4b >= 2, in L-infinity 2/7, in L1 1/2; with a cut to [-0.1, 0.1], L-infinity 1.7/4 by b alone."""
    net = nn.Linear(2, 1).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[3.0, 4.0]])), net.bias.zero_()
    x, asked = torch.zeros(1, 2, dtype=torch.float64), linear_constraints([[1.0]], [2.0])
    for norm, clip, value in (("linf", None, 2 / 7), ("l1", None, 0.5)):
        found = minimal_distance(net, x, asked, norm, clip=clip)
        assert found.lower <= value <= found.upper
        assert found.lower == pytest.approx(value, abs=1e-5) and found.upper == pytest.approx(value, abs=1e-5)
    clip = torch.tensor([[-0.1, -1.0]], dtype=torch.float64), torch.tensor([[0.1, 1.0]], dtype=torch.float64)
    found = minimal_distance(net, x, asked, "linf", clip=clip)
    assert found.lower == pytest.approx(1.7 / 4, abs=1e-5) and found.upper == pytest.approx(1.7 / 4, abs=1e-5)
    broken = minimal_distance(net, x, linear_constraints([[1.0]], [-1.0]))
    assert broken.lower == broken.upper == 0.0 and broken.point is not None


def test_distances_that_are_no_distances_are_refused() -> None:
    x = torch.zeros(1, 2, dtype=torch.float64)
    with pytest.raises(UnsupportedError, match="l2"):
        minimal_distance(nn.Linear(2, 2).double(), x, 0, "l2")
    with pytest.raises(InputError, match="examples"):
        minimal_distance(nn.Linear(2, 2).double(), x.expand(2, -1), 0)
    with pytest.raises(InputError, match="limit"):
        minimal_distance(nn.Linear(2, 2).double(), x, 0, limit=0.0)


class Lead(nn.Module):
    """How far the largest input is ahead of the first."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool1d(x.unsqueeze(1), x.shape[1]).squeeze(1) - x[:, :1]


@pytest.mark.parametrize("engine", ["milp", "smt"])
def test_the_largest_may_be_ahead_by_all_that_the_ends_allow(engine: str) -> None:
    """On [0, 1] x [-1, 0.5] x [0, 0.75] the largest is ahead of the first by 0 to 0.75."""
    low, high = torch.tensor([[0.0, -1.0, 0.0]], dtype=torch.float64), torch.tensor([[1.0, 0.5, 0.75]], dtype=torch.float64)
    least_is(Lead(), Box(low, high), [-1.0], -0.75, engine)
    least_is(Lead(), Box(low, high), [1.0], 0.0, engine)


def test_the_corner_of_an_l1_ball() -> None:
    """|a| + |b| <= 1: a + b is at most 1, and a alone too."""
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2)), net[0].bias.zero_()
        net[2].weight.fill_(1.0), net[2].bias.zero_()
    least_is(net, L1(torch.zeros(1, 2, dtype=torch.float64), 1.0), [-1.0], -1.0)
