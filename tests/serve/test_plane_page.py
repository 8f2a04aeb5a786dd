"""The plane of the page: proofs hold on dense grids, and robust training proves every box."""

from __future__ import annotations

import pytest
import torch

from ballproof.errors import InputError
from ballproof.serve import Plane


def test_boxes_and_regions_are_those_of_the_network() -> None:
    plane = Plane()
    told = plane.look("standard", 0.05, train=True)
    module, facts = plane.learners["standard"].module, plane.about()
    assert told["steps"] > 0 and len(told["regions"]) == facts["cells"] == len(told["regions"][0])
    axis = torch.linspace(-0.05, 0.05, 60)
    for point, label, proven, broken in zip(facts["points"], facts["labels"], told["proven"], told["broken"], strict=True):
        grid = torch.tensor(point) + torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        kept = bool((module(grid).argmax(1) == label).all())
        assert kept or not proven
        if broken is not None:
            answers = module(torch.tensor([broken]))[0].detach()
            assert not kept and float(answers[label]) <= float(answers[1 - label])
            assert float((torch.tensor(broken) - torch.tensor(point)).abs().max()) <= 0.05 + 1e-6
    corner = module(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).argmax(1).tolist()
    assert corner == [int(told["regions"][0][0]), int(told["regions"][0][-1]), int(told["regions"][-1][0])]


def test_robust_training_proves_every_box_and_starts_again() -> None:
    plane = Plane()
    before = torch.random.get_rng_state()
    for _ in range(60):
        told = plane.look("robust", plane.about()["radius"], train=True)
        if all(told["proven"]):
            break
    assert all(told["proven"]) and told["broken"] == [None] * 12
    again = plane.look("robust", 0.08, restart=True)
    assert again["steps"] == 0 and not all(again["proven"])
    assert bool((torch.random.get_rng_state() == before).all())


def test_bad_questions_are_refused() -> None:
    with pytest.raises(InputError, match="`kind` is 'x'"):
        Plane().look("x", 0.1)
    with pytest.raises(InputError, match="`eps` is 9"):
        Plane().look("robust", 9)
