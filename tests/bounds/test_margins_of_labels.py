"""Margins that a snapshot takes from its last layers at once, against the corners of the last boxes in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
import torch
from torch import Tensor, nn

import ballproof as bp
from ballproof.bounds.interval import interval_pass
from ballproof.errors import DomainError, InputError
from ballproof.graph import Snapshot
from ballproof.graph.head import Head

CLASSES = 4


class Ends(nn.Module):
    """A bend, and one or two ways from it to the output: flattened and weighed, and the input added or not."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.first, self.last = kind, nn.Conv2d(1, 2, 2), nn.Linear(4, CLASSES)
        self.other, self.direct = nn.Linear(4, CLASSES, bias=False), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        bend = self.first(x).relu().flatten(1)
        match self.kind:
            case "plain":
                return self.last(bend)
            case "two layers":
                return 2 * self.last(bend).flip(1) + 1
            case "two ways":
                return self.last(bend) - self.other(bend)
            case "with the input":
                return self.last(bend) + self.direct(x.flatten(1))
            case "no bend":
                return self.direct(x.flatten(1))
            case _:
                return self.last(bend).tanh()


class Summed(nn.Module):
    """Its last bend is a number without axes."""

    def forward(self, x: Tensor) -> Tensor:
        bent = x.sum(1).relu()
        return torch.stack([bent, -bent, 2 * bent], 1)


def made(kind: str) -> tuple[Ends, Snapshot, bp.Linf, Tensor]:
    torch.manual_seed(1)
    net = Ends(kind).double().requires_grad_(False)
    region = bp.Linf(torch.randn(5, 1, 3, 2).double(), 0.2)
    return net, bp.snapshot(net, region), region, torch.tensor([0, 3, 1, 2, 3])


@pytest.mark.parametrize("kind", ["plain", "two layers", "two ways", "bends last"])
def test_margins_are_the_least_on_the_box_of_the_last_bend(kind: str) -> None:
    net, kept, region, y = made(kind)
    assert kept.head is not None
    box = interval_pass(kept, region.box())[kept.head.start]
    low, high = box.lower.flatten(1).tolist(), box.upper.flatten(1).tolist()
    tail = {
        "plain": net.last,
        "two layers": lambda h: 2 * net.last(h).flip(1) + 1,
        "two ways": lambda h: net.last(h) - net.other(h),
        "bends last": nn.Identity(),
    }[kind]
    at_zero, units = tail(torch.zeros(1, 4).double())[0], tail(torch.eye(4).double())
    found = bp.margins(kept, region, y, "interval")
    for example, label in enumerate(y.tolist()):
        for place, other in enumerate(j for j in range(CLASSES) if j != label):
            shift = Fraction(at_zero[label].item()) - Fraction(at_zero[other].item())
            slopes = [Fraction((u[label] - at_zero[label] - u[other] + at_zero[other]).item()) for u in units]
            corners = product(*zip(low[example], high[example], strict=True))
            least = shift + min(sum((s * Fraction(v) for s, v in zip(slopes, c, strict=True)), Fraction(0)) for c in corners)
            assert abs(found[example, place].item() - float(least)) < 1e-14


@pytest.mark.parametrize("kind", ["plain", "two layers", "two ways", "bends last", "with the input", "no bend"])
@pytest.mark.parametrize("memory", [None, 2000])
def test_a_snapshot_answers_as_the_module_for_labels_and_coefficients(kind: str, memory: int | None) -> None:
    net, kept, region, y = made(kind)
    assert (kept.head is None) == (kind in {"with the input", "no bend"})
    for labels in (y, torch.tensor([2]), y.int()):
        wanted = bp.margins(net, region, labels, "interval")
        torch.testing.assert_close(bp.margins(kept, region, labels, "interval", memory=memory), wanted, rtol=1e-13, atol=1e-13)


def test_many_examples_are_answered_in_parts_that_fit_the_memory() -> None:
    net, kept, _, _ = made("plain")
    region, y = bp.Linf(torch.randn(400, 1, 3, 2).double(), 0.2), torch.arange(400) % CLASSES
    wanted = bp.margins(net, region, y, "interval")
    torch.testing.assert_close(bp.margins(kept, region, y, "interval", memory=4096), wanted, rtol=1e-13, atol=1e-13)


def test_margins_have_gradients_in_the_center_and_the_radius() -> None:
    net, kept, _, y = made("plain")
    x, eps = torch.randn(5, 1, 3, 2).double().requires_grad_(), torch.full((5,), 0.2).double().requires_grad_()
    told = [torch.autograd.grad(bp.margins(n, bp.Linf(x, eps), y, "interval").sum(), (x, eps)) for n in (kept, net)]
    for ours, theirs in zip(*told, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_bad_labels_are_refused_as_ever() -> None:
    _, kept, region, _ = made("plain")
    with pytest.raises(InputError, match="`labels` holds 4 in example 1, expected 0 to 3"):
        bp.margins(kept, region, torch.tensor([0, 4, 0, 0, 0]), "interval")
    with pytest.raises(InputError, match=r"expected \(1 or 5"):
        bp.margins(kept, region, torch.tensor([0, 1]), "interval")
    with pytest.raises(DomainError, match="overflow"):
        bp.margins(
            bp.snapshot(Ends("plain"), region.to(dtype=torch.float32)),
            bp.Linf(torch.full((1, 1, 3, 2), 3e38), 1e38),
            [0],
            "interval",
        )


def test_weights_that_were_written_to_are_refused() -> None:
    _, kept, region, y = made("plain")
    bp.margins(kept, region, y, "interval")
    next(iter(kept.values.values())).mul_(2)
    with pytest.raises(bp.SoundnessError, match="changed in place"):
        bp.margins(kept, region, y, "interval")


def test_tables_of_too_many_numbers_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    net, kept, region, y = made("plain")
    wanted = bp.margins(net, region, y, "interval")
    for most, kept_ in ((2 * 12 * 4, True), (2 * 12 * 4 - 1, False)):
        monkeypatch.setattr("ballproof.graph.head.MOST_NUMBERS", most)
        assert isinstance(Head.of(kept, kept.constants()), Head) == kept_
    fresh = bp.snapshot(net, region)
    assert fresh.head is None
    torch.testing.assert_close(bp.margins(fresh, region, y, "interval"), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_without_weights_and_batches_without_examples_are_answered(dtype: torch.dtype) -> None:
    region = bp.Linf(torch.randn(3, 4, dtype=dtype), 0.2)
    for net in (nn.ReLU(), nn.Softmax(1)):
        ours, theirs = (bp.margins(n, region, [0, 1, 2], "interval") for n in (bp.snapshot(net, region), net))
        torch.testing.assert_close(ours, theirs)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, CLASSES)).to(dtype)
    summed = Summed()
    for some in (region, region[[0]]):
        ours, theirs = (bp.margins(n, some, torch.tensor([1]), "interval") for n in (bp.snapshot(summed, region), summed))
        torch.testing.assert_close(ours, theirs)
    none = torch.empty(0, dtype=torch.long)
    assert bp.margins(bp.snapshot(net, region), region[none], none, "interval").shape == (0, CLASSES - 1)
