"""Networks built to fool verifiers, after the published attacks: no mode accepts what is false under its own semantics."""

from __future__ import annotations

import gzip
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ballproof.certificate.checker.arithmetic import RefusedError
from ballproof.certificate.checker.certificate import FORMAT, VERSION, check
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.specification import read_cases
from ballproof.certificate.writer import write_certificate
from oracles.onnx_nets import Layers, dense, exact, in_float32, write_dense, write_property

MODES = [(deployed, fractions) for deployed in (False, True) for fractions in (False, True)]


def one_line(path: Path, net: Path, claim: Path) -> Path:
    """The proof that consists of the box itself."""
    header = (
        f'{{"format": "{FORMAT}", "version": {VERSION}, "network": "{read_network(net).sha256}", '
        f'"property": "{read_cases(claim)[1]}", "roots": 1, "semantics": "real"}}'
    )
    path.write_bytes(gzip.compress(f"{header}\nr 0\np 0\n".encode()))
    return path


def accepted(folder: Path, net: Path, claim: Path, deployed: bool, fractions: bool) -> bool:
    try:
        check(one_line(folder / "c.gz", net, claim), net, claim, deployed, fractions)
    except RefusedError:
        return False
    return True


def decimal(value: Fraction) -> str:
    """A fraction whose denominator is a power of two, exactly."""
    power = value.denominator.bit_length() - 1
    return f"{value.numerator * 5**power}e-{power}"


def point_claim(path: Path, x: np.ndarray, outputs: int, unsafe: str) -> Path:
    names = [f"(declare-const X_{i} Real)" for i in range(len(x))] + [f"(declare-const Y_{j} Real)" for j in range(outputs)]
    ends = [f"(assert ({s} X_{i} {decimal(Fraction(float(v)))}))" for i, v in enumerate(x) for s in ("<=", ">=")]
    path.write_text("\n".join([*names, *ends, f"(assert {unsafe})"]))
    return path


def backdoor(omega: float) -> Layers:
    """`y = omega + step - omega`, where step is 1 for x > 0.5 and else 0: the small path is lost beside the large one.

    Zombori et al. 2021: weights that make a solver's arithmetic drop a path which decides the class.
    """
    first = np.array([[omega], [1e3], [1e3]], np.float32), np.array([0, -500, -501], np.float32)
    second = np.array([[1, 1, -1], [1, 0, 0]], np.float32), np.zeros(2, np.float32)
    third = np.array([[1, -1], [0, 0]], np.float32), np.array([0, 0.5], np.float32)
    return [first, second, third]


@pytest.mark.parametrize("omega", [1e5, 1e9, 2.0**60, 1e30])
def test_a_backdoor_behind_cancelling_weights_is_never_proven_away(tmp_path: Path, omega: float) -> None:
    """At x = 1 the true output is 1, so that it stays below 0.5 is false; a float64 sum says 0 for the larger weights."""
    layers = backdoor(omega)
    net = write_dense(tmp_path / "net.onnx", layers)
    assert exact(layers, np.ones(1, np.float32)) == [1, Fraction(1, 2)]
    plain = np.float64(omega) + 1 - np.float64(omega)
    assert omega < 2.0**53 or plain == 0
    for low in (1.0, 0.0):
        false = write_property(tmp_path / f"f{low}.vnnlib", np.full(1, low), np.ones(1), 2, "(>= Y_0 Y_1)")
        assert not any(accepted(tmp_path, net, false, *mode) for mode in MODES)
        assert not write_certificate(tmp_path / "w.gz", net, false, 0.3).whole
    true = write_property(tmp_path / "t.vnnlib", np.ones(1), np.ones(1), 2, "(<= Y_0 Y_1)")
    assert accepted(tmp_path, net, true, False, True)  # in fractions the digits are there
    wrong = {float(in_float32(layers, np.ones(1, np.float32), np.random.default_rng(k))[0]) for k in range(30)}
    if min(wrong) <= 0.5:  # some order of float32 gives the other class
        assert not any(accepted(tmp_path, net, true, True, fractions) for fractions in (False, True))


def detector(count: int, size: float) -> Layers:
    """Sums whose value tells in which order they are added: the small terms vanish beside the large ones, or not.

    Szász et al. 2025: the deployed order opens the path, the order of a verifier does not.
    """
    weights = [size, *[1.0] * count, -size]
    first = np.ones((count + 2, 1), np.float32), np.zeros(count + 2, np.float32)
    second = np.array([weights, weights[::-1]], np.float32), np.zeros(2, np.float32)
    third = np.array([[2.0, -1.0], [0.0, 0.0]], np.float32), np.array([0.0, count / 2], np.float32)
    return [first, second, third]


@pytest.mark.parametrize(("count", "size"), [(3, 2.0**25), (8, 2.0**26), (5, 2.0**40), (4, 2.0**90)])
def test_what_tells_the_order_of_a_sum_is_proven_for_real_numbers_alone(tmp_path: Path, count: int, size: float) -> None:
    layers, x = detector(count, size), np.ones(1, np.float32)
    net = write_dense(tmp_path / "net.onnx", layers)
    assert exact(layers, x) == [count, Fraction(count, 2)]
    runs = [in_float32(layers, x, np.random.default_rng(k)) for k in range(200)]
    assert min(float(y[0] - y[1]) for y in runs) < 0 < max(float(y[0] - y[1]) for y in runs)
    claim = write_property(tmp_path / "p.vnnlib", np.ones(1), np.ones(1), 2, "(<= Y_0 Y_1)")
    assert accepted(tmp_path, net, claim, False, True)
    assert not any(accepted(tmp_path, net, claim, True, fractions) for fractions in (False, True))
    assert not write_certificate(tmp_path / "d.gz", net, claim, 0.3, deployed=True).whole


def test_points_whose_class_depends_on_the_order_of_sums_are_found_and_not_proven(tmp_path: Path) -> None:
    """Jia & Rinard 2021: near the boundary inputs are searched for whose float32 answer differs from the exact one."""
    layers = dense(11, 6, 40, 40, 2, size=1.5)
    net, rng, found = write_dense(tmp_path / "net.onnx", layers), np.random.default_rng(0), 0
    for _ in range(12):
        ends = rng.uniform(-1, 1, (2, 6)).astype(np.float32)
        values = [np.subtract(*map(float, exact(layers, e))) for e in ends]
        if values[0] * values[1] > 0:
            continue
        for _ in range(40):  # halve towards the boundary
            middle = ((ends[0].astype(float) + ends[1]) / 2).astype(np.float32)
            side = int(np.subtract(*map(float, exact(layers, middle))) * values[0] <= 0)
            ends[side] = middle
        for x in ends:
            y = exact(layers, x)
            high, low = (0, 1) if y[0] > y[1] else (1, 0)
            runs = [in_float32(layers, x, rng) for _ in range(30)]
            broken = any(r[high] <= r[low] for r in runs)
            claim = point_claim(tmp_path / "p.vnnlib", x, 2, f"(<= Y_{high} Y_{low})")
            false = point_claim(tmp_path / "f.vnnlib", x, 2, f"(>= Y_{high} Y_{low})")
            assert not any(accepted(tmp_path, net, false, *mode) for mode in ((False, False), (True, False)))
            assert not broken or not accepted(tmp_path, net, claim, True, False)
            found += broken
    assert found > 1


def test_a_bias_that_puts_the_exact_answer_a_hair_past_the_claim_is_not_proven(tmp_path: Path) -> None:
    """Jia & Rinard 2021, second attack: the last layer is tuned until a verifier's rounding hides the violation."""
    rng, hidden = np.random.default_rng(4), 0
    for seed in range(12):
        layers = dense(seed, 4, 16, 16, 2, size=2.0)
        x = rng.uniform(-1, 1, 4).astype(np.float32)
        y = exact(layers, x)[0]
        net = write_dense(tmp_path / "net.onnx", layers)
        value = x.astype(float)
        for i, (weight, bias) in enumerate(layers):
            value = weight.astype(float) @ value + bias
            value = np.maximum(value, 0) if i < 2 else value
        hidden += Fraction(float(value[0])) > y
        for mode in MODES:
            assert not accepted(tmp_path, net, point_claim(tmp_path / "p.vnnlib", x, 2, f"(<= Y_0 {decimal(y)})"), *mode)
        apart = decimal(y - Fraction(1, 2**40))
        assert accepted(tmp_path, net, point_claim(tmp_path / "t.vnnlib", x, 2, f"(<= Y_0 {apart})"), False, True)
    assert hidden > 2  # so plain float64 would have accepted some of them
