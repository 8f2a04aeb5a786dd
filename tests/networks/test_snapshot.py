"""A snapshot answers for the weights as they were, whatever happens to the module, and as the module itself would have."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import ballproof as bp
from ballproof.bounds.interval import interval_pass
from ballproof.errors import DomainError
from ballproof.graph import GraphBuilder, Snapshot
from ballproof.networks.architectures import Block
from ballproof.operations.log import Log

EPS = 0.05


def conv() -> nn.Module:
    ahead = [nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), Block(4, 6, 2, norm=True), nn.MaxPool2d(2, stride=1)]
    return nn.Sequential(*ahead, nn.Flatten(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 3))


def dense() -> nn.Module:
    weighed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 6))  # its weight is computed from two parameters
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), weighed, nn.LeakyReLU(0.1), nn.Linear(6, 3))


def grouped() -> nn.Module:
    maps = [nn.Conv2d(2, 4, (3, 2), stride=(2, 1), groups=2, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 2, dilation=2)]
    return nn.Sequential(nn.Upsample(scale_factor=2), *maps, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


NETS = pytest.mark.parametrize("build", [conv, dense, grouped])


def made(build: Callable[[], nn.Module], dtype: torch.dtype = torch.float64) -> tuple[nn.Module, bp.Linf, Tensor]:
    net = build().to(dtype).eval()
    x = torch.rand(5, 2, 6, 4, dtype=dtype)
    return net, bp.Linf(x, EPS, clip=(0, 1)), net(x).argmax(1)


def sent(network: Snapshot) -> Snapshot:
    """As another process receives it."""
    found = pickle.loads(pickle.dumps(network))  # noqa: S301  our own bytes
    assert isinstance(found, Snapshot)
    return found


@NETS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["interval", "dual", "crown", "crown-interval", "zonotope", "alpha", "interval+dual"])
def test_it_answers_as_the_module(build: Callable[[], nn.Module], dtype: torch.dtype, method: str) -> None:
    net, region, y = made(build, dtype)
    kept = bp.snapshot(net, region)
    near = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    with torch.no_grad():
        torch.testing.assert_close(bp.margins(kept, region, y, method), bp.margins(net, region, y, method), **near)
        ours, theirs = bp.bound(kept, region, method), bp.bound(net, region, method)
    torch.testing.assert_close(ours.lower, theirs.lower, **near)
    torch.testing.assert_close(ours.upper, theirs.upper, **near)


@NETS
def test_every_node_has_the_interval_of_the_module(build: Callable[[], nn.Module]) -> None:
    net, region, _ = made(build)
    graph = bp.as_graph(net, region)
    ours, theirs = (interval_pass(g, region.box()) for g in (Snapshot.of(graph), graph))
    assert set(ours) == set(theirs) and len(ours) == len(theirs)
    for name, interval in theirs.items():
        torch.testing.assert_close(ours[name].lower, interval.lower)
        torch.testing.assert_close(ours[name].upper, interval.upper)


def by_steps(net: nn.Module) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    for _ in range(2):
        optimizer.zero_grad()
        bp.robust_loss(net, torch.rand(4, 2, 6, 4, dtype=torch.float64), torch.arange(4) % 3, eps=EPS).backward()
        optimizer.step()


def in_place(net: nn.Module) -> None:
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(-2).add_(0.3)


def through_data(net: nn.Module) -> None:
    for p in net.parameters():
        p.data.copy_(-2 * p.data + 0.3)


def by_numpy(net: nn.Module) -> None:
    for p in net.parameters():
        p.detach().numpy()[...] *= -1.5


def by_state(net: nn.Module) -> None:
    net.load_state_dict({k: v * 2 if v.is_floating_point() else v for k, v in net.state_dict().items()})


CHANGES: list[Callable[[nn.Module], None]] = [by_steps, in_place, through_data, by_numpy, by_state]


@NETS
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("asked_before", [True, False])
def test_later_weights_do_not_reach_it(
    build: Callable[[], nn.Module], change: Callable[[nn.Module], None], asked_before: bool
) -> None:
    net, region, _ = made(build)
    kept, before = bp.snapshot(net, region), copy.deepcopy(net)
    wanted = bp.bound(bp.snapshot(net, region), region, "interval")
    if asked_before:
        bp.bound(kept, region, "interval")
    change(net.train() if change is by_steps else net)
    net.eval()
    ours, live = bp.bound(kept, region, "interval"), bp.bound(net, region, "interval")
    assert torch.equal(ours.lower, wanted.lower) and torch.equal(ours.upper, wanted.upper)
    assert float((live.lower - ours.lower).detach().abs().max()) > 1e-3
    for _ in range(20):
        x = region.sample()
        for found, model in ((ours, before), (live, net)):
            outputs = model(x)
            assert bool((outputs >= found.lower - 1e-9).all()) and bool((outputs <= found.upper + 1e-9).all())
    torch.testing.assert_close(kept(x), before(x))


@NETS
def test_its_tensors_are_its_own(build: Callable[[], nn.Module]) -> None:
    net, region, _ = made(build)
    kept = bp.snapshot(net, region)
    held = {t.untyped_storage().data_ptr() for t in [*net.parameters(), *net.buffers()]}
    others = [kept.to(dtype=torch.float64), kept.with_values({}), sent(kept), copy.deepcopy(kept)]
    for one in [kept, *others]:
        assert isinstance(one, Snapshot) and not any(v.requires_grad for v in one.values.values())
        own = {v.untyped_storage().data_ptr() for v in one.values.values()}
        assert not own & held and len(own) == len(one.values)
        held |= own


def test_a_value_that_is_given_is_copied() -> None:
    net, region, _ = made(dense)
    given = torch.zeros(3, dtype=torch.float64)
    kept = bp.snapshot(net, region)
    name = next(n for n, v in kept.values.items() if v.shape == (3,))
    changed = kept.with_values({name: given})
    given.fill_(100.0)
    assert float(bp.bound(changed, region, "interval").upper.max()) < 50


def test_an_inner_node_is_asked_without_copies() -> None:
    net, region, _ = made(conv)
    kept = bp.snapshot(net, region)
    name = kept.varying[3].name
    part = kept.until(name)
    assert isinstance(part, Snapshot) and all(part.values[k] is kept.values[k] for k in part.values)
    ours, theirs = (bp.bound(n, region, "interval", node=name) for n in (kept, net))
    torch.testing.assert_close(ours.lower, theirs.lower)


@pytest.mark.parametrize("method", ["interval", "crown"])
def test_a_write_to_its_tensors_is_refused(method: str) -> None:
    net, region, _ = made(dense)
    kept = bp.snapshot(net, region)
    bp.bound(kept, region, method)
    next(iter(kept.values.values())).mul_(2)
    with pytest.raises(bp.SoundnessError, match="changed in place"):
        bp.bound(kept, region, method)


def test_another_type_is_refused_and_converted() -> None:
    net, region, y = made(conv)
    kept = bp.snapshot(net, region)
    wide = bp.margins(kept, region, y, "interval")
    narrow = region.to(dtype=torch.float32)
    with pytest.raises(bp.InputError, match="float64"):
        bp.margins(kept, narrow, y, "interval")
    found = bp.margins(kept.to(dtype=torch.float32), narrow, y, "interval")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wide, rtol=1e-4, atol=1e-4)


def test_it_may_be_made_in_inference_mode_and_asked_outside() -> None:
    net, region, y = made(dense)
    with torch.inference_mode():
        kept = bp.snapshot(net, region)
        bp.margins(kept, region, y, "interval")
    x = region.center.clone().requires_grad_()
    kept(x).sum().backward()
    assert x.grad is not None and bool(x.grad.any())


@pytest.mark.parametrize("build", [conv, dense])
def test_all_faces_take_it(build: Callable[[], nn.Module]) -> None:
    net, region, y = made(build, torch.float32)
    kept = sent(bp.snapshot(net, region))
    data = [(region.center, y)]
    for method in ("interval", "crown"):
        ours, theirs = (bp.certify(n, data, eps=EPS, method=method) for n in (kept, net))
        assert ours.totals["certified_accuracy"] == theirs.totals["certified_accuracy"]
    lines = bp.linear_bounds(kept, region)
    x = region.sample()
    low = lines.lower.slopes[0].flatten(2) @ x.flatten(1).unsqueeze(2)
    assert bool((low.squeeze(2) + lines.lower.offset <= net(x) + 1e-4).all())
    ours, theirs = (bp.verify(n, region[[0]], bp.classified_as(y[[0]]), timeout=30) for n in (kept, net))
    assert type(ours) is type(theirs)
    assert bool(region.contains(bp.attack(kept, region.center, y, eps=EPS), 1e-6).all())
    bp.assert_robust(kept, region.center, y, eps=0.0)
    assert not bp.robust_loss(kept, region.center, y, eps=EPS).requires_grad


def skipping() -> nn.Module:
    """The input is used twice, so no layer is alone with it."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.last = nn.Linear(48, 48), nn.Linear(48, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)
            return self.last(torch.relu(self.b(torch.relu(self.a(flat)) + flat)))  # type: ignore[no-any-return]

    return Twice()


BALLS: dict[str, Callable[[Tensor], bp.Linf]] = {
    "one radius": lambda x: bp.Linf(x, EPS),
    "a radius for each example": lambda x: bp.Linf(x, torch.tensor([0.0, 0.01, 0.02, 0.1, 1.0]).to(x)),
    "a radius for each pixel": lambda x: bp.Linf(x, EPS * torch.rand(1, 2, 6, 4).to(x)),
    "cut": lambda x: bp.Linf(x, 0.3, clip=(0, 1)),
}


@pytest.mark.parametrize("kind", list(BALLS))
@pytest.mark.parametrize("build", [dense, conv, skipping])
def test_the_first_layer_on_balls_of_all_kinds(build: Callable[[], nn.Module], kind: str) -> None:
    net, given, y = made(build)
    region = BALLS[kind](given.center)
    assert (bp.snapshot(net, region).entry is not None) == (build is dense)
    torch.testing.assert_close(
        bp.margins(bp.snapshot(net, region), region, y, "interval"),
        bp.margins(net, region, y, "interval"),
        rtol=1e-9,
        atol=1e-9,
    )


def test_gradients_reach_the_inputs_through_intervals() -> None:
    net, region, _ = made(conv)
    kept, grads = bp.snapshot(net, region), []
    for one in (kept, net):
        x = region.center.clone().requires_grad_()
        bp.bound(one, bp.Linf(x, EPS), "interval").lower.sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads)


def test_gradients_reach_the_input_and_its_radius_through_margins() -> None:
    net, region, y = made(dense)
    kept, grads = bp.snapshot(net, region), []
    for one in (kept, net):
        x, eps = region.center.clone().requires_grad_(), torch.full((5,), EPS).double().requires_grad_()
        bp.margins(one, bp.Linf(x, eps), y, "interval").sum().backward()
        grads.append((x.grad, eps.grad))
    for own, other in zip(*grads, strict=True):
        torch.testing.assert_close(own, other)


def test_an_error_of_the_domain_names_the_node() -> None:
    builder = GraphBuilder((3,))
    graph = builder.build(builder.add(Log(), ("input",), "logs", "net.py:7"))
    with pytest.raises(DomainError, match=r"node `logs` \(net\.py:7\)"):
        bp.bound(Snapshot.of(graph), bp.Linf(torch.zeros(1, 3), 0.5), "interval")


def test_an_overflow_is_named() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    nn.init.constant_(net[1].weight, 2.0)  # type: ignore[arg-type]
    x = torch.full((1, 2), 3e38)
    with pytest.raises(DomainError, match="overflow"):
        bp.margins(bp.snapshot(net, x), bp.Linf(x, 1e37), torch.tensor([0]), "interval")
