"""Proofs that split neurons: found, checked in both arithmetics, mutated, and never accepted for a claim that is false."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ballproof.certificate.by_neurons import neuron_lines
from ballproof.certificate.check import main
from ballproof.certificate.checker.arithmetic import Arithmetic, RefusedError
from ballproof.certificate.checker.certificate import FORMAT, check, roots
from ballproof.certificate.checker.neurons import prove, reading, values
from ballproof.certificate.checker.operators import read_network
from ballproof.certificate.checker.rounded import Bounds
from ballproof.certificate.checker.specification import read_cases
from ballproof.certificate.writer import write_certificate
from oracles.mutations import mutated
from oracles.onnx_nets import dense, exact, in_float32, write_dense, write_property

INPUTS = 14
LAYERS = dense(4, INPUTS, 16, 16, 2, size=1.4)
LOW, HIGH = np.full(INPUTS, -0.2), np.full(INPUTS, 0.2)


def lowest() -> float:
    """A value of the first output that some point of the box has: a walk along coordinates to the ends of the box."""
    rng, best = np.random.default_rng(0), np.inf

    def value(x: np.ndarray) -> float:
        for i, (weight, bias) in enumerate(LAYERS):
            x = weight.astype(float) @ x + bias
            x = np.maximum(x, 0) if i < len(LAYERS) - 1 else x
        return float(x[0])

    for _ in range(20):
        x = np.where(rng.random(INPUTS) < 0.5, LOW, HIGH)
        for _ in range(3):
            for d in range(INPUTS):
                ends = [np.where(np.arange(INPUTS) == d, e, x) for e in (LOW[d], HIGH[d])]
                x = min(ends, key=value)
        best = min(best, value(x))
    return best


LOWEST = lowest()


def problem(folder: Path, margin: float, second: bool = False) -> tuple[Path, Path]:
    """The claim that the first output stays above the lowest value known less a margin; with a second group of two rows."""
    net = write_dense(folder / "net.onnx", LAYERS)
    floor = f"(<= Y_0 {LOWEST - margin:.6f})"
    unsafe = f"(or (and {floor}) (and {floor} (>= Y_1 -100)))" if second else floor
    return net, write_property(folder / f"p{margin}{second}.vnnlib", LOW, HIGH, 2, unsafe)


def packed(path: Path, claim: Path, net: Path, lines: list[str], semantics: str = "real") -> Path:
    header = (
        f'{{"format": "{FORMAT}", "version": 1, "network": "{read_network(net).sha256}", '
        f'"property": "{read_cases(claim)[1]}", "roots": 1, "semantics": "{semantics}"}}'
    )
    path.write_bytes(gzip.compress(("\n".join([header, "r 0", *lines]) + "\n").encode()))
    return path


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """A network, a true claim, and the lines of a proof with many splits."""
    folder = tmp_path_factory.mktemp("neurons")
    net, claim = problem(folder, 0.02)
    network = read_network(net)
    (root,) = roots(read_cases(claim)[0], network)
    lines = neuron_lines(network, root, Arithmetic(), 60)
    assert lines is not None and sum(line.startswith("n") for line in lines) > 5
    return net, claim, lines


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("deployed", [False, True])
def test_a_proof_is_written_and_checks_in_both_arithmetics(tmp_path: Path, deployed: bool, second: bool) -> None:
    net, claim = problem(tmp_path, 0.1, second)
    assert write_certificate(tmp_path / "c.gz", net, claim, 60, deployed).whole
    told = gzip.decompress((tmp_path / "c.gz").read_bytes()).decode()
    assert "\nq " in told and ("\ng\n" in told) == second
    found = [check(tmp_path / "c.gz", net, claim, deployed, fractions) for fractions in (False, True)]
    assert "float64" in found[0].arithmetic and "rational" in found[1].arithmetic
    assert ("float32" in found[0].semantics) == deployed


def test_the_same_lines_never_prove_what_is_false(tmp_path: Path, proof: tuple[Path, Path, list[str]]) -> None:
    net, _, lines = proof
    _, false = problem(tmp_path, -0.02)
    for fractions in (False, True):
        with pytest.raises(RefusedError, match="not proven"):
            check(packed(tmp_path / "c.gz", false, net, lines), net, false, exact=fractions)
    rng = np.random.default_rng(0)
    for _ in range(100):
        with pytest.raises(RefusedError):
            check(packed(tmp_path / "c.gz", false, net, mutated(lines, rng)), net, false)


def test_mutations_of_a_good_proof_pass_or_are_refused(tmp_path: Path, proof: tuple[Path, Path, list[str]]) -> None:
    net, claim, lines = proof
    rng, passed = np.random.default_rng(1), 0
    for _ in range(100):
        told = main([str(packed(tmp_path / "c.gz", claim, net, mutated(lines, rng))), str(net), str(claim)])
        assert told in (0, 1)
        passed += not told
    assert 0 < passed < 60


@pytest.mark.parametrize("deployed", [False, True])
def test_any_slopes_and_multipliers_give_values_below_the_truth(tmp_path: Path, deployed: bool) -> None:
    """Random leaves with splits, slopes and multipliers of any size, against exact values at points that meet the splits."""
    layers = dense(7, 3, 6, 6, 2, size=1.2)
    net = read_network(write_dense(tmp_path / "net.onnx", layers))
    low, high = np.full(3, -1.0), np.full(3, 1.0)
    claim = write_property(tmp_path / "p.vnnlib", low, high, 2, "(and (<= Y_0 0.25) (>= Y_1 -0.5))")
    (root,) = roots(read_cases(claim)[0], net)
    rng, tested = np.random.default_rng(3), 0
    points = [p.astype(np.float32) for p in rng.uniform(-1, 1, (60, 3))]
    for fractions in (False, True):
        bounds, question = _bounds(net, root, Arithmetic(deployed, fractions))
        open_ = [(b, u) for b, (x, y) in enumerate(bounds.arguments.values()) for u in range(6) if x[0, u] < 0 < y[0, u]]
        for _ in range(30):
            cut = [open_[i] for i in rng.permutation(len(open_))[:2]]
            words = "n {} {}\nn {} {}".format(*cut[0], *cut[1]).split("\n")
            leaf = _random_leaf(rng)
            text = [*words, *([leaf] * 2), leaf]
            leaves = reading(bounds, text, question)
            least = values(bounds, leaves)
            for x in points:
                signs, y = _trace(layers, x)
                for one, value in zip(leaves, least, strict=True):
                    if all((signs[b][u] >= 0) if above else (signs[b][u] <= 0) for b, u, above in one.splits):
                        told = _mixed(one.mix, y if not deployed else in_float32(layers, x, rng).astype(float))
                        assert float(value) <= float(told) + (1e-12 if deployed else 0.0)
                        tested += 1
    assert tested > 500


def _bounds(net, root, arithmetic):  # type: ignore[no-untyped-def]
    from ballproof.certificate.checker.neurons import Question

    own = net.of(arithmetic)
    asked = Question(arithmetic.number(root.question.rows), arithmetic.number(root.question.offsets), root.question.groups)
    return Bounds(own, arithmetic.number(root.low[None]), arithmetic.number(root.high[None]), arithmetic), asked


def _random_leaf(rng: np.random.Generator) -> str:
    mix = ",".join(float(v).hex() for v in rng.random(2))
    slopes = ["".join(chr(48 + int(v)) for v in rng.integers(0, 65, 6)) for _ in range(2)]
    size = 10.0 ** rng.integers(-3, 3)
    pairs = [f"{rng.integers(2)} {u} {float(size * rng.normal()).hex()}" for u in rng.permutation(6)[:3]]
    return " ".join(["q", mix, *slopes, *pairs])


def _trace(layers, x):  # type: ignore[no-untyped-def]
    """The exact arguments of every rectifier, and the outputs."""
    signs = [exact(layers[: i + 1], x) for i in range(len(layers))]
    return signs[:-1], signs[-1]


def _mixed(mix, y):  # type: ignore[no-untyped-def]
    """Of the rows `Y_0 - 0.25` and `-Y_1 - 0.5`."""
    from fractions import Fraction

    a, b = (
        Fraction(float(y[0])) if isinstance(y[0], float) else y[0],
        Fraction(float(y[1])) if isinstance(y[1], float) else y[1],
    )
    return Fraction(float(mix[0])) * (a - Fraction(1, 4)) + Fraction(float(mix[1])) * (-b - Fraction(1, 2))


def test_lines_that_are_no_proof_are_refused_by_name(tmp_path: Path, proof: tuple[Path, Path, list[str]]) -> None:
    net, claim, lines = proof
    network = read_network(net)
    (root,) = roots(read_cases(claim)[0], network)
    bounds = Bounds(network, root.low[None], root.high[None], Arithmetic())
    leaf = next(line for line in lines if line.startswith("q"))
    split = next(line for line in lines if line.startswith("n"))
    settled = next(u for u in range(16) if not bounds.arguments[2][0][0, u] < 0 < bounds.arguments[2][1][0, u])
    for text, reason in (
        ([split, leaf], "partial"),
        ([leaf, leaf], "more lines"),
        ([f"n 0 {settled}", leaf, leaf], "not open"),
        ([split, split, leaf, leaf, leaf], "not open"),
        (["n 9 0", leaf, leaf], "none of 2"),
        (["g", leaf], "no line"),
        (["q -0x1p+0 " + leaf.split(" ", 2)[2]], "negative"),
        (["q 0x1p+0 pp pp"], "another number of units"),
        ([leaf + " 0 0"], "no line"),
        ([leaf + " 0 0 nan"], "not finite"),
        ([""], "no line"),
    ):
        with pytest.raises(RefusedError, match=reason):
            prove(bounds, text, root.question)
