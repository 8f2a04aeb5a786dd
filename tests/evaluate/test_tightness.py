"""Tightness by layer, against what can be enumerated; identities of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.evaluate import CertifySettings
from ballproof.evaluate.identity import identify
from ballproof.evaluate.tightness import tightness
from ballproof.runs import Run


def data(count: int = 6) -> Dataset:
    return Dataset(torch.rand(count, 3), torch.zeros(count, dtype=torch.int64), "own", "test", 2)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)).eval()


@pytest.mark.parametrize("method", ["interval", "dual", "crown", "alpha", "zonotope", "bab"])
def test_proven_widths_are_at_least_those_of_samples(method: str) -> None:
    net, examples = network(), data()
    found = tightness(net, examples, CertifySettings(eps=0.1, method=method, clip=None))
    assert [row["neurons"] for row in found] == [5, 4] and all(row["examples"] == 6 for row in found)
    for row in found:
        assert all(width >= row["sampled"] > 0 for width in row["width"].values())
        assert all(0 <= share <= 1 for share in row["undecided"].values())


def test_the_first_layer_is_exact_and_its_undecided_neurons_are_counted() -> None:
    net, examples, eps = network(), data(), 0.2
    (first, _) = tightness(net, examples, CertifySettings(eps=eps, method="crown", clip=None))
    layer = net[0]
    assert isinstance(layer, nn.Linear)
    reach = eps * layer.weight.detach().abs().sum(1)
    middle = layer(examples.inputs).detach()
    assert first["width"]["crown"] == pytest.approx(float(2 * reach.mean()), rel=1e-5)
    assert first["undecided"]["crown"] == pytest.approx(float((middle.abs() < reach).double().mean()))


def test_a_run_does_not_go_on_with_another_network_or_other_examples(tmp_path: Path) -> None:
    net, examples = network(), data()
    run = Run.start(tmp_path / "r", "certify", {}, resume=False)
    identify(run, ["mine"], [net], examples)
    identify(run, ["mine"], [net], examples)
    with pytest.raises(InputError, match="examples changed"):
        identify(run, ["mine"], [net], data())
    with torch.no_grad():
        net[0].bias[0] += 1  # type: ignore[operator,union-attr]
    with pytest.raises(InputError, match="tensors of mine changed"):
        identify(run, ["mine"], [net], examples)
