"""An attack leaves no trace on the network, on torch, or on its arguments."""

from __future__ import annotations

import pytest
import torch
from small_nets import inputs, linear, plane_net, region
from torch import Tensor, nn

from ballproof.attacks import ATTACKS, PGD, attack, named_attack, run_attack
from ballproof.errors import InputError
from ballproof.problems import ball


def with_dropout() -> nn.Sequential:
    net = plane_net(1)
    return nn.Sequential(net[0], nn.BatchNorm1d(10, dtype=torch.float64), nn.ReLU(), nn.Dropout(0.5), net[2])


PIXELS = ("saliency", "sparse-rs")


def question(name: str) -> dict[str, object]:
    """A ball that the attack takes."""
    return {"eps": 1, "norm": "l0"} if name in PIXELS else {"eps": 0.1}


@pytest.mark.parametrize("name", [a for a in sorted(ATTACKS) if a not in ("cw", "ddn", "auto")])
@pytest.mark.parametrize("training", [True, False])
def test_the_module_is_left_as_it_was(name: str, training: bool) -> None:
    net, x = with_dropout().train(training), inputs(6, 2, 1)
    net[1].eval()
    flags = [m.training for m in net.modules()]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net[0].weight.grad = torch.ones_like(net[0].weight)
    run_attack(net, x, torch.zeros(6, dtype=torch.long), method=name, **question(name))  # type: ignore[arg-type]
    assert [m.training for m in net.modules()] == flags
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert torch.equal(net[0].weight.grad, torch.ones_like(net[0].weight))
    assert all(p.grad is None for k, p in net.named_parameters() if k != "0.weight")
    assert all(p.requires_grad for p in net.parameters())


def test_it_is_asked_in_evaluation_mode() -> None:
    net, x = with_dropout().train(), inputs(20, 2, 1)
    y = torch.zeros(20, dtype=torch.long)
    found = run_attack(net, x, y, eps=0.1)
    assert torch.equal(found.success, net.eval()(found.inputs).argmax(1) != 0)
    assert torch.equal(found.inputs, run_attack(net, x, y, eps=0.1).inputs)


class Breaks(nn.Module):
    def forward(self, points: Tensor) -> Tensor:
        raise RuntimeError(f"broken on {len(points)}, training {self.training}")


def test_the_flags_come_back_after_an_exception() -> None:
    net = nn.Sequential(nn.Dropout(), Breaks())
    net[0].eval()
    with pytest.raises(RuntimeError, match="training False"):
        attack(net, inputs(3, 2, 1), torch.zeros(3, dtype=torch.long), eps=0.1)
    assert net.training and net[1].training and not net[0].training


@pytest.mark.parametrize("name", [a for a in sorted(ATTACKS) if a not in ("cw", "ddn", "auto")])
def test_torch_is_left_as_it_was(name: str) -> None:
    net, x = plane_net(1), inputs(6, 2, 1).requires_grad_()
    kept, y = x.detach().clone(), torch.zeros(6, dtype=torch.long)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    with torch.no_grad():
        found = run_attack(net, x, y, method=name, **question(name))  # type: ignore[arg-type]
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled() and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, kept) and x.grad is None
    assert not found.inputs.requires_grad and not found.margins.requires_grad
    with torch.inference_mode():
        again = run_attack(net, inputs(6, 2, 1), y.clone(), method=name, **question(name))  # type: ignore[arg-type]
        third = ATTACKS[name]()(net, ball(question(name).get("norm", "linf"), kept, question(name)["eps"], (0, 1)), y)  # type: ignore[arg-type]
    assert torch.equal(again.inputs, found.inputs) and torch.equal(third.inputs, found.inputs)


def test_a_function_without_a_gradient_can_be_attacked() -> None:
    """Steps are blind there, but random starts still find what is common."""
    x, y = torch.full((4, 2), 0.5, dtype=torch.float64), torch.zeros(4, dtype=torch.long)

    def rounded(points: Tensor) -> Tensor:
        return torch.stack([(points > 0.5).all(1), (points < 0.5).any(1)], 1).double()

    found = PGD(steps=1, restarts=20)(rounded, region("linf", x, 0.2), y)
    assert found.success.all()


def test_a_derivative_that_is_no_number_does_not_end_the_search() -> None:
    """sqrt(z * z) has the derivative inf * 0 at z = 0; the other coordinate still leads to a counterexample."""

    def net(points: Tensor) -> Tensor:
        return torch.stack([points[:, 0].square().sqrt() + 0.1 - points[:, 1], 0 * points[:, 1]], 1)

    x = torch.zeros(1, 2, dtype=torch.float64)
    found = PGD(random_start=False)(net, region("linf", x, 0.5), torch.tensor([0]))
    assert found.success.all() and found.inputs[0, 1] > 0.1


def test_images_and_the_face_of_the_library() -> None:
    net = nn.Sequential(nn.Flatten(), linear(12, 3, 5, torch.float32))
    x = inputs(5, 12, 6, torch.float32).view(5, 3, 2, 2)
    y = net(x).argmax(1)
    adversarial = attack(net, x, y, eps=0.1)
    assert adversarial.shape == x.shape and adversarial.dtype == torch.float32
    assert adversarial.min() >= 0 and adversarial.max() <= 1 and (adversarial - x).abs().max() <= 0.1 + 1e-6
    assert torch.equal(adversarial, run_attack(net, x, y, 0.1, "linf", (0, 1), "pgd").inputs)
    wide = attack(net, x, y, eps=2.0, norm="l2", clip=None, method="bim", steps=5, early_stop=False)
    assert torch.allclose((wide - x).flatten(1).norm(dim=1), torch.tensor(2.0), atol=1e-4)


def test_the_repr_says_all_settings() -> None:
    said = repr(named_attack("bim", steps=3, loss="cross-entropy"))
    assert said.startswith("PGD(steps=3, ") and "random_start=False" in said and "loss='cross-entropy'" in said
    assert eval(said) == named_attack("bim", steps=3, loss="cross-entropy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "pdg"}, "unknown attack `pdg`.*did you mean `pgd`"),
        ({"stps": 3}, "`pgd` has no setting `stps`.*did you mean `steps`"),
        ({"method": "fgsm", "steps": 3}, "`fgsm` has no setting `steps`.*loss"),
        ({"steps": 0}, "`steps`.*got 0"),
        ({"steps": 2.5}, "`steps`.*got 2.5"),
        ({"restarts": -1}, "`restarts`.*got -1"),
        ({"restarts": 2, "random_start": False}, "`restarts` = 2 needs `random_start`"),
        ({"step_size": 0.0}, "`step_size`.*got 0.0"),
        ({"step_size": float("nan")}, "`step_size`.*got nan"),
        ({"momentum": 1.0}, "`momentum`.*got 1.0"),
        ({"batch_size": 0}, "`batch_size`.*got 0"),
        ({"seed": "a"}, "`seed`.*got 'a'"),
        ({"loss": "hinge"}, "`loss`.*margin, cross-entropy.*'hinge'"),
        ({"eps": -0.1}, "eps"),
        ({"eps": float("nan")}, "eps"),
        ({"y": torch.full((6,), 3)}, "`labels` holds 3.*0 to 2"),
        ({"y": torch.full((6,), -1)}, "`labels` holds -1"),
        ({"y": torch.zeros(5, dtype=torch.long)}, r"`labels`.*6 examples.*\(5,\)"),
        ({"y": torch.zeros(6)}, "`labels`.*float32"),
        ({"x": torch.zeros(6, 2, dtype=torch.long)}, "`x`.*int64"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, object], message: str) -> None:
    given = {"x": inputs(6, 2, 1), "y": torch.zeros(6, dtype=torch.long), "eps": 0.1, **change}
    with pytest.raises(InputError, match=message):
        run_attack(plane_net(1), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (lambda points: points * torch.nan, "NaN"),
        (lambda points: points / 0, "infinity"),
        (lambda points: points.sum(1), r"\(6, 2\).*\(6,\)"),
        (lambda points: points[:3], r"\(6, 2\).*\(3, 2\)"),
        (lambda points: points[:, :1], "2 outputs or more"),
    ],
)
def test_useless_networks_are_named(net: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_attack(net, inputs(6, 2, 1) + 0.1, torch.zeros(6, dtype=torch.long), eps=0.05)  # type: ignore[arg-type]


def test_a_network_that_is_nan_only_in_part_of_the_ball_is_named() -> None:
    """The square root of a number below 0, reached by steps alone: the center is fine."""

    def partly(points: Tensor) -> Tensor:
        return (points - 0.5).sqrt()

    x = torch.full((1, 2), 0.6, dtype=torch.float64)
    with pytest.raises(InputError, match="NaN"):
        PGD(random_start=False, early_stop=False)(partly, region("linf", x, 0.4), torch.tensor([0]))
