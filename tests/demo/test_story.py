"""The demo tells the story it promises, with numbers measured on the way."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch

from ballproof.cli import main
from ballproof.data import points
from ballproof.demo.plane import RADIUS, certified, images, outer_polygon, train_plane


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    path = tmp_path_factory.mktemp("demo") / "run"
    said = StringIO()
    with redirect_stdout(said):
        assert main(["demo", "--out", str(path), "--json"]) == 0
    return json.loads(said.getvalue().splitlines()[-1])  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_robust_networks_are_the_proven_ones(told: dict[str, float]) -> None:
    assert told["plane_robust"] == told["plane_points"] == 12
    assert told["plane_standard"] < 12
    for kind in ("standard", "robust"):
        names = [f"digits_{kind}_{k}_accuracy" for k in ("certified", "attacked", "clean")]
        assert told[names[0]] <= told[names[1]] <= told[names[2]]
    assert told["digits_robust_certified_accuracy"] > told["digits_standard_certified_accuracy"]
    page = Path(str(told["report"])).read_text()
    assert page.count("<svg") >= 6 + 2 + 4 and "adversarial twins" in page
    assert len(page.encode()) < 5_000_000


def test_proofs_of_the_plane_hold_on_a_dense_grid_and_polygons_enclose() -> None:
    data = points(radius=RADIUS)
    net = train_plane(data, robust=True, steps=150, lr=2e-2)
    proven = certified(net.module, data, "lp")
    assert bool(proven.any())
    for i in range(len(data.labels)):
        outputs = images(net.module, data.inputs[i], RADIUS, count=2500)
        if bool(proven[i]):
            assert bool((outputs.argmax(1) == data.labels[i]).all())
        for method in ("lp", "dual"):
            corners = outer_polygon(net.module, data.inputs[i], RADIUS, method)
            sides = corners.roll(-1, 0) - corners
            long = sides.norm(dim=1) > 1e-3
            away = outputs.double().unsqueeze(1) - corners[long]
            inwards = (sides[long, 0] * away[..., 1] - sides[long, 1] * away[..., 0]) / sides[long].norm(dim=1)
            assert bool(long.sum() >= 3)
            assert bool((inwards >= -1e-3).all())


def test_boxes_of_the_points_do_not_meet() -> None:
    data = points(radius=RADIUS)
    distance = (data.inputs.unsqueeze(0) - data.inputs.unsqueeze(1)).abs().amax(2) + 10 * torch.eye(len(data.labels))
    assert float(distance.min()) > 2 * RADIUS and set(data.labels.tolist()) == {0, 1}
