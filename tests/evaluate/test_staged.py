"""Certifying a data set by search: at least what bounds certify, and every verdict held against points of the ball."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ballproof.bounds import margins
from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.evaluate import CertifySettings, certify
from ballproof.problems import ball

EPS = 0.1


def data() -> tuple[nn.Sequential, Dataset]:
    torch.manual_seed(0)
    layers = [m for a, b in ((2, 16), (16, 16), (16, 16)) for m in (nn.Linear(a, b), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(16, 3)).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0.0, 1.0)
    x = torch.rand(60, 2)
    labels = net(x).argmax(1)
    labels[:3] = (labels[:3] + 1) % 3
    return net, Dataset(x, labels, "plane", "test", 3)


@pytest.mark.parametrize("attack_steps", [0, 20])
def test_a_search_decides_what_bounds_leave_open(attack_steps: int) -> None:
    net, examples = data()
    table = certify(net, examples, eps=EPS, method="bab", attack_steps=attack_steps, batch=25, limit_each=20.0)
    region = ball("linf", examples.inputs, EPS, (0.0, 1.0))
    by_crown = (margins(net, region, examples.labels, "crown") > 0).all(1)
    certified = torch.tensor([r["certified"] for r in table.rows])
    broken = torch.tensor([r["attacked"] for r in table.rows])
    assert bool((certified ^ broken).all())  # every example is decided
    assert bool((certified | ~by_crown).all())
    assert int(certified.sum()) > int(by_crown.sum())
    generator, falls = torch.Generator().manual_seed(0), torch.zeros(60, dtype=torch.bool)
    for _ in range(400):
        falls |= net(region.sample(generator)).argmax(1) != examples.labels
    assert not bool((falls & certified).any())
    assert bool(broken[:3].all()) and all(r["by"] == "clean" for r in table.rows[:3])
    told = {r["by"] for r in table.rows}
    assert "bab" in told
    assert told <= {"clean", "attack", "crown-interval", "crown", "alpha", "bab"}
    assert table.totals["certified_accuracy"] + (1 - table.totals["attacked_accuracy"]) == pytest.approx(1.0)


def test_an_example_out_of_time_is_neither_certified_nor_broken() -> None:
    net, examples = data()
    table = certify(net, examples, eps=EPS, method="bab", attack_steps=20, limit_each=1e-6)
    open_ = [r for r in table.rows if not r["by"]]
    assert open_
    assert not any(r["certified"] or r["attacked"] for r in open_)


def test_a_limit_that_is_no_time_is_refused() -> None:
    with pytest.raises(InputError, match="limit_each"):
        CertifySettings(eps=0.1, method="bab", limit_each=0.0)
