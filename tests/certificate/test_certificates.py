"""Certificates are written, checked, damaged, and never accepted for a claim that is false."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ballproof.certificate.check import main
from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.checker.reading.specification import read_cases
from ballproof.certificate.writer import write_certificate
from ballproof.cli import main as cli
from oracles.mutations import mutated
from oracles.onnx_nets import dense, write_dense, write_property

LAYERS = dense(1, 3, 12, 12, 12, 2, size=1.6)
BOTH = "real numbers and every float32 evaluation order"
LOW, HIGH = np.full(3, -0.5), np.full(3, 0.5)


@cache
def least() -> float:
    """The least value of the first output over a grid of the box: where claims turn from true to false, about."""
    value = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 15)] * 3), -1).reshape(-1, 3)
    for i, (weight, bias) in enumerate(LAYERS):
        value = value @ weight.T.astype(float) + bias
        value = np.maximum(value, 0) if i < len(LAYERS) - 1 else value
    return float(value[:, 0].min())


def problem(folder: Path, margin: float) -> tuple[Path, Path]:
    """The claim that the first output stays above its least value on a grid less a margin; false for a negative one."""
    net = write_dense(folder / "net.onnx", LAYERS)
    return net, write_property(folder / f"p{margin}.vnnlib", LOW, HIGH, 2, f"(<= Y_0 {least() - margin:.6f})")


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A certificate of many boxes with its network and property."""
    folder = tmp_path_factory.mktemp("proof")
    net, claim = problem(folder, 0.02)
    written = write_certificate(folder / "c.gz", net, claim, 60)
    assert written.whole and written.boxes > 30
    return folder / "c.gz", net, claim


def unpacked(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def packed(path: Path, lines: list[str]) -> Path:
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def test_a_true_claim_is_proven_and_the_proof_checks(
    proof: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = check(*proof)
    assert (found.roots, found.semantics) == (1, "real numbers")
    assert main([str(p) for p in proof]) == 0
    told = capsys.readouterr().out
    assert "proven" in told and found.network in told and found.asked in told


def test_what_is_proven_for_float32_is_proven_for_real_numbers_too(tmp_path: Path) -> None:
    net, claim = problem(tmp_path, 0.05)
    assert write_certificate(tmp_path / "d.gz", net, claim, 60, deployed=True).whole
    for deployed in (True, False):
        assert check(tmp_path / "d.gz", net, claim, deployed).semantics == BOTH


@pytest.mark.slow
def test_a_false_claim_gets_no_proof(tmp_path: Path) -> None:
    net, claim = problem(tmp_path, -0.05)
    written = write_certificate(tmp_path / "f.gz", net, claim, 3)
    assert not written.whole
    with pytest.raises(RefusedError, match="partial"):
        check(tmp_path / "f.gz", net, claim)


def test_a_proof_of_another_network_or_property_is_refused(tmp_path: Path, proof: tuple[Path, Path, Path]) -> None:
    certificate, net, claim = proof
    other = write_dense(tmp_path / "other.onnx", dense(2, 3, 12, 12, 12, 2))
    with pytest.raises(RefusedError, match="another network"):
        check(certificate, other, claim)
    wider = write_property(tmp_path / "w.vnnlib", LOW - 0.5, HIGH + 0.5, 2, "(<= Y_0 0.0)")
    with pytest.raises(RefusedError, match="another property"):
        check(certificate, net, wider)


@pytest.mark.slow
def test_no_mutation_makes_a_false_claim_pass(tmp_path: Path, proof: tuple[Path, Path, Path]) -> None:
    """The tree of a true claim, mutated, is held against a false one: it must never pass, and fail with one line."""
    certificate, net, _ = proof
    _, false = problem(tmp_path, -0.02)
    lines, rng = unpacked(certificate), np.random.default_rng(0)
    header = lines[0].replace(read_cases(proof[2])[1], read_cases(false)[1])
    with pytest.raises(RefusedError, match="not proven"):
        check(packed(tmp_path / "m.gz", [header, *lines[1:]]), net, false)
    for _ in range(80):
        own = [header, *mutated(lines[1:], rng)]
        with pytest.raises(RefusedError):
            check(packed(tmp_path / "m.gz", own), net, false)


def test_mutations_of_a_good_proof_pass_or_are_refused_with_a_line(
    tmp_path: Path, proof: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The claim is true, so passing is no harm; nothing but a refusal may come of a malformed one."""
    certificate, net, claim = proof
    lines, rng = unpacked(certificate), np.random.default_rng(1)
    refused = 0
    for _ in range(80):
        told = main([str(packed(tmp_path / "m.gz", mutated(lines, rng))), str(net), str(claim)])
        assert told in (0, 1)
        refused += told
        assert capsys.readouterr().out.startswith("refused: " if told else "proven: ")
    assert refused > 40


def test_a_damaged_file_is_refused(tmp_path: Path, proof: tuple[Path, Path, Path]) -> None:
    content = proof[0].read_bytes()
    rng = np.random.default_rng(2)
    for cut in (0, 5, 50, len(content) // 2, len(content) - 3):
        (tmp_path / "d.gz").write_bytes(content[:cut])
        with pytest.raises(RefusedError):
            check(tmp_path / "d.gz", *proof[1:])
    for _ in range(30):
        broken = bytearray(content)
        broken[int(rng.integers(10, len(content)))] ^= int(rng.integers(1, 256))
        (tmp_path / "d.gz").write_bytes(bytes(broken))
        with pytest.raises(RefusedError):
            check(tmp_path / "d.gz", *proof[1:])


def test_several_cases_and_boxes(tmp_path: Path) -> None:
    """Two boxes, each with an OR of ANDs; and a box with no constraint on the outputs, which every point violates."""
    net = write_dense(tmp_path / "net.onnx", LAYERS)
    floor, rest = least() - 0.1, "(and (<= Y_0 {}) (>= Y_1 {}))"
    both = " ".join(f"(and (<= X_0 {a}) (>= X_0 {b}) {rest.format(floor, -100)})" for a, b in ((0.5, 0.1), (-0.1, -0.5)))
    claim = write_property(tmp_path / "p.vnnlib", LOW, HIGH, 2, f"(or {both} (and (<= X_0 0.5) (>= X_0 0.1) (<= Y_0 {floor})))")
    assert write_certificate(tmp_path / "c.gz", net, claim, 60).whole
    assert check(tmp_path / "c.gz", net, claim).roots == 2
    bare = write_property(tmp_path / "q.vnnlib", LOW, HIGH, 2, "(<= X_0 0.2)")
    assert not write_certificate(tmp_path / "c.gz", net, bare, 1).whole


def test_what_has_no_rule_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], proof: tuple[Path, Path, Path]) -> None:
    claim = write_property(tmp_path / "p.vnnlib", LOW, HIGH, 2, "(<= X_0 X_1)")
    with pytest.raises(NotModelledError, match="relation between inputs"):
        read_cases(claim)
    assert main([str(proof[0]), str(proof[1]), str(claim)]) == 2
    assert "not checked" in capsys.readouterr().err
    assert main(["one"]) == 2


def test_verify_writes_a_certificate_and_check_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, claim = problem(tmp_path, 0.1)
    path = tmp_path / "proof.gz"
    assert cli(["verify", str(net), str(claim), "--certificate", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["result"], told["certificate"]) == ("unsat", str(path))
    assert cli(["check", str(path), str(net), str(claim), "--deployed", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["valid"] and told["semantics"] == BOTH
    _, false = problem(tmp_path, -0.1)
    assert cli(["check", str(path), str(net), str(false), "--json"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["valid"] is False
    assert cli(["check", str(tmp_path / "absent"), str(net), str(claim)]) == 2
    assert cli(["check", str(path), str(tmp_path / "absent"), str(claim)]) == 2
    capsys.readouterr()
    assert cli(["verify", str(net), str(false), "--certificate", str(tmp_path / "none.gz"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["result"], told["certificate"]) == ("sat", None)
    assert not (tmp_path / "none.gz").exists()


@pytest.mark.parametrize("engine", ["milp", "smt"])
def test_verdicts_of_other_engines_say_that_they_carry_no_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    net = write_dense(tmp_path / "net.onnx", dense(3, 2, 4, 2))
    claim = write_property(tmp_path / "p.vnnlib", np.zeros(2), np.full(2, 0.1), 2, "(<= Y_0 -50)")
    assert cli(["verify", str(net), str(claim), "--engine", engine, "--certificate", str(tmp_path / "c.gz")]) == 0
    told = capsys.readouterr().out
    assert told.startswith("unsat") and f"`{engine}` itself leaves no certificate" in told
    assert check(tmp_path / "c.gz", net, claim).roots == 1  # the one that was searched for
    assert cli(["verify", str(net), str(claim), "--engine", engine]) == 0
    assert "certificate" not in capsys.readouterr().out
