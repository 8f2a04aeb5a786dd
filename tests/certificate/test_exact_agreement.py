"""Small random problems: float64 with error bounds, fractions, and the exact solver of SMT agree about every one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ballproof.certificate.checker.arithmetic import RefusedError
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.writer import write_certificate
from ballproof.solve.files import verify_files
from oracles.onnx_nets import Layers, dense, write_dense, write_property


def value(layers: Layers, x: np.ndarray) -> np.ndarray:
    for i, (weight, bias) in enumerate(layers):
        x = np.atleast_2d(x) @ weight.T.astype(float) + bias
        x = np.maximum(x, 0) if i < len(layers) - 1 else x
    return x


def agreement(folder: Path, count: int) -> dict[str, int]:
    told = {"unsat": 0, "sat": 0}
    for seed in range(count):
        rng = np.random.default_rng(seed)
        layers = dense(seed, 2, 5, 4, 2, size=1.5)
        low = np.round(rng.uniform(-1, 0.5, 2), 3)
        high = low + np.round(rng.uniform(0.1, 0.8, 2), 3)
        grid = value(layers, low + rng.random((4000, 2)) * (high - low))[:, 0]
        end = grid.min() + rng.choice([-0.3, -0.05, 0.05, 0.3]) * (np.ptp(grid) + 0.01)
        net = write_dense(folder / "net.onnx", layers)
        claim = write_property(folder / "p.vnnlib", low, high, 2, f"(<= Y_0 {end:.6f})")
        truth = verify_files(net, claim, 30, "smt").result
        assert truth in told
        told[truth] += 1
        written = write_certificate(folder / "c.gz", net, claim, 20 if truth == "unsat" else 0.02)
        assert written.whole == (truth == "unsat")
        for exact in (False, True):
            if written.whole:
                assert check(folder / "c.gz", net, claim, exact=exact).semantics == "real numbers"
            else:
                with pytest.raises(RefusedError):
                    check(folder / "c.gz", net, claim, exact=exact)
    return told


def test_both_arithmetics_and_the_exact_solver_agree(tmp_path: Path) -> None:
    told = agreement(tmp_path, 12)
    assert min(told.values()) > 2


@pytest.mark.slow
def test_both_arithmetics_and_the_exact_solver_agree_on_two_hundred(tmp_path: Path) -> None:
    told = agreement(tmp_path, 200)
    assert min(told.values()) > 60
