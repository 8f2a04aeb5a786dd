"""Tables whose certified rows are proven with all rounding taken off."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ballproof.bounds import margins
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.rigorous import Rigorous
from ballproof.cli import main
from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.evaluate.certify import certify
from ballproof.networks.onnx_file import read_onnx
from ballproof.problems import ball
from oracles.onnx_nets import dense, exact, write_dense

LAYERS = dense(5, 4, 12, 12, 3, size=1.5)
EPS = 0.07


def data() -> Dataset:
    x = torch.from_numpy(np.random.default_rng(0).random((60, 1, 4), dtype=np.float32))
    labels = torch.tensor([int(np.argmax([float(v) for v in exact(LAYERS, p[0].numpy())])) for p in x])
    return Dataset(x, labels, "plane", "test", 3)


@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
def test_margins_are_below_crown_and_above_nothing_that_the_ball_holds(
    tmp_path: Path, clip: tuple[float, float] | None
) -> None:
    path, own = write_dense(tmp_path / "net.onnx", LAYERS), data()
    found = {d: Rigorous.of(path, EPS, clip, d).margins(own.inputs.numpy(), own.labels.numpy()) for d in (False, True)}
    graph = read_onnx(path)
    crown = (
        margins(graph, ball("linf", own.inputs.reshape(60, *graph.input_shape), EPS, clip), own.labels, "crown")
        .detach()
        .numpy()
    )
    assert bool((found[True] < found[False]).all())
    assert np.abs(found[False] - crown).max() < 1e-4
    rng = np.random.default_rng(1)
    for i in range(20):
        for _ in range(20):
            moved = own.inputs[i, 0].numpy() + np.float32(EPS) * rng.choice([-0.999, 0.3, 0.999], 4).astype(np.float32)
            moved = np.clip(moved, *clip) if clip else moved
            y = exact(LAYERS, moved)
            label = int(own.labels[i])
            others = [k for k in range(3) if k != label]
            assert all(float(y[label] - y[k]) >= found[False][i, n] for n, k in enumerate(others))


def test_certificates_of_examples_are_files_that_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Examples that need splits too: `bab` certifies more than lines of slope 0 or 1, and each has a file that checks."""
    layers = dense(4, 2, 24, 24, 24, 24, 2, size=1.8)
    path, folder = write_dense(tmp_path / "net.onnx", layers), tmp_path / "proofs"
    asked = ["--data", "points", "--eps", "0.08", "--method", "bab", "--curve", "0", "--json"]
    assert main(["certify", str(path), *asked, "--certificates", str(folder), "--out", str(tmp_path / "a")]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    proofs = sorted(folder.glob("*.certificate.gz"))
    assert len(proofs) == round(told["certified_accuracy"] * told["n"]) > 2 and told["lost_by_rounding"] == 0
    text = [gzip.decompress(p.read_bytes()).decode() for p in proofs]
    assert any("\ns " in t or "\nk " in t or "\nq " in t for t in text)
    for proof in proofs:
        claim = proof.with_name(proof.name.replace(".certificate.gz", ".vnnlib"))
        assert check(proof, path, claim).claim == "no input of the property's 1 box violates it"
        assert main(["verify", str(path), str(claim), "--timeout", "20"]) == 0
        assert capsys.readouterr().out.startswith("unsat")


def test_rows_that_rounding_takes_are_told(tmp_path: Path) -> None:
    """Logits shifted by 2^23: float32 cannot tell them apart, though the real numbers can."""
    layers = [*LAYERS[:-1], (LAYERS[-1][0], LAYERS[-1][1] + np.float32(2**23))]
    path, own = write_dense(tmp_path / "net.onnx", layers), data()
    graph = read_onnx(path).to(dtype=torch.float64)
    wide = Dataset(own.inputs, own.labels, "plane", "test", 3)
    batches = [(wide.inputs.double().reshape(60, *graph.input_shape), wide.labels)]
    checker = Rigorous.of(path, EPS, None, deployed=True, seconds=0.3)
    plain, table = (
        certify(graph, batches, EPS, method="crown", clip=None, attack_steps=0, rigorous=r) for r in (None, checker)
    )
    assert plain.totals["certified_accuracy"] > 0.2
    assert table.totals["certified_accuracy"] == 0
    assert table.totals["lost_by_rounding"] == sum(r["certified"] for r in plain.rows)
    assert all(r["by"] == "" for r in table.rows if r["lost"])


def test_examples_whose_numbers_overflow_are_not_proven_and_do_not_stop_the_others(tmp_path: Path) -> None:
    layers = [
        (np.full((4, 2), 1e38, np.float32), np.zeros(4, np.float32)),
        (np.full((2, 4), 1e38, np.float32), np.zeros(2, np.float32)),
    ]
    layers[1][0][1] = 0
    path = write_dense(tmp_path / "net.onnx", layers)
    x = np.array([[0.5, 0.5], [0.0, 0.0]], np.float32)
    proven = Rigorous.of(path, 1e-3, None, deployed=True, seconds=0.2).proves(x, np.zeros(2, int), [0, 1])
    assert not proven.any()
    assert bool((Rigorous.of(path, 1e-3, None).margins(x[:1], np.zeros(1, int)) > 0).all())


def test_the_command_counts_them_and_refuses_what_the_checker_does_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_dense(tmp_path / "net.onnx", dense(1, 2, 8, 2))
    asked = ["--data", "points", "--eps", "0.01", "--method", "crown", "--curve", "0", "--json", "--rigorous", "--out"]
    assert main(["certify", str(path), *asked, str(tmp_path / "a")]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["lost_by_rounding"] == 0 and told["certified_accuracy"] > 0
    (tmp_path / "net.py").write_text("import torch\n\ndef net():\n    return torch.nn.Linear(2, 2)\n")
    assert main(["certify", f"{tmp_path}/net.py:net", *asked, str(tmp_path / "b")]) == 2
    assert "ONNX file" in capsys.readouterr().err
    with pytest.raises(InputError, match="eps"):
        certify(read_onnx(path), [], None)
