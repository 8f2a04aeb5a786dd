"""The networks that come with the package: their weights, their figures, and a proof of one of the figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ballproof.bounds import margins
from ballproof.data import load
from ballproof.errors import InputError
from ballproof.evaluate import load_model
from ballproof.networks import shipped as room
from ballproof.networks.shipped import Shipped, shipped, shipped_model
from ballproof.problems import ball
from ballproof.train import recipe_names


@pytest.mark.parametrize("own", shipped().values(), ids=lambda m: m.name)
def test_weights_fit_and_figures_are_ordered(own: Shipped) -> None:
    outputs = shipped_model(own.name)(torch.rand(2, *own.shape))
    assert outputs.shape == (2, own.classes)
    assert 0.5 < own.certified_accuracy <= own.attacked_accuracy <= own.clean_accuracy <= 1
    assert own.recipe in recipe_names()


def test_the_digits_network_has_its_clean_accuracy_and_bounds_stay_below_the_certified_one() -> None:
    own, data = shipped()["digits-robust"], load("digits", "test")
    net = load_model("digits-robust", data)
    assert (net(data.inputs).argmax(1) == data.labels).float().mean().item() == pytest.approx(own.clean_accuracy, abs=1e-6)
    assert len(data.labels) == own.n
    region = ball("linf", data.inputs, own.eps, (0.0, 1.0))
    with torch.no_grad():
        by_crown = (margins(net, region, data.labels, "crown") > 0).all(1).float().mean().item()
    assert own.certified_accuracy - 0.05 < by_crown <= own.certified_accuracy + 1e-9


def test_classes_that_disagree_are_refused_where_their_number_is_known(tmp_path: Path) -> None:
    own = {"inputs": np.zeros((3, 1, 8, 8), np.float32), "labels": np.array([0, 2, 1])}
    np.savez(tmp_path / "seen.npz", **own)
    np.savez(tmp_path / "given.npz", **own, classes=np.array(3))
    assert load_model("digits-robust", load(tmp_path / "seen.npz"))
    with pytest.raises(InputError, match=r"`digits-robust` gives outputs of shape \(10,\), given has 3 classes"):
        load_model("digits-robust", load(tmp_path / "given.npz"))


def test_other_weights_and_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="digits-robust"):
        shipped_model("digits-robuts")
    with pytest.raises(InputError, match="ballproof models"):
        load_model("digits-robuts", load("digits", "test"))
    known = {k: Shipped(**{**vars(v), "sha256": "0" * 64}) for k, v in shipped().items()}
    monkeypatch.setattr(room, "shipped", lambda: known)
    with pytest.raises(InputError, match="sha256"):
        shipped_model("digits-robust")
