"""Counterexamples are evaluated exactly and in every float32 order; networks that tell the two apart are told apart."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ballproof.certificate.check import main
from ballproof.certificate.checker.arithmetic import RefusedError
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.writer import write_certificate
from ballproof.cli import main as cli
from oracles.onnx_nets import Layers, dense, exact, in_float32, write_dense, write_property

LAYERS = dense(1, 3, 12, 12, 2, size=1.6)


def results(path: Path, x: np.ndarray, word: str = "sat") -> Path:
    lines = [f"(X_{i} {float(v)!r})" for i, v in enumerate(x)] + ["(Y_0 0.0)", "(Y_1 0.0)"]
    path.write_text(f"{word}\n(" + "\n ".join(lines) + ")\n")
    return path


def test_a_point_violates_exactly_where_its_exact_value_says_so(tmp_path: Path) -> None:
    """Claims a hair above and below the exact value of the first output."""
    net, rng = write_dense(tmp_path / "net.onnx", LAYERS), np.random.default_rng(0)
    for number in range(5):
        x = rng.uniform(-0.5, 0.5, 3).astype(np.float32)
        value = exact(LAYERS, x)[0]
        for shift, ok in ((Fraction(1, 10**30), True), (Fraction(0), True), (Fraction(-1, 10**30), False)):
            end = value + shift
            digits = f"{end.numerator * 10**60 // end.denominator + (1 if ok and shift else 0)}e-60"
            if not shift:  # the exact value itself has a finite binary and so a finite decimal form
                scale = 10 ** (end.denominator.bit_length() + 1)
                digits = f"{end * scale}e-{end.denominator.bit_length() + 1}"
            claim = write_property(tmp_path / "p.vnnlib", np.full(3, -0.5), np.full(3, 0.5), 2, f"(<= Y_0 {digits})")
            path = results(tmp_path / f"{number}.txt", x)
            if ok:
                assert check(path, net, claim).semantics == "real numbers"
            else:
                with pytest.raises(RefusedError, match="does not violate"):
                    check(path, net, claim)
            with pytest.raises(RefusedError, match="float32"):
                check(path, net, claim, deployed=True)
        claim = write_property(tmp_path / "p.vnnlib", np.full(3, -0.5), np.full(3, 0.5), 2, f"(<= Y_0 {float(value) + 1e-3})")
        assert check(results(tmp_path / "d.txt", x), net, claim, deployed=True).semantics.startswith("every float32")


def test_inputs_outside_of_the_box_and_damaged_files_are_refused(tmp_path: Path) -> None:
    net = write_dense(tmp_path / "net.onnx", LAYERS)
    claim = write_property(tmp_path / "p.vnnlib", np.full(3, -0.5), np.full(3, 0.5), 2, "(<= Y_0 1000)")
    good = results(tmp_path / "g.txt", np.zeros(3))
    assert check(good, net, claim).claim.startswith("the input lies in")
    for text, reason in (
        (good.read_text().replace("(X_1 0.0)", "(X_1 0.75)"), "no box"),
        (good.read_text().replace("(X_1 0.0)", ""), "gives 2 inputs"),
        (good.read_text().replace("(X_1 0.0)", "(X_1 abc)"), "no number"),
        (good.read_text().replace("(X_1 0.0)", "(X_1 1e99)"), "not finite"),
        (good.read_text().replace("(X_1 0.0)", "(X_1 nan)"), "not finite"),
        ("sat\n", "gives 0 inputs"),
    ):
        (tmp_path / "b.txt").write_text(text)
        with pytest.raises(RefusedError, match=reason):
            check(tmp_path / "b.txt", net, claim)


def test_what_verify_finds_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = write_dense(tmp_path / "net.onnx", LAYERS)
    claim = write_property(tmp_path / "p.vnnlib", np.full(3, -0.5), np.full(3, 0.5), 2, "(<= Y_0 1000)")
    assert cli(["verify", str(net), str(claim), "--results", str(tmp_path / "r.txt")]) == 0
    assert cli(["check", str(tmp_path / "r.txt"), str(net), str(claim)]) == 0
    assert "violates it" in capsys.readouterr().out
    assert main([str(tmp_path / "r.txt"), str(net), str(claim), "--deployed"]) == 0


def summing(*weights: float) -> Layers:
    """relu(x) times these weights, summed: what comes out depends on the order of the sum."""
    count = len(weights)
    return [
        (np.ones((count, 1), np.float32), np.zeros(count, np.float32)),
        (np.array([weights, weights], np.float32), np.zeros(2, np.float32)),
    ]


@pytest.mark.parametrize(
    ("weights", "true"),
    [((2.0**24, 1.0, -(2.0**24)), 1.0), ((2.0**60, 1.0, -(2.0**60)), 1.0), ((2.0**100, 3.0, -(2.0**100), -1.0), 2.0)],
)
def test_networks_that_detect_the_order_of_a_sum_are_proven_for_real_numbers_alone(
    tmp_path: Path, weights: tuple[float, ...], true: float
) -> None:
    """At x = 1 the sum is `true`, and 0 or worse in some order of float32 sums (Szász et al. 2025; Zombori et al. 2021)."""
    layers = summing(*weights)
    net = write_dense(tmp_path / "net.onnx", layers)
    rng = np.random.default_rng(0)
    seen = {float(in_float32(layers, np.ones(1, np.float32), rng)[0]) for _ in range(50)}
    assert min(seen) < true / 2
    claim = write_property(tmp_path / "p.vnnlib", np.ones(1), np.ones(1), 2, f"(<= Y_0 {true / 2})")
    written = write_certificate(tmp_path / "real.gz", net, claim, 1)
    if max(weights) < 2.0**50:  # float64 has the digits
        assert written.whole
    else:  # fractions have them: the proof is one line
        text = _one_line(tmp_path / "real.gz")
        assert text.endswith("p 0\n")
    assert check(tmp_path / "real.gz", net, claim, exact=True).semantics == "real numbers"
    assert not write_certificate(tmp_path / "deployed.gz", net, claim, 0.5, deployed=True).whole
    for fractions in (False, True):
        with pytest.raises(RefusedError):
            check(tmp_path / "real.gz", net, claim, deployed=True, exact=fractions)
    false = write_property(tmp_path / "f.vnnlib", np.ones(1), np.ones(1), 2, f"(<= Y_0 {true})")
    assert check(results(tmp_path / "x.txt", np.ones(1)), net, false).semantics == "real numbers"
    assert not write_certificate(tmp_path / "false.gz", net, false, 0.5).whole


def _one_line(path: Path) -> str:
    """The certificate with `p` for its tree."""
    import gzip

    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    text = "\n".join([lines[0], "r 0", "p 0"]) + "\n"
    path.write_bytes(gzip.compress(text.encode()))
    return text
