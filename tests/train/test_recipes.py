"""Every recipe runs: one epoch on a few random images of its data's shape; and views of images stay what they are."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ballproof.data import Dataset
from ballproof.runs import Run
from ballproof.train import Trainer, make_config, read_recipe, recipe_names
from ballproof.train.augment import augmented
from ballproof.train.cascade import first_weights

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_trains_on_a_few_images(name: str, tmp_path: Path) -> None:
    config = make_config(read_recipe(name), name)
    small = replace(config, epochs=1, batch=8, evaluate=4, attack_steps=1, walk_steps=1, eps_from=0.0, eps_until=0.5)
    torch.manual_seed(0)
    data = Dataset(torch.rand(16, *SHAPES[config.data]), torch.arange(16) % 10, config.data, "train", 10)
    held = data.subset(list(range(8)))
    run = Run.start(tmp_path / "run", "train", small.as_dict(), False)
    (row,) = Trainer(small, first_weights(small, data), data, held, run).fit()
    assert 0 <= row["clean_error"] <= row["certified_error"] <= 1 or row["evaluated"] == 4
    assert row["loss"] > 0


def test_every_recipe_has_its_place_in_the_results_and_every_command_there_its_recipe() -> None:
    told = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
    trained = set(re.findall(r"^ballproof train .*--recipe (\S+)", told, re.MULTILINE))
    assert trained <= set(recipe_names())
    assert {name for name in recipe_names() if f"`{name}`" not in told} == set()


def test_views_are_moved_and_mirrored_images() -> None:
    x = torch.arange(2 * 3 * 6 * 6, dtype=torch.float32).reshape(2, 3, 6, 6)
    generator = torch.Generator().manual_seed(0)
    assert augmented(x, "none", generator) is x
    seen = set()
    for _ in range(200):
        view = augmented(x, "flip-crop", generator)
        middle = view[0, 0, 2:4, 2:4]  # moved by at most two pixels: inside the image, no edge
        step = float(middle[0, 1] - middle[0, 0])
        assert step in {1.0, -1.0}
        assert float(middle[1, 0] - middle[0, 0]) == 6.0
        assert torch.equal(view[0, 1] - view[0, 0], torch.full((6, 6), 36.0))
        seen.add((step, float(middle.min())))
    assert len({m for s, m in seen if s > 0}) == 25
    assert len({m for s, m in seen if s < 0}) == 25
    assert all(float(augmented(x, "crop", generator)[1, 0, 0, 1] - x[1, 0, 0, 0]) > -40 for _ in range(5))
