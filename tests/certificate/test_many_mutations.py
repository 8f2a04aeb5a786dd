"""Mutations of good certificates by the thousand: none makes a false claim pass, and each is answered by one line.

BALLPROOF_MUTATIONS=10000 python -m pytest tests/certificate/test_many_mutations.py -m slow --timeout 3600
"""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from ballproof.certificate.check import main
from ballproof.certificate.checker.arithmetic import RefusedError
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.checker.reading import content
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.specification import read_cases
from ballproof.certificate.writer import write_certificate
from ballproof.solve import neurons
from oracles.mutations import mutated
from oracles.onnx_nets import dense, write_dense, write_property

COUNT = int(os.environ.get("BALLPROOF_MUTATIONS", "1200"))


def extremes(layers: list, low: np.ndarray, high: np.ndarray) -> float:  # type: ignore[type-arg]
    """The least value of the first output at points of the box."""
    rng = np.random.default_rng(0)
    x = low + np.where(rng.random((20000, 1)) < 0.5, rng.integers(0, 2, (20000, len(low))), rng.random((20000, len(low)))) * (
        high - low
    )
    for i, (weight, bias) in enumerate(layers):
        x = x @ weight.T.astype(float) + bias
        x = np.maximum(x, 0) if i < len(layers) - 1 else x
    return float(x[:, 0].min())


@pytest.mark.slow
@pytest.mark.parametrize(("inputs", "size", "spread", "margin"), [(3, 1.6, 0.5, 0.1), (14, 1.4, 0.2, 0.1)])  # boxes, neurons
def test_no_mutation_of_many_makes_a_false_claim_pass(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    inputs: int,
    size: float,
    spread: float,
    margin: float,
) -> None:
    monkeypatch.setattr(neurons, "FIRST", 1e-9)  # so that intervals are narrowed, whose lines are mutated too
    monkeypatch.setattr(neurons, "COST", 0)
    layers = dense(4, inputs, 12, 12, 2, size=size)
    low, high = np.full(inputs, -spread), np.full(inputs, spread)
    least, rng = extremes(layers, low, high), np.random.default_rng(inputs)
    net = write_dense(tmp_path / "net.onnx", layers)
    other = write_dense(tmp_path / "other.onnx", [(w * 1.5, b - 1) for w, b in layers])
    true = write_property(tmp_path / "t.vnnlib", low, high, 2, f"(<= Y_0 {least - margin:.4f})")
    false = write_property(tmp_path / "f.vnnlib", low, high, 2, f"(<= Y_0 {least + 0.02:.4f})")
    wide = write_property(tmp_path / "w.vnnlib", low * 20, high * 20, 2, f"(<= Y_0 {least - margin:.4f})")
    proof = tmp_path / "c.gz"
    assert write_certificate(proof, net, true, 60).whole
    lines = gzip.decompress(proof.read_bytes()).decode().splitlines()
    assert len(lines) > 8 and (inputs < 14 or sum(line.startswith("i ") for line in lines) > 8)
    passed, worst = 0, 0.0
    for number in range(COUNT // 2):
        kind = number % 5
        own_net, claim = (net, true) if kind < 3 else (net, false) if kind == 3 else (net, wide)
        own_net = other if kind == 4 and number % 2 else own_net
        header = json.loads(lines[0]) | {"network": read_network(own_net).sha256, "property": read_cases(claim)[1]}
        body = [json.dumps(header), *lines[1:]]
        text = mutated(body, rng, 3) if kind < 3 else [body[0], *mutated(body[1:], rng, 3)]
        packed = gzip.compress(("\n".join(text) + "\n").encode())
        proof.write_bytes(packed if rng.random() < 0.9 else packed[: int(rng.integers(len(packed)))])
        start = time.monotonic()
        told = main([str(proof), str(own_net), str(claim), *(["--exact"] if number % 40 == 0 else [])])
        worst = max(worst, time.monotonic() - start)
        said = capsys.readouterr()
        assert told == 1 or (kind < 3 and told == 0), (text, kind)
        assert len(said.out.splitlines()) == (1 if told else 4) and said.out.startswith("refused: " if told else "proven: ")
        passed += told == 0
    assert passed < COUNT / 5 and worst < 60


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"format": "ballproof certificate", "version": 1e999}',
        '{"format": "ballproof certificate", "version": 1' + "0" * 5000 + "}",
        '{"format": "ballproof certificate", "version": true}',
        "x" * (2**20 + 2),
        "",
    ],
)
def test_odd_headers_are_refused(tmp_path: Path, text: str) -> None:
    net = write_dense(tmp_path / "net.onnx", dense(0, 2, 4, 2))
    claim = write_property(tmp_path / "p.vnnlib", np.zeros(2), np.ones(2), 2, "(<= Y_0 -100)")
    (tmp_path / "c.gz").write_bytes(gzip.compress((text + "\n").encode()))
    with pytest.raises(RefusedError):
        check(tmp_path / "c.gz", net, claim)


def test_a_file_that_unpacks_to_more_than_a_proof_can_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb of gzip: the limit, here a thousandth of what it is, stops the reader before the text is held."""
    monkeypatch.setattr(content, "MOST_LINES", content.MOST_LINES // 1000)
    net = write_dense(tmp_path / "net.onnx", dense(0, 2, 4, 2))
    claim = write_property(tmp_path / "p.vnnlib", np.zeros(2), np.ones(2), 2, "(<= Y_0 -100)")
    assert write_certificate(tmp_path / "c.gz", net, claim, 10).whole
    text = gzip.decompress((tmp_path / "c.gz").read_bytes())
    for more in (b"s 0 0 0x0p+0\n" * 200_000, b"p 0\n" * 10**6, b"9" * 10**6):
        (tmp_path / "c.gz").write_bytes(gzip.compress(text.replace(b"p 0\n", b"") + more))
        with pytest.raises(RefusedError, match=r"cut short|too long|short ones|open|more lines|begins no line"):
            check(tmp_path / "c.gz", net, claim)
