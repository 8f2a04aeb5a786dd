"""Normalisation for the time of a training: the saved network is the plain architecture and gives the same answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ballproof.bounds import margins
from ballproof.errors import InputError
from ballproof.graph.folded import without_norms
from ballproof.graph.statistics import with_batch_statistics
from ballproof.networks import as_graph
from ballproof.networks.architectures import build
from ballproof.networks.normalized import folded, normalized
from ballproof.problems import ball
from ballproof.train import robust_loss

KINDS = {"digits-cnn": (1, 8, 8), "wk-small": (1, 8, 8), "mlp": (6,)}


def stirred(name: str) -> nn.Sequential:
    """A normalised network whose statistics and gains are no longer those of the start, in double precision."""
    torch.manual_seed(3)
    module = normalized(build(name, KINDS[name], 4), KINDS[name]).double()
    for m in module:
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(m.weight)
            nn.init.normal_(m.bias)
    for _ in range(3):
        module(torch.rand(16, *KINDS[name], dtype=torch.float64) * 3)
    return module


@pytest.mark.parametrize("name", list(KINDS))
def test_the_folded_network_is_the_plain_architecture_with_the_same_answers(name: str) -> None:
    module, x = stirred(name), torch.rand(9, *KINDS[name], dtype=torch.float64)
    plain = folded(module)
    assert [type(m) for m in plain] == [type(m) for m in build(name, KINDS[name], 4)]
    assert module.training
    assert torch.allclose(plain(x), module.eval()(x), atol=1e-12)
    assert not torch.allclose(plain(x), module.train()(x), atol=1e-3)


@pytest.mark.parametrize("name", list(KINDS))
def test_a_graph_without_norms_is_the_same_function_with_the_same_gradients(name: str) -> None:
    module, x = stirred(name), torch.rand(9, *KINDS[name], dtype=torch.float64)
    region = ball("linf", x, 0.1, (0.0, 1.0))
    graph = with_batch_statistics(as_graph(module, region), x)
    short = without_norms(graph)
    kinds = [type(n.operation).__name__ for n in short.nodes]
    assert "BatchNorm" not in kinds and len(short.varying) < len(graph.varying)
    parameters = [p for p in module.parameters() if p.requires_grad]
    found = []
    for each in (graph, short):
        loss = robust_loss(each, x, torch.zeros(9, dtype=torch.long), 0.05, method="crown-interval")
        found.append(torch.autograd.grad(loss, parameters, materialize_grads=True, retain_graph=True))
    assert torch.allclose(graph(x), short(x), atol=1e-12)
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-9)
    assert max(float(g.abs().max()) for g in found[0]) > 1e-3


def test_a_layer_that_others_use_too_keeps_its_norm() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.linear(x)
            return torch.relu(self.norm(y)) + y

    module, x = Shared().eval(), torch.rand(5, 3)
    graph = as_graph(module, ball("linf", x, 0.1, None))
    assert [n.operation for n in without_norms(graph).varying] == [n.operation for n in graph.varying]


def test_bounds_of_the_folded_network_are_those_of_the_normalised_one() -> None:
    module = stirred("digits-cnn").eval()
    x, y = torch.rand(5, 1, 8, 8, dtype=torch.float64), torch.arange(5) % 4
    both = [margins(m, ball("linf", x, 0.05, None), y, "crown") for m in (module, folded(module).eval())]
    assert torch.allclose(*both, atol=1e-9)


@pytest.mark.parametrize("name", ["small-resnet", "cnn7"])
def test_other_architectures_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="normalize"):
        normalized(build(name, (1, 28, 28), 10), (1, 28, 28))


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ([nn.Linear(3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)], r"one axis; layer 0 is given inputs of shape \(4, 3\)"),
        ([nn.Flatten(), nn.Linear(12, 4, bias=False), nn.ReLU(), nn.Linear(4, 2)], "layer 1 has none"),
    ],
)
def test_layers_that_no_norm_can_be_taken_into_are_refused(layers: list[nn.Module], told: str) -> None:
    """A norm behind the first would take the second axis for its channels: four of them, as it happens."""
    with pytest.raises(InputError, match=told):
        normalized(nn.Sequential(*layers), (4, 3))


def test_a_last_layer_may_lack_a_bias() -> None:
    module = normalized(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)), (3,)).eval()
    x = torch.rand(5, 3)
    assert torch.allclose(folded(module)(x), module(x), atol=1e-6)
