"""What the page is told of one input: held against sampled points of the ball and against the network itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ballproof.data import Dataset, load
from ballproof.errors import InputError, SoundnessError
from ballproof.networks.shipped import shipped_model
from ballproof.problems import ball
from ballproof.serve import Lens
from ballproof.serve.lens import alarm

DATA = load("digits", "test")
NET = shipped_model("digits-robust")


def lens(network: nn.Module = NET, method: str = "crown") -> Lens:
    return Lens(network, DATA, "digits-robust", method)


def given(index: int = 3) -> list[float]:
    return DATA.inputs[index].flatten().tolist()


def points(index: int, norm: str, eps: float) -> Tensor:
    region = ball(norm, DATA.inputs[index : index + 1].expand(500, -1, -1, -1), eps, (0.0, 1.0))
    return region.sample(torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("linf", 0.3), ("l2", 0.4), ("l1", 1.5)])
@pytest.mark.parametrize("method", ["crown", "dual", "crown-interval"])
def test_sampled_points_stay_inside_of_all_that_is_told(norm: str, eps: float, method: str) -> None:
    told = lens(method=method).look(given(), norm, eps)
    seen = points(3, norm, eps)
    with torch.no_grad():
        outputs = NET(seen)
        hidden = [m for m in NET.modules() if isinstance(m, nn.ReLU)]
    assert bool((outputs >= torch.tensor(told["lower"]) - 1e-4).all() and (outputs <= torch.tensor(told["upper"]) + 1e-4).all())
    others = outputs.clone()
    others[:, told["answer"]] = -torch.inf
    worst = (outputs[:, told["answer"]] - others.amax(1)).min()
    assert told["margin"] <= float(worst) + 1e-4
    assert told["answer"] == int(NET(DATA.inputs[3:4]).argmax()) and told["certified"] == (told["margin"] > 0)
    assert len(told["layers"]) == len(hidden)
    assert all(t["on"] + t["off"] + t["undecided"] == t["neurons"] for t in told["layers"])


def test_neurons_that_samples_move_are_told_as_undecided() -> None:
    eps, seen, counts = 0.1, points(3, "linf", 0.1), []

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        above = (inputs[0] > 0).reshape(len(inputs[0]), -1)
        counts.append((int(above.all(0).sum()), int((~above).all(0).sum()), above.shape[1]))

    hooks = [m.register_forward_pre_hook(count) for m in NET.modules() if isinstance(m, nn.ReLU)]
    NET(seen)
    for hook in hooks:
        hook.remove()
    for layer, (on, off, neurons) in zip(lens().look(given(), "linf", eps)["layers"], counts, strict=True):
        assert layer["neurons"] == neurons and layer["on"] <= on and layer["off"] <= off and layer["on"] + layer["off"] > 0


def test_the_twin_is_a_point_of_the_ball_that_is_answered_as_told() -> None:
    told = lens().look(given(), "linf", 0.3)
    twin = torch.tensor(told["twin"]).reshape(DATA.inputs[3:4].shape)
    assert told["broken"] and not told["certified"]
    assert int(NET(twin).argmax()) == told["twin_answer"] != told["answer"]
    assert bool((twin - DATA.inputs[3]).abs().max() <= torch.tensor(0.3)) and float(twin.min()) >= 0 and float(twin.max()) <= 1


def test_a_step_tells_the_same_margins() -> None:
    told, step = lens().look(given(), "l2", 0.3), lens().step(given(), "l2", 0.3)
    assert step["proven"] == told["margin"] <= step["found"] == told["attack_margin"] and step["eps"] == 0.3
    nothing = lens().step(given(), "linf", 0)
    assert nothing["proven"] == pytest.approx(nothing["found"], abs=1e-4)


def test_a_proof_that_a_point_contradicts_is_an_alarm() -> None:
    alarm(True, False, 0.1), alarm(False, True, 0.1)
    with pytest.raises(SoundnessError, match=r"radius 0\.1 is certified and a point breaks it"):
        alarm(True, True, 0.1)


@pytest.mark.parametrize(
    ("numbers", "norm", "eps", "line"),
    [
        ([0.5] * 63, "linf", 0.1, "`input` has 63 numbers, expected 64"),
        ("0.5", "linf", 0.1, "`input` has no numbers"),
        ([0.5] * 63 + ["x"], "linf", 0.1, "no number"),
        ([[0.5]] * 64, "linf", 0.1, r"outside \[0, 1\]"),
        ([1.5] * 64, "linf", 0.1, r"outside \[0, 1\]"),
        ([float("nan")] * 64, "linf", 0.1, r"outside \[0, 1\]"),
        ([0.5] * 64, "linf", 7, "expected 0 to 0.4 for linf balls"),
        ([0.5] * 64, "linf", float("nan"), "expected 0 to 0.4"),
        ([0.5] * 64, "linf", "wide", "expected 0 to 0.4"),
        ([0.5] * 64, "l7", 0.1, "`norm` is 'l7', expected one of linf, l2, l1"),
    ],
)
def test_bad_questions_are_refused(numbers: list[float], norm: str, eps: float, line: str) -> None:
    with pytest.raises(InputError, match=line):
        lens().look(numbers, norm, eps)


def test_what_does_not_answer_at_once_and_examples_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="expected one that answers at once"):
        lens(method="lp")
    with pytest.raises(InputError, match="`index` is 10000"):
        lens().example(10_000)
    assert lens().example(3) == {"input": given(), "label": int(DATA.labels[3])}
    assert lens().about()["shape"] == [1, 8, 8] and isinstance(lens().data, Dataset)


def test_a_network_without_finite_answers_is_refused() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :10] / 0

    with pytest.raises(InputError, match="NaN or infinite"):
        lens(Broken()).look(given(), "linf", 0.1)
