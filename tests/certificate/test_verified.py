"""A verdict that only the search that writes has found comes with its proof; a false claim gets neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ballproof.certificate import verified
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.verified import verify_with_certificate
from oracles.onnx_nets import dense, write_dense, write_property

LAYERS = dense(4, 14, 16, 16, 2, size=1.4)


def problem(folder: Path, end: float) -> tuple[Path, Path]:
    net = write_dense(folder / "net.onnx", LAYERS)
    return net, write_property(folder / "p.vnnlib", np.full(14, -0.2), np.full(14, 0.2), 2, f"(<= Y_0 {end})")


def test_what_is_not_decided_soon_is_proven_by_the_search_that_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "LOOK", 1e-9)
    files = problem(tmp_path, -2.0)
    found, proof = verify_with_certificate(tmp_path / "c.gz", *files, 60)
    assert (found.result, found.engine) == ("unsat", "certificate")
    assert proof.startswith("certificate for every float32 evaluation order")
    assert check(tmp_path / "c.gz", *files).roots == 1


def test_a_false_claim_gets_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = problem(tmp_path, 5.0)
    found, proof = verify_with_certificate(tmp_path / "c.gz", *files, 60)
    assert found.result == "sat" and found.witness is not None and proof == "no certificate: the result is sat"
    monkeypatch.setattr(verified, "LOOK", 1e-9)
    found, proof = verify_with_certificate(tmp_path / "c.gz", *files, 20)
    assert found.result == "sat" and found.witness is not None and "a point of the box violates" in proof
    assert not (tmp_path / "c.gz").exists()
