"""Modules that are more than rectifiers: the graph against the module, and its bounds against sampling."""

from __future__ import annotations

import pytest
import torch
from smooth_modules import MASKS, MODULES, Masking

from ballproof.bounds import bound
from ballproof.errors import InputError
from ballproof.networks import read_module
from ballproof.problems import Linf

EVERY = pytest.mark.parametrize("name", list(MODULES))


@EVERY
def test_the_graph_computes_what_the_module_computes(name: str) -> None:
    make, shape = MODULES[name]
    torch.manual_seed(0)
    module = make().double().eval()
    graph = read_module(module, torch.rand(2, *shape, dtype=torch.float64))
    for batch in (1, 2, 7):
        x = torch.randn(batch, *shape, dtype=torch.float64)
        torch.testing.assert_close(graph(x), module(x), rtol=1e-8, atol=1e-8)


@EVERY
@pytest.mark.parametrize("method", ["interval", "zonotope", "crown"])
def test_samples_lie_inside_the_bounds(name: str, method: str) -> None:
    make, shape = MODULES[name]
    torch.manual_seed(1)
    module, region = make().double().eval(), Linf(torch.rand(2, *shape, dtype=torch.float64), 0.05)
    ends = bound(module, region, method)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(60):
            y = module(region.sample(generator))
            assert bool((y >= ends.lower - 1e-9).all()) and bool((y <= ends.upper + 1e-9).all())


def test_a_mask_that_changes_after_the_reading_is_noticed() -> None:
    module, x = Masking(MASKS["filled"]).eval(), torch.rand(2, 3, 6)
    graph = read_module(module, x)
    module.below *= 2
    torch.testing.assert_close(graph(x), module(x))
    module.below[0, 2] = 1
    with pytest.raises(InputError, match="the mask `eq` holds at other places"):
        graph(x)
