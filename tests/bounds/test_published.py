"""The published MNIST network of Wong & Kolter 2018 at eps 0.1: the errors that the authors' own code counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ballproof.bounds import margins
from ballproof.data import load
from ballproof.networks.architectures import wk_small
from ballproof.problems import Linf


@pytest.mark.slow
@pytest.mark.parametrize(("clip", "errors"), [(None, 67), ((0.0, 1.0), 62)], ids=["plain-ball", "cut-with-range"])
def test_dual_errors_on_the_first_thousand_images(data_dir: Path, clip: tuple[float, float] | None, errors: int) -> None:
    data = load("mnist", "test", data_dir)
    net = wk_small().eval()
    net.load_state_dict(load_file(data_dir / "pretrained" / "mnist.safetensors"))
    found = 0
    with torch.no_grad():
        for start in range(0, 1000, 100):
            x, y = data.inputs[start : start + 100], data.labels[start : start + 100]
            found += int((margins(net, Linf(x, 0.1, clip=clip), y, "dual") <= 0).any(1).sum())
    assert found == errors


def test_clean_error_is_the_published_one(data_dir: Path) -> None:
    data = load("mnist", "test", data_dir)
    net = wk_small().eval()
    net.load_state_dict(load_file(data_dir / "pretrained" / "mnist.safetensors"))
    with torch.no_grad():
        wrong = sum(int((net(x).argmax(1) != y).sum()) for x, y in data.batches(1000))
    assert wrong == 180
