"""Oracle: the module itself, its outputs and its gradients."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from module_zoo import CASES, Case, prepared
from torch import nn

from ballproof.graph import Graph
from ballproof.networks import read_module

EVERY = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def inputs(case: Case, batch: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.rand(batch, *case.shape, generator=torch.Generator().manual_seed(batch), dtype=torch.float64).to(dtype)


@cache
def single(case: Case) -> tuple[nn.Module, Graph]:
    """The module and its graph in float32, read once for the tests that change nothing."""
    module = prepared(case)
    return module, read_module(module, inputs(case, 2, torch.float32))


@EVERY
def test_the_graph_computes_what_the_module_computes(case: Case) -> None:
    module, graph = single(case)
    for batch in (1, 2, 7):
        x = inputs(case, batch, torch.float32)
        torch.testing.assert_close(graph(x), module(x), rtol=1e-5, atol=1e-6)


@EVERY
def test_in_double_precision_to_twelve_digits_also_after_the_parameters_change(case: Case) -> None:
    module = prepared(case, torch.float64)
    x = inputs(case, 3, torch.float64)
    graph, before = read_module(module, x), module(x)
    torch.testing.assert_close(graph(x), before, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        for value in (*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())):
            value.mul_(1.5).add_(0.1)
    torch.testing.assert_close(graph(x), module(x), rtol=1e-12, atol=1e-12)
    if any(v.is_floating_point() for v in graph.values.values() if any(v is p for p in module.parameters())):
        assert not torch.allclose(graph(x), before)


@EVERY
def test_the_gradients_of_every_parameter_are_the_modules_own(case: Case) -> None:
    module, graph = single(case)
    x = inputs(case, 4, torch.float32)
    parameters = list(module.parameters())
    wanted, found = module(x), graph(x)
    assert wanted.requires_grad == found.requires_grad
    if not wanted.requires_grad:
        return
    theirs = torch.autograd.grad(wanted.square().sum(), parameters, allow_unused=True)
    ours = torch.autograd.grad(found.square().sum(), parameters, allow_unused=True)
    for w, f in zip(theirs, ours, strict=True):
        assert (w is None) == (f is None)
        if w is not None:
            torch.testing.assert_close(f, w, rtol=1e-4, atol=1e-4)


@EVERY
def test_the_constants_are_the_modules_own_tensors(case: Case) -> None:
    module, graph = single(case)
    own = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    for name in own.keys() & graph.values.keys():
        assert graph.values[name] is own[name]
    assert all(any(v is p for p in own.values()) for v in graph.values.values() if v.requires_grad)


def test_the_nodes_are_named_after_the_layers() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.bn(self.conv(x)) + x)

    module = nn.Sequential()
    module.add_module("stem", nn.Conv2d(1, 1, 1))
    module.add_module("body", nn.Sequential(Block()))
    module.eval()
    graph = read_module(module, torch.zeros(1, 1, 4, 4))
    assert [n.name for n in graph.varying] == [
        "stem",
        "body.0.conv.pad",
        "body.0.conv",
        "body.0.bn",
        "body.0.add",
        "body.0.relu",
    ]
    assert {"stem.weight", "body.0.bn.running_var"} <= graph.values.keys()
    assert graph.node["body.0.relu"].source.startswith("test_module.py:")


def test_reading_leaves_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2)).train()
    module[1].eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    flags, state = [m.training for m in module.modules()], torch.get_rng_state()
    read_module(module, torch.zeros(1, 3))
    assert [m.training for m in module.modules()] == flags
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert capfd.readouterr() == ("", "")


def test_reading_works_where_gradients_are_off() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    with torch.no_grad():
        graph = read_module(module, torch.zeros(1, 3))
    assert graph(torch.ones(1, 3)).requires_grad
