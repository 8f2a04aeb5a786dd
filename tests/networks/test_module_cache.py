"""One reading serves as long as the module computes the same function of its tensors, and not longer."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from module_zoo import Own
from torch import nn
from torch.nn import functional as F

from ballproof.errors import InputError
from ballproof.networks import active_dropout, as_graph, read_module


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.1), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 2))


X = torch.linspace(-1, 1, 12).reshape(3, 4)


def test_the_same_graph_is_given_again() -> None:
    module = small()
    graph = as_graph(module, X)
    assert as_graph(module, X[:1] + 5) is graph
    module.train()
    assert as_graph(module, X) is graph
    module.eval()
    with torch.no_grad():
        module[0].weight.mul_(2)
    assert as_graph(module, X) is graph
    torch.testing.assert_close(graph(X), module(X))


CHANGES: list[tuple[str, Callable[[nn.Sequential], object]]] = [
    ("another layer", lambda m: m.__setitem__(1, nn.ReLU())),
    ("a setting", lambda m: setattr(m[1], "negative_slope", 0.3)),
    ("one more layer", lambda m: m.append(nn.ReLU())),
    ("another parameter object", lambda m: setattr(m[0], "weight", nn.Parameter(torch.ones(4, 4)))),
    ("another buffer object", lambda m: setattr(m[3], "running_mean", torch.ones(4))),
    (
        "another shape in the same object",
        lambda m: [setattr(m[4].weight, "data", torch.ones(3, 4)), setattr(m[4].bias, "data", torch.ones(3))],
    ),
    ("a hook", lambda m: m[1].register_forward_hook(lambda module, args, out: out + 1)),
    ("a parametrization", lambda m: nn.utils.parametrizations.weight_norm(m[0])),
    ("another class", lambda m: setattr(m[1], "__class__", nn.ReLU)),
]


@pytest.mark.parametrize("change", [c[1] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_changed_module_is_read_again(change: Callable[[nn.Sequential], object]) -> None:
    module = small().eval()
    before = as_graph(module, X)
    change(module)
    after = as_graph(module, X)
    assert after is not before
    torch.testing.assert_close(after(X), module(X))
    assert as_graph(module, X) is after


def test_a_class_that_overrides_a_part_of_the_forward_is_seen() -> None:
    class Plain(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.part(x)

        def part(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    class Other(Plain):
        def part(self, x: torch.Tensor) -> torch.Tensor:
            return x - 1

    module = Plain()
    as_graph(module, X)
    module.__class__ = Other
    torch.testing.assert_close(as_graph(module, X)(X), X - 1)


def test_a_setting_of_a_users_own_module_is_seen() -> None:
    module = Own(lambda s, x: s.fc(x) if s.skip["on"] else x + s.fc(x), fc=nn.Linear(4, 4))
    module.skip = {"on": True}
    before = as_graph(module, X)
    module.skip["on"] = False
    after = as_graph(module, X)
    assert after is not before
    torch.testing.assert_close(after(X), module(X))


def test_shapes_and_types_have_their_own_graphs() -> None:
    module = nn.Sequential(nn.ReLU(), nn.Flatten())
    images, rows = torch.zeros(2, 1, 2, 2), torch.zeros(2, 4)
    first = as_graph(module, images)
    assert as_graph(module, rows).input_shape == (4,)
    assert as_graph(module, images) is first


def test_a_module_in_double_precision_is_read_anew() -> None:
    module = small().eval()
    as_graph(module, X)
    module.double()
    graph = as_graph(module, X.double())
    torch.testing.assert_close(graph(X.double()), module(X.double()))
    with pytest.raises(InputError, match="float64"):
        as_graph(module, X)


def test_the_cache_keeps_no_module_alive() -> None:
    module = small()
    as_graph(module, X)
    ghost = weakref.ref(module)
    del module
    gc.collect()
    assert ghost() is None


def test_a_region_stands_for_its_inputs() -> None:
    @dataclass
    class Ball:
        like: torch.Tensor

    module = small()
    assert as_graph(module, Ball(X)) is as_graph(module, X)


def test_a_graph_is_given_back_if_it_fits() -> None:
    graph = read_module(small(), X)
    assert as_graph(graph, X) is graph
    with pytest.raises(InputError, match=r"takes \(batch, 4\)"):
        as_graph(graph, torch.zeros(1, 5))
    with pytest.raises(InputError, match="float64"):
        as_graph(graph, X.double())
    with pytest.raises(InputError, match=r"expected an nn\.Module"):
        as_graph("net.onnx", X)  # type: ignore[arg-type]


def test_a_failed_reading_leaves_the_flags_and_is_not_remembered() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanhshrink(), nn.Threshold(1.0, 2.0)).train()
    for _ in range(2):
        with pytest.raises(InputError, match="threshold"):
            as_graph(module, X)
    assert module.training and module[2].training
    module[2] = nn.ReLU()
    assert as_graph(module, X).output_shape == (4,)


def test_active_dropout_is_named() -> None:
    module = small()
    assert active_dropout(module) == ["2"]
    assert active_dropout(module.eval()) == []
    module.train()[2].p = 0.0
    assert active_dropout(module) == []


def test_dropout_called_by_function_is_named_once_read() -> None:
    module = nn.Sequential()
    module.add_module("head", Own(lambda s, x: F.dropout(s.fc(x), 0.5, s.training), fc=nn.Linear(4, 4)))
    as_graph(module, X)
    assert active_dropout(module.train()) == ["head"]
    assert active_dropout(module.eval()) == []
